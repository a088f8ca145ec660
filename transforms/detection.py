"""The stars of a frame: found by matched filter, centred by windowed moments."""

from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .background import Background, check_mask, level_at, n_saturated, rms_at
from .extraction import bright_stars, smoothing_profile
from .flags import Flag
from .isophotes import MERGED
from .mask import UNUSABLE, PixelMask, mask_bits
from .shapes import Shapes, centred_shapes
from .significance import bits_around, bright_runs, without_bad_pixels

DETECTION_SCHEMA = {
    "x_pix": pl.Float64,
    "y_pix": pl.Float64,
    "flux_adu": pl.Float64,
    "peak_adu": pl.Float64,
    "fwhm_pix": pl.Float64,
    "elongation": pl.Float64,
    "flags": pl.Int32,
}
MIN_FWHM_PIX = 1.2
FALLBACK_FWHM_PIX = 3.0  # for a frame without any star to measure
MAX_KERNEL_FWHM_PIX = 12.0
N_STAR_FOR_FWHM = 300
LEAST_WIDTH = 0.5  # of the frame's FWHM; no star is sharper
PEAK_REACH_PIX = 1  # of the smooth peak, in which the brightest pixel is looked for


def detect(
    image: NDArray,
    *,
    background: Background,
    mask: NDArray | None = None,
    threshold_sigma: float = 5.0,
    fwhm_pix: float = 3.0,
    min_area_pix: int = 3,
    deblend_contrast: float = 0.0005,
) -> pl.DataFrame:
    """Find the stars of a frame.

    The sky-subtracted frame over its noise is filtered with a Gaussian of the stars' width;
    pixels above the threshold in sigmas of the filtered noise are grouped and deblended; each
    star is centred under a Gaussian window. Where the stars turn out much wider or narrower
    than the first kernel, a second pass uses their width. Detections that are sharper than
    any star of the frame (hot pixels, cosmic rays) are dropped.

    Parameters
    ----------
    image
        Calibrated frame, shape (n_y, n_x), ADU, sky included.
    background
        Its sky, from `mesh_background`.
    mask
        Boolean (bad), or bits of `PixelMask`, same shape.
    threshold_sigma
        Least significance of a star under the matched filter.
    fwhm_pix
        First guess of the stars' FWHM, pixels; a factor of two off does no harm.
    min_area_pix
        Least number of pixels above the threshold.
    deblend_contrast
        A peak with less than this share of the light belongs to its neighbour.

    Returns
    -------
    One row per star, brightest first: x_pix, y_pix (0-based at pixel centres), flux_adu
    (Gaussian-weighted), peak_adu (above the sky), fwhm_pix and elongation (null where too
    faint), flags (SATURATED, BAD_PIXEL, EDGE, BLENDED).

    Raises
    ------
    PhotometryError
        If the frame is so crowded or noisy that detection runs out of room.
    """
    check_mask(image, mask)
    if not background.rms_adu > 0:
        return pl.DataFrame(schema=DETECTION_SCHEMA)
    bits = mask_bits(mask)
    pixels = without_bad_pixels(image, mask)

    def extract(kernel_fwhm_pix: float) -> tuple[NDArray, float]:
        objects = _extract(
            pixels,
            background,
            kernel_fwhm_pix=kernel_fwhm_pix,
            threshold_sigma=threshold_sigma,
            min_area_pix=min_area_pix,
            deblend_contrast=deblend_contrast,
        )
        objects = objects[~_is_artefact(objects, pixels, background)]
        return objects, _frame_fwhm(objects, pixels, background, kernel_fwhm_pix)

    objects, seen_fwhm_pix = extract(fwhm_pix)
    if not 0.6 < seen_fwhm_pix / fwhm_pix < 1.6:
        objects, seen_fwhm_pix = extract(min(seen_fwhm_pix, MAX_KERNEL_FWHM_PIX))
    shapes = centred_shapes(
        pixels,
        objects["x"],
        objects["y"],
        fwhm_pix=seen_fwhm_pix,
        leash_pix=0.7 * seen_fwhm_pix,
        sky_adu=level_at(background, objects["x"], objects["y"]),
    )
    flags = _flags(objects, shapes, pixels, bits, seen_fwhm_pix)
    peak, _ = _neighbourhood(objects, pixels, background)
    return _rows(shapes, peak, flags, seen_fwhm_pix)


def whole_stars(stars: pl.DataFrame, *, fwhm_pix: float | None) -> pl.DataFrame:
    """Keep the detections that can be looked for on other frames as stars of the field.

    What the edge cuts has no centre (a bright first row of the sensor shows dozens of "stars"),
    nor has what lies on bad pixels; what is half as wide as the stars is a cosmic ray.

    Parameters
    ----------
    stars
        Rows of `detect`.
    fwhm_pix
        Median FWHM of the frame's stars; None: not known, all widths are kept.
    """
    uncut = stars.filter((pl.col("flags") & int(Flag.BAD_PIXEL | Flag.EDGE)) == 0)
    if fwhm_pix is None:
        return uncut
    return uncut.filter(pl.col("fwhm_pix").fill_null(fwhm_pix) > LEAST_WIDTH * fwhm_pix)


def frame_quality(
    stars: pl.DataFrame,
    background: Background,
    *,
    mask: NDArray | None = None,
    saturation_adu: float | None = None,
    saturation_source: str = "none",
    flags: int = 0,
) -> pl.DataFrame:
    """Sum up a frame: sky, noise, number and median shape of its stars.

    Returns
    -------
    One row with the columns of table `frame_quality`, frame_id apart.
    """
    clean = stars.filter((pl.col("flags") & (Flag.SATURATED | Flag.EDGE | Flag.BAD_PIXEL)) == 0)
    bright = clean.head(N_STAR_FOR_FWHM)
    return pl.DataFrame(
        {
            "sky_adu": [background.level_adu],
            "sky_rms_adu": [background.rms_adu],
            "n_star": [stars.height],
            "fwhm_pix": [bright["fwhm_pix"].median()],
            "elongation": [bright["elongation"].median()],
            "n_saturated_pix": [n_saturated(mask)],
            "saturation_adu": [saturation_adu],
            "saturation_source": [saturation_source],
            "flags": [flags],
        },
        schema={
            "sky_adu": pl.Float64,
            "sky_rms_adu": pl.Float64,
            "n_star": pl.Int32,
            "fwhm_pix": pl.Float64,
            "elongation": pl.Float64,
            "n_saturated_pix": pl.Int32,
            "saturation_adu": pl.Float64,
            "saturation_source": pl.String,
            "flags": pl.Int32,
        },
    )


def _extract(
    pixels: NDArray[np.float32],
    background: Background,
    *,
    kernel_fwhm_pix: float,
    threshold_sigma: float,
    min_area_pix: int,
    deblend_contrast: float,
) -> NDArray:
    """Find what is significant when smoothed with stars of a width."""
    profile = smoothing_profile(kernel_fwhm_pix)
    # smoothing makes the noise of one as much smaller
    threshold = threshold_sigma * float(np.sum(profile**2))
    objects = bright_stars(
        bright_runs(pixels, background, profile, threshold),
        threshold,
        min_area_pix=min_area_pix,
        deblend_contrast=deblend_contrast,
    )
    objects["x_peak"], objects["y_peak"] = _brightest_pixel(objects, pixels)
    return objects


def _brightest_pixel(objects: NDArray, image: NDArray) -> tuple[NDArray, NDArray]:
    """Find the brightest pixel of the frame next to where each object is brightest when smooth."""
    n_y, n_x = image.shape
    best_x, best_y = objects["x_peak"].astype(np.intp), objects["y_peak"].astype(np.intp)
    x, y, best = best_x.copy(), best_y.copy(), np.full(best_x.size, -np.inf)
    reach = range(-PEAK_REACH_PIX, PEAK_REACH_PIX + 1)
    for dy, dx in product(reach, repeat=2):
        column, row = np.clip(x + dx, 0, n_x - 1), np.clip(y + dy, 0, n_y - 1)
        value = image[row, column]
        is_better = value > best  # nan never is
        best_x, best_y = np.where(is_better, column, best_x), np.where(is_better, row, best_y)
        best = np.where(is_better, value, best)
    return best_x, best_y


def _neighbourhood(
    objects: NDArray, image: NDArray, background: Background
) -> tuple[NDArray, NDArray]:
    """Give the brightest pixel of each object over its sky, and the sum of the eight around it."""
    n_y, n_x = image.shape
    x, y = objects["x_peak"].astype(np.intp), objects["y_peak"].astype(np.intp)
    sky = level_at(background, x, y)
    total = np.zeros(x.size)
    for dy, dx in product((-1, 0, 1), repeat=2):
        is_inside = (x + dx >= 0) & (x + dx < n_x) & (y + dy >= 0) & (y + dy < n_y)
        value = image[np.clip(y + dy, 0, n_y - 1), np.clip(x + dx, 0, n_x - 1)] - sky
        total += np.where(is_inside & np.isfinite(value), value, 0)
    peak = np.nan_to_num(image[y, x] - sky)
    return peak, total - peak


def _is_artefact(objects: NDArray, image: NDArray, background: Background) -> NDArray[np.bool_]:
    """Mark what is sharper than a star: light in one pixel and too little around it.

    A star of FWHM 1.2 pixels, the sharpest that counts, has at least 0.8 of its brightest
    pixel's light in the eight around it; the frame's own stars have more and set the limit.
    """
    if objects.size == 0:
        return np.zeros(0, dtype=bool)
    peak, around = _neighbourhood(objects, image, background)
    ratio = around / np.maximum(peak, 1e-30)
    starlike = ratio[ratio > 0.8]
    limit = 0.5 * max(np.median(starlike) if starlike.size else 0.0, 1.2)
    noise = rms_at(background, objects["x_peak"], objects["y_peak"])
    scatter = np.sqrt(8 + limit**2) * np.maximum(noise, 0.1 * background.rms_adu)
    return around + 3 * scatter < limit * peak


def _frame_fwhm(
    objects: NDArray, image: NDArray, background: Background, window_fwhm_pix: float
) -> float:
    """Measure the median FWHM of the brighter stars; the window's own if none can be measured."""
    usable = objects[objects["flag"] == 0]
    usable = usable if usable.size >= 5 else objects
    # the very brightest may be saturated, the faint are noisy
    order = np.argsort(-usable["flux"])[: max(5, min(N_STAR_FOR_FWHM, usable.size // 2))]
    x, y = usable["x"][order], usable["y"][order]
    sky = level_at(background, x, y)
    fwhm_pix = window_fwhm_pix
    for _ in range(3):
        shapes = centred_shapes(image, x, y, fwhm_pix=fwhm_pix, leash_pix=fwhm_pix, sky_adu=sky)
        seen = shapes.fwhm_pix[shapes.is_converged & np.isfinite(shapes.fwhm_pix)]
        if seen.size == 0:
            return fwhm_pix
        previous, fwhm_pix = fwhm_pix, max(MIN_FWHM_PIX, float(np.median(seen)))
        if abs(fwhm_pix / previous - 1) < 0.1:
            break
    return fwhm_pix


def _flags(objects, shapes: Shapes, image, bits, fwhm_pix: float) -> NDArray[np.int32]:
    n_y, n_x = image.shape
    x, y = shapes.x_pix, shapes.y_pix
    flags = np.where(objects["flag"] & MERGED, Flag.BLENDED.value, 0)
    flags |= np.where(shapes.is_converged, 0, Flag.BLENDED.value)
    reach = fwhm_pix
    on_edge = (x < reach) | (y < reach) | (x > n_x - 1 - reach) | (y > n_y - 1 - reach)
    flags |= np.where(on_edge, Flag.EDGE.value, 0)
    met = bits_around(image, bits, x, y, round(fwhm_pix))
    for flag, marked in ((Flag.SATURATED, PixelMask.SATURATED), (Flag.BAD_PIXEL, UNUSABLE)):
        flags |= np.where(met & marked.value, flag.value, 0)
    return flags.astype(np.int32)


def _rows(shapes: Shapes, peak, flags, fwhm_pix: float) -> pl.DataFrame:
    stars = pl.DataFrame(
        {
            "x_pix": shapes.x_pix,
            "y_pix": shapes.y_pix,
            "flux_adu": shapes.flux_adu,
            "peak_adu": peak,
            "fwhm_pix": shapes.fwhm_pix,
            "elongation": shapes.elongation,
            "flags": flags,
        },
        schema=DETECTION_SCHEMA,
        strict=False,
    )
    stars = stars.with_columns(pl.col("fwhm_pix", "elongation").fill_nan(None))
    stars = stars.filter(pl.col("flux_adu") > 0).sort(
        "flux_adu", "x_pix", "y_pix", descending=[True, False, False]
    )
    return _without_doubles(stars, 0.5 * fwhm_pix)


def _without_doubles(stars: pl.DataFrame, radius_pix: float) -> pl.DataFrame:
    """Keep the brighter of two detections whose windows ran to the same star."""
    if stars.height < 2:
        return stars
    pairs = KDTree(stars.select("x_pix", "y_pix").to_numpy()).query_pairs(
        radius_pix, output_type="ndarray"
    )
    # rows are sorted by flux: of each pair the larger index is the fainter star
    keep = np.ones(stars.height, dtype=bool)
    keep[pairs.max(axis=1, initial=0) if pairs.size else []] = False
    return stars.filter(keep)
