"""The weighted mean of the frames that agree, pixel by pixel, in a band of rows.

A value is judged by its distance from the median of all frames. What it may be away is its own
expected noise, or the scatter of the frames if that is larger, several times over, plus a share of
the contrast of the median around it: seeing and a misplacement of a fraction of a pixel move light
about within stars, and must not clip them.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .combine import compiled, mad_sorted, median_sorted, sort_columns, sorting_network
from .pixels import Image

CLIP_SIGMA = 4.0
CONTRAST_SHARE = 1.5  # seeing of 2.6 pixels instead of 4 raises the top of a star 2.4-fold
REACH = 2  # pixels to each side in which contrast is looked for
MAD_TO_SIGMA = 1.4826022185056018
CHUNK_VALUE = 8192  # values of a chunk of pixels: 32 kB, the size of a level-1 cache


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a value may be from the median, in noise and in shares of the contrast around it."""

    clip_sigma: float = CLIP_SIGMA
    contrast_share: float = CONTRAST_SHARE


def average_band(
    values: Image,
    variances: Image,
    weights: NDArray[np.float64],
    limits: Limits | None,
    *,
    skip: int,
    out: tuple[Image, Image, NDArray[np.uint16]],
    pool: Executor,
    n_part: int,
) -> None:
    """Average a band of rows into mean, variance of the mean, and number of values kept.

    Parameters
    ----------
    values, variances
        Shape (n_frame, n_row, n_x); nan where a frame has nothing to give.
    weights
        Shape (n_frame,).
    limits
        None: nothing is clipped.
    skip
        Rows of the band before the first row of `out`: they, and those after its last, only show
        the contrast.
    out
        Mean, variance and number, each of shape (n_row_out, n_x), to be filled.
    pool, n_part
        Where the rows are worked on, and in how many parts.
    """
    n_frame, n_row, n_x = values.shape
    centre, spread = np.zeros((2, n_row, n_x), np.float32)
    if limits is not None and n_frame > 1:
        network = sorting_network(n_frame)

        def find_centre(rows: slice) -> None:
            _centre_rows(values[:, rows], network, centre[rows], spread[rows])

        list(pool.map(find_centre, _parts(n_row, n_part)))
    sigma, share = (limits.clip_sigma, limits.contrast_share) if limits else (np.inf, 0.0)
    tuning = np.array([sigma, share], np.float64)

    def average(rows: slice) -> None:
        mean, variance, n_used = (array[rows] for array in out)
        first = skip + rows.start
        _clip_and_average(
            values, variances, weights, tuning, centre, spread, first, mean, variance, n_used
        )

    list(pool.map(average, _parts(len(out[0]), n_part)))


def _parts(n_row: int, n_part: int) -> list[slice]:
    edges = np.linspace(0, n_row, n_part + 1).astype(int).tolist()
    return [slice(low, high) for low, high in pairwise(edges) if high > low]


@compiled
def _centre_rows(values, network, centre, spread):
    """Median and scaled MAD of the frames in each pixel; values of shape (n_frame, n_row, n_x).

    Missing values are sorted to the end, and neighbours with as many values are treated together.
    """
    n_frame, n_row, n_x = values.shape
    width = min(n_x, max(16, CHUNK_VALUE // n_frame))
    for row in range(n_row):
        for start in range(0, n_x, width):
            size = min(width, n_x - start)
            chunk = np.empty((n_frame, size), np.float32)
            n_value = np.zeros(size, np.int32)
            for i in range(n_frame):
                for c in range(size):
                    value = values[i, row, start + c]
                    is_given = value == value  # noqa: PLR0124  false for a nan
                    chunk[i, c] = value if is_given else np.float32(np.inf)
                    n_value[c] += is_given
            sort_columns(chunk, network)
            first = 0
            for c in range(1, size + 1):
                if c == size or n_value[c] != n_value[first]:
                    _centre_sorted(
                        chunk[: n_value[first], first:c],
                        centre[row, start + first : start + c],
                        spread[row, start + first : start + c],
                    )
                    first = c


@compiled
def _centre_sorted(chunk, middle, scatter):
    """Median and scaled MAD of sorted columns; of two values the smaller is the centre."""
    if chunk.shape[0] <= 2:
        for c in range(middle.size):
            middle[c] = chunk[0, c] if chunk.shape[0] else np.float32(np.nan)
            scatter[c] = 0
    else:
        median_sorted(chunk, middle)
        mad_sorted(chunk, middle, scatter)
        scatter *= np.float32(MAD_TO_SIGMA)


@compiled
def _contrast(centre, y, x, floor):
    """Range of the pixels up to REACH away, as far as it exceeds a floor."""
    low = high = centre[y, x]
    for j in range(max(y - REACH, 0), min(y + REACH + 1, centre.shape[0])):
        for i in range(max(x - REACH, 0), min(x + REACH + 1, centre.shape[1])):
            low = min(low, centre[j, i])
            high = max(high, centre[j, i])
    return max(high - low - floor, 0.0)


@compiled
def _clip_and_average(  # noqa: PLR0917
    values, variances, weights, tuning, centre, spread, first, data, variance, n_used
):
    """Weighted mean of what lies near the centre; rows `first` and after of the band."""
    n_frame = values.shape[0]
    clip_sigma, contrast_share = tuning
    for row in range(data.shape[0]):
        y = first + row
        for x in range(data.shape[1]):
            n = 0
            for i in range(n_frame):
                n += not np.isnan(values[i, y, x])
            total = 0.0
            weight = 0.0
            noise = 0.0
            kept = 0
            for i in range(n_frame):
                value = values[i, y, x]
                if np.isnan(value):
                    continue
                if n > 1:
                    # a median of n has itself pi / 2n of the variance
                    expected = np.sqrt(variances[i, y, x] * (1 + 1.5708 / n))
                    limit = clip_sigma * max(expected, spread[y, x])
                    away = abs(value - centre[y, x])
                    if away > limit:
                        # the median of 25 pixels of sky has a range of 4 to 5 of its sigmas
                        contrast = _contrast(centre, y, x, 7 * expected / np.sqrt(n))
                        if away > limit + contrast_share * contrast:
                            continue
                total += weights[i] * value
                noise += weights[i] * weights[i] * variances[i, y, x]
                weight += weights[i]
                kept += 1
            n_used[row, x] = kept
            if kept == 0:
                data[row, x] = np.nan
                variance[row, x] = np.nan
            else:
                data[row, x] = total / weight
                variance[row, x] = noise / (weight * weight)
