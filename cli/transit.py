"""The command `report transit`: from a name to a page, the points and the stored fit."""

import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import LockedError, StarmusterError
from .answering import store_comparison
from .session import SESSION

if TYPE_CHECKING:
    from ..analysis.observed_transits import ObservedTransit
    from ..warehouse.store import Warehouse

SOFTWARE = ("astropy", "photutils", "sep", "exoplanet-core", "scipy", "duckdb", "polars")
TOLD = ("verdict", "mid_bjd_tdb", "o_minus_c_min", "radius_ratio", "depth", "duration_h")


def report_transit(
    name: str,
    *,
    night: str | None,
    band: str | None,
    aperture: str | None,
    output: Path | None,
    injected: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Fit, store, write the page and the points, and answer; return the document.

    Parameters
    ----------
    injected
        Truth of a synthetic night by attribute of the fit, shown beside what was recovered.
    """
    from ..analysis.observed_transits import observe_transit, summary

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        transit = observe_transit(
            con, name, night=night, band=band, aperture=aperture, options=warehouse.config.ensemble
        )
    files: list[str] = []
    if transit.curve is not None:
        store_comparison(warehouse, [transit.curve.comparison])
        _store_fit(warehouse, transit)
        page = output or warehouse.reports / _file_name(transit)
        files = _write(warehouse, transit, page, injected or {})
    document = summary(transit, files)
    if SESSION.as_json:
        SESSION.answer(document)
        return document
    SESSION.tell(f"{document['target']}, {document['night'] or 'no night'}: {transit.fit.reason}")
    for key in TOLD:
        value, error = document[key], document.get(f"{key}_err")
        if value is not None:
            shown = f"{value:.6f}" if isinstance(value, float) else str(value)
            SESSION.tell(f"{key:>16}  {shown}" + (f" +- {error:.6f}" if error else ""))
    for path in files:
        SESSION.tell(f"{'wrote':>16}  {path}")
    return document


def _store_fit(warehouse: "Warehouse", transit: "ObservedTransit") -> None:
    """Store the fit, unless the same one is stored."""
    import polars as pl

    from ..analysis.observed_transits import fit_row
    from ..warehouse.packages import conform
    from .ingesting import open_run

    now = datetime.now(UTC).replace(tzinfo=None)
    numbers = ("transit_fit_id", "fitted_utc")
    row = conform(
        "transit_fit",
        fit_row(transit).with_columns(transit_fit_id=pl.lit(0), fitted_utc=pl.lit(now)),
    )
    same = [name for name in row.columns if name not in numbers]
    with warehouse.reading() as con:
        stored = con.table("transit_fit").pl()
    if row.join(stored, on=same, how="anti", nulls_equal=True).is_empty():
        return
    try:
        with open_run(warehouse) as current:
            number = pl.lit(current.next_id("transit_fit"))
            current.store("transit-fit", {"transit_fit": row.with_columns(transit_fit_id=number)})
    except LockedError as error:
        SESSION.say(f"the fit was not stored: {error}")


def _write(
    warehouse: "Warehouse", transit: "ObservedTransit", page: Path, injected: dict[str, float]
) -> list[str]:
    from ..analysis.exports import points_csv
    from ..analysis.report import render_transit_report
    from ..analysis.report_content import TransitReport
    from ..warehouse.store import shipped

    curve = transit.curve
    if curve is None:
        return []
    where = {"night": transit.night, "band": transit.band}
    with warehouse.reading() as con:
        frames = shipped(con, "provenance", source_id=transit.star.source_id, **where)
        masters = shipped(con, "masters_of_night", field_id=transit.star.field_id, **where)
        sources = con.table("field_star").filter(f"field_id = {transit.star.field_id}")
        sources = sources.project("source_id, x_pix, y_pix, flux_adu").pl()
        reference = con.table("field_reference").filter(f"field_id = {transit.star.field_id}").pl()
        attitude = _attitude(con, reference["reference_frame_id"][0])
    target = sources.filter(source_id=transit.star.source_id).row(0, named=True)
    report = TransitReport(
        target_name=transit.planet["planet_name"],
        night=curve.night,
        band=curve.band,
        aperture_name=curve.aperture_name,
        fit=transit.fit,
        planet=transit.planet,
        light_curve=curve.points,
        comparison=curve.comparison.join(sources, on="source_id", how="left"),
        frames=frames,
        versions={"starmuster": __version__}
        | {package: metadata.version(package) for package in SOFTWARE},
        command=f"starmuster report transit {transit.planet['planet_name']!r}",
        generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        field_image=_picture(warehouse, reference.row(0, named=True)),
        target_xy_pix=(target["x_pix"], target["y_pix"]),
        masters=masters,
        observed_with=_observed_with(frames),
        injected=injected,
        **attitude,
    )
    points = page.with_suffix(".csv")
    page.parent.mkdir(parents=True, exist_ok=True)
    header = {"target": report.target_name, "night": curve.night, "band": curve.band}
    points.write_text(points_csv(transit.fit, curve.points, header=header), encoding="utf-8")
    page.write_text(render_transit_report(report), encoding="utf-8")
    return [str(page), str(points)]


def _attitude(con, frame_id: int) -> dict[str, Any]:
    row = (
        con.table("wcs")
        .filter(f"frame_id = {int(frame_id)}")
        .project("rotation_deg, is_mirrored, scale_arcsec_per_pix")
        .pl()
    )
    return row.row(0, named=True) if row.height else {}


def _picture(warehouse: "Warehouse", reference: dict[str, Any]):
    """Return the pixels of the reference frame, or None where its file is gone."""
    from ..transforms.pixels import read_pixels
    from ..transforms.steps.paths import frame_paths

    frame_id = reference["reference_frame_id"]
    with warehouse.reading() as con:
        path = frame_paths(con, [frame_id])[frame_id]
    try:
        return read_pixels(path, reference["hdu_index"])
    except StarmusterError as error:
        SESSION.say(f"no picture of the field: {error}")
        return None


def _observed_with(frames) -> dict[str, object]:
    first = frames.row(0, named=True)
    site = first["site_name"]
    if first["latitude_deg"] is not None:
        place = f"{first['latitude_deg']:.3f} {first['longitude_deg']:+.3f}"
        site = f"{site} ({place})" if site else place
    told = {"Telescope": first["telescope_name"], "Camera": first["camera_name"], "Site": site}
    return {name: value for name, value in told.items() if value}


def _file_name(transit: "ObservedTransit") -> str:
    name = re.sub(r"[^\w+-]+", "-", transit.planet["planet_name"])
    return f"{name}_{transit.night}_{transit.band or 'no-band'}.html"
