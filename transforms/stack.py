"""Many frames of a field into one deep image, with its variance and its coverage.

Frames come without their sky. Each is brought to the light of a reference frame and onto one grid;
what deviates from the others is left out, and the weighted mean of the rest is the image. All is
done in bands of rows, so that memory does not grow with the number of frames.

The weights are one number a frame. Weights that followed the photon noise of every pixel would make
bright stars fainter than they are, and give each star another shape.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from .clipped_mean import CLIP_SIGMA, CONTRAST_SHARE, REACH, Limits, average_band
from .pixels import Image
from .reproject import Kernel, PixelMap, resample_rows

Rule = Literal["clipped mean", "weighted mean"]

MEMORY_BYTE = 160_000_000  # for the rows of all frames that are held at once


@dataclass(frozen=True, slots=True)
class StackInput:
    """A frame to be stacked.

    Attributes
    ----------
    open_adu
        Function that gives the frame without its sky, shape (n_y, n_x), float32, nan is bad. It is
        called once a band, so that a file mapped into memory is let go of in between.
    mapped
        Where the grid lies on the frame.
    sky_variance_adu2
        Variance of the sky in one pixel, at the nodes of the map.
    flux_factor
        Brings the light of its stars to that of the reference frame.
    weight
        Relative weight; see `frame_weight`.
    gain_e_per_adu
        Of the frame; None: not known, and the photon noise of stars is left out.
    """

    open_adu: Callable[[], Image]
    mapped: PixelMap
    sky_variance_adu2: NDArray[np.float64]
    flux_factor: float
    weight: float
    gain_e_per_adu: float | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack, arrays of the shape of the grid.

    Attributes
    ----------
    data_adu, variance_adu2
        Light per pixel in the ADU of the reference frame, and the variance of one pixel; nan where
        no frame reaches.
    n_used
        Frames that went into each pixel: the coverage.
    noise_correlation
        Resampled pixels share noise with their neighbours: the noise of the sum over a large area
        is this many times what independent pixels of that variance would give.
    gain_e_per_adu
        Electrons per ADU where every frame counts: the gain of a frame times about the number
        averaged. None where that of any frame is not known.
    """

    data_adu: Image
    variance_adu2: Image
    n_used: NDArray[np.uint16]
    noise_correlation: float
    gain_e_per_adu: float | None


def frame_weight(flux_factor: float, sky_rms_adu: float, fwhm_pix: float) -> float:
    """Weigh a frame for faint stars: by transparency, sky noise and seeing.

    The inverse square of the noise, in the light of the reference frame, under the image of a star.
    """
    return 1.0 / (flux_factor * sky_rms_adu * fwhm_pix) ** 2


def stack(
    frames: Sequence[StackInput],
    *,
    rule: Rule = "clipped mean",
    kernel: Kernel = "bilinear",
    clip_sigma: float = CLIP_SIGMA,
    contrast_share: float = CONTRAST_SHARE,
    memory_byte: int = MEMORY_BYTE,
    n_thread: int = 1,
) -> Stack:
    """Resample frames onto their common grid and combine them.

    A value is clipped if it is farther from the median of all frames than `clip_sigma` times its
    own expected noise, or their scatter (MAD) if that is larger, plus `contrast_share` times the
    contrast of the median around it, for seeing and a misplacement of a fraction of a pixel move
    light about within stars. Of two frames that disagree the fainter is believed, since cosmic rays
    and satellites only ever add light; one frame is taken as it is.

    Parameters
    ----------
    frames
        With maps of one grid.
    rule
        clipped mean, or weighted mean: of everything.
    memory_byte
        Room for the rows of all frames that are held at once. The result takes 10 bytes a pixel in
        addition, and the frame in use what it takes.
    n_thread
        Threads; the kernels run without holding the interpreter.

    Raises
    ------
    CalibrationError
        No frames, or maps of different grids.
    """
    n_y, n_x = _common_grid(frames)
    height = max(1, memory_byte // (8 * n_x * len(frames)) - 2 * REACH)
    data, variance = np.empty((2, n_y, n_x), np.float32)
    n_used = np.empty((n_y, n_x), np.uint16)
    weights = np.array([frame.weight for frame in frames], np.float64)
    weights /= weights.sum()
    limits = Limits(clip_sigma, contrast_share) if rule == "clipped mean" else None
    sums = np.zeros((len(frames), 2))
    with ThreadPoolExecutor(n_thread) as pool:
        for start in range(0, n_y, height):
            stop = min(start + height, n_y)
            # the clipping looks at the rows above and below
            low, high = max(start - REACH, 0), min(stop + REACH, n_y)
            cube = np.empty((len(frames), 2, high - low, n_x), np.float32)
            filled = pool.map(
                lambda i, low=low, cube=cube: _resample(frames[i], kernel, low, cube[i]),
                range(len(frames)),
            )
            sums += np.array(list(filled))
            here = slice(start, stop)
            average_band(
                cube[:, 0],
                cube[:, 1],
                weights,
                limits,
                skip=start - low,
                out=(data[here], variance[here], n_used[here]),
                pool=pool,
                n_part=n_thread,
            )
    return Stack(
        data, variance, n_used, _noise_correlation(weights, sums), _effective_gain(frames, weights)
    )


def _common_grid(frames: Sequence[StackInput]) -> tuple[int, int]:
    if not frames:
        raise CalibrationError("no frames to stack: at least one is needed.")
    shapes = {frame.mapped.shape for frame in frames}
    if len(shapes) > 1:
        raise CalibrationError(
            f"frames mapped onto grids of {len(shapes)} sizes, {sorted(shapes)}: map all of them "
            "onto one."
        )
    return frames[0].mapped.shape


def _resample(frame: StackInput, kernel: Kernel, low: int, cube) -> NDArray[np.float64]:
    """Fill data and variance, shape (2, n_row, n_x), from row `low`; return the variance sums."""
    found = resample_rows(
        frame.open_adu(),
        frame.mapped,
        low,
        low + cube.shape[1],
        sky_variance_adu2=frame.sky_variance_adu2,
        gain_e_per_adu=frame.gain_e_per_adu,
        factor=frame.flux_factor,
        kernel=kernel,
    )
    cube[0], cube[1] = found.data_adu, found.variance_adu2
    return np.array(found.sky_variance_sums) * frame.flux_factor**2


def _noise_correlation(weights: NDArray[np.float64], sums: NDArray[np.float64]) -> float:
    wide, single = (weights**2 @ sums).tolist()
    return float(np.sqrt(wide / single)) if single > 0 else 1.0


def _effective_gain(frames: Sequence[StackInput], weights: NDArray[np.float64]) -> float | None:
    """Electrons behind one ADU: the variance of a mean of counts F f_i is F sum w_i^2 f_i / g_i."""
    gains = [frame.gain_e_per_adu for frame in frames]
    if any(gain is None or gain <= 0 for gain in gains):
        return None
    factors = np.array([frame.flux_factor for frame in frames])
    return float(1 / np.sum(weights**2 * factors / np.array(gains, float)))
