"""Stars of a cluster with known distance, reddening, pairs and field stars, without any frame.

Made from points of an isochrone by drawing masses, and by nothing that a fit uses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClusterTruth:
    """What a cluster is made with; magnitudes of extinction per magnitude in V by band."""

    n_star: int = 1000
    dm_mag: float = 14.3
    a_v_mag: float = 0.1
    binary_fraction: float = 0.3
    field_fraction: float = 0.2
    faintest_mag: float = 20.5
    band_of_limit: int = 1
    coefficients: tuple[float, ...] = (1.2, 0.87, 0.65)
    max_phase: int = 2


@dataclass(frozen=True, slots=True)
class Cluster:
    """Apparent magnitudes without errors, shape (n_star, n_band), and who is what."""

    mag: Array
    is_pair: NDArray[np.bool_]
    is_field: NDArray[np.bool_]


def synthetic_cluster(
    mass_msun: Array, phase: Array, mag: Array, truth: ClusterTruth, *, seed: int
) -> Cluster:
    """Draw stars brighter than a limit from an isochrone, pairs and field stars among them.

    Parameters
    ----------
    mass_msun, phase, mag
        Points of the isochrone; mag of shape (n_eep, n_band), absolute.
    """
    rng = np.random.default_rng(seed)
    kept = phase <= truth.max_phase
    mass, curve = mass_msun[kept], mag[kept]
    extinction = truth.a_v_mag * np.array(truth.coefficients)
    shift = truth.dm_mag + extinction
    n_field = rng.binomial(truth.n_star, truth.field_fraction)
    n_member = truth.n_star - n_field
    limit = truth.faintest_mag - shift[truth.band_of_limit]
    magnitudes = np.empty((0, curve.shape[1]))
    is_pair = np.empty(0, dtype=bool)
    while len(magnitudes) < n_member:
        drawn, pairs = _drawn(rng, mass, curve, truth.binary_fraction, 20 * n_member)
        seen = drawn[:, truth.band_of_limit] < limit
        magnitudes = np.vstack([magnitudes, drawn[seen]])
        is_pair = np.concatenate([is_pair, pairs[seen]])
    magnitudes, is_pair = magnitudes[:n_member] + shift, is_pair[:n_member]
    field = _field(rng, magnitudes, truth, n_field)
    return Cluster(
        np.vstack([magnitudes, field]),
        np.concatenate([is_pair, np.zeros(n_field, dtype=bool)]),
        np.arange(truth.n_star) >= n_member,
    )


def _drawn(rng, mass: Array, curve: Array, binary_fraction: float, n_star: int):
    """Draw from the mass function of Salpeter between the lightest and heaviest star."""
    slope = -1.35
    low, high = max(mass[0], 0.3) ** slope, mass[-1] ** slope
    primary = (low + rng.uniform(size=n_star) * (high - low)) ** (1 / slope)
    companion = primary * rng.uniform(size=n_star)
    is_pair = rng.uniform(size=n_star) < binary_fraction
    lights = []
    for column in curve.T:
        light = 10 ** (-0.4 * np.interp(primary, mass, column))
        second = 10 ** (-0.4 * np.interp(companion, mass, column))
        lights.append(light + np.where(is_pair & (companion > mass[0]), second, 0))
    return -2.5 * np.log10(np.column_stack(lights)), is_pair


def _field(rng, members: Array, truth: ClusterTruth, n_field: int) -> Array:
    """Field stars: more of them the fainter, of any colour the diagram shows."""
    limit = members[:, truth.band_of_limit]
    share = rng.uniform(size=n_field)
    mag = (
        truth.faintest_mag
        + np.log10(share + (1 - share) * 10 ** (-0.3 * (truth.faintest_mag - limit.min()))) / 0.3
    )
    colours = members - limit[:, None]
    order = np.argsort(colours[:, 0] - colours[:, -1])
    bluest, reddest = colours[order[0]], colours[order[-1]]
    place = rng.uniform(size=n_field)[:, None]
    return mag[:, None] + bluest * (1 - place) + reddest * place
