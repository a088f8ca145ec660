"""The posterior of a transit: emcee, or dynesty for the evidence, over the same likelihood."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import FitError, UsageError
from .transit_rounds import Settled
from .transit_solver import NAMES, STEP, Light, Prior, covariance, model_at

Array = NDArray[np.float64]

N_WALKER = 32
MIN_LENGTHS = 50  # autocorrelation times a chain must last, as emcee's authors ask
CHECK_STEPS = 500
MAX_STEPS = 12_000
BURN_LENGTHS = 5
JITTER_RANGE = (-4.0, 2.0)  # decades of the median error
FREE_WIDTH = 0.1  # prior of a coefficient of the baseline, relative flux: far wider than any


@dataclass(frozen=True, slots=True)
class Posterior:
    """Samples of a transit's parameters, and how far they can be trusted.

    Attributes
    ----------
    samples
        One row a sample: `NAMES`, log_jitter (natural log of relative flux; with a Gaussian process
        log_size and log_length in days, too), the coefficients of the baseline, log_likelihood.
    n_effective
        Independent samples among those drawn: draws over autocorrelation time, least of all.
    autocorrelation_step
        Largest of all parameters, in steps; None of dynesty.
    is_converged
        The chain outlasts 50 autocorrelation times; dynesty stopped by its own rule.
    log_evidence_ratio
        Natural log of the evidence of the transit over that of the flat line; None of emcee.
    """

    samples: pl.DataFrame
    method: str
    n_effective: float
    autocorrelation_step: float | None
    is_converged: bool
    log_evidence_ratio: float | None = None
    noise_model: str = "white with red-noise factors"


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Light, baseline and priors; the coefficients of the baseline are integrated out.

    The baseline is linear and its coefficients have a normal prior of width `FREE_WIDTH` around
    the least-squares ones, so the integral over them is exact: seven parameters are left to
    sample, whatever the baseline, and coefficients are drawn afterwards.
    """

    light: Light
    basis: Array
    prior: Prior
    centre: Array

    @property
    def log_jitter_range(self) -> tuple[float, float]:
        """Natural log of the least and the largest jitter, relative flux."""
        scale = math.log(float(np.median(self.light.err)))
        low, high = JITTER_RANGE
        return scale + low * math.log(10), scale + high * math.log(10)

    @property
    def noise_names(self) -> tuple[str, ...]:
        """Names of the parameters of the noise, natural logs."""
        return ("log_jitter",)

    @property
    def noise_range(self) -> tuple[Array, Array]:
        """Bounds of the parameters of the noise: the log of the jitter."""
        low, high = self.log_jitter_range
        return np.array([low]), np.array([high])

    def of(self, theta: Array | None, noise: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, mean coefficients, Cholesky factor of their inverse covariance."""
        light = self.light
        model = model_at(self.prior, theta, light.offset_d, light.exposure_s)
        variance = light.err**2 + math.exp(2 * float(noise[0]))
        terms = self.basis * model[:, None]
        away = light.flux - terms @ self.centre
        solved = np.column_stack([terms, away]) / variance[:, None]
        return self._integrated(terms, away, solved, float(np.sum(np.log(2 * np.pi * variance))))

    def _integrated(
        self, terms: Array, away: Array, solved: Array, log_norm: float
    ) -> tuple[float, Array, Array]:
        """Integrate over the coefficients; `solved` is the inverse covariance times terms, away."""
        weighted, right = solved[:, :-1], solved[:, -1]
        precision = terms.T @ weighted + np.eye(terms.shape[1]) / FREE_WIDTH**2
        factor: Array = np.asarray(np.linalg.cholesky(precision), dtype=np.float64)
        shift = np.linalg.solve(precision, weighted.T @ away)
        chi2 = float(away @ right - shift @ precision @ shift)
        log_det = 2 * float(np.sum(np.log(FREE_WIDTH * np.diag(factor))))
        return -0.5 * (chi2 + log_det + log_norm), self.centre + shift, factor

    def log_prior(self, theta: Array, noise: Array) -> float:
        """Normal priors inside the bounds; flat in the logs of the noise."""
        low, high = self.noise_range
        is_inside = bool(np.all((theta > self.prior.low) & (theta < self.prior.high)))
        if not (is_inside and np.all((noise > low) & (noise < high))):
            return -math.inf
        held = np.isfinite(self.prior.width)
        return -0.5 * float(np.sum(((theta - self.prior.centre) / self.prior.width)[held] ** 2))

    def log_posterior(self, parameters: Array) -> float:
        """Of `NAMES` and those of the noise, (6 + n_noise,)."""
        theta, noise = parameters[: len(NAMES)], parameters[len(NAMES) :]
        prior = self.log_prior(theta, noise)
        return prior if prior == -math.inf else prior + self.of(theta, noise)[0]


@dataclass(frozen=True, slots=True)
class CorrelatedLikelihood(Likelihood):
    """A likelihood whose noise is a Gaussian process: white with a jitter, and Matern-3/2.

    The process has a size (natural log, relative flux) and a length (natural log, days); errors
    are not widened beside it.
    """

    @property
    def noise_names(self) -> tuple[str, ...]:
        """Names of the parameters of the noise, natural logs."""
        return ("log_jitter", "log_size", "log_length")

    @property
    def noise_range(self) -> tuple[Array, Array]:
        """Bounds of log jitter, log size and log length: 5 minutes to a third of the night."""
        low, high = self.log_jitter_range
        night_d = float(np.ptp(self.light.offset_d))
        lengths = math.log(5 / 1440), math.log(max(night_d / 3, 10 / 1440))
        return np.array([low, low, lengths[0]]), np.array([high, high, lengths[1]])

    def of(self, theta: Array | None, noise: Array) -> tuple[float, Array, Array]:
        """As `Likelihood.of`, with the covariance of the process."""
        import celerite2

        light = self.light
        model = model_at(self.prior, theta, light.offset_d, light.exposure_s)
        log_jitter, log_size, log_length = noise.tolist()
        kernel = celerite2.terms.Matern32Term(sigma=math.exp(log_size), rho=math.exp(log_length))
        process = celerite2.GaussianProcess(kernel, mean=0.0)
        process.compute(light.offset_d, diag=light.err**2 + math.exp(2 * log_jitter))
        terms = self.basis * model[:, None]
        away = light.flux - terms @ self.centre
        solved = process.apply_inverse(np.column_stack([terms, away]))
        log_norm = 2 * float(process.log_likelihood(np.zeros_like(away)))
        return self._integrated(terms, away, solved, -log_norm)


def likelihood_of(settled: Settled, prior: Prior, inflation: float) -> Likelihood:
    """Take points, errors and baseline from a least-squares fit.

    Parameters
    ----------
    inflation
        Factor on the errors for red noise.
    """
    light = settled.light.where(settled.kept)
    wide = Light(light.offset_d, light.flux, light.err * inflation, light.exposure_s)
    return Likelihood(wide, settled.basis[settled.kept], prior, settled.solution.coefficient)


def correlated_likelihood_of(settled: Settled, prior: Prior) -> CorrelatedLikelihood:
    """Take the same with a Gaussian process beside errors that are not widened.

    Raises
    ------
    UsageError
        celerite2 is not installed.
    """
    if find_spec("celerite2") is None:
        raise UsageError(
            "a Gaussian process needs celerite2, which is not installed: "
            "pip install 'starmuster[gp]'."
        )
    plain = likelihood_of(settled, prior, 1.0)
    return CorrelatedLikelihood(plain.light, plain.basis, plain.prior, plain.centre)


def sample(
    likelihood: Likelihood,
    settled: Settled,
    *,
    n_sample: int,
    terms: list[str],
    seed: int = 1,
    max_steps: int = MAX_STEPS,
    advance: Callable[[int], None] | None = None,
) -> Posterior:
    """Sample with emcee from around the least-squares fit until the chain is long enough.

    Parameters
    ----------
    n_sample
        Samples kept, thinned evenly from the chain.
    terms
        Names of the baseline's coefficients.
    seed
        The same seed gives the same samples.
    max_steps
        A chain that is not long enough by then ends, and `is_converged` says so.
    advance
        Called with the number of steps done.

    Raises
    ------
    FitError
        The walkers found no place with a finite probability.

    References
    ----------
    Foreman-Mackey et al. 2013, PASP 125, 306.
    """
    import emcee

    generator = np.random.default_rng(seed)
    start = _start(likelihood, settled, generator)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(N_WALKER, start.shape[1], likelihood.log_posterior, moves=moves)
    sampler.random_state = np.random.RandomState(seed).get_state()  # emcee takes no generator
    needed = max(CHECK_STEPS, math.ceil(n_sample / N_WALKER))
    state, length, n_step = start, math.inf, 0
    while n_step < max(needed, min(MIN_LENGTHS * length, max_steps)):
        state = sampler.run_mcmc(state, CHECK_STEPS, progress=False)
        n_step += CHECK_STEPS
        length = float(np.max(sampler.get_autocorr_time(tol=0)))
        if advance:
            advance(CHECK_STEPS)
        if not math.isfinite(length):
            raise FitError("the sampler does not move: look at the light curve and its errors.")
    burn = min(n_step // 2, math.ceil(BURN_LENGTHS * length))
    chain = np.asarray(sampler.get_chain(discard=burn, flat=True), dtype=np.float64)
    chosen = np.linspace(0, len(chain) - 1, min(n_sample, len(chain))).round().astype(int)
    is_correlated = isinstance(likelihood, CorrelatedLikelihood)
    return Posterior(
        _table(likelihood, chain[chosen], terms, generator),
        "emcee",
        n_effective=(n_step - burn) * N_WALKER / length,
        autocorrelation_step=length,
        is_converged=n_step >= MIN_LENGTHS * length,
        noise_model="gaussian process" if is_correlated else "white with red-noise factors",
    )


def evidence(
    likelihood: Likelihood, *, n_sample: int, terms: list[str], seed: int = 1, n_live: int = 250
) -> Posterior:
    """Sample with dynesty, which also gives the evidence of the transit over the flat line.

    Both have the same baseline with the same priors, and the same jitter.

    References
    ----------
    Speagle 2020, MNRAS 493, 3132.
    """
    import dynesty

    generator = np.random.default_rng(seed)
    prior = likelihood.prior
    low, high = likelihood.noise_range
    n = len(NAMES)

    def transform(cube: Array) -> Array:
        return np.append(_quantiles(prior, cube[:n]), low + (high - low) * cube[n:])

    def log_likelihood(parameters: Array) -> float:
        return likelihood.of(parameters[:n], parameters[n:])[0]

    sampler: Any = dynesty.NestedSampler(  # pyright: ignore[reportCallIssue]
        log_likelihood,
        transform,
        n + len(low),
        nlive=n_live,  # pyright: ignore[reportCallIssue]
        rstate=generator,
    )
    sampler.run_nested(print_progress=False, dlogz=0.5)
    found: Any = sampler.results
    samples = np.asarray(found.samples_equal(rstate=generator), dtype=np.float64)
    chosen = generator.choice(len(samples), min(n_sample, len(samples)), replace=False)
    weight = np.exp(found.logwt - found.logz[-1])
    return Posterior(
        _table(likelihood, samples[chosen], terms, generator),
        "dynesty",
        n_effective=float(weight.sum() ** 2 / np.sum(weight**2)),
        autocorrelation_step=None,
        is_converged=True,
        log_evidence_ratio=float(found.logz[-1]) - _flat_evidence(likelihood),
    )


def _flat_evidence(likelihood: Likelihood) -> float:
    """Log of the evidence of the baseline alone, the jitter integrated on a grid."""
    grid = np.linspace(*likelihood.log_jitter_range, 400)
    values = np.array([likelihood.of(None, each)[0] for each in grid[:, None]])
    return float(values.max() + math.log(np.mean(np.exp(values - values.max()))))


def _quantiles(prior: Prior, cube: Array) -> Array:
    """Turn the unit cube into parameters: uniform, or normal cut at the bounds."""
    from scipy.stats import truncnorm

    held = np.isfinite(prior.width)
    theta = prior.low + (prior.high - prior.low) * cube
    centre, width = prior.centre[held], prior.width[held]
    low, high = (prior.low[held] - centre) / width, (prior.high[held] - centre) / width
    theta[held] = truncnorm.ppf(cube[held], low, high, loc=centre, scale=width)
    return theta


def _start(likelihood: Likelihood, settled: Settled, generator: np.random.Generator) -> Array:
    """Walkers around the least-squares fit, as wide as its errors."""
    theta, prior = settled.solution.theta, likelihood.prior
    assert theta is not None
    cov, _ = covariance(settled.solution, likelihood.light, likelihood.basis, prior)
    err = np.maximum(np.sqrt(np.diag(cov))[: len(NAMES)], 1e-3 * STEP)
    inside = 1e-4 * (prior.high - prior.low)
    low, high = likelihood.noise_range
    walkers = []
    for _ in range(200 * N_WALKER):
        trial = np.clip(
            theta + err * generator.normal(size=len(err)), prior.low + inside, prior.high - inside
        )
        noise = low + 0.5 * (high - low) * generator.uniform(size=len(low))
        walker = np.append(trial, noise)
        if math.isfinite(likelihood.log_posterior(walker)):
            walkers.append(walker)
        if len(walkers) == N_WALKER:
            return np.array(walkers)
    raise FitError("no start for the sampler: the fit lies outside its own priors.")


def _table(
    likelihood: Likelihood, chain: Array, terms: list[str], generator: np.random.Generator
) -> pl.DataFrame:
    """Draw the coefficients that were integrated out, one set a sample."""
    coefficients, values = [], []
    for parameters in chain:
        value, mean, factor = likelihood.of(parameters[: len(NAMES)], parameters[len(NAMES) :])
        drawn = mean + np.linalg.solve(factor.T, generator.normal(size=len(mean)))
        coefficients.append(drawn)
        values.append(value)
    columns = dict(zip((*NAMES, *likelihood.noise_names), chain.T, strict=True))
    columns |= dict(zip(terms, np.array(coefficients).T, strict=True))
    return pl.DataFrame(columns | {"log_likelihood": np.array(values)})
