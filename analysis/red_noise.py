"""Noise that does not average out."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CORRELATION_D = np.array([5.0, 10.0, 20.0, 40.0, 80.0]) / 1440
CORRELATION_SHARE = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)  # of the white noise of one point


def time_averaging_factor(
    time_d: Array,
    residual: Array,
    absorbed: Array,
    *,
    shortest_d: float = 10 / 1440,
    longest_d: float = 30 / 1440,
) -> float:
    """How much more averages of residuals scatter than those of white noise would, at least 1.

    Parameters
    ----------
    time_d
        In order, shape (n,).
    residual
        Over its error, shape (n,).
    absorbed
        U, shape (n, n_parameter): white residuals of this fit have covariance 1 - U U^T. A fit
        bends after slow noise, so that averages of white residuals scatter less than
        1 / sqrt(n); without this allowance red noise hides behind the fit.
    shortest_d, longest_d
        Range of the lengths averaged over, from about that of ingress on.

    Returns
    -------
    The mean ratio over the lengths; 1 if the range holds none of two points or more of which at
    least four follow each other in the night: the data cannot tell.

    References
    ----------
    Pont, Zucker & Queloz 2006, MNRAS 373, 231; Winn et al. 2008, ApJ 683, 1076.
    """
    n_point = len(residual)
    cadence_d = float(np.median(np.diff(time_d))) if n_point > 1 else 0.0
    variance = float(residual @ residual) / max(n_point - float(np.sum(absorbed**2)), 1.0)
    if variance == 0 or cadence_d <= 0:
        return 1.0
    smallest = max(2, round(shortest_d / cadence_d))
    largest = min(round(longest_d / cadence_d), n_point // 4)
    ratios = []
    for m in range(smallest, largest + 1):
        seen = np.mean(_running_sum(residual[:, None], m) ** 2)
        white = variance * np.mean(m - np.sum(_running_sum(absorbed, m) ** 2, axis=1))
        ratios.append(float(np.sqrt(seen / white)))
    return max(1.0, float(np.mean(ratios)) if ratios else 1.0)


def permutation_errors(residual: Array, jacobian: Array, cov: Array) -> tuple[Array, Array]:
    """1-sigma errors of a linear fit by shifting its residuals along the night.

    All cyclic shifts of the residuals, forwards and backwards in time, are added to the model and
    fitted again, to first order. What is correlated stays correlated.

    Parameters
    ----------
    residual
        Over its error, in order of time, shape (n,).
    jacobian
        Derivatives of the model over the errors, (n, n_parameter).
    cov
        Covariance of the parameters for white noise and their priors, (n_parameter, n_parameter).

    Returns
    -------
    Errors by permutation, and those of white noise of the same scatter by the same fit, both
    (n_parameter,) and without what the priors add.

    References
    ----------
    Southworth 2008, MNRAS 386, 1644 (residual permutation).
    """
    response = cov @ jacobian.T
    there = np.fft.rfft(np.stack([residual, residual[::-1]]))  # all shifts at once
    kernel = np.conj(np.fft.rfft(response))
    shifts = np.fft.irfft(kernel[:, None] * there[None], n=len(residual))
    moved = shifts.reshape(len(response), -1)
    scatter = float(np.sqrt(np.mean(residual**2)))
    return np.sqrt(np.mean(moved**2, axis=1)), scatter * np.sqrt(np.sum(response**2, axis=1))


def correlation_factors(
    time_d: Array, residual: Array, jacobian: Array, cov: Array, is_free: NDArray[np.bool_]
) -> Array:
    """How much noise that falls off exponentially with time would widen the errors of a fit.

    The restricted likelihood of the residuals weighs white noise with a correlated part of up to
    once its size over 5 to 80 minutes; the variance of each parameter is the mean over all of them
    by that weight. So what the fit hides of slow noise counts by how likely it is to be there.

    Parameters
    ----------
    time_d
        In order, shape (n,).
    residual
        Over its error, shape (n,).
    jacobian
        Derivatives of the model over the errors, (n, n_parameter).
    cov
        Covariance of the parameters for white noise and their priors, (n_parameter, n_parameter).
    is_free
        Parameters that no prior holds, (n_parameter,).

    Returns
    -------
    Factor on the error of each parameter, (n_parameter,), at least 1.

    References
    ----------
    Patterson & Thompson 1971, Biometrika 58, 545 (restricted likelihood).
    """
    weight, variance = [], []
    response = cov @ jacobian.T
    white = np.maximum(np.sum(response**2, axis=1), np.finfo(float).tiny)
    apart = np.abs(time_d[:, None] - time_d[None, :])
    for length_d in CORRELATION_D:
        value, vector = np.linalg.eigh(np.exp(-apart / length_d))
        turned = vector.T @ np.column_stack([jacobian[:, is_free], residual])
        spread = (response @ vector) ** 2
        for share in CORRELATION_SHARE:
            noise = 1 + share**2 * np.maximum(value, 0)
            log_likelihood, scale = _restricted(turned[:, :-1], turned[:, -1], noise)
            weight.append(log_likelihood)
            variance.append(scale * (spread @ noise) / white)
    told = np.nan_to_num(np.array(weight), nan=-np.inf, posinf=-np.inf)
    if not np.isfinite(told).any():
        return np.ones(len(cov))  # the residuals are rounding: they tell of no noise
    probability = np.exp(told - told.max())
    return np.sqrt(np.maximum(probability @ np.array(variance) / probability.sum(), 1.0))


def _restricted(design: Array, residual: Array, noise: Array) -> tuple[float, float]:
    """Restricted log-likelihood of independent noise with these variances, and their scale."""
    scaled = design / noise[:, None]
    matrix, right = design.T @ scaled, residual @ scaled
    left = float(residual**2 @ (1 / noise) - right @ np.linalg.pinv(matrix, hermitian=True) @ right)
    n_degree = max(len(residual) - design.shape[1], 1)
    scale = max(left / n_degree, np.finfo(float).tiny)
    log_det = float(np.linalg.slogdet(matrix)[1])
    return -0.5 * (n_degree * np.log(scale) + float(np.sum(np.log(noise))) + log_det), scale


def _running_sum(columns: Array, m: int) -> Array:
    """Sums of m neighbours; overlapping ones use every pairing and scatter less than bins do."""
    total = np.vstack([np.zeros(columns.shape[1]), np.cumsum(columns, axis=0)])
    return total[m:] - total[:-m]


def robust_scatter(values: Array) -> float:
    """Standard deviation as the median absolute deviation gives it for a normal distribution."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
