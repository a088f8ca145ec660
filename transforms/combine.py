"""Many frames into one, by bands of rows: mean, median, or mean after clipping outliers.

The clipped mean has the median as its centre and the MAD as its deviation, but never less than the
noise a pixel is expected to have: the MAD of a few integers is often zero and would throw good
values away. Below five frames a deviation means nothing and the median is taken.

Sorting is done by a network of compare-and-swap steps that run over a chunk of pixels at a time:
no branch depends on the data, so the compiler turns each step into a few vector instructions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError, PixelError
from .pixels import Image, RowReader

Method = Literal["mean", "median", "clipped mean"]
CODES: dict[str, int] = {"mean": 0, "median": 1, "clipped mean": 2}
MIN_CLIPPED = 5
MAD_TO_SIGMA = np.float32(1.4826022185056018)
# variance of the median of n normal values over that of one value
MEDIAN_VARIANCE = {1: 1.0, 2: 0.5, 3: 0.4487, 4: 0.2982}
CHUNK_VALUE = 8192  # values of a chunk of pixels: 32 kB, the size of a level-1 cache
MEMORY_BYTE = 32_000_000  # larger bands leave the processor's caches and take longer


@dataclass(frozen=True, slots=True)
class ExpectedNoise:
    """The noise a pixel of one frame must have: the least deviation that clipping assumes.

    variance = read_noise_adu^2 + max(centre - zero_adu, 0) / gain_e_per_adu; without a gain there
    is no photon noise in it.
    """

    read_noise_adu: float = 0.0
    gain_e_per_adu: float | None = None
    zero_adu: float = 0.0


@dataclass(frozen=True, slots=True)
class Combined:
    """A combination of frames, each array of shape (n_y, n_x).

    A pixel without a single value has nan as mean and n_used 0. The variance is that of the mean;
    of pixels with one value it is the expected one.
    """

    mean_adu: Image
    variance_adu2: Image
    n_used: NDArray[np.uint16]
    method: Method


class UnreadableFrame(PixelError):  # noqa: N818 (it is a PixelError and says which)
    """A frame that was lost while it was combined; `index` tells which of the readers."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def robust_method(n_frame: int) -> Method:
    """Return the method that one cosmic ray cannot harm: median below five frames."""
    return "median" if n_frame < MIN_CLIPPED else "clipped mean"


def variance_factor(method: Method, n_frame: int) -> float:
    """Return the variance of a combination of normal values over that of one value."""
    if method == "median":
        return MEDIAN_VARIANCE.get(n_frame, np.pi / 2 / n_frame)
    return 1 / n_frame


def combine(
    readers: Sequence[RowReader],
    *,
    method: Method | None = None,
    low_sigma: float = 5.0,
    high_sigma: float = 5.0,
    noise: ExpectedNoise | None = None,
    memory_byte: int = MEMORY_BYTE,
) -> Combined:
    """Combine frames pixel by pixel.

    Parameters
    ----------
    readers
        Frames of one shape (n_y, n_x); nan and infinite values are left out.
    method
        None takes `robust_method` of the number of frames.
    low_sigma, high_sigma
        Values below or above the median by more than this many deviations are clipped, once.
    noise
        Least deviation, see `ExpectedNoise`; None: none.
    memory_byte
        Room for the rows of all frames that are held at once. The result takes 10 bytes a pixel
        in addition, whatever the number of frames.

    Raises
    ------
    CalibrationError
        No frames, or frames of different shapes.
    UnreadableFrame
        The rows of one of them cannot be read.
    """
    n_y, n_x = common_shape(readers)
    method = method or robust_method(len(readers))
    band_rows = band_height(len(readers), n_x, memory_byte=memory_byte)
    room = np.empty(len(readers) * min(band_rows, n_y) * n_x, np.float32)
    mean, variance = np.empty((2, n_y, n_x), np.float32)
    n_used = np.empty((n_y, n_x), np.uint16)
    tuning = _tuning(method, len(readers), low_sigma, high_sigma, noise or ExpectedNoise())
    network = sorting_network(len(readers))
    for start in range(0, n_y, band_rows):
        stop = min(start + band_rows, n_y)
        n_value = len(readers) * (stop - start) * n_x
        band = room[:n_value].reshape(len(readers), stop - start, n_x)
        _fill(band, readers, start, stop)
        _combine_values(
            band.reshape(len(readers), -1),
            network,
            tuning,
            mean[start:stop].reshape(-1),
            variance[start:stop].reshape(-1),
            n_used[start:stop].reshape(-1),
        )
    return Combined(mean, variance, n_used, method)


def compile_kernel() -> None:
    """Compile the kernel, or load it from its cache, before worker processes each do it."""
    cube = np.ones((MIN_CLIPPED, 1), np.float32)
    mean, variance = np.empty((2, 1), np.float32)
    tuning = _tuning("clipped mean", MIN_CLIPPED, 5.0, 5.0, ExpectedNoise())
    network = sorting_network(MIN_CLIPPED)
    _combine_values(cube, network, tuning, mean, variance, np.empty(1, np.uint16))


def common_shape(readers: Sequence[RowReader]) -> tuple[int, int]:
    """Return the one shape of all frames, or refuse naming both."""
    if not readers:
        raise CalibrationError("no frames to combine: at least one is needed.")
    first = readers[0]
    for other in readers[1:]:
        if other.shape != first.shape:
            raise CalibrationError(
                f"{other.name}: {other.shape[1]} x {other.shape[0]} pixels cannot be combined with "
                f"{first.name} of {first.shape[1]} x {first.shape[0]}. Sort them by size first."
            )
    return first.shape


def band_height(n_frame: int, n_x: int, *, memory_byte: int) -> int:
    """Return how many rows of all frames fit into the memory, at least one."""
    return max(1, memory_byte // (4 * n_frame * n_x))


def sorting_network(n_value: int) -> NDArray[np.int64]:
    """Return Batcher's merge-exchange network as pairs to compare and swap, shape (n_pair, 2).

    References
    ----------
    Knuth, The Art of Computer Programming 3, section 5.2.2, algorithm M.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(n_value - 1, 0).bit_length() - 1 if n_value > 1 else 0
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n_value - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


def _fill(band: Image, readers: Sequence[RowReader], start: int, stop: int) -> None:
    for index, reader in enumerate(readers):
        try:
            band[index] = reader.rows(start, stop)
        except PixelError as error:
            raise UnreadableFrame(str(error), index) from error


def _tuning(
    method: Method, n_frame: int, low_sigma: float, high_sigma: float, noise: ExpectedNoise
) -> NDArray[np.float32]:
    """Pack the numbers of the kernel: code, thresholds, noise model, variance of the median."""
    inverse_gain = 1 / noise.gain_e_per_adu if noise.gain_e_per_adu else 0.0
    of_median = variance_factor("median", n_frame)
    return np.array(
        [
            CODES[method],
            abs(low_sigma),
            abs(high_sigma),
            noise.read_noise_adu**2,
            inverse_gain,
            noise.zero_adu,
            of_median,
        ],
        np.float32,
    )


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with numba, cached on disk where there is a place to write.

    Division by zero gives inf or nan, as in numpy: the check that Python makes would keep loops
    from being turned into vector instructions.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package nor the home folder can be written
        return numba.njit(**options)(function)


@compiled
def _combine_values(cube, network, tuning, mean, variance, n_used):  # noqa: PLR0917
    """Combine the columns of a cube (n_frame, n_pixel), a chunk of columns at a time."""
    n_frame, n_pixel = cube.shape
    width = max(16, CHUNK_VALUE // n_frame)
    chunk = np.empty((n_frame, width), np.float32)
    one = np.empty((n_frame, 1), np.float32)
    for start in range(0, n_pixel, width):
        size = min(width, n_pixel - start)
        if size < width:
            chunk = np.empty((n_frame, size), np.float32)
        n_missing = _load(cube, start, chunk)
        stop = start + size
        if n_missing == 0:
            sort_columns(chunk, network)
            _combine_sorted(
                chunk, tuning, mean[start:stop], variance[start:stop], n_used[start:stop]
            )
            continue
        for pixel in range(start, stop):
            n_value = 0
            for i in range(n_frame):
                if np.isfinite(cube[i, pixel]):
                    one[n_value, 0] = cube[i, pixel]
                    n_value += 1
            one[:n_value, 0].sort()
            _combine_sorted(
                one[:n_value],
                tuning,
                mean[pixel : pixel + 1],
                variance[pixel : pixel + 1],
                n_used[pixel : pixel + 1],
            )


@compiled
def _load(cube, start, chunk):
    """Copy columns into the chunk and count the values that are no numbers."""
    n_missing = 0
    for i in range(chunk.shape[0]):
        source = cube[i, start : start + chunk.shape[1]]
        target = chunk[i]
        for c in range(chunk.shape[1]):
            target[c] = source[c]
            n_missing += not np.isfinite(source[c])
    return n_missing


@compiled
def sort_columns(chunk, network):
    """Sort each column of a chunk (n_value, n_column) in place, by a sorting network."""
    for k in range(network.shape[0]):
        low = chunk[network[k, 0]]
        high = chunk[network[k, 1]]
        for c in range(chunk.shape[1]):
            a = low[c]
            b = high[c]
            low[c] = a if a < b else b
            high[c] = b if a < b else a


@compiled
def median_sorted(chunk, centre):
    """Write the median of each sorted column into `centre`."""
    n = chunk.shape[0]
    for c in range(chunk.shape[1]):
        centre[c] = np.float32(0.5) * (chunk[(n - 1) // 2, c] + chunk[n // 2, c])


@compiled
def mad_sorted(chunk, centre, mad):
    """Median absolute deviation of sorted columns.

    The k values nearest to the centre stand next to each other in the sorted column, so the k-th
    smallest deviation is the least, over all windows of k, of the larger deviation at its ends.
    """
    n = chunk.shape[0]
    mad[:] = 0
    nearest = np.empty_like(mad)
    for k in ((n + 1) // 2, n // 2 + 1):
        nearest[:] = np.inf
        for i in range(n - k + 1):
            first = chunk[i]
            last = chunk[i + k - 1]
            for c in range(chunk.shape[1]):
                below = centre[c] - first[c]
                above = last[c] - centre[c]
                widest = below if below > above else above
                nearest[c] = widest if widest < nearest[c] else nearest[c]
        for c in range(chunk.shape[1]):
            mad[c] += np.float32(0.5) * nearest[c]


@compiled
def _combine_sorted(chunk, tuning, mean, variance, n_used):
    """Combine sorted columns without missing values."""
    n, width = chunk.shape
    if n == 0:
        mean[:] = np.nan
        variance[:] = 0
        n_used[:] = 0
        return
    code, low_sigma, high_sigma, read_variance, inverse_gain, zero, of_median = tuning
    centre = np.empty(width, np.float32)
    floor = np.empty(width, np.float32)
    median_sorted(chunk, centre)
    for c in range(width):
        photons = centre[c] - zero
        floor[c] = read_variance + inverse_gain * (photons if photons > 0 else np.float32(0))
    lowest = np.full(width, -np.inf, np.float32)
    highest = np.full(width, np.inf, np.float32)
    if code == 2:
        deviation = np.empty(width, np.float32)
        mad_sorted(chunk, centre, deviation)
        for c in range(width):
            scale = max(MAD_TO_SIGMA * deviation[c], np.sqrt(floor[c]))
            lowest[c] = -low_sigma * scale
            highest[c] = high_sigma * scale
    _sum_kept(chunk, centre, lowest, highest, mean, variance, n_used)
    for c in range(width):
        k = np.float32(n_used[c])
        first = mean[c]
        second = variance[c]
        # of one value alone the scatter is unknown: the expected one
        single = (second - first * first / k) / (k - np.float32(1)) if k > 1 else floor[c]
        variance[c] = single * of_median if code == 1 else single / k
        mean[c] = centre[c] if code == 1 else centre[c] + first / k


@compiled
def _sum_kept(chunk, centre, lowest, highest, first, second, n_used):  # noqa: PLR0917
    """Sum deviations from the centre, and their squares, of the values within the limits."""
    first[:] = 0
    second[:] = 0
    count = np.zeros(chunk.shape[1], np.float32)
    for i in range(chunk.shape[0]):
        values = chunk[i]
        for c in range(chunk.shape[1]):
            deviation = values[c] - centre[c]
            is_kept = np.float32((deviation >= lowest[c]) & (deviation <= highest[c]))
            kept = deviation * is_kept
            first[c] += kept
            second[c] += kept * deviation
            count[c] += is_kept
    for c in range(chunk.shape[1]):
        n_used[c] = np.uint16(count[c])
