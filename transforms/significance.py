"""A frame over its noise, as stars are looked for in it, and what the mask says around stars."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .background import Background
from .mask import UNUSABLE, PixelMask, mask_bits

BAD_BIT = PixelMask.BAD.value


def fill_significance(
    image: NDArray[np.float32],
    bits: NDArray,
    background: Background,
    first: int,
    room: NDArray[np.float32],
) -> None:
    """Fill rows with those of a frame over its sky in units of its noise; 0 on bad pixels.

    Parameters
    ----------
    image
        Sky included; nan is bad.
    bits
        Mask of the same shape, or shape (0, 0) for none.
    background
        Noise below a tenth of its median is taken as that.
    first
        The frame's row that comes first.
    room
        What is filled, shape (n_row, n_x).
    """
    _fill_significance(
        image,
        bits,
        np.uint8(UNUSABLE),
        background.level,
        background.rms,
        background.step_pix,
        np.float32(0.1 * background.rms_adu),
        first,
        room,
    )


def without_bad_pixels(image: NDArray, mask: NDArray | None) -> NDArray[np.float32]:
    """Give a float32 frame whose bad pixels are nan; the frame itself where they are already.

    Parameters
    ----------
    mask
        Boolean (bad), or bits of `PixelMask`; None: none.
    """
    pixels = np.ascontiguousarray(image, dtype=np.float32)
    if mask is None:
        return pixels
    bits = mask_bits(mask)
    if not _holds_finite(pixels, bits, np.uint8(UNUSABLE)):
        return pixels
    return np.where((bits & np.uint8(UNUSABLE)) != 0, np.float32(np.nan), pixels)


@njit(cache=True, nogil=True)
def _coarse_row(smooth_map, step, j, out):
    """Interpolate a row of a map that holds every `step`-th pixel, still coarse along x."""
    upper = min(j // step + 1, smooth_map.shape[0] - 1)
    share = np.float32((j % step) / step)
    low, high = smooth_map[j // step], smooth_map[upper]
    for i in range(out.size):
        out[i] = low[i] + share * (high[i] - low[i])


@njit(cache=True, nogil=True)
def _fine_row(coarse, step, out):
    """Interpolate a coarse row to all pixels."""
    last = coarse.size - 1
    if step == 1:
        out[:] = coarse
        return
    # one loop for each place between two samples: the compiler makes vector instructions of them
    for place in range(step):
        share = np.float32(place / step)
        for left in range(min(last, (out.size - place - 1) // step + 1)):
            out[left * step + place] = coarse[left] + share * (coarse[left + 1] - coarse[left])
    for i in range(last * step, out.size):
        out[i] = coarse[last]


@njit(cache=True, nogil=True)
def _fill_significance(image, bits, bad_bits, level, rms, step, least_rms, first, out):  # noqa: PLR0917
    n_row, n_x = out.shape
    has_bits = bits.size > 0
    coarse = np.empty(level.shape[1], np.float32)
    sky, noise = np.empty(n_x, np.float32), np.empty(n_x, np.float32)
    for k in range(n_row):
        j = first + k
        _coarse_row(level, step, j, coarse)
        _fine_row(coarse, step, sky)
        _coarse_row(rms, step, j, coarse)
        _fine_row(coarse, step, noise)
        row, light = out[k], image[j]
        for i in range(n_x):
            row[i] = (light[i] - sky[i]) / max(noise[i], least_rms)
        for i in range(n_x):
            row[i] = row[i] if np.abs(row[i]) < np.float32(np.inf) else np.float32(0)
        if has_bits:
            marks = bits[j]
            for i in range(n_x):
                row[i] = row[i] if (marks[i] & bad_bits) == 0 else np.float32(0)


@njit(cache=True, nogil=True)
def _holds_finite(image, bits, bad_bits):
    """Tell whether a pixel that the mask calls bad has a number."""
    for j in range(image.shape[0]):
        n_found = 0
        for i in range(image.shape[1]):
            n_found += ((bits[j, i] & bad_bits) != 0) & np.isfinite(image[j, i])
        if n_found:
            return True
    return False


@njit(cache=True, nogil=True)
def bits_around(image, bits, x, y, reach):
    """Collect the mask bits in the square around each star, BAD for nan; shape (n,)."""
    n_y, n_x = image.shape
    has_bits = bits.size > 0
    met = np.zeros(x.size, dtype=np.int32)
    for k in range(x.size):
        column = min(max(int(np.rint(x[k])), 0), n_x - 1)
        row = min(max(int(np.rint(y[k])), 0), n_y - 1)
        for j in range(max(0, row - reach), min(n_y, row + reach + 1)):
            for i in range(max(0, column - reach), min(n_x, column + reach + 1)):
                if has_bits:
                    met[k] |= np.int32(bits[j, i])
                if not np.isfinite(image[j, i]):
                    met[k] |= BAD_BIT
    return met
