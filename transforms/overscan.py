"""Where a frame's light and its overscan lie, as the header says; overscan off, edges away.

Sections are written `[x1:x2,y1:y2]`, from 1 and with both ends. They are believed only together:
a section off the frame (of unbinned pixels, or of a frame that was trimmed since) or an overscan
in the middle of the light tells that the header speaks of another frame.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .pixels import Image

OVERSCAN_KEYWORD = "BIASSEC"
LIGHT_KEYWORDS = ("TRIMSEC", "DATASEC")
_RANGE = r"\s*(?:(\d+)\s*:\s*(\d+)|(\*))\s*"
_SECTION = re.compile(rf"\s*\[{_RANGE},{_RANGE}\]\s*")


class Window(NamedTuple):
    """A part of a frame: first <= y < last, 0-based."""

    first_y: int
    last_y: int
    first_x: int
    last_x: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of its pixels, (n_y, n_x)."""
        return self.last_y - self.first_y, self.last_x - self.first_x

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it out of an image."""
        return slice(self.first_y, self.last_y), slice(self.first_x, self.last_x)

    def __str__(self) -> str:
        """Write it as headers do."""
        return f"[{self.first_x + 1}:{self.last_x},{self.first_y + 1}:{self.last_y}]"


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a frame of `shape` (n_y, n_x).

    Attributes
    ----------
    light
        Where the light is; all of the frame if the header knows no better.
    overscan
        Where the camera read on without light, beside (its level is that of a row) or above or
        below the light (that of a column); None: nowhere.
    issue
        Why sections in the header are not used.
    """

    shape: tuple[int, int]
    light: Window
    overscan: Window | None = None
    issue: str | None = None

    @property
    def is_trimmed(self) -> bool:
        """Some of the frame is not light."""
        return self.light.shape != self.shape

    @property
    def trim(self) -> str | None:
        """The light as a header's section; None if it is the whole frame."""
        return str(self.light) if self.is_trimmed else None

    @property
    def is_by_row(self) -> bool:
        """The overscan stands beside the light, so that each row has its own level."""
        overscan, light = self.overscan, self.light
        return overscan is not None and (
            overscan.last_x <= light.first_x or overscan.first_x >= light.last_x
        )


def whole_frame(shape: tuple[int, int]) -> Sections:
    """Return the sections of a frame that is all light."""
    n_y, n_x = shape
    return Sections((n_y, n_x), Window(0, n_y, 0, n_x))


def read_sections(cards: Iterable[tuple[str, Any, Any]], shape: tuple[int, int]) -> Sections:
    """Read BIASSEC and TRIMSEC (or DATASEC) of a header.

    Parameters
    ----------
    cards
        (keyword, value, comment), as in column `header` of table `frame`; the first counts.
    shape
        (n_y, n_x) of the image.

    Returns
    -------
    The sections; those of the whole frame, and the issue, where the header's make no sense.
    """
    wanted = (OVERSCAN_KEYWORD, *LIGHT_KEYWORDS)
    said: dict[str, str] = {}
    for keyword, value, *_ in cards:
        if keyword in wanted and isinstance(value, str) and "[" in value:
            said.setdefault(keyword, value)
    if not said:
        return whole_frame(shape)
    windows = {keyword: parse_section(text, shape) for keyword, text in said.items()}
    for keyword, window in windows.items():
        if window is None:
            return _unused(f"{keyword} = {said[keyword]!r} is no part of the frame", shape)
    light = next((windows[name] for name in LIGHT_KEYWORDS if name in windows), None)
    overscan = windows.get(OVERSCAN_KEYWORD)
    if overscan is not None and light is None:
        light = _largest_rest(overscan, shape)
    if light is None:
        return whole_frame(shape)
    if overscan is not None and _overlap(overscan, light):
        return _unused(f"the overscan {overscan} lies in the light {light}", shape)
    return Sections(shape, light, overscan)


def parse_section(text: str, shape: tuple[int, int]) -> Window | None:
    """Parse `[x1:x2,y1:y2]`; None if it is no section or not within the frame (n_y, n_x)."""
    found = _SECTION.fullmatch(text)
    if found is None:
        return None
    n_y, n_x = shape
    first_x, last_x = (1, n_x) if found[3] else sorted((int(found[1]), int(found[2])))
    first_y, last_y = (1, n_y) if found[6] else sorted((int(found[4]), int(found[5])))
    if min(first_x, first_y) < 1 or last_x > n_x or last_y > n_y:
        return None
    return Window(first_y - 1, last_y, first_x - 1, last_x)


def overscan_level(strip_adu: NDArray[Any], *, is_by_row: bool) -> Image:
    """Return the level of an overscan: medians of its rows, shape (n_y, 1), or columns, (1, n_x).

    Pixels that are no number are left out; a row without any has the median of the rest.
    """
    axis = 1 if is_by_row else 0
    if strip_adu.dtype.kind in "iu":
        return np.median(strip_adu, axis=axis, keepdims=True).astype(np.float32)
    is_number = np.isfinite(strip_adu)
    masked = np.ma.MaskedArray(strip_adu, ~is_number)
    level = np.ma.median(masked, axis=axis, keepdims=True)
    rest = np.median(strip_adu[is_number]) if is_number.any() else 0.0
    return np.ma.filled(level, rest).astype(np.float32)


def frame_overscan(raw_adu: NDArray[Any], sections: Sections) -> Image | None:
    """Return the overscan's level for the light of a frame: shape (n_y, 1) or (1, n_x), or None.

    Parameters
    ----------
    raw_adu
        The whole frame, shape (n_y, n_x).
    """
    if sections.overscan is None:
        return None
    return overscan_level(raw_adu[strip_of(sections).slices], is_by_row=sections.is_by_row)


def overscan_zero(raw_adu: NDArray[Any], sections: Sections) -> float:
    """Return the median of a frame's whole overscan, ADU."""
    return float(np.median(raw_adu[strip_of(sections).slices]))


def level_light(raw_adu: NDArray[Any], sections: Sections, *, zero_adu: float) -> Image:
    """Return the light of a frame shifted so that the median of its overscan is `zero_adu`.

    Frames of one camera can then be compared at their raw levels although its bias drifts. One
    number is taken for the frame: levels of single rows would add their own noise to the pixels'.
    """
    light = raw_adu[sections.light.slices].astype(np.float32)
    light -= np.float32(overscan_zero(raw_adu, sections) - zero_adu)
    return light


def strip_of(sections: Sections) -> Window:
    """Return the overscan's pixels in the rows, or columns, of the light."""
    light, overscan = sections.light, sections.overscan
    assert overscan is not None
    if sections.is_by_row:
        return Window(light.first_y, light.last_y, overscan.first_x, overscan.last_x)
    return Window(overscan.first_y, overscan.last_y, light.first_x, light.last_x)


def _overlap(one: Window, other: Window) -> bool:
    return (
        one.first_x < other.last_x
        and other.first_x < one.last_x
        and one.first_y < other.last_y
        and other.first_y < one.last_y
    )


def _largest_rest(overscan: Window, shape: tuple[int, int]) -> Window:
    """Return the larger part of the frame on one side of the overscan."""
    n_y, n_x = shape
    if overscan.shape[0] >= overscan.shape[1]:
        sides = [Window(0, n_y, 0, overscan.first_x), Window(0, n_y, overscan.last_x, n_x)]
    else:
        sides = [Window(0, overscan.first_y, 0, n_x), Window(overscan.last_y, n_y, 0, n_x)]
    return max(sides, key=lambda side: side.shape[0] * side.shape[1])


def _unused(why: str, shape: tuple[int, int]) -> Sections:
    whole = whole_frame(shape)
    return Sections(whole.shape, whole.light, None, f"overscan and trim not used: {why}")
