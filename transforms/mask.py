"""The bits of the mask that goes with every calibrated frame."""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class PixelMask(IntFlag):
    """Why a pixel of a calibrated frame is worth less, or nothing."""

    SATURATED = 1 << 0
    BAD = 1 << 1
    NONLINEAR = 1 << 2
    HOT = 1 << 3
    COLD = 1 << 4
    DEAD = 1 << 5
    COSMIC_RAY = 1 << 6
    OUTSIDE = 1 << 7


# of these pixels no light can be had; the others have a value, worse than most
UNUSABLE = PixelMask.BAD | PixelMask.DEAD | PixelMask.COSMIC_RAY | PixelMask.OUTSIDE
NOT_SKY = UNUSABLE | PixelMask.SATURATED | PixelMask.HOT
NO_BITS = np.zeros((0, 0), dtype=np.uint8)


def mask_bits(mask: NDArray | None) -> NDArray[np.uint8]:
    """Give a mask of either kind as bits of `PixelMask`; shape (0, 0) for none."""
    if mask is None:
        return NO_BITS
    if mask.dtype == bool:
        return mask.view(np.uint8) * np.uint8(PixelMask.BAD)
    return np.ascontiguousarray(mask, dtype=np.uint8)
