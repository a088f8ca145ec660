"""The mean of a posterior by second derivatives, against integrals done by brute force."""

import numpy as np
import pytest

from starmuster.analysis.mean_shift import mean_shift


def test_the_mean_of_a_bent_posterior_is_that_of_an_integral():
    """Depth k^2 (1 + q) is known to 4 %, q held by a prior: k is a bent function of both."""
    err, depth, q_err = 0.0006, 0.015, 0.15

    def jacobian(step):
        k, q = np.array([0.1, 0.5]) + step
        return np.array([[2 * k * (1 + q), k**2]]) / err

    first = jacobian(np.zeros(2))
    covariance = np.linalg.inv(first.T @ first + np.diag([0, q_err**-2]))
    shift = mean_shift(jacobian, covariance)
    k, q = np.meshgrid(np.linspace(0.07, 0.16, 900), np.linspace(-0.3, 1.4, 900))
    chi2 = ((k**2 * (1 + q) - depth) / err) ** 2 + ((q - 0.5) / q_err) ** 2
    weight = np.exp(-0.5 * chi2)
    mean = np.array([(weight * each).sum() for each in (k, q)]) / weight.sum()
    assert abs(mean[0] - 0.1) > 2e-4
    assert shift[0] == pytest.approx(mean[0] - 0.1, rel=0.25)  # the third order is left out
    assert shift[1] == pytest.approx(mean[1] - 0.5, abs=0.005)


def test_a_straight_model_has_its_mean_at_its_peak():
    design = np.random.default_rng(1).normal(size=(40, 3))
    shift = mean_shift(lambda _: design, np.linalg.inv(design.T @ design))
    assert shift == pytest.approx(np.zeros(3))
