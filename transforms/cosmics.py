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
    gain_e_per_adu: float,
    read_noise_e: float,
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
    gain_e_per_adu, read_noise_e
        What the noise of the sky is judged by.

    References
    ----------
    van Dokkum 2001, PASP 113, 1420; McCully et al. 2018, astroscrappy.
    """
    limits = limits or CosmicLimits()
    is_out = (mask & np.uint8(UNUSABLE | PixelMask.SATURATED)) != 0
    is_number = np.isfinite(data_adu)
    level = float(np.median(data_adu[is_number])) if is_number.any() else 0.0
    hit, _ = detect_cosmics(
        np.where(is_number, data_adu, np.float32(level)),
        inmask=is_out | ~is_number,
        sigclip=limits.sigma,
        sigfrac=limits.neighbour_share,
        objlim=limits.contrast,
        gain=gain_e_per_adu,
        readnoise=read_noise_e,
        satlevel=np.inf if saturation_adu is None else saturation_adu * gain_e_per_adu,
        cleantype="medmask",
        sepmed=True,
    )
    return mask | (hit & ~is_out) * np.uint8(PixelMask.COSMIC_RAY)
