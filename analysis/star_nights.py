"""The nights and bands in which a star was measured, and the transits they cover."""

from typing import Any

import duckdb
import polars as pl

from ..errors import NotFoundError
from ..warehouse.store import shipped
from .orbits import Ephemeris, predict
from .stars import Star

MARGIN_D = 0.01  # around the predicted contacts: frames there do not choose comparison stars


def star_nights(con: duckdb.DuckDBPyConnection, star: Star) -> pl.DataFrame:
    """Return the nights and bands in which a star was measured: night, band, n_frames.

    Raises
    ------
    NotFoundError
        If it was never measured.
    """
    nights = shipped(con, "star_nights", source_id=star.source_id)
    if nights.is_empty():
        raise NotFoundError(
            f"{star.name}: source {star.source_id} lies on no measured frame. "
            f"See `starmuster status` for what is pending or failed."
        )
    return nights


def transit_nights(con: duckdb.DuckDBPyConnection, star: Star, planet: Ephemeris) -> pl.DataFrame:
    """Return the nights and bands of a star, with the transit each covers.

    Returns
    -------
    One row a night and band: night, band, n_frames, first_bjd_tdb, last_bjd_tdb, and of the
    predicted transit nearest to their middle: epoch, mid_bjd_tdb, first_contact_bjd_tdb,
    fourth_contact_bjd_tdb; null where no part of a transit falls into the night.
    """
    rows: list[dict[str, Any]] = []
    for span in shipped(con, "night_spans", source_id=star.source_id).iter_rows(named=True):
        if span["first_bjd_tdb"] is None:
            continue
        covered = predict(planet, span["first_bjd_tdb"], span["last_bjd_tdb"])
        middle = (span["first_bjd_tdb"] + span["last_bjd_tdb"]) / 2
        nearest = covered.sort((pl.col("mid_bjd_tdb") - middle).abs()).head(1).to_dicts()
        rows.append(span | (nearest[0] if nearest else {}))
    return pl.DataFrame(rows, infer_schema_length=None)


def chosen_nights(
    nights: pl.DataFrame, name: str, night: str | None, band: str | None
) -> pl.DataFrame:
    """Return the nights and bands of a star that are asked for, all if none is.

    Raises
    ------
    NotFoundError
        If there is none; those that are there are told.
    """
    wanted = nights
    if night is not None:
        wanted = wanted.filter(pl.col("night").cast(pl.String) == night)
    if band is not None:
        wanted = wanted.filter(pl.col("band") == band)
    if wanted.is_empty():
        seen = ", ".join(f"{row['night']} in {row['band']}" for row in nights.to_dicts())
        raise NotFoundError(
            f"{name}: not measured on {night or 'any night'} in {band or 'any band'}; "
            f"it was on {seen}."
        )
    return wanted
