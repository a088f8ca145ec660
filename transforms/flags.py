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
    PARTLY_MASKED = 1 << 14
    MOVED_OFF = 1 << 15
    SKY_GRADIENT = 1 << 16
    LOW_TRANSPARENCY = 1 << 17
    EXTRAPOLATED = 1 << 18
    AMBIGUOUS = 1 << 19
    CLOSE_PAIR = 1 << 20
    REJECTED_FRAME = 1 << 21


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a flag says, and whether a clean measurement may carry it."""

    text: str
    is_severe: bool


MEANINGS: dict[Flag, Meaning] = {
    Flag.SATURATED: Meaning("a pixel of the aperture is at or above saturation", True),
    Flag.EDGE: Meaning("the sky annulus reaches over the edge of the frame", False),
    Flag.OFF_FRAME: Meaning("light of the aperture, 1 % or more, lies off the frame", True),
    Flag.BAD_PIXEL: Meaning(
        "pixels of the aperture are masked or no number, with 1 % of its light or more; or cold",
        True,
    ),
    Flag.BLENDED: Meaning("a neighbour's light is in the aperture", False),
    Flag.NO_BIAS: Meaning("reduced without a bias", False),
    Flag.NO_DARK: Meaning("reduced without a dark", False),
    Flag.NO_FLAT: Meaning("reduced without a flat", False),
    Flag.SCALED_DARK: Meaning("the dark was scaled from another exposure time", False),
    Flag.CROWDED_SKY: Meaning("less than a third of the annulus was left as sky", False),
    Flag.UNVERIFIED_WCS: Meaning("placed by the header's WCS, which no stars confirmed", False),
    Flag.HOT_PIXEL: Meaning("a pixel of the aperture has a high dark current, taken off", False),
    Flag.NONLINEAR: Meaning("a pixel of the aperture is beyond where the camera is linear", True),
    Flag.COSMIC_RAY: Meaning(
        "pixels of the aperture, with 1 % of its light or more, are masked as hit by a cosmic ray",
        True,
    ),
    Flag.PARTLY_MASKED: Meaning(
        "pixels of the aperture have no value; corrected by the light they hold, or null", False
    ),
    Flag.MOVED_OFF: Meaning(
        "the light is centred 0.3 FWHM or more from where it was expected", False
    ),
    Flag.SKY_GRADIENT: Meaning(
        "the sky changes across the annulus by more than the noise of a pixel", False
    ),
    Flag.LOW_TRANSPARENCY: Meaning(
        "the frame lost more light to clouds than the settings allow", False
    ),
    Flag.EXTRAPOLATED: Meaning(
        "placed beyond the stars by which its frame was laid on the field", False
    ),
    Flag.AMBIGUOUS: Meaning("another star is so near that one may be taken for the other", False),
    Flag.CLOSE_PAIR: Meaning("a star within two FWHM, one with it on a poorer frame", False),
    # set by the view light_curve alone, for the limits of quality may change
    Flag.REJECTED_FRAME: Meaning(
        "the frame breaks a limit of its quality: view frame_verdict", True
    ),
}
