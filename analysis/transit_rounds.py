"""Fit, leave out outliers, match the errors to the residuals, and again until nothing changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .baselines import SIMPLE
from .red_noise import robust_scatter, time_averaging_factor
from .transit_solver import (
    LEAST_SCALE,
    Light,
    Neighbour,
    Prior,
    Solution,
    absorbed,
    covariance,
    matched_errors,
    model_at,
    neighbours,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Solver = Callable[[Light, Array, "Array | None"], Solution]

N_ROUND = 10
ROUNDING = 1e-10  # relative flux; a light curve without noise has no outliers
SPIKE_SIGMA = 8.0  # left out of the very first round only
SPIKE_NEIGHBOURS = 7


@dataclass(frozen=True, slots=True)
class Settled:
    """A fit that its own outliers and errors no longer change.

    `light` holds all points with their matched errors; `residual` is relative to the baseline.
    `solution` and `others`, what all baselines give to first order, are of errors times `beta`.
    """

    name: str
    solution: Solution
    others: dict[str, Neighbour]
    beta: float
    kept: Mask
    light: Light
    basis: Array
    model: Array
    baseline: Array
    residual: Array
    n_fitted: float
    scale: float
    jitter: float


def settle(
    light: Light,
    bases: Mapping[str, Array],
    solve: Solver,
    prior: Prior,
    *,
    outlier_sigma: float,
    longest_d: float,
) -> Settled:
    """Fit the baselines, take the one of least BIC, and iterate over outliers and errors.

    Parameters
    ----------
    light
        With quoted errors; each round fits errors matched to the residuals of the one before, and
        widened by their red noise.
    bases
        Terms by name of the baseline, each (n_point, n_term).
    solve
        Fits a light curve with one basis, from a start if it has one.
    outlier_sigma
        A point is left out if it is further than this many robust sigma of all residuals from
        the model, both as it stands and divided by its quoted error. Any point may come back.
    longest_d
        Length up to which residuals are averaged to find red noise.
    """
    kept = ~_spikes(light.flux)
    scale, jitter, beta = _first_scale(light), 0.0, 1.0
    outcome: Settled | None = None
    for _ in range(N_ROUND):
        fitted = replace(light, err=np.hypot(scale * light.err, jitter))
        before = outcome
        outcome = _round(fitted, bases, solve, prior, kept=kept, before=before, beta=beta)
        still = ~_outliers(outcome.residual, light.err, outlier_sigma)
        in_flux = (outcome.residual * outcome.baseline)[still]
        matched = matched_errors(light.err[still], in_flux, outcome.n_fitted)
        outcome = replace(outcome, scale=scale, jitter=jitter)
        found = red_noise(outcome, prior, longest_d)
        is_same = bool((still == kept).all()) and np.allclose(
            matched, (scale, jitter), rtol=0.01, atol=0.01 * float(np.median(fitted.err))
        )
        is_chosen = before is not None and outcome.name == before.name
        if is_same and is_chosen and abs(found - beta) < 0.05 * beta:
            break
        kept, (scale, jitter), beta = still, matched, found
    assert outcome is not None
    return outcome


def red_noise(settled: Settled, prior: Prior, longest_d: float) -> float:
    """Time-averaging factor of the residuals over lengths from 10 minutes on."""
    light = settled.light.where(settled.kept)
    weighted = (settled.residual * settled.baseline)[settled.kept] / light.err
    directions = absorbed(settled.solution, light, settled.basis[settled.kept], prior)
    return time_averaging_factor(light.offset_d, weighted, directions, longest_d=longest_d)


def _round(
    light: Light,
    bases: Mapping[str, Array],
    solve: Solver,
    prior: Prior,
    *,
    kept: Mask,
    before: Settled | None,
    beta: float,
) -> Settled:
    """Fit once to the points kept, with the baseline that is best beside the one before."""
    wide = replace(light, err=light.err * beta)
    some = wide.where(kept)
    inside = {name: basis[kept] for name, basis in bases.items()}
    if before is None:
        simple = [name for name in bases if name in SIMPLE] or list(bases)[:1]
        tried = {name: solve(some, inside[name], None) for name in simple}
        name = min(tried, key=lambda each: tried[each].bic)
        solution = tried[name]
    else:
        name = before.name
        solution = solve(some, inside[name], before.solution.theta)
    others = neighbours(solution, some, inside, prior)
    best = min(others, key=lambda each: others[each].bic)
    if best != name:
        name, solution = best, solve(some, inside[best], others[best].theta)
        others = neighbours(solution, some, inside, prior)
    basis = bases[name]
    model = model_at(prior, solution.theta, light.offset_d, light.exposure_s)
    baseline = basis @ solution.coefficient
    _, n_fitted = covariance(solution, some, basis[kept], prior)
    return Settled(
        name=name,
        solution=solution,
        others=others,
        beta=beta,
        kept=kept,
        light=light,
        basis=basis,
        model=model,
        baseline=baseline,
        residual=light.flux / baseline - model,
        n_fitted=n_fitted,
        scale=1.0,
        jitter=0.0,
    )


def _outliers(residual: Array, quoted: Array, sigma: float) -> Mask:
    weighted = residual / quoted * np.median(quoted)
    return (np.abs(residual) > sigma * max(robust_scatter(residual), ROUNDING)) & (
        np.abs(weighted) > sigma * max(robust_scatter(weighted), ROUNDING)
    )


def _spikes(flux: Array) -> Mask:
    """Points that no smooth curve passes: far from the median of their neighbours."""
    padded = np.pad(flux, SPIKE_NEIGHBOURS // 2, mode="reflect")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, SPIKE_NEIGHBOURS), axis=1)
    away = flux - middle
    return np.abs(away) > SPIKE_SIGMA * max(robust_scatter(away), np.finfo(float).eps)


def _first_scale(light: Light) -> float:
    """Scatter from point to point over the quoted errors: knows nothing of any model."""
    step = np.diff(light.flux) / np.hypot(light.err[1:], light.err[:-1])
    return max(robust_scatter(step), LEAST_SCALE)
