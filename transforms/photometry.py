"""Forced photometry: the flux of known stars, in every aperture, at given positions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from scipy.special import chndtr

from ..errors import PhotometryError
from .apertures import annulus_skies, circle_sums, peaks
from .background import float_image
from .flags import Flag
from .mask import NOT_SKY, UNUSABLE, PixelMask
from .shapes import SIGMA_PER_FWHM, forced_shapes

MIN_SKY_SHARE = 1 / 3
MIN_SIGNAL_TO_NOISE_FOR_FWHM = 10.0
REACH_SIGMA = 5.5  # of a neighbour's light beyond an aperture's edge
# what the mask says of a pixel of the aperture, as a flag; the light of the others is counted
FLAG_OF = {
    PixelMask.SATURATED: Flag.SATURATED,
    PixelMask.BAD | PixelMask.COLD | PixelMask.DEAD: Flag.BAD_PIXEL,
    PixelMask.NONLINEAR: Flag.NONLINEAR,
    PixelMask.HOT: Flag.HOT_PIXEL,
    PixelMask.COSMIC_RAY: Flag.COSMIC_RAY,
    PixelMask.OUTSIDE: Flag.OFF_FRAME,
}
NO_BITS = np.zeros((0, 0), dtype=np.uint8)
MEASUREMENT_SCHEMA = {
    "source_id": pl.Int32,
    "x_pix": pl.Float32,
    "y_pix": pl.Float32,
    "sky_adu_per_pix": pl.Float32,
    "sky_rms_adu": pl.Float32,
    "n_sky_pix": pl.Int32,
    "peak_adu": pl.Float32,
    "fwhm_pix": pl.Float32,
    "flags": pl.Int32,
}
APERTURE_FLUX_SCHEMA = {
    "source_id": pl.Int32,
    "aperture_id": pl.Int16,
    "flux_adu": pl.Float64,
    "n_pix": pl.Float32,
    "flags": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Photometry:
    """Rows of one frame, without their frame_id.

    Attributes
    ----------
    measurement, aperture_flux
        Rows of the tables of these names, by source (and aperture).
    n_off_frame
        Sources whose centre is off the frame: nothing was measured, they have no rows.
    """

    measurement: pl.DataFrame
    aperture_flux: pl.DataFrame
    n_off_frame: int


def forced_photometry(
    image: NDArray,
    sources: pl.DataFrame,
    *,
    apertures: Mapping[int, float],
    annulus_inner_pix: float,
    annulus_outer_pix: float,
    fwhm_pix: float,
    mask: NDArray | None = None,
    raw: NDArray | None = None,
    blend_limit: float = 0.01,
) -> Photometry:
    """Measure known stars in circles of several radii over the sky of an annulus.

    Overlap of circle and pixels is exact. The local sky is the sigma-clipped midmean of the
    annulus, its scatter that of one pixel. Pixels that are bad or off the frame add nothing to
    a flux: n_pix is the area that did, and flags say so. Saturated pixels do add, flagged.

    Parameters
    ----------
    image
        Calibrated frame, shape (n_y, n_x), ADU, sky included; nan is a bad pixel.
    sources
        source_id, x_pix, y_pix (on this frame), flux_adu (any common scale; may be null), one
        row a star; the stars off the frame count as neighbours.
    apertures
        Radius in pixels of each aperture_id.
    annulus_inner_pix, annulus_outer_pix
        Radii of the sky annulus, pixels.
    fwhm_pix
        FWHM of the frame's stars, pixels: window of the widths, light of the neighbours.
    mask
        Boolean (bad), or bits of `PixelMask`, same shape.
    raw
        Frame before calibration, same shape, for the peaks; None takes the image.
    blend_limit
        Neighbours' light in an aperture over the star's own, above which it is BLENDED. Their
        light is taken as Gaussian, so far wings are not counted.

    Returns
    -------
    `Photometry`. In `measurement`, flags are EDGE, CROWDED_SKY, and those that the mask gives
    the smallest aperture; in `aperture_flux` what its mask gives, OFF_FRAME and BLENDED. A flux
    without sky or without any good pixel is null.

    Raises
    ------
    PhotometryError
        If radii are out of order or the arrays do not fit each other.
    """
    radius = _checked_radii(apertures, annulus_inner_pix, annulus_outer_pix, fwhm_pix)
    pixels, bits = float_image(image), _mask_bits(image, mask)
    if raw is not None and raw.shape != image.shape:
        raise PhotometryError(f"raw frame of shape {raw.shape}, calibrated of {image.shape}.")
    n_y, n_x = image.shape
    position = sources.select(pl.col("x_pix", "y_pix").cast(pl.Float64).fill_null(np.nan))
    x, y = (np.ascontiguousarray(column.to_numpy()) for column in position)
    inside = (x >= -0.5) & (x < n_x - 0.5) & (y >= -0.5) & (y < n_y - 0.5)
    flux = sources["flux_adu"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    blend = blending(x, y, flux, radius_pix=radius, fwhm_pix=fwhm_pix)[inside]
    x, y, stars = x[inside], y[inside], sources.filter(pl.Series(inside))

    level, scatter, n_sky, n_annulus = annulus_skies(
        pixels, bits, NOT_SKY.value, x, y, annulus_inner_pix, annulus_outer_pix
    )
    total, area, lost, met = circle_sums(pixels, bits, UNUSABLE.value, x, y, radius)
    net = total - level[:, None] * area
    net[area <= 0] = np.nan
    missing = np.pi * radius**2 - area - lost
    pixel_flags = np.zeros(met.shape, np.int64)
    for bits_of_pixel, flag in FLAG_OF.items():
        pixel_flags |= np.where(met & bits_of_pixel.value, flag.value, 0)
    aperture_flags = pixel_flags | np.where(missing > 1e-6 * radius**2, Flag.OFF_FRAME.value, 0)
    aperture_flags |= np.where(blend > blend_limit, Flag.BLENDED.value, 0)

    reach = annulus_outer_pix
    on_edge = (x < reach) | (y < reach) | (x > n_x - 1 - reach) | (y > n_y - 1 - reach)
    flags = pixel_flags[:, np.argmin(radius)] | np.where(on_edge, Flag.EDGE.value, 0)
    flags |= np.where(n_sky < MIN_SKY_SHARE * n_annulus, Flag.CROWDED_SKY.value, 0)
    peak = peaks(pixels if raw is None else np.ascontiguousarray(raw), x, y, max(1.5, radius.min()))
    measurement = pl.DataFrame(
        {
            "source_id": stars["source_id"],
            "x_pix": x,
            "y_pix": y,
            "sky_adu_per_pix": level,
            "sky_rms_adu": scatter,
            "n_sky_pix": n_sky,
            "peak_adu": peak,
            "fwhm_pix": _widths(pixels, x, y, level, scatter, fwhm_pix=fwhm_pix),
            "flags": flags,
        },
        schema_overrides=MEASUREMENT_SCHEMA,
    ).with_columns(pl.col(pl.Float32).fill_nan(None))
    return Photometry(
        measurement,
        _aperture_rows(stars["source_id"], list(apertures), net, area, aperture_flags),
        int(np.count_nonzero(~inside)),
    )


def blending(
    x_pix: ArrayLike, y_pix: ArrayLike, flux: ArrayLike, *, radius_pix: ArrayLike, fwhm_pix: float
) -> NDArray[np.float64]:
    """Estimate how much of the light in an aperture is the neighbours', over the star's own.

    Parameters
    ----------
    x_pix, y_pix, flux
        All stars, shape (n,); nan where not known.
    radius_pix
        Radii, shape (n_radius,).

    Returns
    -------
    Shape (n, n_radius), 0 without neighbours. The light of a Gaussian star inside a circle at
    some distance is a non-central chi-square probability.
    """
    x, y = np.asarray(x_pix, dtype=np.float64), np.asarray(y_pix, dtype=np.float64)
    flux = np.nan_to_num(np.asarray(flux, dtype=np.float64))
    radius = np.atleast_1d(np.asarray(radius_pix, dtype=np.float64))
    sigma = fwhm_pix * SIGMA_PER_FWHM
    foreign = np.zeros((x.size, radius.size))
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (flux > 0))
    if known.size < 2:
        return foreign
    points = np.column_stack([x[known], y[known]])
    pairs = KDTree(points).query_pairs(radius.max() + REACH_SIGMA * sigma, output_type="ndarray")
    distance = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    for m, r in enumerate(radius):
        near = distance < r + REACH_SIGMA * sigma
        share = chndtr((r / sigma) ** 2, 2, (distance[near] / sigma) ** 2)
        own = -np.expm1(-0.5 * (r / sigma) ** 2)
        first, second = known[pairs[near, 0]], known[pairs[near, 1]]
        np.add.at(foreign[:, m], first, flux[second] * share / (flux[first] * own))
        np.add.at(foreign[:, m], second, flux[first] * share / (flux[second] * own))
    return foreign


def _checked_radii(apertures, inner_pix, outer_pix, fwhm_pix) -> NDArray[np.float64]:
    radius = np.array(list(apertures.values()), dtype=np.float64)
    if radius.size == 0 or not np.all(np.isfinite(radius) & (radius > 0)):
        raise PhotometryError(f"apertures {dict(apertures)}: positive radii in pixels expected.")
    if not 0 < inner_pix < outer_pix or not np.isfinite(outer_pix):
        raise PhotometryError(
            f"sky annulus from {inner_pix:g} to {outer_pix:g} pixels: inner below outer expected."
        )
    if not fwhm_pix > 0:
        raise PhotometryError(f"FWHM {fwhm_pix:g} pixels: a positive width expected.")
    return radius


def _mask_bits(image: NDArray, mask: NDArray | None) -> NDArray:
    if mask is None:
        return NO_BITS
    if mask.shape != image.shape:
        raise PhotometryError(f"mask of shape {mask.shape} for an image of {image.shape}.")
    if mask.dtype == bool:
        return mask.view(np.uint8) * np.uint8(PixelMask.BAD)
    return np.ascontiguousarray(mask)


def _widths(pixels, x, y, level, scatter, *, fwhm_pix: float) -> NDArray[np.float64]:
    """Measure FWHM over each star's own sky; nan where the star is too faint for it."""
    shapes = forced_shapes(pixels, x, y, fwhm_pix=fwhm_pix, sky_adu=level)
    # noise of a windowed flux: 2 s sqrt(sum of w^2) = 2 s sqrt(pi) sigma
    noise = 2 * np.sqrt(np.pi) * SIGMA_PER_FWHM * fwhm_pix * scatter
    with np.errstate(invalid="ignore"):
        too_faint = ~(shapes.flux_adu > MIN_SIGNAL_TO_NOISE_FOR_FWHM * noise)
    return np.where(too_faint, np.nan, shapes.fwhm_pix)


def _aperture_rows(source_id: pl.Series, aperture_id: list[int], net, area, flags) -> pl.DataFrame:
    n_source, n_aperture = net.shape
    return pl.DataFrame(
        {
            "source_id": np.repeat(source_id.to_numpy(), n_aperture),
            "aperture_id": np.tile(np.array(aperture_id, dtype=np.int16), n_source),
            "flux_adu": net.ravel(),
            "n_pix": area.ravel(),
            "flags": flags.ravel(),
        },
        schema_overrides=APERTURE_FLUX_SCHEMA,
    ).with_columns(pl.col("flux_adu").fill_nan(None))
