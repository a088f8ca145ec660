"""The table of measurements that AstroImageJ writes: T1 the target, C2, C3 ... comparison stars."""

import numpy as np
import polars as pl

from ..errors import UsageError
from .exported_curves import ExportedCurve

FITS_PIXEL = 1.0  # the first pixel of FITS is 1, ours is 0


def astroimagej_text(curve: ExportedCurve) -> str:
    """Write the curve of a night and its comparison stars, tab-separated, names as AstroImageJ's.

    tot_C_cnts is the sum of the comparison stars' fluxes, as AstroImageJ has it; rel_flux_T1 is
    our own, over the weighted ensemble, with median 1. An empty cell was not measured.

    Raises
    ------
    UsageError
        More than one night or band was chosen.
    """
    for column in ("night", "band", "aperture_id"):
        curve.one(column)
    points = curve.points
    if points.is_empty():
        raise UsageError(f"{curve.name}: no points to write.")
    table = _target(points).hstack(_totals(curve)).hstack(_own(points, "T1"))
    table = table.with_columns(pl.Series("Saturated", _saturated(points)))
    for number, source_id in enumerate(curve.comparison["source_id"], 2):
        of_star = points.select("frame_id").join(
            curve.comparison_points.filter(source_id=source_id), on="frame_id", how="left"
        )
        table = table.hstack(_own(of_star, f"C{number}"))
    return table.write_csv(separator="\t", null_value="")


def _target(points: pl.DataFrame) -> pl.DataFrame:
    return points.select(
        pl.col("file_name").alias("Label"),
        pl.int_range(1, pl.len() + 1).alias("slice"),
        pl.col("mid_jd_utc").alias("JD_UTC"),
        pl.col("mid_hjd_utc").alias("HJD_UTC"),
        pl.col("mid_bjd_tdb").alias("BJD_TDB"),
        pl.col("airmass").alias("AIRMASS"),
        pl.col("exposure_s").alias("EXPTIME"),
        pl.col("relative_flux").alias("rel_flux_T1"),
        pl.col("relative_flux_err").alias("rel_flux_err_T1"),
        (pl.col("relative_flux") / pl.col("relative_flux_err")).alias("rel_flux_SNR_T1"),
    )


def _totals(curve: ExportedCurve) -> pl.DataFrame:
    """Sum and its error over the comparison stars of each frame."""
    clean = curve.comparison_points.filter("is_clean")
    sums = clean.group_by("frame_id").agg(
        pl.col("flux_adu").sum().alias("tot_C_cnts"),
        pl.col("flux_err_adu").pow(2).sum().sqrt().alias("tot_C_err"),
    )
    of_frames = curve.points.select("frame_id")
    return of_frames.join(sums, on="frame_id", how="left", maintain_order="left").drop("frame_id")


def _own(points: pl.DataFrame, name: str) -> pl.DataFrame:
    return points.select(
        pl.col("flux_adu").alias(f"Source-Sky_{name}"),
        pl.col("flux_err_adu").alias(f"Source_Error_{name}"),
        (pl.col("flux_adu") / pl.col("flux_err_adu")).alias(f"Source_SNR_{name}"),
        pl.col("sky_adu_per_pix").alias(f"Sky/Pixel_{name}"),
        (pl.col("x_pix").cast(pl.Float64) + FITS_PIXEL).alias(f"X(FITS)_{name}"),
        (pl.col("y_pix").cast(pl.Float64) + FITS_PIXEL).alias(f"Y(FITS)_{name}"),
        pl.col("fwhm_pix").alias(f"FWHM_{name}"),
        pl.col("fwhm_pix").alias(f"Width_{name}"),
        pl.col("peak_adu").alias(f"Peak_{name}"),
    )


def _saturated(points: pl.DataFrame) -> np.ndarray:
    return (points["flags"].to_numpy() & 1 != 0).astype(int)
