"""Noise that does not average out."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
    The largest ratio of the lengths; 1 if the range holds none of two points or more of which at
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
    return max(1.0, max(ratios, default=1.0))


def _running_sum(columns: Array, m: int) -> Array:
    """Sums of m neighbours; overlapping ones use every pairing and scatter less than bins do."""
    total = np.vstack([np.zeros(columns.shape[1]), np.cumsum(columns, axis=0)])
    return total[m:] - total[:-m]


def robust_scatter(values: Array) -> float:
    """Standard deviation as the median absolute deviation gives it for a normal distribution."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
