"""What decides about the stars of a field: its detections, and all that is known around it."""

from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...sql import scripts
from ...warehouse.packages import conform
from ...warehouse.store import frame, lay
from ..clusters import Found

Array = NDArray[np.float64]

ARCSEC_PER_RADIAN = 180 * 3600 / np.pi
MARGIN_DEG = 1 / 30  # beyond the stars of a field; far more than any tolerance
TOLERANCE_FWHM = 0.5
TOLERANCE_RMS = 3.0  # of the sky solution
LARGEST_TOLERANCE_FWHM = 1.0
DEFAULT_FWHM_PIX = 3.0


@dataclass(frozen=True, slots=True)
class Region:
    """The circle on the sky that a field's detections fill; null members: not on the sky."""

    field_id: int
    ra_deg: float | None = None
    dec_deg: float | None = None
    radius_deg: float | None = None

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Tell which places (on the sphere, arcsec) are in the circle or half its margin."""
        if self.ra_deg is None or self.dec_deg is None or self.radius_deg is None:
            return np.ones(len(points), bool)
        centre = sphere_points(np.array([self.ra_deg]), np.array([self.dec_deg]))
        chord = 2 * np.sin(np.radians(self.radius_deg + MARGIN_DEG / 2) / 2) * ARCSEC_PER_RADIAN
        return np.linalg.norm(points - centre, axis=1) <= chord


@dataclass(frozen=True, slots=True)
class Pool:
    """Detections, those of the searches that shall lead first; and the stars known there."""

    region: Region
    detections: pl.DataFrame
    found: Found
    known: pl.DataFrame  # as stored
    known_points: Array


def sphere_points(ra_deg: Array, dec_deg: Array) -> Array:
    """Return places on a sphere whose radius makes chords arcseconds, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return ARCSEC_PER_RADIAN * np.column_stack(
        [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
    )


def region_of(field_id: int, detections: pl.DataFrame) -> Region:
    """Return the circle around the detections of a field."""
    placed = detections.drop_nulls(["ra_deg", "dec_deg"])
    if placed.is_empty():
        return Region(field_id)
    points = sphere_points(placed["ra_deg"].to_numpy(), placed["dec_deg"].to_numpy())
    centre = points.mean(axis=0)
    centre *= ARCSEC_PER_RADIAN / np.linalg.norm(centre)
    chord = float(np.linalg.norm(points - centre, axis=1).max()) / ARCSEC_PER_RADIAN
    x, y, z = centre / ARCSEC_PER_RADIAN
    return Region(
        field_id,
        ra_deg=float(np.degrees(np.arctan2(y, x)) % 360),
        dec_deg=float(np.degrees(np.arcsin(z))),
        radius_deg=float(np.degrees(2 * np.arcsin(min(chord / 2, 1.0)))),
    )


def read_pool(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    *,
    new: pl.DataFrame,
    searches: pl.DataFrame,
    renewed: list[int],
    known_sky: pl.DataFrame | None = None,
) -> Pool:
    """Read what decides about the stars of a field.

    Parameters
    ----------
    new, searches
        Rows of tables detection and search that are not stored yet.
    renewed
        Searches of the tables that do not count any more.
    known_sky
        source_id, ra_deg, dec_deg of known stars whose places are not stored yet.
    """
    gone = pl.DataFrame({"search_id": renewed}, schema={"search_id": pl.Int32})
    lay(con, "new_detection", conform("detection", new))
    lay(con, "new_search", conform("search", searches))
    lay(con, "renewed", gone)
    old = con.table("detection").filter(f"field_id = {int(field_id)}").pl()
    own = pl.concat([old.join(gone, on="search_id", how="anti"), conform("detection", new)])
    region = region_of(field_id, own)
    radius_deg = None if region.radius_deg is None else region.radius_deg + MARGIN_DEG
    place = {"ra_deg": region.ra_deg, "dec_deg": region.dec_deg, "radius_deg": radius_deg}
    steps = scripts("steps")
    detections = frame(con, steps["detection_pool"].text, field_id=field_id, **place)
    known = frame(con, steps["known_stars"].text, field_id=field_id, **place)
    placed = known
    if known_sky is not None:
        placed = known.update(known_sky.select("source_id", "ra_deg", "dec_deg"), on="source_id")
    is_on_sky = region.ra_deg is not None
    if is_on_sky:
        detections = detections.drop_nulls("ra_deg")
        placed = placed.drop_nulls("ra_deg").sort("source_id")
        known = known.join(placed, on="source_id", how="semi").sort("source_id")
    detections = _in_order(detections)
    names = ("ra_deg", "dec_deg") if is_on_sky else ("x_pix", "y_pix")
    points = _points(detections, names, is_on_sky)
    at = names if is_on_sky else ("x_field_pix", "y_field_pix")
    found = Found(
        points=points,
        tolerance=_tolerance(detections, is_on_sky),
        search=detections["order"].to_numpy(),
        flux=detections["flux_adu"].to_numpy(),
        epoch_jyear=detections["epoch_jyear"].to_numpy(),
    )
    return Pool(region, detections, found, known, _points(placed, at, is_on_sky))


def _in_order(detections: pl.DataFrame) -> pl.DataFrame:
    """Sort by search, the richest first; what decides is in the frames, not in their numbers."""
    return detections.sort(
        "n_detection",
        "content_hash",
        "flux_adu",
        "x_pix",
        "y_pix",
        descending=[True, False, True, False, False],
    ).with_columns(order=pl.col("search_id").rle_id().cast(pl.Int64))


def _points(rows: pl.DataFrame, names: tuple[str, str], is_on_sky: bool) -> Array:
    first, second = (rows[name].to_numpy().astype(np.float64) for name in names)
    return sphere_points(first, second) if is_on_sky else np.column_stack([first, second])


def _tolerance(detections: pl.DataFrame, is_on_sky: bool) -> Array:
    """Return how far a detection may lie from its star: by the width of stars and the solution."""
    fwhm = pl.col("search_fwhm_pix").fill_null(DEFAULT_FWHM_PIX)
    scale = pl.col("scale_arcsec_per_pix").fill_null(1.0) if is_on_sky else pl.lit(1.0)
    scatter = TOLERANCE_RMS * pl.col("rms_arcsec").fill_null(0.0) if is_on_sky else pl.lit(0.0)
    least = pl.max_horizontal(TOLERANCE_FWHM * fwhm, pl.lit(1.0)) * scale
    most = pl.max_horizontal(LARGEST_TOLERANCE_FWHM * fwhm, pl.lit(1.0)) * scale
    return (
        detections.select(pl.min_horizontal(pl.max_horizontal(least, scatter), most))
        .to_series()
        .to_numpy()
    )
