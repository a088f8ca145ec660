"""Fit a limb-darkened transit and its baseline to one night of differential photometry."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl
from numpy.typing import ArrayLike

from ..errors import FitError, UsageError
from .baselines import COVARIATES, candidates
from .orbits import Ephemeris
from .transit_fit import Parameter, TransitFit, Verdict
from .transit_problem import gather, only_baseline, pose
from .transit_results import unfitted, with_points, with_transit
from .transit_rounds import Settled, Solver, settle
from .transit_solver import N_STEP
from .transit_verdicts import coverage, delta_bic_flat, judge

__all__ = ["Parameter", "TransitFit", "Verdict", "fit_transit"]

LONGEST_D = 30 / 1440  # red noise is looked for up to this length, or half the transit


def fit_transit(
    bjd_tdb: ArrayLike,
    flux: ArrayLike,
    flux_err: ArrayLike | None,
    covariates: Mapping[str, object] | pl.DataFrame | None = None,
    *,
    planet: Ephemeris,
    exposure_s: float,
    band: str | None = None,
    baselines: Sequence[str] | None = None,
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
        With `pier_side` (text) every baseline has an offset between the two sides.
    planet
        Ephemeris; its a/R* is used with its own eccentricity and omega.
    exposure_s
        Exposure time in s, over which the model is averaged.
    band
        Of the limb darkening; None or one the models do not know has broad priors.
    baselines
        Names understood by `baselines.design`; the one of least BIC is taken. None: all of up to
        three terms out of time, its square and the covariates. One whose column is missing or has
        gaps is not tried; alone it has None in `baseline_bic`.
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
    - no transit: the flat line is as good, red noise considered; or the dip found lies at the end
      of the searched mid-times (half a duration and 3 sigma of the prediction on both sides), or
      is longer than the light curve;
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
    if baselines is None:
        numeric = [n for n in data.columns if n in COVARIATES or n.startswith("trend_")]
        baselines = candidates(numeric)
    problem = pose(data, planet, empty, exposure_s=exposure_s, baselines=baselines, band=band)
    longest_d = max(LONGEST_D, problem.duration_d / 2)

    def settled_by(solve: Solver) -> Settled:
        return settle(
            problem.light,
            problem.bases,
            solve,
            problem.prior,
            outlier_sigma=outlier_sigma,
            longest_d=longest_d,
        )

    settled = settled_by(problem.solve)
    delta_bic = delta_bic_flat(settled, problem)
    verdict, reason = judge(settled, problem, delta_bic, min_delta_bic)
    if verdict != "no transit" and not settled.solution.is_settled:
        raise FitError(
            f"{planet.planet_name}: {reason}, but the fit moved on after {N_STEP} steps; look at "
            "the light curve, and correct the ephemeris."
        )
    if verdict == "no transit":
        settled = settled_by(only_baseline)
    fit = with_points(empty, settled, problem)
    fit = replace(fit, verdict=verdict, reason=reason, delta_bic_flat=delta_bic)
    return fit if settled.solution.theta is None else with_transit(fit, settled, problem)
