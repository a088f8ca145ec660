"""A colour-magnitude diagram as one HTML page that works offline: sliders, names, light curves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import polars as pl
from markupsafe import Markup

from .colour_magnitude import Diagram
from .extinction import Extinction
from .isochrone_parameters import distance_pc
from .isochrones import Grid

MOST_POINTS = 200_000  # of light curves; beyond, the page shows none
MOST_NODES = 600_000  # points of isochrones; beyond, only some ages are taken
STAR_COLUMNS = {
    "source_id": 0,
    "mag": 4,
    "mag_err": 4,
    "colour": 4,
    "colour_err": 4,
    "n_frame": 0,
    "separation_arcsec": 1,
    "flags": 0,
    "ra_deg": 6,
    "dec_deg": 6,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the sliders stand when the page opens."""

    age_gyr: float
    feh_dex: float
    v_over_vcrit: float
    dm_mag: float
    a_v_mag: float
    colour_offset_mag: float = 0.0
    mag_offset_mag: float = 0.0


def render_diagram_page(
    diagram: Diagram,
    *,
    points: pl.DataFrame | None = None,
    isochrones: Sequence[Grid] = (),
    extinction: Extinction | None = None,
    setting: Setting | None = None,
    version: str = "",
    command: str = "",
    warnings: Sequence[str] = (),
) -> str:
    """Return the page; all it needs is in it.

    Parameters
    ----------
    points
        Rows of the query `diagram_points`, for the light curve of a clicked star.
    isochrones
        Grids of one name, one a rotation; none: the page has no sliders.
    setting
        None: the middle of the first grid.
    """
    data = page_data(
        diagram, points=points, isochrones=isochrones, extinction=extinction, setting=setting
    )
    return _template().render(
        diagram=diagram,
        data=_script(data),
        arithmetic=Markup(_text("cmd_page.js")),
        drawing=Markup(_text("cmd_page_view.js")),
        version=version,
        command=command,
        warnings=list(warnings),
        note=data["note"],
    )


def page_data(
    diagram: Diagram,
    *,
    points: pl.DataFrame | None,
    isochrones: Sequence[Grid],
    extinction: Extinction | None,
    setting: Setting | None,
) -> dict[str, Any]:
    """Return all the page knows, as plain lists and numbers."""
    stars = diagram.stars
    names = [name for name in STAR_COLUMNS if name in stars.columns]
    grids, note = _grids(isochrones)
    law = None
    if isochrones and extinction is not None:
        grid = isochrones[0]
        coefficients = (
            extinction.coefficient(grid.photometric_system, band) for band in grid.bands
        )
        law = dict(zip(("blue", "red", "mag"), coefficients, strict=True)) | {
            "name": extinction.law
        }
    return {
        "name": diagram.name,
        "target": [diagram.name, *(["--natural"] if diagram.terms else [])]
        if diagram.field_id is not None
        else ["--catalogue", diagram.name],
        "colour": diagram.colour_name,
        "mag": diagram.mag_band,
        "system": diagram.system_name,
        "stars": {name: _numbers(stars[name], STAR_COLUMNS[name]) for name in names}
        | ({"star_name": stars["star_name"].to_list()} if "star_name" in stars.columns else {}),
        "points": _points(points),
        "grids": grids,
        "law": law,
        "setting": _setting(setting, isochrones),
        "note": note,
    }


def _setting(setting: Setting | None, isochrones: Sequence[Grid]) -> dict[str, float] | None:
    if not isochrones:
        return None
    grid = isochrones[0]
    if setting is None:
        ages, fehs = grid.ages_gyr, grid.fehs_dex
        setting = Setting(ages[len(ages) // 2], fehs[len(fehs) // 2], grid.v_over_vcrit, 10.0, 0.1)
    return {
        "age": setting.age_gyr,
        "feh": setting.feh_dex,
        "rotation": setting.v_over_vcrit,
        "distance": distance_pc(setting.dm_mag),
        "av": setting.a_v_mag,
        "colourOffset": setting.colour_offset_mag,
        "magOffset": setting.mag_offset_mag,
    }


def _grids(isochrones: Sequence[Grid]) -> tuple[list[dict[str, Any]], str]:
    n_node = sum(len(grid.eep) * len(grid.curves) for grid in isochrones)
    step = max(1, -(-n_node // MOST_NODES))
    note = (
        f"Every {step}th age of the isochrones is on this page; the command line has all."
        if step > 1
        else ""
    )
    return [_grid(grid, step) for grid in isochrones], note


def _grid(grid: Grid, step: int) -> dict[str, Any]:
    ages, fehs = grid.ages_gyr[::step], grid.fehs_dex
    curves = {}
    for i, age in enumerate(ages):
        for j, feh in enumerate(fehs):
            curve = grid.curves.get((age, feh))
            if curve is not None:
                colour, mag = curve[:, 1] - curve[:, 2], curve[:, 3]
                curves[f"{i},{j}"] = {
                    "colour": _rounded(colour, 5),
                    "mag": _rounded(mag, 5),
                }
    return {
        "name": grid.grid_name,
        "isSynthetic": grid.is_synthetic,
        "rotation": grid.v_over_vcrit,
        "ages": ages,
        "fehs": fehs,
        "eep": grid.eep.tolist(),
        "phase": grid.phase.tolist(),
        "curves": curves,
    }


def _points(points: pl.DataFrame | None) -> dict[str, Any] | None:
    if points is None or points.is_empty() or points.height > MOST_POINTS:
        return None
    zero = float(np.floor(points["mid_jd_utc"].to_numpy().min()))
    return {
        "zero": zero,
        "source_id": points["source_id"].to_list(),
        "band": points["band"].to_list(),
        "time": _numbers(points["mid_jd_utc"] - zero, 6),
        "mag": _numbers(points["mag"], 4),
        "err": _numbers(points["mag_err"], 4),
        "clean": points["is_clean"].cast(pl.Int8).to_list(),
    }


def _numbers(column: pl.Series, digits: int) -> list[float | int | None]:
    if column.dtype.is_integer():
        return column.to_list()
    return column.cast(pl.Float64).fill_nan(None).round(digits).to_list()


def _rounded(values: np.ndarray, digits: int) -> list[float | None]:
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]


def _script(data: dict[str, Any]) -> Markup:
    """Write data so that nothing in it can end the script element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


def _text(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_text("cmd_page.html.jinja"))
