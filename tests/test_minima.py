"""Times of minimum by two methods on eclipses of known middle."""

import math

import numpy as np
import pytest

from starmuster.analysis.minima import time_of_minimum

MID = 2460825.7070


def eclipse(seed=0, *, sigma=0.01, depth=0.3, width_d=0.035, skew=0.0, span=(-0.06, 0.06), n=90):
    """A smooth eclipse, with `skew` steeper on one side."""
    generator = np.random.default_rng(seed)
    t = np.linspace(*span, n) + 1e-4 * generator.normal(size=n)
    width = width_d * (1 + skew * np.tanh(t / 0.01))
    flux = 1 - depth * np.exp(-0.5 * (t / width) ** 2 * 2) + sigma * generator.normal(size=n)
    return MID + t, flux


def test_both_methods_find_the_middle_within_their_errors():
    kwee, polynomial = [], []
    for seed in range(12):
        found = time_of_minimum(*eclipse(seed))
        assert found.verdict in {"minimum", "disagreement"}, found.reason
        kwee.append((found.kwee_d - MID) / found.kwee_err_d)
        polynomial.append((found.polynomial_d - MID) / found.polynomial_err_d)
        assert found.depth == pytest.approx(0.3, abs=0.05)
    for pulls in (kwee, polynomial):
        assert abs(np.mean(pulls)) < 0.9
        assert 0.5 < np.std(pulls) < 1.7


def test_an_eclipse_without_noise_is_timed_to_seconds():
    found = time_of_minimum(*eclipse(sigma=1e-6))
    assert found.kwee_d == pytest.approx(MID, abs=3 / 86400)
    assert found.polynomial_d == pytest.approx(MID, abs=3 / 86400)


def test_a_skewed_eclipse_is_told_and_not_averaged():
    found = time_of_minimum(*eclipse(sigma=0.001, skew=0.5))
    assert found.verdict == "disagreement"
    assert "do not agree" in found.reason
    assert found.difference_sigma > 3


@pytest.mark.parametrize("span", [(-0.06, 0.0005), (-0.0005, 0.06)])
def test_a_night_that_ends_in_the_minimum_has_no_middle(span):
    found = time_of_minimum(*eclipse(sigma=0.003, span=span))
    assert found.verdict in {"one side only", "no minimum"}
    assert found.kwee_d is None


def test_a_flat_star_and_a_handful_of_points_have_no_minimum():
    found = [time_of_minimum(*eclipse(seed, depth=0.0)).verdict for seed in range(10)]
    assert found.count("minimum") <= 1
    few = time_of_minimum(*eclipse(n=6))
    assert (few.verdict, few.n_point) == ("no minimum", 6)


def test_a_flat_bottom_is_timed_within_errors_that_know_of_it():
    pulls = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        t = np.linspace(-0.12, 0.12, 130)
        flux = 1 - 0.025 * np.clip((0.065 - np.abs(t)) / 0.015, 0, 1)
        found = time_of_minimum(MID + t, flux + 0.004 * generator.normal(size=130))
        pulls.append((found.kwee_d - MID) / found.kwee_err_d)
        pulls.append((found.polynomial_d - MID) / found.polynomial_err_d)
    assert np.abs(pulls).max() < 4


def test_order_gaps_and_missing_values_do_not_matter():
    t, flux = eclipse(3)
    once = time_of_minimum(t, flux)
    order = np.random.default_rng(1).permutation(len(t))
    again = time_of_minimum(np.append(t[order], math.nan), np.append(flux[order], 0.2))
    assert again == once
    hole = np.abs(t - MID - 0.02) > 0.005
    assert time_of_minimum(t[hole], flux[hole]).kwee_d == pytest.approx(MID, abs=0.002)


def test_equal_times_are_no_minimum():
    flux = np.linspace(0.9, 1, 40)
    assert time_of_minimum(np.full(40, MID), flux).verdict == "no minimum"
