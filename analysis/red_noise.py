"""Noise that does not average out."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def time_averaging_factor(
    time_d: Array, residual: Array, *, shortest_d: float = 10 / 1440, longest_d: float = 30 / 1440
) -> float:
    """How much larger the scatter of averages is than white noise would leave, at least 1.

    Parameters
    ----------
    time_d, residual
        In time order, shape (n,).
    shortest_d, longest_d
        Range of the lengths averaged over: about that of ingress.

    Returns
    -------
    The median over all lengths of the scatter of running means of m points, over sigma / sqrt(m).
    1 if no mean of two points or more is that short, or there are fewer than 5 such lengths in
    the night: the data cannot tell.

    References
    ----------
    Pont, Zucker & Queloz 2006, MNRAS 373, 231; Winn et al. 2008, ApJ 683, 1076.
    """
    n_point = len(residual)
    scatter = float(np.std(residual))
    cadence_d = float(np.median(np.diff(time_d))) if n_point > 1 else 0.0
    if scatter == 0 or cadence_d <= 0:
        return 1.0
    smallest = max(2, round(shortest_d / cadence_d))
    largest = min(round(longest_d / cadence_d), n_point // 5)
    factors = [
        float(np.sqrt(np.mean(_running_mean(residual, m) ** 2)) / scatter * np.sqrt(m))
        for m in range(smallest, largest + 1)
    ]
    return max(1.0, float(np.median(factors))) if factors else 1.0


def _running_mean(values: Array, m: int) -> Array:
    """Means of m neighbours; overlapping ones use every pairing and scatter less than bins do."""
    total = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    return (total[m:] - total[:-m]) / m


def robust_scatter(values: Array) -> float:
    """Standard deviation as the median absolute deviation gives it for a normal distribution."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
