"""Fit a limb-darkened transit and its baseline to one night of differential photometry."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl
from numpy.typing import ArrayLike

from ..errors import FitError, UsageError
from .baselines import BASELINES
from .orbits import Ephemeris
from .red_noise import time_averaging_factor
from .transit_fit import Parameter, TransitFit, Verdict
from .transit_problem import Problem, gather, only_baseline, pose
from .transit_results import unfitted, with_points, with_transit
from .transit_rounds import Settled, settle
from .transit_solver import N_STEP, absorbed
from .transit_verdicts import coverage, delta_bic_flat, judge

__all__ = ["Parameter", "TransitFit", "Verdict", "fit_transit"]


def fit_transit(
    bjd_tdb: ArrayLike,
    flux: ArrayLike,
    flux_err: ArrayLike | None,
    covariates: Mapping[str, object] | pl.DataFrame | None = None,
    *,
    planet: Ephemeris,
    exposure_s: float,
    baselines: Sequence[str] = BASELINES,
    n_min_points: int = 10,
    n_min_baseline: int = 5,
    outlier_sigma: float = 4.0,
    min_delta_bic: float = 10.0,
) -> TransitFit:
    """Fit one transit of a planet together with the baseline, and judge what the data show.

    Parameters
    ----------
    bjd_tdb, flux, flux_err
        Mid-exposure times in days, relative flux around 1 and its 1-sigma error, shape (n,), in
        any order. Points without a time or flux are left out before anything is counted. Without
        errors, or with one missing, all points weigh the same.
    covariates
        Columns for the baselines by name (airmass, x_pix ...), shape (n,); null where unknown.
    planet
        Ephemeris; its a/R* is used with its own eccentricity and omega.
    exposure_s
        Exposure time in s, over which the model is averaged.
    baselines
        Names understood by `baselines.design`; the one of least BIC is taken. One whose column
        is missing or has gaps is not tried, and has None in `baseline_bic`.
    n_min_points, n_min_baseline
        Fewest points, and fewest outside the predicted transit, that are fitted.
    outlier_sigma
        Points further from the model than this many robust sigma of the residuals are left out,
        unless their own quoted error accounts for it; at least 4.
    min_delta_bic
        BIC by which a transit must beat the flat line; 10 is very strong (Kass & Raftery 1995).

    Returns
    -------
    The fit. The verdicts, in the order they are tried:

    - no data: too few points, or fewer than 3 of them inside the predicted transit;
    - no baseline: too few points outside the predicted transit;
    - no transit: the flat line is as good, red noise considered, or the dip found lies at the end
      of the searched mid-times (half a duration and 3 sigma of the prediction on both sides);
    - partial: fewer than 3 points before first or after fourth contact, or an ingress or egress
      with no points around one of its halves;
    - transit.

    Raises
    ------
    UsageError
        Columns of different length, an unreadable baseline, or an outlier limit below 4 sigma.
    FitError
        The fit did not converge.
    """
    if outlier_sigma < 4:
        raise UsageError(
            f"outlier limit of {outlier_sigma:g} sigma; expected 4 or more: a tighter one makes "
            "the scatter look smaller than it is."
        )
    data = gather(bjd_tdb, flux, flux_err, covariates)
    empty = unfitted(data, planet)
    if data.height < n_min_points:
        why = f"{data.height} points; a fit needs {n_min_points}"
        return replace(empty, verdict="no data", reason=why)
    if (early := coverage(data, planet, empty, n_min_baseline)) is not None:
        return replace(empty, verdict=early[0], reason=early[1])
    problem = pose(data, planet, empty, exposure_s=exposure_s, baselines=baselines)
    settled = settle(
        problem.light, problem.bases, problem.solve, problem.prior, outlier_sigma=outlier_sigma
    )
    beta = _red_noise(settled, problem)
    delta_bic = delta_bic_flat(settled, problem, beta)
    verdict, reason = judge(settled, problem, delta_bic, min_delta_bic)
    if verdict != "no transit" and not settled.solution.is_settled:
        raise FitError(
            f"{planet.planet_name}: {reason}, but the fit moved on after {N_STEP} steps; look at "
            "the light curve, and correct the ephemeris."
        )
    if verdict == "no transit":
        settled = settle(
            problem.light, problem.bases, only_baseline, problem.prior, outlier_sigma=outlier_sigma
        )
        beta = _red_noise(settled, problem)
    fit = with_points(empty, settled, problem, beta)
    fit = replace(fit, verdict=verdict, reason=reason, delta_bic_flat=delta_bic)
    return fit if settled.solution.theta is None else with_transit(fit, settled, problem, beta)


def _red_noise(settled: Settled, problem: Problem) -> float:
    """Beta over lengths from 10 minutes to half the duration of the transit, or 30 minutes."""
    kept = settled.kept
    light = settled.light.where(kept)
    weighted = (settled.residual * settled.baseline)[kept] / light.err
    directions = absorbed(settled.solution, light, settled.basis[kept], problem.prior)
    longest_d = max(30 / 1440, problem.duration_d / 2)
    return time_averaging_factor(light.offset_d, weighted, directions, longest_d=longest_d)
