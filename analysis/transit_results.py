"""Fill a `TransitFit` from a settled fit."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .baselines import FLIP
from .mean_shift import mean_shift
from .orbits import Ephemeris, contacts, epoch_of, mid_of
from .posteriors import Posterior
from .red_noise import correlation_factors, permutation_errors
from .transit_fit import Parameter, TransitFit
from .transit_problem import Problem
from .transit_rounds import Settled
from .transit_solver import (
    NAMES,
    Light,
    Prior,
    covariance,
    depth_and_duration,
    jacobian,
    model_at,
    orbit_at,
    propagate,
)

Array = NDArray[np.float64]
N_GRID = 600
FREE = ("mid_offset_d", "radius_ratio")
N_SHAPE = 400  # samples whose depth and duration are computed
INSIDE = 1e-4  # share of the allowed range that derivatives keep from its ends
MAX_CORRELATED = 1000  # points; beyond them a dense covariance takes too long
RULED_OUT = 10.0  # BIC above the best: very strong evidence (Kass & Raftery 1995)


def unfitted(data: pl.DataFrame, planet: Ephemeris) -> TransitFit:
    """What can be said before a fit."""
    nothing = ("baseline", "model", "detrended_flux", "detrended_flux_err", "residual")
    err = pl.when(pl.col("flux_err").is_finite()).then("flux_err")
    points = data.select("bjd_tdb", "flux", err.alias("flux_err")).with_columns(
        *(pl.lit(None, pl.Float64).alias(name) for name in nothing),
        pl.lit(value=False).alias("is_outlier"),
    )
    curve = pl.DataFrame(schema={"bjd_tdb": pl.Float64, "model": pl.Float64})
    fit = TransitFit("no data", "", data.height, 0, points, curve)
    if data.is_empty():
        return fit
    epoch = epoch_of(planet, (data["bjd_tdb"][0] + data["bjd_tdb"][-1]) / 2)
    mid, mid_err = mid_of(planet, epoch)
    return replace(fit, epoch=epoch, predicted_mid_bjd_tdb=mid, predicted_mid_err_d=mid_err)


def with_points(fit: TransitFit, settled: Settled, problem: Problem) -> TransitFit:
    """Add what a transit and a flat line have in common."""
    kept, residual, light = settled.kept, settled.residual, settled.light
    columns = {
        "flux_err": light.err,
        "baseline": settled.baseline,
        "model": settled.model,
        "detrended_flux": light.flux / settled.baseline,
        "detrended_flux_err": light.err / settled.baseline,
        "residual": residual,
        "is_outlier": ~kept,
    }
    grid = np.linspace(light.offset_d[0], light.offset_d[-1], N_GRID)
    model = model_at(problem.prior, settled.solution.theta, grid, light.exposure_s)
    n_degree = max(int(kept.sum()) - settled.n_fitted, 1.0)
    in_quoted = (residual * settled.baseline / problem.light.err)[kept]
    return replace(
        fit,
        n_points=int(kept.sum()),
        n_outliers=int((~kept).sum()),
        points=fit.points.with_columns(**{name: pl.Series(v) for name, v in columns.items()}),
        curve=pl.DataFrame({"bjd_tdb": grid + (fit.predicted_mid_bjd_tdb or 0.0), "model": model}),
        residual_scatter=float(np.std(residual[kept])),
        residual_scatter_all=float(np.std(residual)),
        red_noise_factor=settled.beta,
        chi2_reduced=float(in_quoted @ in_quoted) / n_degree if problem.is_quoted else None,
        baseline=settled.name,
        baseline_bic=_above_best(settled) | dict.fromkeys(problem.missing),
        has_flip=problem.has_flip,
    )


def with_transit(fit: TransitFit, settled: Settled, problem: Problem) -> TransitFit:
    """Add the transit's own numbers, with errors widened by the red noise.

    Each error is that of white noise times the largest of three factors, never their product: time
    averaging, residual permutation, and the correlated noise that the residuals allow. Baselines
    count by BIC weight: the variance is their mean variance, and the scatter of what all of them
    give comes on top (Hoeting et al. 1999, Stat. Sci. 14, 382). Parameters are means of the
    posterior; depth, duration and contacts are those of its peak, as the curve drawn.
    """
    peak, prior = settled.solution.theta, problem.prior
    assert peak is not None
    assert fit.predicted_mid_bjd_tdb is not None
    light, basis = settled.light.where(settled.kept), settled.basis[settled.kept]
    factor, shifted = _noise_factors(settled, light, basis, prior)
    cov = _widened(settled, light, basis, prior, factor)
    alone = np.diag(cov).copy()
    moved, variance, weight = _others(settled, float(factor[1]) / settled.beta)
    within = np.ones(len(cov))
    within[: len(NAMES)] = np.sqrt(weight @ variance)
    cov *= np.outer(within, within)
    between = (moved * weight[:, None]).T @ moved
    cov[: len(NAMES), : len(NAMES)] += between
    err, added = np.sqrt(np.diag(cov)), np.sqrt(np.maximum(np.diag(cov) - alone, 0))
    theta = _mean(settled, light, basis, prior, float(factor[1]))
    depth, length_d = depth_and_duration(prior, peak).tolist()
    depth_err, length_err_d = propagate(prior, peak, cov).tolist()
    outer = contacts(orbit_at(prior, peak), 1 + peak[1])
    assert outer is not None
    predicted, predicted_err = fit.predicted_mid_bjd_tdb, fit.predicted_mid_err_d
    o_minus_c_err = None if predicted_err is None else 1440 * math.hypot(err[0], predicted_err)
    likely = moved[weight > weight.max() * math.exp(-RULED_OUT / 2)]
    return replace(
        fit,
        mid_bjd_tdb=predicted + float(theta[0]),
        mid_bjd_tdb_err=float(err[0]),
        radius_ratio=float(theta[1]),
        radius_ratio_err=float(err[1]),
        depth=depth,
        depth_err=depth_err,
        duration_h=24 * length_d,
        duration_h_err=24 * length_err_d,
        first_contact_bjd_tdb=predicted + outer[0],
        fourth_contact_bjd_tdb=predicted + outer[1],
        o_minus_c_min=1440 * float(theta[0]),
        o_minus_c_min_err=o_minus_c_err,
        mid_permutation_err_d=float(shifted[0]),
        radius_ratio_permutation_err=float(shifted[1]),
        mid_spread_d=float(np.max(np.abs(likely[:, 0]))),
        radius_ratio_low=float(theta[1] + likely[:, 1].min()),
        radius_ratio_high=float(theta[1] + likely[:, 1].max()),
        limb_darkening=problem.limb.source,
        error_inflation=float(factor[:2].max()),
        baseline_scatter=(float(added[0]), float(added[1])),
        settled=settled,
        prior=prior,
        parameters=_parameters(settled, problem, theta, err),
    )


def _noise_factors(
    settled: Settled, light: Light, basis: Array, prior: Prior
) -> tuple[Array, Array]:
    """Factor of red noise on the error of each parameter, and errors by permutation alone."""
    white, _ = covariance(settled.solution, light, basis, prior)
    weighted = (settled.residual * settled.baseline)[settled.kept] / light.err
    derivative = jacobian(settled.solution, light, basis, prior)
    shifted, plain = permutation_errors(weighted, derivative, white)
    factor = np.maximum(settled.beta, shifted / np.maximum(plain, np.finfo(float).tiny))
    if len(weighted) <= MAX_CORRELATED:
        is_free = np.r_[~np.isfinite(prior.width), np.ones(basis.shape[1], bool)]
        allowed = correlation_factors(light.offset_d, weighted, derivative, white, is_free)
        factor = np.maximum(factor, allowed)
    return factor, shifted


def _above_best(settled: Settled) -> dict[str, float | None]:
    best = settled.others[settled.name].bic
    return {name: other.bic - best for name, other in settled.others.items()}


def _widened(settled: Settled, light: Light, basis: Array, prior: Prior, factor: Array) -> Array:
    """Covariance whose errors are those of noise widened by each parameter's own factor."""
    common, _ = covariance(settled.solution, light, basis, prior, inflation=settled.beta)
    own = common.copy()
    for i in np.flatnonzero(factor > settled.beta):
        each, _ = covariance(settled.solution, light, basis, prior, inflation=float(factor[i]))
        if common[i, i] <= 0:
            continue  # nothing determines it: `_inverse` gives it no variance
        ratio = math.sqrt(max(each[i, i], 0.0) / common[i, i])
        own[i, :] *= ratio
        own[:, i] *= ratio
    return own


def _others(settled: Settled, widening: float) -> tuple[Array, Array, Array]:
    """Shifts of the parameters by other baselines, (n, 6), their variances over that of the one
    chosen, (n, 6), and the weight of each, (n,).

    The weights are those of BIC with errors widened as those of the result.
    """
    theta = settled.solution.theta
    found = [each for each in settled.others.values() if each.theta is not None]
    misfit = np.array([each.misfit for each in found])
    bic = np.array([each.bic for each in found]) - misfit + misfit / widening**2
    weight = np.exp(-0.5 * (bic - bic.min()))
    own = settled.others[settled.name].variance
    moved = np.array([each.theta for each in found]) - theta
    variance = np.array([each.variance for each in found]) / own
    return moved, variance, weight / weight.sum()


def _mean(settled: Settled, light: Light, basis: Array, prior: Prior, widening: float) -> Array:
    """Mean of the posterior of `NAMES`, with errors widened as those of the result, in bounds."""
    peak, solution = settled.solution.theta, settled.solution
    assert peak is not None
    wide = replace(light, err=light.err * widening)
    n, inside = len(NAMES), INSIDE * (prior.high - prior.low)

    def moved(step: Array) -> Array:
        theta = np.clip(peak + step[:n], prior.low + inside, prior.high - inside)
        away = replace(solution, theta=theta, coefficient=solution.coefficient + step[n:])
        return jacobian(away, wide, basis, prior)

    cov, _ = covariance(solution, wide, basis, prior)
    err = np.sqrt(np.diag(cov))[:n]
    # further out the second order says nothing
    shift = np.clip(mean_shift(moved, cov)[:n], -err, err)
    return np.clip(peak + shift, prior.low, prior.high)


def _parameters(
    settled: Settled, problem: Problem, theta: Array, err: Array
) -> dict[str, Parameter]:
    known = problem.known
    window_min = 1440 * problem.prior.high[0]
    notes = {
        "mid_offset_d": ("d", f"within {window_min:.0f} min of the prediction"),
        "radius_ratio": ("", f"0 to {problem.prior.high[1]:g}"),
        "impact_parameter": ("", _normal(problem.prior, 2, known.b_source)),
        "a_over_r": ("", _normal(problem.prior, 3, known.a_source)),
        "q1": ("", _normal(problem.prior, 4, problem.limb.source)),
        "q2": ("", _normal(problem.prior, 5, problem.limb.source)),
    }
    found = {
        name: Parameter(float(theta[i]), float(err[i]), *notes[name])
        for i, name in enumerate(NAMES)
    }
    terms = [
        "constant",
        *(t.strip() for t in settled.name.split("+") if settled.name != "constant"),
        *([FLIP] if problem.has_flip else []),
    ]
    for i, (term, value) in enumerate(zip(terms, settled.solution.coefficient, strict=True)):
        found[f"baseline {term}"] = Parameter(float(value), float(err[len(NAMES) + i]))
    e, omega = problem.prior.planet.eccentricity, problem.prior.planet.omega_deg
    if e and omega is not None:
        found["eccentricity"] = Parameter(e, None, "", "fixed")
        found["omega"] = Parameter(omega, None, "deg", "fixed")
    found["jitter"] = Parameter(settled.jitter, None, "", "reduced chi-square of 1")
    if problem.is_quoted:
        found["error_scale"] = Parameter(settled.scale, None, "", "reduced chi-square of 1")
    return found


def _normal(prior: Prior, i: int, source: str) -> str:
    return f"normal {prior.centre[i]:.4g} +- {prior.width[i]:.2g} ({source})"


def with_posterior(fit: TransitFit, posterior: Posterior) -> TransitFit:
    """Take values and errors from a posterior: medians and standard deviations.

    What the choice of the baseline adds is kept, in quadrature: the sampler knows one baseline.
    """
    assert fit.predicted_mid_bjd_tdb is not None
    assert fit.parameters is not None
    assert fit.baseline_scatter is not None
    samples = posterior.samples
    added: dict[str, float] = dict(zip(FREE, fit.baseline_scatter, strict=True))
    found = dict(fit.parameters)
    for name in (*NAMES, *(each for each in found if each in samples.columns)):
        values = samples[name].to_numpy()
        err = math.hypot(float(np.std(values)), added.get(name, 0.0))
        found[name] = replace(found[name], value=float(np.median(values)), err=err)
    late, ratio = found["mid_offset_d"], found["radius_ratio"]
    assert late.err is not None
    predicted_err = fit.predicted_mid_err_d
    shapes = _shapes(samples, fit.prior)
    depth, length = np.nanmedian(shapes, axis=0).tolist()
    depth_err, length_err = np.nanstd(shapes, axis=0).tolist()
    return replace(
        fit,
        method=posterior.method,
        posterior=posterior,
        mid_bjd_tdb=fit.predicted_mid_bjd_tdb + late.value,
        mid_bjd_tdb_err=late.err,
        radius_ratio=ratio.value,
        radius_ratio_err=ratio.err,
        depth=depth,
        depth_err=math.hypot(depth_err, 2 * ratio.value * added["radius_ratio"]),
        duration_h=24 * length,
        duration_h_err=24 * length_err,
        o_minus_c_min=1440 * late.value,
        o_minus_c_min_err=None
        if predicted_err is None
        else 1440 * math.hypot(late.err, predicted_err),
        parameters=found,
    )


def _shapes(samples: pl.DataFrame, prior: Prior) -> Array:
    """Depth and duration in days of some of the samples, (n, 2)."""
    some = samples.gather_every(max(1, samples.height // N_SHAPE)).select(NAMES).to_numpy()
    return np.array([depth_and_duration(prior, theta) for theta in some])
