"""The step that finds zero points: a season gives the terms that frames share, a night frames."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import polars as pl

from ...errors import CalibrationError
from ...warehouse.config import ZeroPoints
from ...warehouse.runs import Run
from ...warehouse.store import shipped
from ..zeropoint import solve_with_terms, solve_zero_points
from .zero_point_rows import borrowed_rows, own_rows, solution_row

# The first that the catalogue has for most stars is taken.
COLOURS = (("g", "i"), ("g", "r"), ("r", "i"), ("B", "V"), ("V", "I"), ("V", "R"), ("BP", "RP"))
MOST = 0.8
SEASON_FRAMES = 12  # of a night, evenly spaced, when a season is solved
SEASON_STARS = 100


@dataclass(frozen=True, slots=True)
class Standard:
    """What frames are held against."""

    catalogue_name: str
    photometric_system: str
    band: str
    blue: str | None
    red: str | None

    @property
    def colour(self) -> str | None:
        """Name of the colour, as g-i."""
        return f"{self.blue}-{self.red}" if self.blue else None


def find_zero_points(run: Run, *, say: Callable[[str], None]) -> int:
    """Solve the zero points of every camera, band and night that changed.

    The terms that frames share come from a sample of all nights of the season so far; the zero
    points of a night's frames are then solved with these terms.

    Returns
    -------
    Number of nights and bands that were solved.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_zero_point").pl()
    nights = (
        pending.group_by("camera_id", "band", "night", "recipe")
        .agg(pl.col("frame_id").sort())
        .sort("camera_id", "band", "night")
    )
    config = run.warehouse.config.zero_points
    for night in nights.iter_rows(named=True):
        with run.warehouse.reading() as con:
            tables = _solve_night(con, config, night)
        _tell(tables, night, say)
        tables["product"] = pl.DataFrame(
            {
                "frame_id": night["frame_id"],
                "step": "zero point",
                "recipe": night["recipe"],
                "state": "done",
            }
        )
        run.store(
            "zero-point",
            tables,
            night=night["night"],
            replaces={"zero_point": night["frame_id"]},
        )
    return nights.height


def _solve_night(
    con: duckdb.DuckDBPyConnection, config: ZeroPoints, night: dict[str, Any]
) -> dict[str, pl.DataFrame]:
    """Return rows of zero_point and photometric_solution of the frames of one night and band."""
    season = shipped(
        con,
        "zero_point_frames",
        camera_id=night["camera_id"],
        band=night["band"],
        first_night=season_begin(night["night"], config.seasons),
        night=night["night"],
    )
    standard = choose_standard(
        shipped(con, "zero_point_bands", frame_ids=season["frame_id"].to_list()),
        night["band"],
        config,
    )
    if standard is None:
        return {}
    tonight = season.filter(pl.col("night") == night["night"])
    sample = season.filter(pl.col("place") <= SEASON_FRAMES)
    found: dict[str, list[pl.DataFrame]] = {"zero_point": [], "photometric_solution": []}
    season_points = _points(con, standard, sample, min(config.max_star, SEASON_STARS))
    night_points = _points(con, standard, tonight, config.max_star)
    for (aperture_id,), points in night_points.group_by("aperture_id", maintain_order=True):
        shared = season_points.filter(pl.col("aperture_id") == aperture_id)
        rows = _solve_aperture(points, shared, tonight, sample, config)
        for name, part in rows.items():
            found[name].append(
                part.with_columns(pl.lit(aperture_id, pl.Int16).alias("aperture_id"))
            )
    said = {
        "catalogue_name": pl.lit(standard.catalogue_name),
        "photometric_system": pl.lit(standard.photometric_system),
    }
    colour = pl.when(pl.col("colour_term").is_not_null()).then(pl.lit(standard.colour))
    tables = {
        name: pl.concat(parts).with_columns(colour.alias("colour"), **said)
        for name, parts in found.items()
        if parts
    }
    if "photometric_solution" in tables:
        tables["photometric_solution"] = tables["photometric_solution"].with_columns(
            camera_id=pl.lit(night["camera_id"]),
            band=pl.lit(night["band"]),
            first_night=pl.when(pl.col("scope") == "night")
            .then(pl.lit(night["night"]))
            .otherwise(pl.lit(season["first_night"][0])),
            last_night=pl.lit(night["night"]),
        )
    if "zero_point" in tables:
        tables["zero_point"] = tables["zero_point"].with_columns(
            season_night=pl.lit(season["first_night"][0])
        )
    return tables


def choose_standard(bands: pl.DataFrame, band: str, config: ZeroPoints) -> Standard | None:
    """Choose catalogue, system and colour: preferred ones first, then those with most stars.

    Parameters
    ----------
    bands
        Rows of query `zero_point_bands`.
    band
        Band of the frames; the settings may name another one of the catalogue for it.
    """
    wanted = config.bands.get(band, band)
    order = {name: place for place, name in enumerate(config.catalogues)}
    candidates = sorted(
        bands.filter(pl.col("band") == wanted).iter_rows(named=True),
        key=lambda row: (order.get(row["catalogue_name"], len(order)), -row["n_star"]),
    )
    if not candidates:
        return None
    best = candidates[0]
    same = bands.filter(
        (pl.col("catalogue_name") == best["catalogue_name"])
        & (pl.col("photometric_system") == best["photometric_system"])
    )
    known = {
        row["band"] for row in same.iter_rows(named=True) if row["n_star"] >= MOST * best["n_star"]
    }
    blue, red = next((pair for pair in COLOURS if set(pair) <= known), (None, None))
    return Standard(best["catalogue_name"], best["photometric_system"], wanted, blue, red)


def season_begin(night: date, seasons: Sequence[date] = ()) -> date:
    """Return the first day of the season that a night lies in.

    That of its quarter of a year, or the last one of `seasons`, those of the settings, since.
    """
    quarter = date(night.year, 3 * ((night.month - 1) // 3) + 1, 1)
    return max([quarter, *(begin for begin in seasons if begin <= night)])


def _points(
    con: duckdb.DuckDBPyConnection, standard: Standard, frames: pl.DataFrame, max_star: int
) -> pl.DataFrame:
    return shipped(
        con,
        "zero_point_stars",
        frame_ids=frames["frame_id"].to_list(),
        max_star=max_star,
        catalogue_name=standard.catalogue_name,
        photometric_system=standard.photometric_system,
        band=standard.band,
        blue=standard.blue,
        red=standard.red,
    )


def _solve_aperture(
    points: pl.DataFrame,
    season_points: pl.DataFrame,
    tonight: pl.DataFrame,
    sample: pl.DataFrame,
    config: ZeroPoints,
) -> dict[str, pl.DataFrame]:
    """Solve night and season in one aperture; nothing where no frame has stars enough."""
    degree = config.position_degree
    try:
        night = solve_zero_points(points, air=tonight, position_degree=degree)
    except CalibrationError:
        return {}
    season = night
    if sample["night"].n_unique() > 1:
        # the frames of the sample may all be without stars where others of the night are not
        with suppress(CalibrationError):
            season = solve_zero_points(season_points, air=sample, position_degree=degree)
    final = solve_with_terms(points, season.terms, air=tonight)
    own = own_rows(final, season, tonight)
    return {
        "photometric_solution": pl.concat(
            [solution_row("night", night), solution_row("season", season)]
        ),
        "zero_point": pl.concat([own, borrowed_rows(own, season, tonight)]),
    }


def _tell(
    tables: dict[str, pl.DataFrame], night: dict[str, Any], say: Callable[[str], None]
) -> None:
    if "zero_point" not in tables:
        say(
            f"{night['night']} {night['band']}: no zero points, no catalogue has stars enough in it"
        )
        return
    rows = tables["zero_point"]
    own = rows.filter(pl.col("method") != "borrowed")
    n_frame, n_own = rows["frame_id"].n_unique(), own["frame_id"].n_unique()
    text = f"{night['night']} {night['band']}: zero points of {n_own} frames from "
    text += f"{own['catalogue_name'][0]} ({own['photometric_system'][0]})"
    say(text + (f", {n_frame - n_own} borrowed" if n_frame > n_own else ""))
