"""Raw pixels to calibrated ones: bias and dark off, divided by the flat, with a mask."""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from .pixels import Image

MIN_BIT, MAX_BIT = 8, 32


class PixelMask(IntFlag):
    """Why a pixel of a calibrated frame must not be used."""

    SATURATED = 1 << 0
    BAD = 1 << 1


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibrated frame, both arrays of shape (n_y, n_x).

    `data_adu` is finite wherever `mask` (bits of `PixelMask`) is zero. A pixel whose flat is of no
    use is not divided; one that has no value in the frame, bias or dark is nan. Both are BAD.
    """

    data_adu: Image
    mask: NDArray[np.uint8]


def calibrate(
    raw_adu: NDArray[Any],
    *,
    bias: Image | None = None,
    dark: Image | None = None,
    dark_is_bias_subtracted: bool = False,
    dark_scale: float = 1.0,
    flat: Image | None = None,
    saturation_adu: float | None = None,
    min_flat: float = 0.05,
    name: str = "frame",
) -> Calibrated:
    """Take bias and dark off a frame and divide it by the flat.

    Parameters
    ----------
    raw_adu
        Pixels as read, shape (n_y, n_x).
    bias, dark, flat
        Masters of the same shape, the flat relative to its median; None is left out.
    dark_is_bias_subtracted, dark_scale
        Whether the dark has had its bias taken off, and the exposure of the frame over that of
        the dark. See `pedestals`.
    saturation_adu
        Raw pixels at or above are SATURATED; None: no pixel is.
    min_flat
        Pixels whose flat is not above this are BAD and not divided.
    name
        The frame, for messages.

    Raises
    ------
    CalibrationError
        A master of another shape.
    """
    for kind, master in (("bias", bias), ("dark", dark), ("flat", flat)):
        check_shape(f"master {kind}", master, name, raw_adu.shape)
    data = raw_adu.astype(np.float32)
    mask = np.zeros(data.shape, np.uint8)
    if saturation_adu is not None:
        mask[raw_adu >= saturation_adu] = np.uint8(PixelMask.SATURATED)
    for pedestal, factor in pedestals(
        bias, dark, dark_is_bias_subtracted=dark_is_bias_subtracted, dark_scale=dark_scale
    ):
        data -= pedestal if factor == 1 else np.float32(factor) * pedestal
    if flat is not None:
        is_lit = (flat > min_flat) & np.isfinite(flat)
        np.divide(data, flat, out=data, where=is_lit)
        mask[~is_lit] |= np.uint8(PixelMask.BAD)
    mask[~np.isfinite(data)] |= np.uint8(PixelMask.BAD)
    return Calibrated(data, mask)


def pedestals(
    bias: Image | None,
    dark: Image | None,
    *,
    dark_is_bias_subtracted: bool,
    dark_scale: float,
) -> tuple[tuple[Image, float], ...]:
    """Return the masters to take off a frame, each with its factor.

    A dark without bias is scaled and taken off after the bias. A dark that holds its bias, D, is
    B + s (D - B) at another exposure if there is a bias B; without one it is taken off as it is,
    because its bias matters more than the dark current it gets wrong.
    """
    if dark is None:
        return () if bias is None else ((bias, 1.0),)
    if dark_is_bias_subtracted:
        return ((dark, dark_scale),) if bias is None else ((bias, 1.0), (dark, dark_scale))
    if bias is None or dark_scale == 1:
        return ((dark, 1.0),)
    return ((bias, 1.0 - dark_scale), (dark, dark_scale))


def check_shape(what: str, master: NDArray[Any] | None, name: str, shape: tuple[int, ...]) -> None:
    """Refuse a master whose size is not that of the frame, naming both."""
    if master is not None and master.shape != tuple(shape):
        raise CalibrationError(
            f"{name}: {shape[1]} x {shape[0]} pixels, but the {what} has {master.shape[1]} x "
            f"{master.shape[0]}. Take calibration frames with the same binning and size."
        )


def estimate_saturation_adu(raw_adu: NDArray[Any]) -> float | None:
    """Recognise the level at which a camera clips, from the pixels of one frame.

    Saturated pixels share exactly one value, and hardly any lie just below it: in the highest
    hundredth of the range above the median (at least 3 ADU). The largest value of the frame is
    taken as saturation if

    - it is 2^n - 1, at least two pixels have it, and at least as many as lie just below; or
    - at least ten pixels have it, and at least five times as many as lie just below.

    None if nothing of the kind is seen, which does not say that nothing is saturated: wells
    that fill below the converter's limit have no sharp edge.
    """
    if raw_adu.size == 0:
        return None
    top = raw_adu.max()
    if not np.isfinite(top):  # nan or inf somewhere: only a frame with blank pixels pays for this
        finite = raw_adu[np.isfinite(raw_adu)]
        return estimate_saturation_adu(finite) if finite.size else None
    top_adu = float(top)
    if top_adu < 2**MIN_BIT - 1:
        return None
    is_converter_limit = top_adu in {2.0**n - 1 for n in range(MIN_BIT, MAX_BIT + 1)}
    median_adu = float(np.median(raw_adu.ravel()[:: max(1, raw_adu.size // 100_000)]))
    if median_adu == top_adu:
        return top_adu if is_converter_limit else None
    margin_adu = max(3.0, 0.01 * (top_adu - median_adu))
    high = raw_adu[raw_adu >= top_adu - margin_adu]
    n_top = int(np.count_nonzero(high == top))
    n_below = high.size - n_top
    if is_converter_limit and n_top >= 2 and n_top >= n_below:
        return top_adu
    return top_adu if n_top >= 10 and n_top >= 5 * n_below else None
