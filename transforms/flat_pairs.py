"""Two flats of similar level, tile by tile: how much more do they differ than read noise alone?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from .saturation import estimate_saturation_adu

Array = NDArray[np.float64]

TILE_PIX = 32
MAX_TILE = 4096  # more do not make the gain better, a large frame would only take more memory
MIN_TILE = 10
CLIP_SIGMA = 4.0
CLIPPED_VARIANCE = 0.99893  # what clipping at 4 sigma leaves of the variance of normal noise
PLANE_TERMS = 3


@dataclass(frozen=True, slots=True)
class PairFit:
    """What one pair of flats says; nan where too few tiles were left.

    Attributes
    ----------
    inverse_gain_adu_per_e, error_adu_per_e
        Photon variance over signal, and its error.
    level_adu
        Mean signal above the bias.
    ratio
        Signal of the first flat over that of the second.
    unevenness
        How far the ratio of the two, tile by tile, departs from a plane (rms): a lamp or a
        shutter that lit them differently.
    pattern_share
        Variance that a pattern as strong within the tiles would add, over that of the photons.
    saturated_fraction
        Tiles left out because they were saturated.
    """

    inverse_gain_adu_per_e: float
    error_adu_per_e: float
    level_adu: float
    ratio: float
    unevenness: float
    pattern_share: float
    saturated_fraction: float


@dataclass(frozen=True, slots=True)
class Tiles:
    """Square tiles that stand for a frame of a shape (n_y, n_x), whatever its size.

    `values` has shape (n_tile, n_pixel), `place` their corners (y, x), shape (n_tile, 2).
    """

    values: Array
    place: NDArray[np.intp]
    shape: tuple[int, ...]


def fit_pair(
    first: Tiles,
    second: Tiles,
    pedestal: Tiles,
    read_noise_adu: float,
    *,
    saturation_adu: float | None = None,
    min_photon_fraction: float = 0.5,
) -> PairFit:
    """Compare two raw flats. See `gain.photon_transfer`."""
    check_size("flat", first, pedestal)
    check_size("flat", second, pedestal)
    place, a, b = pedestal.place, first.values, second.values
    top_adu = saturation_adu or estimate_saturation_adu(np.maximum(a, b)) or np.inf
    is_saturated = np.mean((a >= top_adu) | (b >= top_adu), axis=1) > 0.001
    a, b = a - pedestal.values, b - pedestal.values
    is_lit = np.minimum(a.mean(axis=1), b.mean(axis=1)) > read_noise_adu  # false where nan
    usable = ~is_saturated & is_lit
    empty = PairFit(*[np.nan] * 6, saturated_fraction=float(is_saturated.mean()))
    if usable.sum() < MIN_TILE:
        return empty
    fit = _fit_tiles(a[usable], b[usable], place[usable], read_noise_adu, min_photon_fraction)
    left_out = float((is_saturated.sum() + fit.saturated_fraction * usable.sum()) / len(place))
    return replace(fit, saturated_fraction=left_out)


def _fit_tiles(
    a: Array, b: Array, place: NDArray[np.intp], read_noise_adu: float, min_photon_fraction: float
) -> PairFit:
    """Fit the tiles of two flats above the bias, shape (n_tile, n_pixel)."""
    ratio, variance, n_kept = tile_variance(a, b)
    level_adu = a.mean(axis=1)
    signal = (level_adu + ratio * b.mean(axis=1)) / 2 * (1 + ratio)
    read_variance = (1 + ratio**2) * read_noise_adu**2
    photon = variance - read_variance
    slope = photon / signal
    is_full = _is_collapsed(slope, level_adu)
    good = ~is_full & (photon > min_photon_fraction * variance)
    full_fraction = float(is_full.mean())
    if good.sum() < MIN_TILE:
        empty = PairFit(*[np.nan] * 6, saturated_fraction=full_fraction)
        return replace(empty, level_adu=float(level_adu.mean()))
    # weights from the model: measured variances would give more weight to the low ones
    expected = np.median(slope[good]) * signal + read_variance
    slope_err = expected * np.sqrt(2 / (n_kept - PLANE_TERMS)) / signal
    inverse_gain, error = _weighted_mean(slope[good], slope_err[good])
    ratio_err = np.sqrt(expected / n_kept) / b.mean(axis=1)
    unevenness = _unevenness(ratio[good], ratio_err[good], place[good])
    mean_level_adu, mean_ratio = float(level_adu[good].mean()), float(np.median(ratio[good]))
    return PairFit(
        inverse_gain_adu_per_e=inverse_gain,
        error_adu_per_e=error,
        level_adu=mean_level_adu,
        ratio=mean_ratio,
        unevenness=unevenness,
        pattern_share=unevenness**2 * mean_level_adu / (1 + mean_ratio) / inverse_gain,
        saturated_fraction=full_fraction,
    )


def cut_tiles(frame: NDArray[Any] | Tiles) -> Tiles:
    """Cut at most MAX_TILE tiles, evenly spaced, out of a frame; tiles are returned as they are."""
    if isinstance(frame, Tiles):
        return frame
    tile = min(TILE_PIX, *frame.shape)
    y, x = np.meshgrid(
        np.arange(frame.shape[0] // tile) * tile,
        np.arange(frame.shape[1] // tile) * tile,
        indexing="ij",
    )
    step = -(-y.size // MAX_TILE)
    place = np.column_stack([y.ravel(), x.ravel()])[::step]
    windows = np.lib.stride_tricks.sliding_window_view(frame, (tile, tile))
    values = windows[place[:, 0], place[:, 1]].reshape(len(place), -1).astype(np.float64)
    return Tiles(values, place, frame.shape)


def check_size(kind: str, tiles: Tiles, biases: Tiles) -> None:
    """Refuse a frame whose size is not that of the biases, naming both."""
    if tiles.shape != biases.shape:
        raise CalibrationError(
            f"{kind} of {tiles.shape[1]} x {tiles.shape[0]} pixels, biases of "
            f"{biases.shape[1]} x {biases.shape[0]}. Compare frames of one size."
        )


def tile_variance(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Scale b to a by a ratio that is a plane in each tile.

    Returns
    -------
    Ratio at the tile's centre, variance of a - ratio b without outliers, and pixels kept; each of
    shape (n_tile,).
    """
    size = round(a.shape[1] ** 0.5)
    axis = (np.arange(size) - (size - 1) / 2) / size
    plane = np.stack([np.ones(size**2), np.tile(axis, size), np.repeat(axis, size)], axis=1)
    outer = (plane[:, :, None] * plane[:, None, :]).reshape(-1, PLANE_TERMS**2)
    keep = np.ones(a.shape, bool)
    while True:
        normal = ((b * b * keep) @ outer).reshape(-1, PLANE_TERMS, PLANE_TERMS)
        right = (a * b * keep) @ plane
        terms = np.linalg.solve(normal, right[:, :, None])[:, :, 0].astype(np.float64)
        rest = a - (terms @ plane.T) * b
        n_kept = keep.sum(axis=1)
        variance = (rest**2 * keep).sum(axis=1) / (n_kept - PLANE_TERMS)
        inside = keep & (np.abs(rest) <= CLIP_SIGMA * np.sqrt(variance)[:, None])
        if (inside == keep).all():
            return terms[:, 0], variance / CLIPPED_VARIANCE, n_kept.astype(np.float64)
        keep = inside


def _is_collapsed(slope: Array, level_adu: Array) -> NDArray[np.bool_]:
    """Find tiles whose variance is far too small for their light: full wells do not scatter."""
    faint = slope[level_adu <= np.median(level_adu)]
    return slope < 0.6 * np.median(faint)


def _weighted_mean(values: Array, errors: Array) -> tuple[float, float]:
    """Mean by weight without outliers, and its error from the scatter of the values."""
    pull = (values - np.median(values)) / errors
    keep = np.abs(pull) <= CLIP_SIGMA * robust_sigma(pull)
    weight = keep / errors**2
    mean = float((weight * values).sum() / weight.sum())
    chi2 = float((weight * (values - mean) ** 2).sum()) / max(int(keep.sum()) - 1, 1)
    return mean, float((chi2 / weight.sum()) ** 0.5)


def _unevenness(ratio: Array, ratio_err: Array, place: NDArray[np.intp]) -> float:
    """Rms departure of the ratio from a plane over the frame, without that of the noise.

    A few tiles with a speck of dust that moved do not count.
    """
    plane = np.column_stack([np.ones_like(ratio), place - place.mean(axis=0)])
    terms, *_ = np.linalg.lstsq(plane / ratio_err[:, None], ratio / ratio_err, rcond=None)
    excess = robust_sigma(ratio - plane @ terms) ** 2 - float(np.median(ratio_err**2))
    return float(np.sqrt(max(excess, 0.0)) / np.median(ratio))


def robust_sigma(values: Array) -> float:
    """Standard deviation of normal values from their median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
