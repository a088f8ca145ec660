"""The sampler against least squares and against integrals done by brute force."""

import math

import numpy as np
import pytest

from starmuster.analysis.baselines import COVARIATES
from starmuster.analysis.posteriors import (
    FREE_WIDTH,
    correlated_likelihood_of,
    likelihood_of,
    sample,
)
from starmuster.analysis.synthetic_transits import EXPOSURE_S, PLANET, synthetic_night
from starmuster.analysis.transit_results import with_posterior
from starmuster.analysis.transit_solver import model_at
from starmuster.analysis.transits import fit_transit


@pytest.fixture(scope="module")
def fit():
    rows = synthetic_night(PLANET, 5, radius_ratio=0.12).rows
    return fit_transit(
        rows["bjd"],
        rows["flux"],
        rows["err"],
        rows.select(COVARIATES),
        planet=PLANET,
        exposure_s=EXPOSURE_S,
    )


def test_the_integral_over_the_baseline_is_that_of_a_grid(fit):
    likelihood = likelihood_of(fit.settled, fit.prior, 1.0)
    theta, noise = fit.settled.solution.theta, np.array([math.log(1e-4)])
    n_term = likelihood.basis.shape[1]
    value, mean, factor = likelihood.of(theta, noise)
    cov = np.diag(likelihood.light.err**2 + 1e-8)
    assert value == pytest.approx(by_hand(likelihood, theta, cov), abs=1e-4)
    assert mean == pytest.approx(fit.settled.solution.coefficient, abs=2e-3)
    assert factor.shape == (n_term, n_term)


def by_hand(likelihood, theta, cov):
    """The same Gaussian over all points, the coefficients as part of its covariance."""
    model = model_at(likelihood.prior, theta, likelihood.light.offset_d, EXPOSURE_S)
    terms = likelihood.basis * model[:, None]
    whole = cov + FREE_WIDTH**2 * terms @ terms.T
    away = likelihood.light.flux - terms @ likelihood.centre
    _, log_det = np.linalg.slogdet(2 * np.pi * whole)
    return -0.5 * (away @ np.linalg.solve(whole, away) + log_det)


def test_a_gaussian_process_has_the_likelihood_of_its_dense_covariance(fit):
    likelihood = correlated_likelihood_of(fit.settled, fit.prior)
    theta, size, length_d = fit.settled.solution.theta, 0.002, 0.02
    value, _, _ = likelihood.of(theta, np.log([1e-4, size, length_d]))
    light = likelihood.light
    lag = math.sqrt(3) * np.abs(light.offset_d[:, None] - light.offset_d) / length_d
    cov = np.diag(light.err**2 + 1e-8) + size**2 * (1 + lag) * np.exp(-lag)
    # celerite2 writes Matern-3/2 with an epsilon of 0.01
    assert value == pytest.approx(by_hand(likelihood, theta, cov), abs=0.5)
    low, high = likelihood.noise_range
    assert likelihood.noise_names == ("log_jitter", "log_size", "log_length")
    assert (low < high).all()
    assert likelihood.log_prior(theta, high + 1) == -math.inf


def test_the_posterior_meets_least_squares_and_says_how_long_it_ran(fit):
    likelihood = likelihood_of(fit.settled, fit.prior, fit.error_inflation)
    terms = [name for name in fit.parameters if name.startswith("baseline ")]
    steps = []
    posterior = sample(
        likelihood, fit.settled, n_sample=2000, terms=terms, max_steps=500, advance=steps.append
    )
    assert posterior.samples.height == 2000
    assert posterior.is_converged == (sum(steps) >= 50 * posterior.autocorrelation_step)
    assert 100 < posterior.n_effective < sum(steps) * 32
    found = with_posterior(fit, posterior)
    assert found.method == "emcee"
    assert found.mid_bjd_tdb == pytest.approx(fit.mid_bjd_tdb, abs=0.5 * fit.mid_bjd_tdb_err)
    assert found.radius_ratio == pytest.approx(fit.radius_ratio, abs=0.6 * fit.radius_ratio_err)
    assert found.mid_bjd_tdb_err == pytest.approx(fit.mid_bjd_tdb_err, rel=0.35)
    assert found.radius_ratio_err == pytest.approx(fit.radius_ratio_err, rel=0.35)
    assert found.duration_h == pytest.approx(fit.duration_h, abs=4 * fit.duration_h_err)
