"""Raw pixels to calibrated ones: bias and dark off, divided by the flat, with a mask.

A frame keeps its size, so that its pixels have the coordinates of the file: what lies beyond the
trimmed area is nan and says so in the mask. Masters have the size of the trimmed area.
`calibrate` holds the masters in memory, for many frames get the same; `calibrate_with_variance`
reads them by bands of rows, for with their variances they would not fit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from .calibrate_kernels import calibrate_rows, propagate_rows
from .linearity import Linearity
from .mask import PixelMask
from .overscan import Sections, frame_overscan, whole_frame
from .pixels import ArrayRows, Image, RowFiller

BAND_ROWS = 8  # of all masters and variances: together they stay in the processor's caches
NO_IMAGE = np.zeros((0, 0), np.float32)
NO_ROW = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibrated frame, arrays of the shape of the raw one, (n_y, n_x).

    `data_adu` is finite wherever `mask` (bits of `PixelMask`) is zero. A pixel whose flat is of no
    use is not divided; one that has no value in the frame, bias or dark is nan. Both are BAD. So
    are hot pixels that no dark was taken off. Beyond the trimmed area it is nan and OUTSIDE.
    """

    data_adu: Image
    mask: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CalibratedWithVariance:
    """A calibrated frame with the variance of every pixel; see `Calibrated`."""

    data_adu: Image
    variance_adu2: Image
    mask: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PixelNoise:
    """The noise of one raw pixel: variance = read_noise_adu^2 + light above the bias / gain."""

    read_noise_adu: float
    gain_e_per_adu: float


@dataclass(frozen=True, slots=True)
class MasterRows:
    """A master in bands of rows, with its variance if it is known."""

    value: RowFiller
    variance: RowFiller | None = None


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """What makes a raw pixel, or its flat, doubtful.

    Attributes
    ----------
    saturation_adu, linearity_adu
        Raw pixels at or above are SATURATED, NONLINEAR; None: no pixel is.
    min_flat
        Pixels whose flat is not above this are BAD and not divided.
    """

    saturation_adu: float | None = None
    linearity_adu: float | None = None
    min_flat: float = 0.05


@dataclass(frozen=True, slots=True)
class Pedestals:
    """Masters to take off a frame, each with its factor.

    `before` holds the bias: what is left is light and dark current, and can be linearised; then
    `after` is taken off.
    """

    before: tuple[tuple[Any, float], ...] = ()
    after: tuple[tuple[Any, float], ...] = ()

    @property
    def all(self) -> tuple[tuple[Any, float], ...]:
        """All of them, in their order."""
        return self.before + self.after


def calibrate(
    raw_adu: NDArray[Any],
    *,
    bias: Image | None = None,
    dark: Image | None = None,
    dark_is_bias_subtracted: bool = False,
    dark_scale: float = 1.0,
    flat: Image | None = None,
    defects: NDArray[np.uint8] | None = None,
    sections: Sections | None = None,
    linearity: Linearity | None = None,
    limits: PixelLimits | None = None,
    room: Calibrated | None = None,
    name: str = "frame",
) -> Calibrated:
    """Take overscan, bias and dark off a frame and divide it by the flat.

    Parameters
    ----------
    raw_adu
        Pixels as read, shape (n_y, n_x).
    bias, dark, flat, defects
        Masters of the shape of the trimmed area, the flat relative to its median, the defects
        bits of `PixelMask`; None is left out.
    dark_is_bias_subtracted, dark_scale
        Whether the dark has had its bias taken off, and the exposure of the frame over that of
        the dark. See `pedestals`.
    sections
        Light and overscan of the frame; None: all is light.
    linearity
        Correction of the light above the bias; light above its end is NONLINEAR.
    limits
        See `PixelLimits`.
    room
        An earlier result of the same shape that is needed no more: it is written over, for memory
        that is asked for anew costs as much as the arithmetic. None: new memory.
    name
        The frame, for messages.

    Raises
    ------
    CalibrationError
        A master of another shape.
    """
    sections = sections or whole_frame(raw_adu.shape)
    for kind, master in (("bias", bias), ("dark", dark), ("flat", flat), ("defects", defects)):
        check_shape(f"master {kind}", master, name, sections.light.shape)
    off = pedestals(
        bias, dark, dark_is_bias_subtracted=dark_is_bias_subtracted, dark_scale=dark_scale
    )
    raw = native(raw_adu)
    data, mask = _empty(sections, room)
    calibrate_rows(
        raw,
        np.array(sections.light, np.int64),
        *_levels(raw, sections),
        *_three(off),
        NO_IMAGE if flat is None else flat,
        _defects(defects, has_dark=dark is not None),
        *_table(linearity),
        _numbers(limits),
        data,
        mask,
    )
    return Calibrated(data, mask)


def calibrate_with_variance(
    raw_adu: NDArray[Any],
    *,
    noise: PixelNoise,
    bias: MasterRows | None = None,
    dark: MasterRows | None = None,
    dark_is_bias_subtracted: bool = False,
    dark_scale: float = 1.0,
    flat: MasterRows | None = None,
    defects: NDArray[np.uint8] | None = None,
    sections: Sections | None = None,
    linearity: Linearity | None = None,
    limits: PixelLimits | None = None,
    room: CalibratedWithVariance | None = None,
    name: str = "frame",
) -> CalibratedWithVariance:
    """Calibrate a frame as `calibrate` does, and propagate the noise of all that goes in.

    The variance of a raw pixel is that of its photons, light above the bias over the gain, and of
    reading it. The variances of the masters are added as if independent, with the squares of their
    factors; division by the flat adds the flat's relative variance times the squared value.

    Parameters
    ----------
    noise
        Of a pixel of this camera at this setting.
    bias, dark, flat
        Masters by rows: bands of them are held, whatever their size.

    Returns
    -------
    Data and mask as of `calibrate`, and the variance in ADU^2; nan where the data are.

    Raises
    ------
    CalibrationError
        A master of another shape.
    PixelError
        The rows of a master cannot be read.
    """
    sections = sections or whole_frame(raw_adu.shape)
    shape = sections.light.shape
    masters = {"bias": bias, "dark": dark, "flat": flat}
    for kind, master in masters.items():
        for rows in () if master is None else (master.value, master.variance):
            if rows is not None:
                _check_size(f"master {kind}", rows.shape, name, shape)
    check_shape("master defects", defects, name, shape)
    off = pedestals(
        bias, dark, dark_is_bias_subtracted=dark_is_bias_subtracted, dark_scale=dark_scale
    )
    raw = native(raw_adu)
    row_level, column_level = _levels(raw, sections)
    bad = _defects(defects, has_dark=dark is not None)
    data, mask = _empty(sections, room)
    is_kept = room is not None and data is room.data_adu
    variance = room.variance_adu2 if room is not None and is_kept else np.empty_like(data)
    if sections.is_trimmed:
        variance[:] = np.nan
    light = sections.light
    rooms = _Rooms(shape[1])
    spare = np.empty(shape[1], np.float32)
    for start in range(0, shape[0], BAND_ROWS):
        stop = min(start + BAND_ROWS, shape[0])
        propagate_rows(
            raw,
            np.array([light[0] + start, light[0] + stop, *light[2:]], np.int64),
            row_level[start:stop],
            column_level,
            *_band(off, rooms, start, stop),
            *(rooms.read(rows, start, stop) for rows in _pair(flat)),
            bad[start:stop],
            *_table(linearity),
            _numbers(limits),
            np.array([noise.read_noise_adu**2, 1 / noise.gain_e_per_adu], np.float32),
            spare,
            data,
            variance,
            mask,
        )
    return CalibratedWithVariance(data, variance, mask)


def pedestals(
    bias: Any,
    dark: Any,
    *,
    dark_is_bias_subtracted: bool,
    dark_scale: float,
) -> Pedestals:
    """Return the masters (images, or rows) to take off a frame, each with its factor.

    A dark without bias is scaled and taken off after the bias. A dark that holds its bias, D, is
    B + s (D - B) at another exposure if there is a bias B; without one it is taken off as it is,
    because its bias matters more than the dark current it gets wrong.
    """
    if dark is None:
        return Pedestals(() if bias is None else ((bias, 1.0),))
    if dark_is_bias_subtracted:
        return Pedestals(() if bias is None else ((bias, 1.0),), ((dark, dark_scale),))
    if bias is None or dark_scale == 1:
        return Pedestals(((dark, 1.0),))
    return Pedestals(((bias, 1.0),), ((dark, dark_scale), (bias, -dark_scale)))


def native(raw_adu: NDArray[Any]) -> NDArray[Any]:
    """Return pixels as the kernels take them: 16 bit unsigned as they are, all else float32."""
    kind = np.uint16 if raw_adu.dtype == np.uint16 else np.float32
    return np.ascontiguousarray(raw_adu, kind)


def check_shape(what: str, master: NDArray[Any] | None, name: str, shape: tuple[int, ...]) -> None:
    """Refuse a master whose size is not that of the frame's light, naming both."""
    if master is not None:
        _check_size(what, master.shape, name, shape)


def _check_size(what: str, size: tuple[int, ...], name: str, shape: tuple[int, ...]) -> None:
    if tuple(size) != tuple(shape):
        raise CalibrationError(
            f"{name}: {shape[1]} x {shape[0]} pixels, but the {what} has {size[1]} x "
            f"{size[0]}. Take calibration frames with the same binning and size."
        )


def _empty(
    sections: Sections, room: Calibrated | CalibratedWithVariance | None
) -> tuple[Image, NDArray[np.uint8]]:
    """Return room for data and mask; beyond the light it holds what is to be there."""
    if room is None or room.data_adu.shape != sections.shape:
        data, mask = np.empty(sections.shape, np.float32), np.empty(sections.shape, np.uint8)
    else:
        data, mask = room.data_adu, room.mask
    if sections.is_trimmed:
        data[:], mask[:] = np.nan, np.uint8(PixelMask.OUTSIDE)
    return data, mask


def _levels(raw: NDArray[Any], sections: Sections) -> tuple[Image, Image]:
    """Return the overscan's levels by row and by column; one of them, or both, are empty."""
    level = frame_overscan(raw, sections)
    if level is None:
        return NO_ROW, NO_ROW
    flat_level = np.ascontiguousarray(level.reshape(-1))
    return (flat_level, NO_ROW) if sections.is_by_row else (NO_ROW, flat_level)


def _defects(defects: NDArray[np.uint8] | None, *, has_dark: bool) -> NDArray[np.uint8]:
    """Return the bits of the defects; hot pixels that no dark is taken off are BAD, too."""
    if defects is None:
        return np.zeros((0, 0), np.uint8)
    if has_dark:
        return np.ascontiguousarray(defects, np.uint8)
    is_hot = (defects & np.uint8(PixelMask.HOT)) != 0
    return np.where(is_hot, defects | np.uint8(PixelMask.BAD), defects).astype(np.uint8)


def _table(linearity: Linearity | None) -> tuple[Image, Image]:
    return (NO_ROW, NO_ROW) if linearity is None else (linearity.level_adu, linearity.factor)


def _numbers(limits: PixelLimits | None) -> Image:
    limits = limits or PixelLimits()
    tops = (limits.saturation_adu, limits.linearity_adu)
    return np.array([*(np.inf if top is None else top for top in tops), limits.min_flat], "f4")


def _three(off: Pedestals) -> tuple[Any, ...]:
    """Pad the pedestals to three: images, their factors, and how many come before."""
    images = [np.ascontiguousarray(image, np.float32) for image, _ in off.all]
    factors = [factor for _, factor in off.all]
    missing = 3 - len(images)
    padded = np.array(factors + [0.0] * missing, np.float32)
    return (*images, *[NO_IMAGE] * missing, padded, len(off.before))


class _Rooms:
    """Rooms for a band of each reader, filled again and again.

    Memory that is asked for and given back for every band costs more than all arithmetic.
    """

    def __init__(self, n_x: int) -> None:
        self._n_x = n_x
        self._held: dict[int, Image] = {}

    def read(self, reader: RowFiller | None, start: int, stop: int) -> Image:
        """Return rows start <= y < stop; they are lost with the next band of this reader."""
        if reader is None:
            return NO_IMAGE
        if id(reader) not in self._held:
            self._held[id(reader)] = np.empty((BAND_ROWS, self._n_x), np.float32)
        room = self._held[id(reader)][: stop - start]
        reader.fill(room, start)
        return room


def _band(off: Pedestals, rooms: _Rooms, start: int, stop: int) -> tuple[Any, ...]:
    """Read a band of the pedestals and their variances, padded to three of each."""
    held: dict[int, tuple[Image, Image]] = {}
    total: dict[int, float] = {}
    for master, factor in off.all:
        if id(master) not in held:
            value, variance = (rooms.read(rows, start, stop) for rows in _pair(master))
            held[id(master)] = value, variance
        # a master that is taken off twice is no two independent ones
        total[id(master)] = total.get(id(master), 0.0) + factor
    images = [(held[id(master)][0], factor) for master, factor in off.all]
    spread = [(held[key][1], total[key]) for key in held if held[key][1].size]
    before = tuple(images[: len(off.before)])
    values = _three(Pedestals(before, tuple(images[len(off.before) :])))
    *variances, factors, _ = _three(Pedestals(tuple(spread)))
    return (*values, *variances, factors)


def _pair(master: MasterRows | None) -> tuple[RowFiller | None, RowFiller | None]:
    return (None, None) if master is None else (master.value, master.variance)


def held_rows(image: Image, variance: Image | None = None) -> MasterRows:
    """Return a master that is in memory as rows."""
    return MasterRows(
        ArrayRows(image, "master"), None if variance is None else ArrayRows(variance, "variance")
    )
