"""Where a frame, smoothed, stands out of its noise; what the mask says around stars."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .background import Background
from .combine import compiled
from .mask import UNUSABLE, PixelMask, mask_bits

BAD_BIT = PixelMask.BAD.value
WORD_PIX = 8  # of a row, looked at together for a bright pixel
FIRST_ROOM = 4096  # runs, and sixteen times as many pixels


@dataclass(frozen=True, slots=True)
class Runs:
    """Bright pixels that lie side by side in a row, row by row and from left to right.

    Attributes
    ----------
    row, first, stop
        Where each run is: pixels first <= x < stop of a row, shape (n_run,).
    start
        Where its first pixel is in `value`, shape (n_run,).
    value
        The smooth image at all bright pixels, shape (n_pixel,).
    shape
        (n_y, n_x) of the frame.
    """

    row: NDArray[np.intp]
    first: NDArray[np.intp]
    stop: NDArray[np.intp]
    start: NDArray[np.intp]
    value: NDArray[np.float32]
    shape: tuple[int, int]


def bright_runs(
    image: NDArray[np.float32],
    background: Background,
    profile: NDArray[np.float32],
    threshold: float,
) -> Runs:
    """Take a frame over its sky in units of its noise, smooth it, and keep what is bright.

    The smooth image is made a row at a time and never held: bright pixels are few.

    Parameters
    ----------
    image
        Sky included, shape (n_y, n_x); nan is bad and counts as sky.
    background
        Noise below a tenth of its median is taken as that.
    profile
        What is smoothed with along rows and columns; odd in number and symmetric. Beyond the
        frame is nothing.
    threshold
        Pixels above it are bright.
    """
    place, value = _bright_runs(
        image,
        background.level,
        background.rms,
        background.step_pix,
        np.float32(0.1 * background.rms_adu),
        profile,
        np.float32(threshold),
    )
    n_y, n_x = image.shape
    return Runs(*place, value=value, shape=(n_y, n_x))


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


@compiled
def _fine_row(coarse, step, out):
    """Interpolate a row of a map that holds every `step`-th pixel to all pixels."""
    last = coarse.size - 1
    if step == 1:
        for i in range(out.size):
            out[i] = coarse[i]
        return
    if step == 2:  # what the compiler turns into vector instructions
        half = np.float32(0.5)
        for left in range(last):
            here = coarse[left]
            out[2 * left], out[2 * left + 1] = here, here + half * (coarse[left + 1] - here)
        for i in range(2 * last, out.size):
            out[i] = coarse[last]
        return
    for place in range(step):
        share = np.float32(place / step)
        for left in range(min(last, (out.size - place - 1) // step + 1)):
            out[left * step + place] = coarse[left] + share * (coarse[left + 1] - coarse[left])
    for i in range(last * step, out.size):
        out[i] = coarse[last]


@compiled
def _over_noise(light, sky, next_sky, share, inverse_noise, out):  # noqa: PLR0917
    """Take the sky between two rows of its map off a row and divide by the noise."""
    for i in range(out.size):
        level = sky[i] + share * (next_sky[i] - sky[i])
        value = (light[i] - level) * inverse_noise[i]
        out[i] = value if np.abs(value) < np.float32(np.inf) else np.float32(0)


@compiled
def _smooth(middle, pairs, profile, out):
    """Weigh a row and pairs of rows at either side of it with half of a symmetric profile."""
    centre = profile.size // 2
    weight = profile[centre]
    for i in range(out.size):
        out[i] = weight * middle[i]
    # two pairs at a time: the row is gone through half as often
    for step in range(0, centre - 1, 2):
        (before, after), (farther, beyond) = pairs[step], pairs[step + 1]
        near, far = profile[centre + step + 1], profile[centre + step + 2]
        for i in range(out.size):
            out[i] += near * (before[i] + after[i]) + far * (farther[i] + beyond[i])
    if centre % 2:
        before, after = pairs[centre - 1]
        weight = profile[2 * centre]
        for i in range(out.size):
            out[i] += weight * (before[i] + after[i])


@compiled
def _append_runs(row, marks, j, threshold, place, value, n_run, n_value):  # noqa: PLR0917
    """Append the runs of a row; return the rooms, larger ones where they were full, and counts.

    `marks` is room for a byte a pixel, in whole words.
    """
    for i in range(row.size):
        marks[i] = row[i] > threshold
    if n_value + row.size > value.size:
        value = np.concatenate((value, np.empty(max(value.size, row.size), np.float32)))
    if n_run + row.size // 2 + 1 > place.shape[1]:
        more = np.empty((4, max(place.shape[1], row.size)), np.intp)
        place = np.concatenate((place, more), axis=1)
    words = marks.view(np.uint64)
    is_inside = False
    for word in range(words.size):
        if words[word] == 0 and not is_inside:
            continue
        for i in range(WORD_PIX * word, WORD_PIX * (word + 1)):
            if marks[i]:
                if not is_inside:
                    is_inside = True
                    place[0, n_run], place[1, n_run], place[3, n_run] = j, i, n_value
                value[n_value] = row[i]
                n_value += 1
            elif is_inside:
                is_inside = False
                place[2, n_run] = i
                n_run += 1
    if is_inside:
        place[2, n_run] = row.size
        n_run += 1
    return place, value, n_run, n_value


@compiled
def _bright_runs(image, level, rms, step, least, profile, threshold):  # noqa: PLR0917
    n_y, n_x = image.shape
    reach, n_ring = profile.size // 2, profile.size
    sky, next_sky = np.empty(n_x, np.float32), np.empty(n_x, np.float32)
    inverse_noise, smooth = np.empty(n_x, np.float32), np.empty(n_x, np.float32)
    padded = np.zeros(n_x + 2 * reach, np.float32)
    row = padded[reach : reach + n_x]
    along_x = [(padded[reach - s :][:n_x], padded[reach + s :][:n_x]) for s in range(1, reach + 1)]
    ring = np.zeros((n_ring, n_x), np.float32)  # the last rows, smoothed along x
    marks = np.zeros(-(-n_x // WORD_PIX) * WORD_PIX, np.uint8)
    place, value = np.empty((4, FIRST_ROOM), np.intp), np.empty(16 * FIRST_ROOM, np.float32)
    n_run = n_value = 0
    sample = -1
    _fine_row(level[0], step, next_sky)
    for j in range(n_y + reach):
        newest = ring[j % n_ring]
        if j < n_y:
            if j // step != sample:
                sample = j // step
                sky, next_sky = next_sky, sky
                _fine_row(level[min(sample + 1, level.shape[0] - 1)], step, next_sky)
                _fine_row(rms[sample], step, inverse_noise)
                for i in range(n_x):
                    inverse_noise[i] = np.float32(1) / max(inverse_noise[i], least)
            share = np.float32((j % step) / step)
            _over_noise(image[j], sky, next_sky, share, inverse_noise, row)
            _smooth(row, along_x, profile, newest)
        else:
            newest[:] = 0
        middle = j - reach
        if middle >= 0:
            along_y = [
                (ring[(middle - s) % n_ring], ring[(middle + s) % n_ring])
                for s in range(1, reach + 1)
            ]
            _smooth(ring[middle % n_ring], along_y, profile, smooth)
            place, value, n_run, n_value = _append_runs(
                smooth, marks, middle, threshold, place, value, n_run, n_value
            )
    return place[:, :n_run].copy(), value[:n_value].copy()


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
