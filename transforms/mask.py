"""The bits of the mask that goes with every calibrated frame."""

from enum import IntFlag


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
