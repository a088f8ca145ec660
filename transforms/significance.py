"""A frame over its noise, smoothed to look for stars in it; what the mask says around stars."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .background import Background
from .mask import UNUSABLE, PixelMask, mask_bits

BAD_BIT = PixelMask.BAD.value


def fill_significance(  # noqa: PLR0917
    image: NDArray[np.float32],
    bits: NDArray,
    background: Background,
    first: int,
    profile: NDArray[np.float32],
    room: NDArray[np.float32],
) -> None:
    """Fill rows with a frame over its sky in units of its noise, bad pixels 0, and smoothed.

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
    profile
        What is smoothed with along rows and columns; odd in number and symmetric. Beyond the rows
        asked for, as beyond the frame, is nothing.
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
        profile,
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
def _fine_row(coarse, step, out):
    """Interpolate a row of a map that holds every `step`-th pixel to all pixels."""
    last = coarse.size - 1
    if step == 1:
        out[:] = coarse
        return
    for place in range(step):
        share = np.float32(place / step)
        for left in range(min(last, (out.size - place - 1) // step + 1)):
            out[left * step + place] = coarse[left] + share * (coarse[left + 1] - coarse[left])
    for i in range(last * step, out.size):
        out[i] = coarse[last]


@njit(cache=True, nogil=True)
def _over_noise(light, sky, next_sky, share, inverse_noise, out):  # noqa: PLR0917
    """Take the sky between two rows of its map off a row and divide by the noise."""
    # one loop for each array that is written: the compiler turns these into vector instructions
    for i in range(out.size):
        out[i] = (light[i] - (sky[i] + share * (next_sky[i] - sky[i]))) * inverse_noise[i]
    for i in range(out.size):
        out[i] = out[i] if np.abs(out[i]) < np.float32(np.inf) else np.float32(0)


@njit(cache=True, nogil=True)
def _smooth(middle, pairs, profile, out):
    """Weigh a row and pairs of rows at either side of it with half of a symmetric profile."""
    centre = profile.size // 2
    for i in range(out.size):
        out[i] = profile[centre] * middle[i]
    for step in range(1, centre + 1):
        before, after = pairs[step - 1]
        weight = profile[centre + step]
        for i in range(out.size):
            out[i] += weight * (before[i] + after[i])


@njit(cache=True, nogil=True)
def _fill_significance(image, bits, bad_bits, level, rms, step, least, first, profile, room):  # noqa: PLR0917
    n_row, n_x = room.shape
    reach, n_ring = profile.size // 2, profile.size
    sky, next_sky = np.empty(n_x, np.float32), np.empty(n_x, np.float32)
    inverse_noise = np.empty(n_x, np.float32)
    padded = np.zeros(n_x + 2 * reach, np.float32)
    row = padded[reach : reach + n_x]
    along_x = [(padded[reach - s :][:n_x], padded[reach + s :][:n_x]) for s in range(1, reach + 1)]
    ring = np.zeros((n_ring, n_x), np.float32)  # the last rows, smoothed along x
    sample = -1
    for k in range(n_row + reach):
        newest = ring[k % n_ring]
        j = first + k
        if k < n_row:
            if j // step != sample:
                sample = j // step
                _fine_row(level[sample], step, sky)
                _fine_row(level[min(sample + 1, level.shape[0] - 1)], step, next_sky)
                _fine_row(rms[sample], step, inverse_noise)
                for i in range(n_x):
                    inverse_noise[i] = np.float32(1) / max(inverse_noise[i], least)
            share = np.float32((j % step) / step)
            _over_noise(image[j], sky, next_sky, share, inverse_noise, row)
            if bits.size > 0:
                marks = bits[j]
                for i in range(n_x):
                    row[i] = row[i] if (marks[i] & bad_bits) == 0 else np.float32(0)
            _smooth(row, along_x, profile, newest)
        else:
            newest[:] = 0
        if k >= reach:
            middle = k - reach
            along_y = [
                (ring[(middle - s) % n_ring], ring[(middle + s) % n_ring])
                for s in range(1, reach + 1)
            ]
            _smooth(ring[middle % n_ring], along_y, profile, room[middle])


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
