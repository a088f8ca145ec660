"""Forced photometry: the flux of known stars, in every aperture, at given positions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import PhotometryError
from .apertures import annulus_skies, circle_sums, peaks
from .background import Background, check_mask, float_image, level_at, rms_at, sky_change
from .blending import blending
from .flags import Flag
from .growth import (
    LADDER_FWHM,
    Growth,
    curve_of_growth,
    growth_rows,
    lonely_stars,
    moffat_profile,
    radial_profile,
)
from .mask import NOT_SKY, UNUSABLE, PixelMask, mask_bits
from .missing import missing_shares
from .photometry_rows import Sky, aperture_rows, measurement_rows
from .shapes import SIGMA_PER_FWHM, Shapes, centred_shapes
from .starlight import starlight_marked

MIN_SKY_SHARE = 1 / 3
MIN_SIGNAL_TO_NOISE_FOR_SHAPE = 10.0
MIN_SIGNAL_TO_NOISE_FOR_GROWTH = 100.0
LEASH_FWHM = 1.0  # a centroid farther off than this is another star's
FAR_FWHM, FAR_PIX = 0.3, 0.5  # an offset larger than both is MOVED_OFF
MAX_CLEAN_SHARE = 0.01  # of the light on pixels without a value: more is a severe flag
MAX_CORRECTED_SHARE = 0.1  # more is no measurement
# what the mask says of a pixel of the aperture, as a flag; the light of these is counted
FLAG_OF_COUNTED = {
    PixelMask.SATURATED: Flag.SATURATED,
    PixelMask.COLD: Flag.BAD_PIXEL,
    PixelMask.NONLINEAR: Flag.NONLINEAR,
    PixelMask.HOT: Flag.HOT_PIXEL,
}
# and of these not; they are flagged where they held more than a trace of the light
FLAG_OF_MISSING = {
    PixelMask.BAD | PixelMask.DEAD: Flag.BAD_PIXEL,
    PixelMask.COSMIC_RAY: Flag.COSMIC_RAY,
    PixelMask.OUTSIDE: Flag.OFF_FRAME,
}
NOT_FOR_GROWTH = UNUSABLE | PixelMask.SATURATED | PixelMask.NONLINEAR


@dataclass(frozen=True, slots=True)
class Photometry:
    """Rows of one frame, without their frame_id.

    Attributes
    ----------
    measurement, aperture_flux, curve_of_growth
        Rows of the tables of these names.
    n_off_frame
        Sources whose centre is off the frame: nothing was measured, they have no rows.
    """

    measurement: pl.DataFrame
    aperture_flux: pl.DataFrame
    curve_of_growth: pl.DataFrame
    n_off_frame: int


@dataclass(frozen=True, slots=True)
class _Pixels:
    """A frame, its mask bits, and the radii it is measured with."""

    image: NDArray
    bits: NDArray
    radius: NDArray[np.float64]
    inner_pix: float
    outer_pix: float
    fwhm_pix: float


@dataclass(frozen=True, slots=True)
class _Stars:
    """The stars on the frame: forced places, light on a common scale, sky, shapes; shape (n,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    sky: Sky
    shapes: Shapes
    signal_to_noise: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Circles:
    """What the circles hold, shape (n, n_radius): area, net light, share missing, mask bits."""

    area: NDArray[np.float64]
    net: NDArray[np.float64]
    missing: NDArray[np.float64]
    met: NDArray[np.int32]


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
    background: Background | None = None,
    recentre_signal_to_noise: float | None = None,
    blend_limit: float = 0.01,
) -> Photometry:
    """Measure known stars in circles of several radii over the sky of an annulus.

    Overlap of circle and pixels is exact. The local sky is the sigma-clipped midmean of the
    annulus, its scatter that of one pixel. Pixels that are bad or off the frame add nothing:
    n_pix is the area that did. The light they held is known from the frame's own curve of growth;
    up to a tenth of the aperture's light is made up for, beyond that there is no flux. Saturated
    pixels do add, flagged.

    Parameters
    ----------
    image
        Calibrated frame, shape (n_y, n_x), ADU, sky included; nan is a bad pixel.
    sources
        source_id, x_pix, y_pix (on this frame), flux_adu (any common scale; may be null), and if
        given flags that go to the star's row. One row a star; those off the frame count as
        neighbours.
    apertures
        Radius in pixels of each aperture_id.
    annulus_inner_pix, annulus_outer_pix
        Radii of the sky annulus, pixels.
    fwhm_pix
        FWHM of the frame's stars, pixels: window of the shapes, light of the neighbours.
    mask
        Boolean (bad), or bits of `PixelMask`, same shape.
    raw
        Frame before calibration, same shape, for the peaks; None takes the image.
    background
        The frame's mesh; None: its sky is not known, nor its gradient.
    recentre_signal_to_noise
        Stars above it are measured where their light is centred; None: none is.
    blend_limit
        Neighbours' light in an aperture over the star's own, above which it is BLENDED. Their
        light is taken as Gaussian, so far wings are not counted.

    Returns
    -------
    `Photometry`. A flux without sky, or without a tenth of its light, is null.

    Raises
    ------
    PhotometryError
        If radii are out of order or the arrays do not fit each other.
    """
    check_mask(image, mask)
    if raw is not None and raw.shape != image.shape:
        raise PhotometryError(f"raw frame of shape {raw.shape}, calibrated of {image.shape}.")
    pixels = _Pixels(
        float_image(image),
        mask_bits(mask),
        _checked_radii(apertures, annulus_inner_pix, annulus_outer_pix, fwhm_pix),
        float(annulus_inner_pix),
        float(annulus_outer_pix),
        float(fwhm_pix),
    )
    x, y, flux = (_column(sources, name) for name in ("x_pix", "y_pix", "flux_adu"))
    n_y, n_x = image.shape
    inside = (x >= -0.5) & (x < n_x - 0.5) & (y >= -0.5) & (y < n_y - 0.5)
    blend, slope = (
        each[inside] for each in blending(x, y, flux, radius_pix=pixels.radius, fwhm_pix=fwhm_pix)
    )
    named = sources.filter(pl.Series(inside))
    sky = _sky(pixels, x[inside], y[inside], background)
    stars = _seen(pixels, x[inside], y[inside], flux[inside], sky)
    is_recentred = _is_recentred(stars, recentre_signal_to_noise)
    centre = (
        np.where(is_recentred, stars.shapes.x_pix, stars.x),
        np.where(is_recentred, stars.shapes.y_pix, stars.y),
    )
    circles, growth = _circles(pixels, stars, *centre)
    aperture_flags = _aperture_flags(circles)
    flags = aperture_flags[:, np.argmin(pixels.radius)] | _star_flags(pixels, stars, background)
    if "flags" in named.columns:
        flags |= named["flags"].to_numpy()
    peak_image = pixels.image if raw is None else np.ascontiguousarray(raw)
    measurement = measurement_rows(
        named["source_id"],
        stars.x,
        stars.y,
        sky=stars.sky,
        shapes=stars.shapes,
        peak_adu=peaks(peak_image, stars.x, stars.y, max(1.5, pixels.radius.min())),
        is_recentred=None if recentre_signal_to_noise is None else is_recentred,
        background=background,
        flags=flags,
    )
    fluxes = aperture_rows(
        named["source_id"],
        list(apertures),
        flux_adu=circles.net,
        n_pix=circles.area,
        missing_fraction=circles.missing,
        flags=aperture_flags | np.where(blend > blend_limit, Flag.BLENDED.value, 0),
        neighbour_slope_adu=circles.net / (1 + blend) * slope,
    )
    return Photometry(
        measurement, fluxes, growth_rows(growth, apertures), int(np.count_nonzero(~inside))
    )


def _sky(pixels: _Pixels, x, y, background: Background | None) -> Sky:
    """Measure the sky around stars, without the light of their neighbours as far as it can be."""

    def annuli(bits, some) -> Sky:
        radii = pixels.inner_pix, pixels.outer_pix
        return Sky(*annulus_skies(pixels.image, bits, NOT_SKY.value, x[some], y[some], *radii))

    everyone = np.ones(x.size, dtype=bool)
    if background is None:
        plain = annuli(pixels.bits, everyone)
        level, rms = plain.level, plain.scatter
    else:
        level, rms = level_at(background, x, y), rms_at(background, x, y)
    with starlight_marked(
        pixels.image, pixels.bits, x, y, level, rms, fwhm_pix=pixels.fwhm_pix
    ) as marked:
        sky = annuli(marked, everyone)
    crowded = sky.n_kept < MIN_SKY_SHARE * sky.n_whole  # of these the whole annulus counts
    if crowded.any():
        whole = annuli(pixels.bits, crowded)
        for name in Sky.__slots__:
            getattr(sky, name)[crowded] = getattr(whole, name)
    return sky


def _seen(pixels: _Pixels, x, y, flux, sky: Sky) -> _Stars:
    """Measure the shapes of stars at their places; those of faint stars are nan."""
    shapes = centred_shapes(
        pixels.image,
        x,
        y,
        fwhm_pix=pixels.fwhm_pix,
        leash_pix=LEASH_FWHM * pixels.fwhm_pix,
        sky_adu=sky.level,
    )
    # noise of a windowed flux: 2 s sqrt(sum of w^2) = 2 s sqrt(pi) sigma
    noise = 2 * np.sqrt(np.pi) * SIGMA_PER_FWHM * pixels.fwhm_pix * sky.scatter
    with np.errstate(invalid="ignore", divide="ignore"):
        signal_to_noise = np.nan_to_num(shapes.flux_adu / noise, posinf=0.0, neginf=0.0)
    return _Stars(x, y, flux, sky, _of_bright(shapes, signal_to_noise), signal_to_noise)


def _of_bright(shapes: Shapes, signal_to_noise) -> Shapes:
    is_faint = ~(signal_to_noise > MIN_SIGNAL_TO_NOISE_FOR_SHAPE)
    blank = {
        name: np.where(is_faint, np.nan, getattr(shapes, name))
        for name in ("fwhm_pix", "elongation", "angle_deg")
    }
    return replace(shapes, **blank, is_converged=shapes.is_converged & ~is_faint)


def _is_recentred(stars: _Stars, least_signal_to_noise: float | None) -> NDArray[np.bool_]:
    if least_signal_to_noise is None:
        return np.zeros(stars.x.size, dtype=bool)
    return stars.shapes.is_converged & (stars.signal_to_noise >= least_signal_to_noise)


def _circles(pixels: _Pixels, stars: _Stars, x, y) -> tuple[_Circles, Growth | None]:
    """Sum the light of the circles and make up for what is missing of it."""
    total, area, _, met = circle_sums(
        pixels.image, pixels.bits, UNUSABLE.value, x, y, pixels.radius
    )
    net = total - stars.sky.level[:, None] * area
    growth = _growth(pixels, stars, x, y, met)
    missing = np.zeros(area.shape)
    gap = np.flatnonzero(np.any(area < (1 - 1e-9) * np.pi * pixels.radius**2, axis=1))
    if gap.size:
        reach_pix = float(pixels.radius.max())
        profile = (
            moffat_profile(pixels.fwhm_pix, reach_pix)
            if growth is None
            else radial_profile(growth, reach_pix)
        )
        missing[gap] = missing_shares(
            pixels.image, pixels.bits, UNUSABLE.value, x[gap], y[gap], pixels.radius, profile
        )
    net[missing > MAX_CORRECTED_SHARE] = np.nan
    return _Circles(area, net / (1 - np.minimum(missing, 0.5)), missing, met), growth


def _growth(pixels: _Pixels, stars: _Stars, x, y, met) -> Growth | None:
    """Measure the curve of growth on bright lonely stars; the sky begins where it ends."""
    n_y, n_x = pixels.image.shape
    reach = pixels.outer_pix
    is_whole = (x >= reach) & (y >= reach) & (x <= n_x - 1 - reach) & (y <= n_y - 1 - reach)
    is_clean = (met & NOT_FOR_GROWTH.value == 0).all(axis=1)
    is_bright = stars.signal_to_noise > MIN_SIGNAL_TO_NOISE_FOR_GROWTH
    chosen = lonely_stars(
        stars.x,
        stars.y,
        stars.flux,
        is_whole & is_clean & is_bright & stars.shapes.is_converged & ~_is_far(pixels, stars),
        brightness=stars.shapes.flux_adu,
        reach_pix=pixels.inner_pix + pixels.fwhm_pix,
    )
    ladder = pixels.fwhm_pix * np.array(LADDER_FWHM)
    radius_pix = np.concatenate([ladder[ladder < pixels.inner_pix], pixels.radius])
    return curve_of_growth(
        pixels.image,
        pixels.bits,
        NOT_FOR_GROWTH.value,
        x[chosen],
        y[chosen],
        stars.sky.level[chosen],
        radius_pix=np.append(radius_pix, pixels.inner_pix),
    )


def _aperture_flags(circles: _Circles) -> NDArray[np.int64]:
    flags = np.zeros(circles.met.shape, np.int64)
    for bits, flag in FLAG_OF_COUNTED.items():
        flags |= np.where(circles.met & bits.value, flag.value, 0)
    is_much = circles.missing > MAX_CLEAN_SHARE
    is_told = np.zeros(circles.met.shape, dtype=bool)
    for bits, flag in FLAG_OF_MISSING.items():
        is_met = (circles.met & bits.value) != 0
        is_told |= is_met
        flags |= np.where(is_met & is_much, flag.value, 0)
    flags |= np.where(is_much & ~is_told, Flag.OFF_FRAME.value, 0)
    return flags | np.where(circles.missing > 0, Flag.PARTLY_MASKED.value, 0)


def _star_flags(pixels: _Pixels, stars: _Stars, background: Background | None) -> NDArray[np.int64]:
    n_y, n_x = pixels.image.shape
    x, y, reach, sky = stars.x, stars.y, pixels.outer_pix, stars.sky
    on_edge = (x < reach) | (y < reach) | (x > n_x - 1 - reach) | (y > n_y - 1 - reach)
    flags = np.where(on_edge, Flag.EDGE.value, 0)
    flags |= np.where(sky.n_kept < MIN_SKY_SHARE * sky.n_whole, Flag.CROWDED_SKY.value, 0)
    flags |= np.where(_is_far(pixels, stars), Flag.MOVED_OFF.value, 0)
    if background is not None:
        slope = sky_change(background, x, y, reach)
        flags |= np.where(slope > sky.scatter, Flag.SKY_GRADIENT.value, 0)
    return flags


def _is_far(pixels: _Pixels, stars: _Stars) -> NDArray[np.bool_]:
    """Tell which stars' light is centred elsewhere than expected."""
    shapes = stars.shapes
    offset = np.hypot(shapes.x_pix - stars.x, shapes.y_pix - stars.y)
    return shapes.is_converged & (offset > max(FAR_FWHM * pixels.fwhm_pix, FAR_PIX))


def _column(sources: pl.DataFrame, name: str) -> NDArray[np.float64]:
    column = sources[name].cast(pl.Float64).fill_null(np.nan)
    return np.ascontiguousarray(column.to_numpy())


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
