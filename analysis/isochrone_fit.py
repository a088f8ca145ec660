"""Fit isochrones to the stars of a colour-magnitude diagram: least squares, then the posterior."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize

from ..errors import FitError
from .isochrone_parameters import RANGES
from .isochrone_problem import Problem, Track, check_problem

Array = NDArray[np.float64]

N_STAR_START = 150  # stars that look for the place to begin
START_SIGMA = 0.05  # mag; errors are no smaller there, for a wide valley
FAR = 3.0  # errors, beyond which a star pulls less and less
WALKERS_PER_PARAMETER, MIN_WALKERS = 4, 24
ENOUGH = 50  # autocorrelation times
STEPS = {  # where a search looks first, around its beginning
    "age": 0.05,
    "feh": 0.05,
    "dm": 0.05,
    "av": 0.03,
    "colour_offset": 0.02,
    "mag_offset": 0.05,
    "binaries": 0.1,
    "field": 0.05,
    "jitter": 0.003,
}


@dataclass(frozen=True, slots=True)
class IsochroneFit:
    """A curve and how well it is known.

    Attributes
    ----------
    method
        by hand, least squares, posterior.
    values
        Every parameter at the best place; of a posterior the median.
    errors
        1-sigma of those fitted.
    samples
        Of the posterior, shape (n_sample, n_free); empty without one.
    is_member
        Probability of each star.
    n_independent
        Samples over autocorrelation time; None without a posterior.
    """

    method: str
    problem: Problem
    values: dict[str, float]
    errors: dict[str, float]
    track: Track
    log_likelihood: float | None
    is_member: Array
    samples: Array
    correlation: Array
    acceptance: float | None = None
    n_independent: float | None = None

    @property
    def gain_per_star(self) -> float | None:
        """By how much a star is likelier with the isochrone than in any colour, as a logarithm."""
        n_star = len(self.problem.stars.mag)
        if self.log_likelihood is None or not n_star:
            return None
        return self.log_likelihood / n_star + math.log(self.problem.stars.colour_range)


def by_hand(problem: Problem) -> IsochroneFit:
    """Lay the isochrone where it was asked for."""
    n_free = len(problem.free)
    return IsochroneFit(
        "by hand",
        problem,
        problem.values,
        {},
        problem.track(problem.values),
        None,
        np.zeros(0),
        np.zeros((0, n_free)),
        np.zeros((0, 0)),
    )


def fit_least_squares(problem: Problem, *, seed: int = 1) -> IsochroneFit:
    """Find the curve nearest to the stars in units of their errors; far stars pull little.

    Pairs pull it to the bright and red side, hence it is where a posterior begins, no more. Errors
    are those of the curvature there.

    Raises
    ------
    UsageError, FitError
        See `check_problem`; or it did not converge.
    """
    check_problem(problem)
    geometric = [name for name in problem.free if name not in {"binaries", "field", "jitter"}]
    begun = problem.begun(**_begin(problem, geometric, seed))
    if not geometric:
        return _finished("least squares", begun, begun.values, {}, np.zeros((0, 0)))
    bounds = np.array([_limits(problem, name) for name in geometric]).T
    start = np.clip([begun.values[name] for name in geometric], *bounds)
    scale = np.array([STEPS[name] for name in geometric])

    def residuals(vector: Array) -> Array:
        values = begun.values | dict(zip(geometric, map(float, vector), strict=True))
        return _distances(begun, values) if problem.is_inside(values) else np.full(n_star, 1e3)

    n_star = len(problem.stars.mag)
    found = least_squares(
        residuals, start, bounds=bounds, x_scale=scale, loss="cauchy", f_scale=FAR, diff_step=1e-5
    )
    if not np.isfinite(found.x).all():
        raise FitError("least squares ended nowhere; begin nearer with --distance and --av.")
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * max(2 * found.cost / n_star, 1.0)
    values = begun.values | dict(zip(geometric, map(float, found.x), strict=True))
    sigma = np.sqrt(np.diag(covariance))
    errors = dict(zip(geometric, map(float, sigma), strict=True))
    correlation = covariance / np.outer(sigma, sigma)
    return _finished("least squares", begun, values, errors, correlation)


def fit_posterior(
    problem: Problem, *, n_step: int = 600, seed: int = 1, progress=None
) -> IsochroneFit:
    """Sample the posterior of all free parameters with emcee, from the best likelihood on.

    Parameters
    ----------
    n_step
        Steps of each walker, of which the first third is left out.
    progress
        Called after each step.

    Raises
    ------
    UsageError, FitError
        See `fit_least_squares`.

    References
    ----------
    Foreman-Mackey et al. 2013, PASP 125, 306 (emcee); Hogg, Bovy & Lang 2010, arXiv:1008.4686
    (mixtures of good and bad points).
    """
    import emcee

    near = fit_least_squares(problem, seed=seed)
    begun = problem.begun(**near.values)
    best = _climbed(begun)
    n_free = len(problem.free)
    n_walker = max(MIN_WALKERS, WALKERS_PER_PARAMETER * n_free)
    rng = np.random.default_rng(seed)
    walkers = _scattered(begun, best, n_walker, rng)
    sampler = emcee.EnsembleSampler(n_walker, n_free, begun.log_posterior)
    sampler.random_state = np.random.RandomState(seed).get_state()
    for _ in sampler.sample(walkers, iterations=n_step):
        if progress is not None:
            progress()
    tau = float(np.max(sampler.get_autocorr_time(tol=0, quiet=True)))
    samples = sampler.get_chain(discard=n_step // 3, flat=True)
    assert samples is not None
    values = begun.named(np.median(samples, axis=0))
    errors = dict(zip(problem.free, map(float, _half_widths(samples)), strict=True))
    correlation = np.corrcoef(samples.T).reshape(n_free, n_free)
    return _finished(
        "posterior",
        begun,
        values,
        errors,
        correlation,
        samples=samples,
        acceptance=float(np.mean(sampler.acceptance_fraction)),
        n_independent=(n_step - n_step // 3) / tau if tau > 0 else None,
    )


def _finished(
    method: str,
    problem: Problem,
    values: dict[str, float],
    errors: dict[str, float],
    correlation: Array,
    *,
    samples: Array | None = None,
    acceptance: float | None = None,
    n_independent: float | None = None,
) -> IsochroneFit:
    density, is_member = problem.of_stars(values)
    return IsochroneFit(
        method,
        problem,
        values,
        errors,
        problem.track(values),
        float(np.log(np.maximum(density, 1e-300)).sum()),
        is_member,
        np.zeros((0, len(problem.free))) if samples is None else samples,
        correlation,
        acceptance,
        n_independent,
    )


def _limits(problem: Problem, name: str) -> tuple[float, float]:
    low, high = {
        "age": (problem.grid.ages_gyr[0], problem.grid.ages_gyr[-1]),
        "feh": (problem.grid.fehs_dex[0], problem.grid.fehs_dex[-1]),
    }.get(name, RANGES.get(name, (-math.inf, math.inf)))
    for prior in problem.priors:
        if prior.quantity == name:
            low, high = max(low, prior.low), min(high, prior.high)
    return low, high


def _begin(problem: Problem, free: list[str], seed: int) -> dict[str, float]:
    """Look over distances and reddenings for the likeliest; the rest stays where it is."""
    shifts = [name for name in ("dm", "mag_offset") if name in free]
    colours = [name for name in ("av", "colour_offset") if name in free]
    if not shifts and not colours:
        return {}
    coarse = _coarse(problem, seed)
    values = dict(coarse.values) | {"jitter": START_SIGMA}
    tried: list[tuple[float, dict[str, float]]] = []
    spans = _spans(coarse, values)
    for mag in spans["mag"] if shifts else [0.0]:
        for colour in spans["colour"] if colours else [0.0]:
            moved = _moved(coarse, values, (shifts, colours), (mag, colour))
            if moved is not None:
                tried.append((coarse.log_likelihood(moved), moved))
    if not tried:
        return {}
    best = max(tried, key=lambda pair: pair[0])[1]
    return {name: best[name] for name in (*shifts, *colours)}


def _coarse(problem: Problem, seed: int) -> Problem:
    n_star = len(problem.stars.mag)
    chosen = np.random.default_rng(seed).permutation(n_star)[:N_STAR_START]
    coarse = problem.begun()
    coarse.stars = problem.stars.chosen(chosen)
    return coarse


def _spans(problem: Problem, values: dict[str, float]) -> dict[str, Array]:
    """Shifts to try: every magnitude at which the stars overlap the curve, colours near it."""
    found, stars = problem.isochrone(values), problem.stars
    curve = found.mag[found.phase <= problem.max_phase]
    low = np.percentile(stars.mag, 5) - curve.max()
    high = np.percentile(stars.mag, 95) - curve.min()
    middle = float(np.median(stars.colour) - np.median(found.colour))
    width = max(1.0, float(np.subtract(*np.percentile(stars.colour, [95, 5]))))
    return {
        "mag": np.arange(low, high, 0.15),
        "colour": np.arange(middle - width, middle + width, 0.08),
    }


def _moved(
    problem: Problem,
    values: dict[str, float],
    names: tuple[list[str], list[str]],
    place: tuple[float, float],
) -> dict[str, float] | None:
    """Return parameters that shift the curve so; None outside their ranges."""
    (shifts, colours), (mag, colour) = names, place
    moved = dict(values)
    if "colour_offset" in colours:
        moved["colour_offset"] = values["colour_offset"] - (colour - problem.shift(values)[0])
    elif colours:
        reddening = problem.shift(values | {"av": 1.0})[0] - problem.shift(values | {"av": 0.0})[0]
        moved["av"] = values["av"] + (colour - problem.shift(values)[0]) / reddening
    if shifts:
        sign = -1 if shifts == ["mag_offset"] else 1
        moved[shifts[0]] = values[shifts[0]] + sign * (mag - problem.shift(moved)[1])
    for name in (*shifts, *colours):
        low, high = _limits(problem, name)
        if not low <= moved[name] <= high:
            return None
    return moved


def _distances(problem: Problem, values: dict[str, float]) -> Array:
    """Distance of each star to the nearest place of the curve, in units of its errors."""
    track, stars = problem.track(values), problem.stars
    kept = track.phase <= problem.max_phase
    colour, mag = track.colour[kept], track.mag[kept]
    sigma = np.hypot(stars.colour_err, 0.01)[:, None], np.hypot(stars.mag_err, 0.02)[:, None]
    x0 = (colour[:-1] - stars.colour[:, None]) / sigma[0]
    y0 = (mag[:-1] - stars.mag[:, None]) / sigma[1]
    dx, dy = np.diff(colour) / sigma[0], np.diff(mag) / sigma[1]
    along = np.clip(-(x0 * dx + y0 * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0, 1)
    return np.sqrt(np.min((x0 + along * dx) ** 2 + (y0 + along * dy) ** 2, axis=1))


def _climbed(problem: Problem) -> Array:
    """Climb the posterior from where least squares ended."""
    start = problem.vector()
    simplex = np.vstack([start, *(_stepped(problem, start, i) for i in range(len(start)))])
    found = minimize(
        lambda vector: -max(problem.log_posterior(vector), -1e300),
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": 400 * len(start), "fatol": 0.01},
    )
    return np.asarray(found.x)


def _stepped(problem: Problem, start: Array, i: int) -> Array:
    """Return a place one step aside, to the other side where that leaves the range."""
    name, aside = problem.free[i], start.copy()
    step = STEPS[name] * (start[i] if name == "age" else 1)
    aside[i] += step
    if not math.isfinite(problem.log_posterior(aside)):
        aside[i] -= 2 * step
    return aside


def _scattered(problem: Problem, best: Array, n_walker: int, rng) -> Array:
    """Put walkers around the best place, all where the posterior is not naught."""
    scale = np.array(
        [
            0.2 * STEPS[name] * (best[i] if name == "age" else 1)
            for i, name in enumerate(problem.free)
        ]
    )
    walkers: list[Array] = []
    for n_try in range(200 * n_walker):
        walker = best + scale * rng.standard_normal(len(best)) * 0.97 ** (n_try // n_walker)
        if math.isfinite(problem.log_posterior(walker)):
            walkers.append(walker)
        if len(walkers) == n_walker:
            return np.array(walkers)
    raise FitError(
        "no room for the posterior around the best curve: the priors leave none. Widen them."
    )


def _half_widths(samples: Array) -> Array:
    low, high = np.percentile(samples, [15.87, 84.13], axis=0)
    return (high - low) / 2
