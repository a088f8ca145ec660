"""The scatter that values have beyond their errors, found in spite of outliers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HUBER = 2.0
CUT_MEAN = 0.9205  # mean of min(z^2, HUBER^2) of a standard normal z
LARGEST_MAG = 1.0


def excess_scatter(
    value: Array, variance: Array, *, freedom: float = 1.0, weight: Array | None = None
) -> float:
    """Find the scatter with which values are as large as they should be.

    Bisection on the mean of squares cut at Huber's limit, whose expectation for a normal
    distribution is known; so a few wild values do not widen it.

    Parameters
    ----------
    value, variance
        Values about naught and the variance known of them, shape (n,) each, magnitudes.
    freedom
        Degrees of freedom per value.
    weight
        How much each counts; None: all the same.

    Returns
    -------
    Magnitudes; naught where the variances explain the values.
    """

    share = np.ones(len(value)) if weight is None else weight
    share = share / share.sum()

    def excess(scatter: float) -> float:
        pull2 = np.minimum(value**2 / (variance + scatter**2), HUBER**2)
        return float(share @ pull2) - CUT_MEAN * freedom

    low, high = 0.0, LARGEST_MAG
    if excess(low) <= 0:
        return 0.0
    for _ in range(24):  # to 0.1 micromagnitudes
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
