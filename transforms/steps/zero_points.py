"""The step that finds zero points: a season gives the terms that frames share, a night frames."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import polars as pl

from ...errors import CalibrationError
from ...warehouse.config import ZeroPoints
from ...warehouse.runs import Run
from ...warehouse.store import shipped
from ..airmass_trend import Extinction, find_extinction
from ..zeropoint import Solution, Terms, solve_zero_points

# The first that the catalogue has for most stars is taken.
COLOURS = (("g", "i"), ("g", "r"), ("r", "i"), ("B", "V"), ("V", "I"), ("V", "R"), ("BP", "RP"))
MOST = 0.8
SEASON_FRAMES = 12  # of a night, evenly spaced, when a season is solved
SEASON_STARS = 100
BORROWED_ERR_MAG = 0.05  # where nothing tells how much zero points differ from frame to frame


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
        first_night=quarter_begin(night["night"]),
        last_night=night["night"],
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
            .otherwise(pl.lit(quarter_begin(night["night"]))),
            last_night=pl.lit(night["night"]),
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


def quarter_begin(night: date) -> date:
    """Return the first day of the quarter of a year that a night lies in."""
    return date(night.year, 3 * ((night.month - 1) // 3) + 1, 1)


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
        night = solve_zero_points(points, position_degree=degree)
    except CalibrationError:
        return {}
    season = night
    if sample["night"].n_unique() > 1:
        season = solve_zero_points(season_points, position_degree=degree)
    final = solve_zero_points(points, fixed=season.terms)
    return {
        "photometric_solution": pl.concat(
            [
                _solution_row("night", night, tonight),
                _solution_row("season", season, sample),
            ]
        ),
        "zero_point": pl.concat([_own_rows(final, season), _borrowed_rows(final, season, tonight)]),
    }


def _solution_row(scope: str, solution: Solution, frames: pl.DataFrame) -> pl.DataFrame:
    known = solution.frames.join(frames, on="frame_id", maintain_order="left")
    air: Extinction | None = find_extinction(
        known["zero_point_mag"].to_numpy(),
        known["zero_point_err_mag"].to_numpy(),
        known["airmass"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        known["night"].cast(pl.Int32).to_numpy(),
    )
    return pl.DataFrame(
        {
            "scope": scope,
            **_shared(solution.terms),
            "position_err_mag": [list(solution.terms.position_err_mag)],
            "clear_zero_point_mag": air.clear_zero_point_mag if air else None,
            "extinction_mag": air.extinction_mag if air else None,
            "extinction_err_mag": air.extinction_err_mag if air else None,
            "clear_airmass": air.clear_airmass if air else None,
            "intrinsic_scatter_mag": solution.intrinsic_scatter_mag,
            "scatter_mag": solution.scatter_mag,
            "n_star": solution.n_star,
            "n_frame": solution.frames.height,
            "n_clear_frame": air.n_clear_frame if air else 0,
        },
        schema_overrides=dict.fromkeys(NULLABLE, pl.Float64)
        | {"position_mag": pl.List(pl.Float64), "position_err_mag": pl.List(pl.Float64)},
    )


NULLABLE = (
    "colour_pivot_mag",
    "colour_term",
    "colour_term_err",
    "clear_zero_point_mag",
    "extinction_mag",
    "extinction_err_mag",
    "clear_airmass",
)


def _shared(terms: Terms) -> dict[str, Any]:
    return {
        "colour_pivot_mag": terms.colour_pivot_mag,
        "colour_term": terms.colour_term,
        "colour_term_err": terms.colour_term_err,
        "position_mag": [list(terms.position_mag)],
    }


def _own_rows(final: Solution, season: Solution) -> pl.DataFrame:
    shared = pl.DataFrame(
        _shared(season.terms) | {"colour_spread_mag": season.terms.colour_spread_mag},
        schema_overrides={
            "colour_pivot_mag": pl.Float64,
            "colour_term": pl.Float64,
            "colour_term_err": pl.Float64,
            "colour_spread_mag": pl.Float64,
            "position_mag": pl.List(pl.Float64),
        },
    )
    return final.frames.join(shared, how="cross").with_columns(
        pl.col("frame_id").cast(pl.Int32),
        intrinsic_scatter_mag=pl.lit(final.intrinsic_scatter_mag),
        method=pl.lit("joint" if season.frames.height > 1 else "fit"),
        borrowed_frame_id=pl.lit(None, pl.Int32),
    )


def _borrowed_rows(final: Solution, season: Solution, tonight: pl.DataFrame) -> pl.DataFrame:
    """Give frames without stars enough the zero point of the nearest one of the night in time.

    Its error then holds how much zero points differ over the night.
    """
    own = _own_rows(final, season)
    without = tonight.join(own, on="frame_id", how="anti").filter(pl.col("mid_utc").is_not_null())
    times = own.join(tonight, on="frame_id").filter(pl.col("mid_utc").is_not_null())
    if without.is_empty() or times.is_empty():
        return own.clear()
    unlike = float(own["zero_point_mag"].std() or BORROWED_ERR_MAG)  # pyright: ignore
    rows = []
    for frame_id, mid_utc in without.select("frame_id", "mid_utc").iter_rows():
        away = (times["mid_utc"] - mid_utc).dt.total_seconds().abs()
        row = times.row(int(away.arg_min() or 0), named=True)
        rows.append(
            {name: row[name] for name in own.columns}
            | {
                "frame_id": frame_id,
                "zero_point_err_mag": float(np.hypot(row["zero_point_err_mag"], unlike)),
                "n_star": 0,
                "scatter_mag": None,
                "intrinsic_scatter_mag": None,
                "method": "borrowed",
                "borrowed_frame_id": row["frame_id"],
            }
        )
    return pl.DataFrame(rows, schema=own.schema)


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
