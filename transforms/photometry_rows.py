"""Rows of the tables `measurement` and `aperture_flux`, frame_id apart."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .background import Background, level_at, rms_at
from .shapes import Shapes

MEASUREMENT_SCHEMA = {
    "source_id": pl.Int32,
    "x_pix": pl.Float32,
    "y_pix": pl.Float32,
    "sky_adu_per_pix": pl.Float32,
    "sky_rms_adu": pl.Float32,
    "n_sky_pix": pl.Int32,
    "sky_mesh_adu_per_pix": pl.Float32,
    "sky_mesh_rms_adu": pl.Float32,
    "peak_adu": pl.Float32,
    "x_offset_pix": pl.Float32,
    "y_offset_pix": pl.Float32,
    "is_recentred": pl.Boolean,
    "fwhm_pix": pl.Float32,
    "ellipticity": pl.Float32,
    "angle_deg": pl.Float32,
    "flags": pl.Int32,
}
APERTURE_FLUX_SCHEMA = {
    "source_id": pl.Int32,
    "aperture_id": pl.Int16,
    "flux_adu": pl.Float64,
    "n_pix": pl.Float32,
    "missing_fraction": pl.Float32,
    "sky_adu_per_pix": pl.Float32,
    "residual_fraction": pl.Float32,
    "neighbour_adu": pl.Float32,
    "neighbour_slope_adu": pl.Float32,
    "flags": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Sky:
    """The sky around stars, as of `annulus_skies`; every array has shape (n,)."""

    level: NDArray[np.float64]
    scatter: NDArray[np.float64]
    n_kept: NDArray[np.int32]
    n_whole: NDArray[np.int32]


def measurement_rows(
    source_id: pl.Series,
    x: NDArray,
    y: NDArray,
    *,
    sky: Sky,
    shapes: Shapes,
    peak_adu: NDArray,
    is_recentred: NDArray | None,
    background: Background | None,
    flags: NDArray,
) -> pl.DataFrame:
    """Give a row for each star at its forced place; what is nan becomes null."""
    found = shapes.is_converged
    mesh, mesh_rms = (
        (None, None)
        if background is None
        else (level_at(background, x, y), rms_at(background, x, y))
    )
    return pl.DataFrame(
        {
            "source_id": source_id,
            "x_pix": x,
            "y_pix": y,
            "sky_adu_per_pix": sky.level,
            "sky_rms_adu": sky.scatter,
            "n_sky_pix": sky.n_kept,
            "sky_mesh_adu_per_pix": mesh,
            "sky_mesh_rms_adu": mesh_rms,
            "peak_adu": peak_adu,
            "x_offset_pix": np.where(found, shapes.x_pix - x, np.nan),
            "y_offset_pix": np.where(found, shapes.y_pix - y, np.nan),
            "is_recentred": is_recentred,
            "fwhm_pix": shapes.fwhm_pix,
            "ellipticity": 1 - 1 / shapes.elongation,
            "angle_deg": shapes.angle_deg,
            "flags": flags,
        },
        schema_overrides=MEASUREMENT_SCHEMA,
    ).with_columns(pl.col(pl.Float32).fill_nan(None))


def aperture_rows(
    source_id: pl.Series,
    aperture_id: list[int],
    *,
    flux_adu: NDArray,
    n_pix: NDArray,
    missing_fraction: NDArray,
    flags: NDArray,
    sky_adu_per_pix: NDArray | None = None,
    residual_fraction: NDArray | None = None,
    neighbour_adu: NDArray | None = None,
    neighbour_slope_adu: NDArray | None = None,
) -> pl.DataFrame:
    """Give a row for each star and aperture; every array has shape (n, n_aperture)."""
    n_source = source_id.len()
    return pl.DataFrame(
        {
            "source_id": np.repeat(source_id.to_numpy(), len(aperture_id)),
            "aperture_id": np.tile(np.array(aperture_id, dtype=np.int16), n_source),
            "flux_adu": flux_adu.ravel(),
            "n_pix": n_pix.ravel(),
            "missing_fraction": missing_fraction.ravel(),
            "sky_adu_per_pix": None if sky_adu_per_pix is None else sky_adu_per_pix.ravel(),
            "residual_fraction": None if residual_fraction is None else residual_fraction.ravel(),
            "neighbour_adu": None if neighbour_adu is None else neighbour_adu.ravel(),
            "neighbour_slope_adu": None
            if neighbour_slope_adu is None
            else neighbour_slope_adu.ravel(),
            "flags": flags.ravel(),
        },
        schema_overrides=APERTURE_FLUX_SCHEMA,
    ).with_columns(pl.col(pl.Float64, pl.Float32).fill_nan(None))
