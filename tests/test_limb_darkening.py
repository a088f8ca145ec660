"""The transit model against the naive sum over the star's disc."""

import math

import numpy as np
import pytest

from starmuster.analysis.limb_darkening import disc_flux, quadratic_coefficients, transit_flux
from starmuster.analysis.orbits import Orbit


def naive_flux(z: float, k: float, u1: float, u2: float) -> float:
    """Take the light off ring by ring: each loses the share of its arc the planet covers."""
    edges = np.sin(np.linspace(0, np.pi / 2, 40_001))  # fine near the limb
    r = (edges[1:] + edges[:-1]) / 2
    mu = np.sqrt(1 - r**2)
    light = (1 - u1 * (1 - mu) - u2 * (1 - mu) ** 2) * r * np.diff(edges)
    cosine = (r**2 + z**2 - k**2) / (2 * r * max(z, 1e-12))
    covered = np.arccos(np.clip(cosine, -1, 1)) / math.pi
    return 1 - float((light * covered).sum() / light.sum())


@pytest.mark.parametrize("k", [0.03, 0.1, 0.2])
@pytest.mark.parametrize("coefficients", [(0.0, 0.0), (0.4, 0.25), (0.1, -0.1), (1.0, 0.0)])
def test_the_model_agrees_with_a_sum_over_rings(k, coefficients):
    z = np.array([0.02, 0.3, 0.7, 1 - k, 0.95, 1.0, 1 + 0.9 * k, 1 + k, 1.5])
    expected = [naive_flux(float(each), k, *coefficients) for each in z]
    assert np.abs(disc_flux(z, k, *coefficients) - expected).max() < 1e-6


def test_kippings_coefficients_fill_exactly_the_physical_triangle():
    generator = np.random.default_rng(1)
    for q1, q2 in generator.uniform(size=(200, 2)):
        u1, u2 = quadratic_coefficients(q1, q2)
        assert u1 >= 0  # brightest at the centre
        assert u1 + u2 <= 1 + 1e-12  # light at the limb
        assert (u1 + u2) ** 2 == pytest.approx(q1)
        assert u1 / 2 / (u1 + u2) == pytest.approx(q2)


def test_a_long_exposure_is_the_mean_of_short_ones():
    orbit = Orbit(3.0, 0.0, 9.0, 0.2)
    time = np.linspace(-0.08, 0.08, 41)
    parts = (np.arange(200) + 0.5) / 200 - 0.5
    short = [
        transit_flux(time + p * 900 / 86400, orbit, 0.1, 0.4, 0.3, exposure_s=1) for p in parts
    ]
    long = transit_flux(time, orbit, 0.1, 0.4, 0.3, exposure_s=900)
    assert np.abs(long - np.mean(short, axis=0)).max() < 2e-5
    instant = transit_flux(time, orbit, 0.1, 0.4, 0.3, exposure_s=1)
    assert np.abs(long - instant).max() > 5e-4  # fifteen minutes do blur it
