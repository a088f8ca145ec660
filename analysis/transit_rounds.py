"""Fit, leave out outliers, match the errors to the residuals, and again until nothing changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .red_noise import robust_scatter
from .transit_solver import (
    LEAST_SCALE,
    Light,
    Prior,
    Solution,
    covariance,
    matched_errors,
    model_at,
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
    """

    name: str
    solution: Solution
    bic: dict[str, float]
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
    light: Light, bases: Mapping[str, Array], solve: Solver, prior: Prior, *, outlier_sigma: float
) -> Settled:
    """Fit every baseline, take the one of least BIC, and iterate over outliers and errors.

    Parameters
    ----------
    light
        With quoted errors; each round fits errors matched to the residuals of the one before.
    bases
        Terms by name of the baseline, each (n_point, n_term).
    solve
        Fits a light curve with one basis, from a start if it has one.
    outlier_sigma
        A point is left out if it is further than this many robust sigma of all residuals from
        the model, both as it stands and divided by its quoted error. Any point may come back.
    """
    kept = ~_spikes(light.flux)
    scale, jitter = _first_scale(light), 0.0
    starts: dict[str, Array | None] = {}
    outcome = None
    for _ in range(N_ROUND):
        fitted = replace(light, err=np.hypot(scale * light.err, jitter))
        outcome = _round(fitted, bases, solve, prior, kept=kept, starts=starts)
        still = ~_outliers(outcome.residual, light.err, outlier_sigma)
        in_flux = (outcome.residual * outcome.baseline)[still]
        matched = matched_errors(light.err[still], in_flux, outcome.n_fitted)
        is_same = bool((still == kept).all()) and np.allclose(
            matched, (scale, jitter), rtol=0.01, atol=0.01 * float(np.median(fitted.err))
        )
        outcome = replace(outcome, scale=scale, jitter=jitter)
        if is_same:
            break
        kept, (scale, jitter) = still, matched
    assert outcome is not None
    return outcome


def _round(
    light: Light,
    bases: Mapping[str, Array],
    solve: Solver,
    prior: Prior,
    *,
    kept: Mask,
    starts: dict[str, Array | None],
) -> Settled:
    """Fit all baselines once to the points kept; `starts` is updated with where they ended."""
    solutions = {
        name: solve(light.where(kept), basis[kept], starts.get(name))
        for name, basis in bases.items()
    }
    starts.update({name: solution.theta for name, solution in solutions.items()})
    name = min(solutions, key=lambda each: solutions[each].bic)
    solution, basis = solutions[name], bases[name]
    model = model_at(prior, solution.theta, light.offset_d, light.exposure_s)
    baseline = basis @ solution.coefficient
    _, n_fitted = covariance(solution, light.where(kept), basis[kept], prior)
    return Settled(
        name=name,
        solution=solution,
        bic={each: solutions[each].bic - solution.bic for each in solutions},
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
