"""How far the mean of a posterior lies from its peak, where a model bends within its errors."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP_SIGMA = 0.3  # along each axis of the error ellipsoid


def mean_shift(jacobian: Callable[[Array], Array], covariance: Array) -> Array:
    """Mean of the posterior less its peak, to second order, for all parameters.

    A fit gives the peak. Limb darkening and tilt are held by priors that are wide against how the
    depth bends with them, so that the peak of the radius ratio is too large by some tenth of its
    error on the mean over many stars; the mean of the posterior is not.

    Parameters
    ----------
    jacobian
        Derivatives of the model over the errors, (n_point, n_parameter), so far from the peak.
    covariance
        At the peak with these errors and the priors, (n_parameter, n_parameter).

    References
    ----------
    Lindley 1980, Trabajos de Estadística 31, 223 (third derivatives of the posterior).
    """
    value, vector = np.linalg.eigh(covariance)
    axes = (vector * np.sqrt(np.maximum(value, 0))).T
    first = jacobian(np.zeros(len(covariance)))
    third = np.zeros(len(covariance))
    bend = np.zeros(len(first))
    for axis in axes:
        step = STEP_SIGMA * axis
        second = (jacobian(step) - jacobian(-step)) / (2 * STEP_SIGMA)
        bend += second @ axis
        third += 2 * second.T @ (first @ axis)
    return -0.5 * covariance @ (third + first.T @ bend)
