"""Stars out of detections: which are one, which number each has, in which fields it lies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import polars as pl

from ..clusters import (
    LARGEST_MOTION_PER_YR,
    Clusters,
    Numbers,
    close_pairs,
    cluster_detections,
    keep_numbers,
)
from ..flags import Flag
from .members import members_of
from .star_pool import Pool, read_pool

REACH = 1.5  # tolerances; how far from a star the place may lie that was known of it
PAIR_FWHM = 2.0
MIN_SEARCH = 2  # of unconfirmed detections at one place, to count as a star


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to be stored, keys whose rows go, and what is to be told of it."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    replaces: dict[str, list[Any]] = field(default_factory=dict)
    n_star: int = 0
    n_new: int = 0
    n_merged: int = 0
    n_lost: int = 0


def settle_stars(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    *,
    new: pl.DataFrame,
    searches: pl.DataFrame,
    renewed: list[int],
    next_source_id: int,
    next_change_id: int,
    known_sky: pl.DataFrame | None = None,
) -> Settled:
    """Tell which detections in a field and around it are one star, and number the stars.

    Parameters
    ----------
    new, searches
        Rows of tables detection and search that are to be stored.
    renewed
        Searches whose rows these replace, or that are gone.
    known_sky
        source_id, ra_deg, dec_deg of stars that were not on the sky so far.

    Returns
    -------
    Rows of detection, search, source, field_source and source_change.
    """
    pool = read_pool(
        con, field_id, new=new, searches=searches, renewed=renewed, known_sky=known_sky
    )
    is_on_sky = pool.region.ra_deg is not None
    clusters = cluster_detections(
        pool.found, motion_per_yr=LARGEST_MOTION_PER_YR if is_on_sky else 0.0
    )
    is_star = _is_star(pool, clusters)
    numbers = _numbered(pool, clusters, is_star, next_source_id)
    stars = _star_rows(pool, clusters, is_star, numbers)
    told = pool.detections.with_columns(source_id=_assigned(pool, clusters, is_star, numbers))
    changes = _changes(numbers, next_change_id)
    sources = _source_rows(pool, stars)
    tables = {
        "search": searches,
        "detection": _detection_rows(con, told, new, renewed),
        "source": sources,
        "field_source": members_of(con, pool, told, stars.filter("is_inside"), numbers),
        "source_change": changes,
    }
    n_new = stars.filter(pl.col("source_id") >= next_source_id).height
    return Settled(
        tables={name: rows for name, rows in tables.items() if rows.height},
        replaces={"search": renewed, "detection": renewed} if renewed else {},
        n_star=stars.filter(pl.col("is_inside")).height,
        n_new=n_new,
        n_merged=len(numbers.merged),
        n_lost=len(numbers.lost),
    )


def _is_star(pool: Pool, clusters: Clusters) -> np.ndarray:
    """Tell which places hold a star: one search is sure of it, or several agree."""
    is_confirmed = pool.detections["is_confirmed"].to_numpy()
    n_star = len(clusters.seed)
    n_sure = np.bincount(clusters.star, weights=is_confirmed, minlength=n_star)
    return (n_sure > 0) | (np.bincount(clusters.star, minlength=n_star) >= MIN_SEARCH)


def _numbered(pool: Pool, clusters: Clusters, is_star: np.ndarray, next_source_id: int) -> Numbers:
    """Keep the numbers that are known; number new stars, the brightest first."""
    seeds = clusters.seed[is_star]
    known = pool.known
    fields = {
        int(source_id): frozenset(field_ids)
        for source_id, field_ids in known.select("source_id", "field_ids").iter_rows()
    }
    kept = keep_numbers(
        pool.found.points[seeds],
        REACH * pool.found.tolerance[seeds],
        pool.known_points,
        known["source_id"].to_numpy(),
        fields,
    )
    inside = pool.region.holds(pool.found.points[seeds])
    source_id = kept.source_id.copy()
    rows = pool.detections[seeds.tolist()]
    order = (
        rows.select("flux_adu", "x_pix", "y_pix")
        .with_row_index("row")
        .filter(pl.Series((source_id == 0) & inside))
        .sort(-pl.col("flux_adu"), "x_pix", "y_pix")
    )
    source_id[order["row"].to_numpy()] = next_source_id + np.arange(order.height)
    held = known.filter(pl.Series(pool.region.holds(pool.known_points)) & ~pl.col("is_tied"))
    lost = sorted(set(kept.lost) & set(held["source_id"]))
    return Numbers(source_id, kept.merged, lost)


def _star_rows(
    pool: Pool, clusters: Clusters, is_star: np.ndarray, numbers: Numbers
) -> pl.DataFrame:
    """Return one row a star: its leading detection, with its number and flags."""
    seeds = clusters.seed[is_star]
    points, rows = pool.found.points[seeds], pool.detections[seeds.tolist()]
    is_on_sky = pool.region.ra_deg is not None
    scale = rows["scale_arcsec_per_pix"].fill_null(1.0).to_numpy() if is_on_sky else 1.0
    fwhm = rows["search_fwhm_pix"].fill_null(0.0).to_numpy() * scale
    flags = np.where(
        close_pairs(points, 2 * pool.found.tolerance[seeds]), Flag.AMBIGUOUS.value, 0
    ) | np.where(close_pairs(points, PAIR_FWHM * fwhm), Flag.CLOSE_PAIR.value, 0)
    return rows.with_columns(
        pl.col("flags") | pl.Series(flags, dtype=pl.Int32),
        source_id=pl.Series(numbers.source_id, dtype=pl.Int32),
        is_inside=pl.Series(pool.region.holds(points)),
    ).filter(pl.col("source_id") > 0)


def _assigned(pool: Pool, clusters: Clusters, is_star: np.ndarray, numbers: Numbers) -> pl.Series:
    """Return the number of each detection; null where it is no star yet.

    Beyond the region not all is seen that decides: there the numbers stay.
    """
    of_cluster = np.zeros(len(clusters.seed), np.int64)
    of_cluster[is_star] = numbers.source_id
    is_inside = pool.region.holds(pool.found.points[clusters.seed])[clusters.star]
    stored = pool.detections["source_id"].fill_null(0).to_numpy()
    each = np.where(is_inside, of_cluster[clusters.star], stored)
    return pl.Series(each, dtype=pl.Int32).replace(0, None)


def _detection_rows(
    con: duckdb.DuckDBPyConnection, told: pl.DataFrame, new: pl.DataFrame, renewed: list[int]
) -> pl.DataFrame:
    """Return whole searches in which a detection has another number than stored."""
    stored = con.table("detection").pl().filter(~pl.col("search_id").is_in(renewed))
    place = ["search_id", "x_pix", "y_pix"]
    now = told.select(*place, now="source_id")
    every = pl.concat([stored, new.select(stored.columns)])
    joined = every.join(now.with_columns(is_told=True), on=place, how="left")
    changed = joined.filter(
        pl.col("is_told").is_not_null() & pl.col("now").ne_missing(pl.col("source_id"))
    )
    whole = set(changed["search_id"]) | set(new["search_id"])
    return (
        joined.filter(pl.col("search_id").is_in(list(whole)))
        .with_columns(source_id=pl.when("is_told").then("now").otherwise("source_id"))
        .select(stored.columns)
    )


def _source_rows(pool: Pool, stars: pl.DataFrame) -> pl.DataFrame:
    """Return rows of table source: new ones, and known ones whose place or flags changed."""
    inside = stars.filter("is_inside").select(
        "source_id",
        "field_id",
        "ra_deg",
        "dec_deg",
        "healpix",
        "x_pix",
        "y_pix",
        "flux_adu",
        "fwhm_pix",
        "flags",
        first_frame_id="frame_id",
    )
    columns = inside.columns
    home = ["field_id", "x_pix", "y_pix", "flux_adu", "fwhm_pix"]
    known = pool.known.select(columns)
    joined = inside.join(
        known.select("source_id", *home), on="source_id", how="left", suffix="_old"
    )
    kept = joined.with_columns(
        pl.when(pl.col("field_id_old").is_null()).then(name).otherwise(f"{name}_old").alias(name)
        for name in home
    ).select(columns)
    return kept.join(known, on=columns, how="anti", nulls_equal=True)


def _changes(numbers: Numbers, next_change_id: int) -> pl.DataFrame:
    pairs: Mapping[int, int | None] = {**numbers.merged, **dict.fromkeys(numbers.lost)}
    reasons = ["the same star"] * len(numbers.merged) + ["no search shows it"] * len(numbers.lost)
    return pl.DataFrame(
        {
            "change_id": range(next_change_id, next_change_id + len(pairs)),
            "old_source_id": list(pairs),
            "source_id": list(pairs.values()),
            "reason": reasons,
        },
        schema={
            "change_id": pl.Int32,
            "old_source_id": pl.Int32,
            "source_id": pl.Int32,
            "reason": pl.String,
        },
    )
