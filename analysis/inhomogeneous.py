"""The inhomogeneous ensemble: magnitudes of all stars and zero points of all frames at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import AnalysisError
from .star_tables import levels

Array = NDArray[np.float64]

N_ROUND = 6
LEAST_SCATTER_MAG = 1e-4
MAX_SHARE = 0.3  # of the weight of a frame that one star may have where many are there
MAX_DENSE = 5000  # stars or frames, whichever are fewer: one dense matrix of that size is solved


@dataclass(frozen=True, slots=True)
class Solution:
    """Magnitudes on one zero point; nan where a star or a frame has no measurement.

    Attributes
    ----------
    mean_mag, scatter_mag
        Of each star, (n_star,): mean magnitude, and robust scatter of its residuals.
    zero_mag, zero_err_mag, n_star
        Of each frame, (n_frame,): magnitude less the stars' means, its 1-sigma error, stars.
    residual_mag
        (n_star, n_frame).
    """

    mean_mag: Array
    scatter_mag: Array
    zero_mag: Array
    zero_err_mag: Array
    n_star: NDArray[np.int64]
    residual_mag: Array


def solve_inhomogeneous(mag: Array, err_mag: Array, is_used: NDArray[np.bool_]) -> Solution:
    """Solve m(star, frame) = mean(star) + zero(frame) by weighted least squares.

    Parameters
    ----------
    mag, err_mag
        Instrumental magnitudes and 1-sigma errors, (n_star, n_frame); nan where there is none. A
        measurement without an error counts with its star's scatter.
    is_used
        Stars that decide the zero points, (n_star,); all get a mean and residuals.

    Notes
    -----
    Each measurement weighs 1 / (error^2 + scatter of its star^2), iterated from equal scatters, so
    that a variable star counts for little (Honeycutt 1992, PASP 104, 435). A star that comes and
    goes makes no step. The sparse normal equations lose the longer of the two axes exactly; groups
    of frames that no star ties together have each its own, arbitrary zero point of mean 0.

    Raises
    ------
    AnalysisError
        No star decides.
    """
    used = np.flatnonzero(is_used & np.isfinite(mag).any(axis=1))
    if not len(used):
        raise AnalysisError("inhomogeneous ensemble: no star is left to decide the zero points.")
    m, e = mag[used], err_mag[used]
    seen = np.isfinite(m)
    scatter = np.full(len(used), LEAST_SCATTER_MAG)
    known_err = np.where(np.isfinite(e), e, 0.0)
    values = np.where(seen, m, 0.0)
    weight = variance = np.zeros_like(m)
    zero = np.zeros(m.shape[1])
    for _ in range(N_ROUND):
        variance = known_err**2 + scatter[:, None] ** 2
        weight = _capped(np.where(seen, 1 / variance, 0.0))
        mean, zero = _least_squares(values, weight)
        residual = np.where(seen, m - mean[:, None] - zero[None, :], np.nan)
        new = np.sqrt(np.maximum(_scatter(residual) ** 2 - np.nanmedian(known_err**2, axis=1), 0))
        new = np.maximum(new, LEAST_SCATTER_MAG)
        is_same = np.allclose(new, scatter, rtol=0.05)
        scatter = new
        if is_same:
            break
    total = weight.sum(axis=0)
    has_star = total > 0
    zero = np.where(has_star, zero, np.nan)
    err = np.sqrt(np.sum(weight**2 * variance, axis=0)) / np.where(has_star, total, np.nan)
    return _all_stars(mag, zero, err, seen.sum(axis=0))


def _all_stars(mag: Array, zero: Array, err: Array, n_star: NDArray[np.int64]) -> Solution:
    steadied = mag - zero[None, :]
    mean = levels(steadied)
    residual = steadied - mean[:, None]
    scatter = np.where(np.isfinite(residual).sum(axis=1) > 2, _scatter(residual), np.nan)
    return Solution(mean, scatter, zero, err, n_star, residual)


def _capped(weight: Array) -> Array:
    """Lower the weight of a star that would be the ensemble of a frame alone."""
    n_star = (weight > 0).sum(axis=0)
    share = np.maximum(MAX_SHARE, 1 / np.maximum(n_star, 1))
    return np.minimum(weight, share * weight.sum(axis=0))


def _scatter(residual: Array) -> Array:
    return 1.4826 * levels(np.abs(residual))


def _least_squares(values: Array, weight: Array) -> tuple[Array, Array]:
    """Means of stars and zero points of frames, mean zero point 0, by eliminating one axis."""
    if min(weight.shape) > MAX_DENSE:
        raise AnalysisError(
            f"inhomogeneous ensemble: {weight.shape[0]} stars in {weight.shape[1]} frames; at most "
            f"{MAX_DENSE} of either. Limit it to fewer nights or brighter stars."
        )
    if weight.shape[0] <= weight.shape[1]:
        mean, zero = _eliminate(values, weight)
    else:
        zero, mean = _eliminate(values.T, weight.T)
    shift = float(np.mean(zero[weight.sum(axis=0) > 0]))
    return mean + shift, zero - shift


def _eliminate(values: Array, weight: Array) -> tuple[Array, Array]:
    """Solve for the first axis with the second taken out, then for the second."""
    first, second = weight.sum(axis=1), weight.sum(axis=0)
    inverse = np.where(second > 0, 1 / np.where(second > 0, second, 1), 0.0)
    right = (weight * values).sum(axis=1) - weight @ (inverse * (weight * values).sum(axis=0))
    matrix = np.diag(first) - (weight * inverse) @ weight.T
    # singular by the common zero point, and once more for each group that nothing ties to others
    a = np.linalg.lstsq(matrix, right, rcond=1e-10)[0]
    return a, inverse * (weight * (values - a[:, None])).sum(axis=0)
