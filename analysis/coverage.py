"""Which predicted transits the stored nights cover, how much of each, and what lies around it."""

from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..warehouse.store import shipped
from .orbits import Ephemeris, predict
from .planets import find_planet

Array = NDArray[np.float64]

GAP_CADENCES = 3.0  # frames further apart than so many usual steps leave a gap
MIN_GAP_D = 5 / 1440
WHOLE = 0.95  # of a transit covered counts as all of it
ENOUGH_MIN = 20.0  # of baseline on each side

SCHEMA: dict[str, Any] = {
    "planet_name": pl.String,
    "night": pl.Date,
    "band": pl.String,
    "field_name": pl.String,
    "epoch": pl.Int64,
    "mid_bjd_tdb": pl.Float64,
    "mid_err_min": pl.Float64,
    "duration_h": pl.Float64,
    "covered": pl.Float64,
    "before_min": pl.Float64,
    "after_min": pl.Float64,
    "n_in_transit": pl.Int64,
    "verdict": pl.String,
    "field_id": pl.Int32,
}


def transit_coverage(con: duckdb.DuckDBPyConnection, name: str | None = None) -> pl.DataFrame:
    """List every predicted transit of which a stored night covers a part.

    Parameters
    ----------
    name
        Only this planet; None: all whose field was observed.

    Returns
    -------
    One row a planet, night, band and transit, columns of `SCHEMA`: covered is the part of first to
    fourth contact that was exposed, before_min and after_min what was exposed outside it.
    mid_err_min is null where the ephemeris has no errors.

    Raises
    ------
    NotFoundError
        No planet of that name.
    """
    key = None if name is None else find_planet(con, name)["planet_key"]
    nights = shipped(con, "planet_frames", planet_key=key)
    known = con.table("newest_ephemeris").pl()
    planets = {row["planet_key"]: Ephemeris.from_row(row) for row in known.iter_rows(named=True)}
    rows: list[dict[str, Any]] = []
    for night in nights.iter_rows(named=True):
        rows += _covered(planets[night["planet_key"]], night)
    return pl.DataFrame(rows, schema=SCHEMA).sort("planet_name", "mid_bjd_tdb", "band")


def _covered(planet: Ephemeris, night: dict[str, Any]) -> list[dict[str, Any]]:
    times = np.array(night["mid_bjd_tdb"])
    spans = exposed_spans(times, night["exposure_s"] or 0.0)
    rows = []
    for transit in predict(planet, float(spans[0, 0]), float(spans[-1, 1])).iter_rows(named=True):
        first, fourth = transit["first_contact_bjd_tdb"], transit["fourth_contact_bjd_tdb"]
        covered = overlap_d(spans, first, fourth) / (fourth - first)
        before = 1440 * overlap_d(spans, -np.inf, first)
        after = 1440 * overlap_d(spans, fourth, np.inf)
        err = transit["mid_err_d"]
        rows.append(
            {
                name: night[name]
                for name in ("planet_name", "night", "band", "field_name", "field_id")
            }
            | {
                "epoch": transit["epoch"],
                "mid_bjd_tdb": transit["mid_bjd_tdb"],
                "mid_err_min": None if err is None else 1440 * err,
                "duration_h": transit["duration_h"],
                "covered": covered,
                "before_min": before,
                "after_min": after,
                "n_in_transit": int(np.sum((times >= first) & (times <= fourth))),
                "verdict": _verdict(spans, (first, fourth), covered, (before, after)),
            }
        )
    return rows


def exposed_spans(time_d: Array, exposure_s: float) -> Array:
    """Spans without a gap, shape (n, 2), from times of mid-exposure in order, equal ones allowed.

    A gap is more than three usual steps between frames, and more than five minutes.
    """
    steps = np.diff(time_d)
    usual = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 0.0
    breaks = np.flatnonzero(steps > max(GAP_CADENCES * usual, MIN_GAP_D, exposure_s / 43200))
    starts = time_d[np.concatenate([[0], breaks + 1])]
    ends = time_d[np.concatenate([breaks, [len(time_d) - 1]])]
    half = exposure_s / 172800
    return np.column_stack([starts - half, ends + half])


def overlap_d(spans: Array, low: float, high: float) -> float:
    """Days of the spans between two times."""
    return float(
        np.sum(np.maximum(np.minimum(spans[:, 1], high) - np.maximum(spans[:, 0], low), 0))
    )


def _verdict(
    spans: Array, contacts: tuple[float, float], covered: float, around_min: tuple[float, float]
) -> str:
    lacking = [
        what
        for what, time in zip(("first contact", "fourth contact"), contacts, strict=True)
        if not np.any((spans[:, 0] < time) & (spans[:, 1] > time))
    ]
    if covered == 0:
        return "missed: it falls into a gap" if all(around_min) else "missed"
    if lacking:
        return f"partial: without {' and '.join(lacking)}"
    if covered < WHOLE:
        return "partial: with a gap"
    short = [
        what
        for what, minutes in zip(("before", "after"), around_min, strict=True)
        if minutes < ENOUGH_MIN
    ]
    return f"whole, little baseline {' and '.join(short)}" if short else "whole"
