"""Least squares of a transit times a baseline, in days from the predicted mid-transit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares

from .limb_darkening import disc_flux, quadratic_coefficients, transit_flux
from .limb_darkening_prior import LimbPrior
from .orbits import Ephemeris, Orbit, Shape, duration_d, orbit_of

Array = NDArray[np.float64]

NAMES = ("mid_offset_d", "radius_ratio", "impact_parameter", "a_over_r", "q1", "q2")
STEP = np.array([1e-3, 0.01, 0.05, 0.2, 0.1, 0.1])  # natural size of a change in each
N_START = 21  # mid-times tried before the descent
LEAST_SCALE = 1e-6  # of the quoted errors; a light curve without noise still has a fit
LEAST_Q1 = 0.02  # the least of all models from u to K; a disc without a limb misleads the depth
N_STEP = 100
N_FREE = 2  # mid-time and radius ratio; the rest is held by priors


@dataclass(frozen=True, slots=True)
class Light:
    """A light curve to fit: days from the predicted mid-transit, flux, 1-sigma error, (n,)."""

    offset_d: Array
    flux: Array
    err: Array
    exposure_s: float

    def where(self, kept: NDArray[np.bool_]) -> "Light":
        """Keep some points."""
        return replace(self, offset_d=self.offset_d[kept], flux=self.flux[kept], err=self.err[kept])


@dataclass(frozen=True, slots=True)
class Prior:
    """Centre, 1-sigma width (infinite: none) and bounds of the parameters `NAMES`, (6,)."""

    planet: Ephemeris
    centre: Array
    width: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Solution:
    """A fit: parameters `NAMES` (None: no transit) and the coefficients of the baseline."""

    theta: Array | None
    coefficient: Array
    chi2: float
    penalty: float
    n_point: int
    is_settled: bool = True

    @property
    def bic(self) -> float:
        """Bayesian information criterion; what a prior holds costs by it, not by being counted."""
        n_free = len(self.coefficient) + (0 if self.theta is None else N_FREE)
        return self.chi2 + self.penalty + n_free * math.log(self.n_point)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What another baseline would give, to first order: BIC and parameters `NAMES`.

    `misfit` is what the data and priors add to the BIC, the rest is for the number of terms;
    `variance` is that of the parameters for white noise and their priors.
    """

    bic: float
    misfit: float
    theta: Array | None
    variance: Array | None


def prior_of(planet: Ephemeris, known: Shape, limb: LimbPrior, *, window_d: float) -> Prior:
    """Priors from the ephemeris for the orbit's shape, from models for the limb darkening.

    Mid-time and radius ratio are free.
    """
    centre = [
        0.0,
        planet.expected_radius_ratio,
        known.impact_parameter,
        known.a_over_r,
        limb.q1[0],
        limb.q2[0],
    ]
    width = [
        math.inf,
        math.inf,
        known.impact_parameter_err,
        known.a_over_r_err,
        limb.q1[1],
        limb.q2[1],
    ]
    low = [-window_d, 0.0, 0.0, 1.01, LEAST_Q1, 0.0]
    high = [window_d, 0.6, 1.6, 20 * known.a_over_r, 1.0, 1.0]
    return Prior(planet, *(np.array(values) for values in (centre, width, low, high)))


def orbit_at(prior: Prior, theta: Array) -> Orbit:
    """Orbit of the parameters; its times are days from the predicted mid-transit."""
    return orbit_of(prior.planet, float(theta[3]), float(theta[2]), float(theta[0]))


def model_at(prior: Prior, theta: Array | None, offset_d: Array, exposure_s: float) -> Array:
    """Relative flux of the transit alone, 1 outside it or without one."""
    if theta is None:
        return np.ones_like(offset_d)
    orbit = orbit_at(prior, theta)
    return transit_flux(offset_d, orbit, *theta[[1, 4, 5]].tolist(), exposure_s=exposure_s)


def solve_flat(light: Light, basis: Array) -> Solution:
    """Fit the baseline alone."""
    coefficient, residual = _project(light, basis, np.ones_like(light.flux))
    return Solution(None, coefficient, float(residual @ residual), 0.0, len(residual))


def solve_transit(light: Light, basis: Array, prior: Prior, start: Array | None = None) -> Solution:
    """Fit transit and baseline together.

    The baseline is linear and solved inside (variable projection: Golub & Pereyra 1973), the
    transit by trust-region least squares from `start`, else from the best of several mid-times.

    A descent that has not converged after `N_STEP` steps, as where there is nothing to fit, says so
    in `is_settled`.
    """
    has_prior = np.isfinite(prior.width)
    theta = _best_start(light, basis, prior) if start is None else start
    inside = 1e-6 * (prior.high - prior.low)
    theta = np.clip(theta, prior.low + inside, prior.high - inside)

    def residuals(scaled: Array) -> Array:
        trial = np.clip(scaled * STEP, prior.low, prior.high)
        model = model_at(prior, trial, light.offset_d, light.exposure_s)
        _, data = _project(light, basis, model)
        return np.concatenate([data, ((trial - prior.centre) / prior.width)[has_prior]])

    bounds = (prior.low / STEP, prior.high / STEP)
    result = least_squares(
        residuals,
        theta / STEP,
        bounds=bounds,
        diff_step=1e-5,
        xtol=1e-6,
        ftol=1e-6,
        max_nfev=N_STEP,
    )
    theta = np.clip(result.x * STEP, prior.low, prior.high)
    model = model_at(prior, theta, light.offset_d, light.exposure_s)
    coefficient, data = _project(light, basis, model)
    penalty = float(np.sum(((theta - prior.centre) / prior.width)[has_prior] ** 2))
    return Solution(
        theta, coefficient, float(data @ data), penalty, len(data), bool(result.success)
    )


def _best_start(light: Light, basis: Array, prior: Prior) -> Array:
    """The priors' centre, at the mid-time that fits best with the expected depth."""

    def chi2(offset_d: float) -> float:
        theta = np.concatenate([[offset_d], prior.centre[1:]])
        _, residual = _project(
            light, basis, model_at(prior, theta, light.offset_d, light.exposure_s)
        )
        return float(residual @ residual)

    tries = np.linspace(prior.low[0], prior.high[0], N_START + 2)[1:-1].tolist()
    return np.concatenate([[min(tries, key=chi2)], prior.centre[1:]])


def neighbours(
    solution: Solution, light: Light, bases: Mapping[str, Array], prior: Prior
) -> dict[str, Neighbour]:
    """What other baselines would give together with the transit, to first order, by name.

    Parameters
    ----------
    solution
        A fit of the same light; the first term of its basis is 1, as that of all bases.

    Notes
    -----
    One Gauss-Newton step from `solution` in the parameters of the transit and all coefficients of
    the new basis at once: what a full fit finds where both are near, at a hundredth of the time.
    """
    theta, level = solution.theta, solution.coefficient[:1]
    n_theta = 0 if theta is None else len(NAMES)
    flat = replace(solution, coefficient=level)
    derivative = jacobian(flat, light, np.ones((len(light.flux), 1)), prior)
    transit, model = derivative[:, :n_theta], derivative[:, n_theta:]
    residual = light.flux / light.err - model[:, 0] * level[0]
    held = np.zeros(0) if theta is None else prior.width**-2.0
    away = np.zeros(0) if theta is None else np.where(held > 0, prior.centre - theta, 0.0)
    start = float(residual @ residual + away**2 @ held)
    found = {}
    for name, basis in bases.items():
        columns = np.hstack([transit, basis * model])
        right = columns.T @ residual
        right[:n_theta] += away * held
        matrix = columns.T @ columns
        matrix[np.arange(n_theta), np.arange(n_theta)] += held
        inverse = _inverse(matrix)
        step = inverse @ right
        n_free = basis.shape[1] + (0 if theta is None else N_FREE)
        misfit = start - float(right @ step)
        bic = misfit + n_free * math.log(len(residual))
        if theta is None:
            found[name] = Neighbour(bic, misfit, None, None)
        else:
            variance = np.diag(inverse)[:n_theta]
            found[name] = Neighbour(bic, misfit, theta + step[:n_theta], variance)
    return found


def _project(light: Light, basis: Array, model: Array) -> tuple[Array, Array]:
    """Best coefficients of the baseline under a given transit, and the weighted residuals."""
    weighted = basis * (model / light.err)[:, None]
    target = light.flux / light.err
    coefficient: Array = np.asarray(np.linalg.lstsq(weighted, target)[0], dtype=np.float64)
    return coefficient, target - weighted @ coefficient


def covariance(
    solution: Solution, light: Light, basis: Array, prior: Prior, *, inflation: float = 1.0
) -> tuple[Array, float]:
    """Covariance of `NAMES` (if any) and the coefficients, and how many of them the data determine.

    `inflation` widens the errors of the data, not those of the priors.
    """
    derivative = jacobian(solution, light, basis, prior) / inflation
    data = derivative.T @ derivative
    cov = _inverse(data + _held(solution, len(data), prior))
    return cov, float(np.trace(cov @ data))


def absorbed(solution: Solution, light: Light, basis: Array, prior: Prior) -> Array:
    """What the fit takes out of white noise: its weighted residuals have covariance 1 - U U^T.

    Returns U, shape (n_point, n_parameter).
    """
    derivative = jacobian(solution, light, basis, prior)
    data = derivative.T @ derivative
    cov = _inverse(data + _held(solution, len(data), prior))
    value, vector = np.linalg.eigh(2 * cov - cov @ data @ cov)
    return derivative @ (vector * np.sqrt(np.maximum(value, 0)))


def _held(solution: Solution, n_parameter: int, prior: Prior) -> Array:
    """Inverse variances the priors give, on the diagonal."""
    held = np.zeros(n_parameter)
    if solution.theta is not None:
        held[: len(NAMES)] = prior.width**-2.0
    return np.diag(held)


def _inverse(matrix: Array) -> Array:
    """Invert; what nothing determines (the shape of a transit without depth) gets no variance."""
    return np.asarray(np.linalg.pinv(matrix, rcond=1e-14, hermitian=True), dtype=np.float64)


def jacobian(solution: Solution, light: Light, basis: Array, prior: Prior) -> Array:
    """Derivatives of the flux over its error: by `NAMES` (if any), then by the coefficients."""
    theta = solution.theta
    if theta is None:
        return basis / light.err[:, None]
    baseline = basis @ solution.coefficient
    columns = []
    for i, step in enumerate(1e-3 * STEP):
        high, low = theta.copy(), theta.copy()
        high[i], low[i] = min(theta[i] + step, prior.high[i]), max(theta[i] - step, prior.low[i])
        change = model_at(prior, high, light.offset_d, light.exposure_s) - model_at(
            prior, low, light.offset_d, light.exposure_s
        )
        columns.append(baseline * change / (high[i] - low[i]))
    model = model_at(prior, theta, light.offset_d, light.exposure_s)
    return np.column_stack([*columns, basis * model[:, None]]) / light.err[:, None]


def depth_and_duration(prior: Prior, theta: Array) -> Array:
    """Largest flux loss, and days from first to fourth contact (nan if the planet misses), (2,)."""
    u1, u2 = quadratic_coefficients(float(theta[4]), float(theta[5]))
    depth = 1 - disc_flux(np.array([abs(theta[2])]), float(theta[1]), u1, u2)[0]
    length = duration_d(orbit_at(prior, theta), float(theta[1]))
    return np.array([depth, math.nan if length is None else length])


def propagate(prior: Prior, theta: Array, cov: Array) -> Array:
    """1-sigma errors of `depth_and_duration`, (2,)."""
    steps = 1e-2 * STEP
    gradient = []
    for i, step in enumerate(steps):
        high, low = theta.copy(), theta.copy()
        high[i], low[i] = min(theta[i] + step, prior.high[i]), max(theta[i] - step, prior.low[i])
        change = depth_and_duration(prior, high) - depth_and_duration(prior, low)
        gradient.append(change / (high[i] - low[i]))
    derivative = np.array(gradient).T
    inner = cov[: len(theta), : len(theta)]
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", derivative, inner, derivative), 0))


def matched_errors(quoted: Array, residual: Array, n_fitted: float) -> tuple[float, float]:
    """Scale and jitter that make errors sqrt((scale quoted)^2 + jitter^2) as large as residuals.

    Quoted errors that are too small get a jitter in quadrature, in the unit of the residuals;
    those that are too large are scaled down. Reduced chi-square is then 1.
    """
    n_degree = max(len(residual) - n_fitted, 1.0)

    def excess(variance: float) -> float:
        return float(np.sum(residual**2 / (quoted**2 + variance)) / n_degree - 1)

    if (first := excess(0.0)) <= 0:
        return max(math.sqrt(max(first + 1, 0.0)), LEAST_SCALE), 0.0
    most = float(np.sum(residual**2) / n_degree)
    return 1.0, math.sqrt(float(brentq(excess, 0.0, most)))  # pyright: ignore[reportArgumentType]
