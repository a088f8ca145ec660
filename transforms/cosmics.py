"""Cosmic rays: found by their sharp edges and masked, never filled in."""

from dataclasses import dataclass

import numpy as np
from astroscrappy.astroscrappy import detect_cosmics
from numpy.typing import NDArray

from .mask import UNUSABLE, PixelMask
from .pixels import Image


@dataclass(frozen=True, slots=True)
class CosmicLimits:
    """How sure a cosmic ray must be: L.A.Cosmic's sigclip, sigfrac and objlim."""

    sigma: float = 4.5
    neighbour_share: float = 0.3
    contrast: float = 5.0


def mask_cosmic_rays(
    data_adu: Image,
    mask: NDArray[np.uint8],
    *,
    variance_adu2: Image,
    saturation_adu: float | None = None,
    limits: CosmicLimits | None = None,
) -> NDArray[np.uint8]:
    """Return the mask with COSMIC_RAY where a frame was hit; its pixels are left as they are.

    Parameters
    ----------
    data_adu
        Calibrated frame, shape (n_y, n_x), sky included; its values are not changed.
    mask
        Bits of `PixelMask` of the same shape. Unusable and saturated pixels are no cosmic rays.
    variance_adu2
        Variance of each pixel, of the same shape: where a flat was faint, noise is larger.

    References
    ----------
    van Dokkum 2001, PASP 113, 1420; McCully et al. 2018, astroscrappy.
    """
    limits = limits or CosmicLimits()
    is_out = (mask & np.uint8(UNUSABLE | PixelMask.SATURATED)) != 0
    is_number = np.isfinite(data_adu) & np.isfinite(variance_adu2)
    if not is_number.any():
        return mask
    level, variance = (float(np.median(image[is_number])) for image in (data_adu, variance_adu2))
    hit, _ = detect_cosmics(
        np.where(is_number, data_adu, np.float32(level)),
        inmask=is_out | ~is_number,
        invar=np.where(is_number, variance_adu2, np.float32(variance)),
        sigclip=limits.sigma,
        sigfrac=limits.neighbour_share,
        objlim=limits.contrast,
        gain=1.0,
        satlevel=np.inf if saturation_adu is None else saturation_adu,
        cleantype="medmask",
        sepmed=True,
    )
    return mask | (hit & ~is_out) * np.uint8(PixelMask.COSMIC_RAY)
