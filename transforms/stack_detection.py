"""The stars of a stack: found as on a frame, over the noise that its pixels share."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from .background import Background, mesh_background
from .detection import FALLBACK_FWHM_PIX, detect, frame_quality, whole_stars
from .flags import Flag
from .mask import PixelMask
from .pairing import pair_points

MIN_COVERAGE = 2  # frames; what one alone shows may be a cosmic ray
MAX_STEP = 10  # doublings: a thousand times the threshold
FEW = 0.005
PLACE = ("x_pix", "y_pix")


@dataclass(frozen=True, slots=True)
class StackStars:
    """Rows of `detection.detect`, width of the stars, and noise of a pixel as a star meets it."""

    stars: pl.DataFrame
    fwhm_pix: float
    sky_rms_adu: float


def detect_on_stack(
    data_adu,
    n_used,
    *,
    noise_correlation: float,
    threshold_sigma: float,
    mesh_pix: int,
    max_source: int,
    min_coverage: int = MIN_COVERAGE,
) -> StackStars:
    """Find the stars of a stack.

    Pixels that fewer than `min_coverage` frames saw are left out: there nothing tells a star from a
    cosmic ray. Resampled pixels share noise with their neighbours, so that under a star it is
    larger than the scatter of pixels tells: threshold and significance heed that.

    Parameters
    ----------
    data_adu, n_used
        Light without sky, and frames behind each pixel, shape (n_y, n_x).
    noise_correlation
        See `stack.Stack`.
    threshold_sigma, mesh_pix, max_source
        As for a frame.
    """
    mask = np.where(n_used < min_coverage, PixelMask.OUTSIDE.value, 0).astype(np.uint8)
    light = np.where(mask == 0, data_adu, np.float32(0)).astype(np.float32)
    sky = mesh_background(light, mask=mask, mesh_pix=mesh_pix)
    found = _deblended(
        light,
        sky,
        mask,
        threshold_sigma=threshold_sigma * noise_correlation,
    ).head(max_source)
    fwhm_pix = frame_quality(found, sky, mask=mask)["fwhm_pix"][0]
    return StackStars(
        whole_stars(found, fwhm_pix=fwhm_pix),
        fwhm_pix or FALLBACK_FWHM_PIX,
        sky.rms_adu * noise_correlation,
    )


def _deblended(light, sky: Background, mask, *, threshold_sigma: float) -> pl.DataFrame:
    """Find stars at thresholds that double, until hardly any come in addition.

    In a deep image the wings of bright stars join hundreds of stars to one object, which holds so
    much light that faint members are not told apart; above its wings it falls into pieces.
    """
    stars = detect(light, background=sky, mask=mask, threshold_sigma=threshold_sigma)
    width = stars["fwhm_pix"].median()
    reach_pix = 0.5 * (width if isinstance(width, float) else FALLBACK_FWHM_PIX)
    for step in range(1, MAX_STEP):
        more = detect(light, background=sky, mask=mask, threshold_sigma=threshold_sigma * 2**step)
        i, _ = pair_points(more.select(PLACE).to_numpy(), stars.select(PLACE).to_numpy(), reach_pix)
        is_new = np.ones(more.height, bool)
        is_new[i] = False
        stars = pl.concat([stars, more.filter(pl.Series(is_new))])
        if is_new.sum() <= FEW * stars.height:
            break
    return stars.sort("flux_adu", *PLACE, descending=[True, False, False])


def with_saturation(stars: pl.DataFrame, known: pl.DataFrame, *, reach_pix: float) -> pl.DataFrame:
    """Flag the stars of a stack that are saturated on a frame, which no pixel of a mean tells.

    Parameters
    ----------
    stars, known
        x_pix, y_pix, flags, in the same pixels; the second as seen on frames.
    """
    saturated = known.filter((pl.col("flags") & Flag.SATURATED.value) != 0)
    i, _ = pair_points(
        stars.select(PLACE).to_numpy(), saturated.select(PLACE).to_numpy(), reach_pix
    )
    is_saturated = np.zeros(stars.height, np.int32)
    is_saturated[i] = Flag.SATURATED.value
    return stars.with_columns(pl.col("flags") | pl.Series(is_saturated))
