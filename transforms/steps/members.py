"""Which stars are measured on the frames of a field. Fills the table `field_source`."""

import duckdb
import numpy as np
import polars as pl

from ..astrometry import pixel_positions, wcs_from_cards
from ..clusters import Numbers
from .star_pool import Pool

MOVED_FWHM = 0.2  # a star that is known keeps the place where it is measured, unless it is off
MIN_COMMON = 5

COLUMNS = (
    "field_id",
    "source_id",
    "x_pix",
    "y_pix",
    "flux_adu",
    "fwhm_pix",
    "flags",
    "star_revision",
)


def members_of(
    con: duckdb.DuckDBPyConnection,
    pool: Pool,
    told: pl.DataFrame,
    stars: pl.DataFrame,
    numbers: Numbers,
) -> pl.DataFrame:
    """Return the rows of all fields here whose stars changed.

    A star lies in a field that shows it, and in every field on the sky that reaches there. Where
    it was measured before, it stays to a fraction of its width, so that a light curve has no
    steps.

    Parameters
    ----------
    told
        Detections with the number of their star.
    stars
        Leading detection of each star, with its number and flags.
    """
    around = {field_id for field_ids in pool.known["field_ids"] for field_id in field_ids}
    field_ids = sorted({pool.region.field_id, *told["field_id"], *around})
    held = con.table("field_star").pl()
    boxes = _boxes(con, told)
    every = []
    for field_id in field_ids:
        old = held.filter(field_id=field_id)
        rows = _members(
            con,
            field_id,
            old=old,
            told=told,
            stars=stars,
            numbers=numbers,
            box=boxes.filter(field_id=field_id),
        )
        rows = rows.select(pl.col(name).cast(held.schema[name]) for name in COLUMNS)
        if not rows.equals(old.select(COLUMNS).sort("source_id")) or _is_implied(con, field_id):
            every.append(rows)
    return pl.concat(every) if every else pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.Int32))


def _members(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    *,
    old: pl.DataFrame,
    told: pl.DataFrame,
    stars: pl.DataFrame,
    numbers: Numbers,
    box: pl.DataFrame,
) -> pl.DataFrame:
    kept = _renumbered(old, numbers)
    place = ["x_pix", "y_pix", "flux_adu", "fwhm_pix"]
    own = (
        told.filter(pl.col("field_id") == field_id)
        .filter(pl.col("source_id").is_in(stars["source_id"].implode()))
        .unique("source_id", keep="first", maintain_order=True)
        .select("source_id", *place, "search_fwhm_pix")
    )
    own = pl.concat([own, _borrowed(con, field_id, own, stars, box)], how="diagonal_relaxed").join(
        stars.select("source_id", "flags"), on="source_id"
    )
    revision = int(old["star_revision"].max() or 0) + 1  # pyright: ignore
    joined = kept.join(own, on="source_id", how="left", suffix="_now", maintain_order="left")
    moved = (
        (pl.col("x_pix") - pl.col("x_pix_now")) ** 2 + (pl.col("y_pix") - pl.col("y_pix_now")) ** 2
    ).sqrt() > MOVED_FWHM * pl.col("search_fwhm_pix")
    joined = joined.with_columns(
        *(
            pl.when(moved.fill_null(value=False)).then(f"{name}_now").otherwise(name).alias(name)
            for name in ("x_pix", "y_pix")
        ),
        flags=pl.coalesce("flags_now", "flags"),
    )
    added = own.join(kept, on="source_id", how="anti")
    rows = pl.concat(
        [joined, added.with_columns(star_revision=pl.lit(revision))], how="diagonal_relaxed"
    )
    return rows.with_columns(field_id=pl.lit(field_id)).sort("source_id")


def _renumbered(old: pl.DataFrame, numbers: Numbers) -> pl.DataFrame:
    """Give the stars of a field the numbers that stay, and leave out what is no star any more."""
    rows = old.filter(~pl.col("source_id").is_in(numbers.lost))
    rows = rows.with_columns(pl.col("source_id").replace(numbers.merged))
    return rows.unique("source_id", keep="first", maintain_order=True).select(COLUMNS)


def _borrowed(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    own: pl.DataFrame,
    stars: pl.DataFrame,
    box: pl.DataFrame,
) -> pl.DataFrame:
    """Return the stars that other fields show and that this one reaches."""
    reference = con.table("field_reference").filter(f"field_id = {int(field_id)}").pl()
    others = stars.join(own, on="source_id", how="anti").drop_nulls("ra_deg")
    if reference.is_empty() or reference["cards"][0] is None or others.is_empty():
        return own.clear()
    wcs = wcs_from_cards(reference["cards"][0])
    x, y = pixel_positions(wcs, others["ra_deg"].to_numpy(), others["dec_deg"].to_numpy())
    low_x, low_y = 0.0, 0.0
    high_x, high_y = reference["n_x_pix"][0] - 1.0, reference["n_y_pix"][0] - 1.0
    if box.height:
        low_x, low_y = min(low_x, box["low_x"][0]), min(low_y, box["low_y"][0])
        high_x, high_y = max(high_x, box["high_x"][0]), max(high_y, box["high_y"][0])
    common = own.join(stars, on="source_id", suffix="_there").filter(
        pl.col("flux_adu_there") != pl.col("flux_adu")
    )
    scale = 1.0
    if common.height >= MIN_COMMON:
        scale = float(np.median(common["flux_adu"] / common["flux_adu_there"]))
    here = reference["scale_arcsec_per_pix"][0]
    widen = pl.col("scale_arcsec_per_pix") / here if here else pl.lit(1.0)
    with np.errstate(invalid="ignore"):
        inside = (x >= low_x) & (x <= high_x) & (y >= low_y) & (y <= high_y)
    return others.select(
        "source_id",
        pl.Series("x_pix", x),
        pl.Series("y_pix", y),
        pl.col("flux_adu") * scale,
        *(pl.col(name) * widen for name in ("fwhm_pix", "search_fwhm_pix")),
    ).filter(pl.Series(inside))


def _boxes(con: duckdb.DuckDBPyConnection, told: pl.DataFrame) -> pl.DataFrame:
    """Return the rectangle of each field that its detections fill."""
    limits = "min(x_pix) as low_x, min(y_pix) as low_y, max(x_pix) as high_x, max(y_pix) as high_y"
    stored = con.table("detection").aggregate(f"field_id, {limits}", "field_id").pl()
    axes = ("x", "y")
    now = told.group_by("field_id").agg(
        *(pl.col(f"{axis}_pix").min().alias(f"low_{axis}") for axis in axes),
        *(pl.col(f"{axis}_pix").max().alias(f"high_{axis}") for axis in axes),
    )
    return (
        pl.concat([stored, now], how="diagonal_relaxed")
        .group_by("field_id")
        .agg(pl.col("low_x", "low_y").min(), pl.col("high_x", "high_y").max())
    )


def _is_implied(con: duckdb.DuckDBPyConnection, field_id: int) -> bool:
    """Tell whether a field has stars that no row of field_source names."""
    rows = con.table("field_source").filter(f"field_id = {int(field_id)}").limit(1).fetchone()
    return rows is None
