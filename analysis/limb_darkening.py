"""The light of a limb-darkened star with a planet before it."""

import math

import numpy as np
from exoplanet_core.numpy import ops
from numpy.typing import NDArray

from .orbits import Orbit, separation

Array = NDArray[np.float64]

# Centre and 1-sigma width of broad priors on Kipping's q1 and q2. Quadratic laws fitted (mu >= 0.1)
# to the quasi-spherical models of Claret, Hauschildt & Witte 2013 (A&A 552, A16), 5000 to 10000 K,
# log g >= 3, B to z, have q1 = 0.48 with scatter 0.21 and q2 = 0.26 with scatter 0.14; widened for
# cooler stars and for frames without a filter.
Q1_PRIOR = (0.45, 0.25)
Q2_PRIOR = (0.28, 0.18)

SUBEXPOSURE_S = 30.0  # a transit does not bend within half a minute


def quadratic_coefficients(q1: float, q2: float) -> tuple[float, float]:
    """Turn Kipping's q1, q2 in 0 ... 1 into u1, u2 (Kipping 2013, MNRAS 435, 2152)."""
    root = math.sqrt(q1)
    return 2 * root * q2, root * (1 - 2 * q2)


def disc_flux(separation_r: Array, radius_ratio: float, u1: float, u2: float) -> Array:
    """Flux of the star, 1 unobscured, with a planet at the given separations in stellar radii.

    The star's brightness is 1 - u1 (1 - mu) - u2 (1 - mu)^2.

    References
    ----------
    Agol, Luger & Foreman-Mackey 2020, AJ 159, 123 (computed by exoplanet-core).
    """
    coefficient = np.array([1 - u1 - 1.5 * u2, u1 + 2 * u2, -0.25 * u2])
    coefficient /= math.pi * (coefficient[0] + coefficient[1] / 1.5)
    flux = np.ones_like(separation_r)
    near = separation_r < 1 + radius_ratio
    ratio = np.full(np.count_nonzero(near), radius_ratio)
    flux[near] = ops.quad_solution_vector(separation_r[near], ratio) @ coefficient
    return flux


def transit_flux(
    time_d: Array, orbit: Orbit, radius_ratio: float, q1: float, q2: float, *, exposure_s: float
) -> Array:
    """Relative flux averaged over each exposure, 1 outside the transit, shape of `time_d`."""
    u1, u2 = quadratic_coefficients(q1, q2)
    n_part = max(1, math.ceil(exposure_s / SUBEXPOSURE_S))
    part_d = ((np.arange(n_part) + 0.5) / n_part - 0.5) * exposure_s / 86400
    fine = (time_d[:, None] + part_d).ravel()
    flux = disc_flux(separation(orbit, fine), radius_ratio, u1, u2)
    return flux.reshape(-1, n_part).mean(axis=1)
