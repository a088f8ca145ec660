"""The one registry of flags: bit, name, meaning. Mirrored in table `flag`."""

from dataclasses import dataclass
from enum import IntFlag


class Flag(IntFlag):
    """Why a measurement may be worth less than its error says."""

    SATURATED = 1 << 0
    EDGE = 1 << 1
    OFF_FRAME = 1 << 2
    BAD_PIXEL = 1 << 3
    BLENDED = 1 << 4
    NO_BIAS = 1 << 5
    NO_DARK = 1 << 6
    NO_FLAT = 1 << 7
    SCALED_DARK = 1 << 8
    CROWDED_SKY = 1 << 9
    UNVERIFIED_WCS = 1 << 10
    HOT_PIXEL = 1 << 11
    NONLINEAR = 1 << 12
    COSMIC_RAY = 1 << 13


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a flag says, and whether a clean measurement may carry it."""

    text: str
    is_severe: bool


MEANINGS: dict[Flag, Meaning] = {
    Flag.SATURATED: Meaning("a pixel of the aperture is at or above saturation", True),
    Flag.EDGE: Meaning("the sky annulus reaches over the edge of the frame", False),
    Flag.OFF_FRAME: Meaning("the aperture lies partly or wholly off the frame", True),
    Flag.BAD_PIXEL: Meaning("a pixel of the aperture is masked or not a number", True),
    Flag.BLENDED: Meaning("a neighbour's light is in the aperture", False),
    Flag.NO_BIAS: Meaning("reduced without a bias", False),
    Flag.NO_DARK: Meaning("reduced without a dark", False),
    Flag.NO_FLAT: Meaning("reduced without a flat", False),
    Flag.SCALED_DARK: Meaning("the dark was scaled from another exposure time", False),
    Flag.CROWDED_SKY: Meaning("less than a third of the annulus was left as sky", False),
    Flag.UNVERIFIED_WCS: Meaning("placed by the header's WCS, which no stars confirmed", False),
    Flag.HOT_PIXEL: Meaning("a pixel of the aperture has a high dark current, taken off", False),
    Flag.NONLINEAR: Meaning("a pixel of the aperture is beyond where the camera is linear", True),
    Flag.COSMIC_RAY: Meaning("a pixel of the aperture is masked as hit by a cosmic ray", True),
}
