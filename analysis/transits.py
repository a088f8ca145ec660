"""Fit a limb-darkened transit and its baseline to one night of differential photometry."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .baselines import BASELINES, covariate_columns, design
from .orbits import Ephemeris, Shape, contacts, epoch_of, expected_contacts, mid_of, shape
from .red_noise import time_averaging_factor
from .transit_rounds import Settled, settle
from .transit_solver import (
    NAMES,
    Light,
    Prior,
    Solution,
    covariance,
    depth_and_duration,
    model_at,
    orbit_at,
    prior_of,
    propagate,
    solve_flat,
    solve_transit,
)

Array = NDArray[np.float64]

Verdict: TypeAlias = Literal["transit", "partial", "no baseline", "no transit", "no data"]

N_GRID = 600


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a fit: value, 1-sigma error (None if fixed), and where it stands."""

    value: float
    err: float | None
    unit: str = ""
    prior: str = ""


@dataclass(frozen=True, slots=True)
class TransitFit:
    """One night's light curve of one star, fitted or not. What was not fitted is None.

    All quoted errors are scaled to the scatter of the residuals and inflated by the red noise.

    Attributes
    ----------
    verdict, reason
        The verdict, and one sentence with the numbers it rests on.
    n_points, n_outliers
        Points fitted, and points left out beyond 4 robust sigma of the residuals.
    epoch, predicted_mid_bjd_tdb, predicted_mid_err_d
        From the ephemeris; the error is None if the ephemeris has none.
    depth
        Largest flux loss of the fitted model, limb darkening included.
    duration_h, first_contact_bjd_tdb, fourth_contact_bjd_tdb
        First to fourth contact of the fitted orbit.
    residual_scatter, residual_scatter_all
        Standard deviation of the residuals in relative flux: of the points fitted, of all.
    red_noise_factor
        Time-averaging beta, 1 for white noise (Winn et al. 2008).
    chi2_reduced
        With the errors as quoted by the photometry; None where it quoted none.
    baseline
        Name of the chosen baseline: constant, time, airmass ...
    baseline_bic
        Bayesian information criterion of every baseline, less that of the best; None if its
        column is missing or has gaps.
    delta_bic_flat
        BIC of the flat line (same choice of baselines) less that of the transit.
    parameters
        Every parameter by name.
    points
        One row a point, in time order: bjd_tdb, flux, flux_err (as fitted, scaled), baseline,
        model (transit alone, 1 outside), detrended_flux (flux / baseline), detrended_flux_err,
        residual (relative: detrended_flux - model), is_outlier. Of "no transit" they show the flat
        line; of "no data" and "no baseline" the columns baseline to residual are null.
    curve
        The model on a fine grid: bjd_tdb, model. No rows of "no data" and "no baseline".
    """

    verdict: Verdict
    reason: str
    n_points: int
    n_outliers: int
    points: pl.DataFrame
    curve: pl.DataFrame
    epoch: int | None = None
    predicted_mid_bjd_tdb: float | None = None
    predicted_mid_err_d: float | None = None
    mid_bjd_tdb: float | None = None
    mid_bjd_tdb_err: float | None = None
    radius_ratio: float | None = None
    radius_ratio_err: float | None = None
    depth: float | None = None
    depth_err: float | None = None
    duration_h: float | None = None
    duration_h_err: float | None = None
    first_contact_bjd_tdb: float | None = None
    fourth_contact_bjd_tdb: float | None = None
    o_minus_c_min: float | None = None
    o_minus_c_min_err: float | None = None
    residual_scatter: float | None = None
    residual_scatter_all: float | None = None
    red_noise_factor: float | None = None
    chi2_reduced: float | None = None
    baseline: str | None = None
    baseline_bic: dict[str, float | None] | None = None
    delta_bic_flat: float | None = None
    parameters: dict[str, Parameter] | None = None


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
    data = _prepare(bjd_tdb, flux, flux_err, covariates)
    empty = _unfitted(data, planet)
    if data.height < n_min_points:
        why = f"{data.height} points; a fit needs {n_min_points}"
        return replace(empty, verdict="no data", reason=why)
    if (early := _coverage(data, planet, empty, n_min_baseline)) is not None:
        return replace(empty, verdict=early[0], reason=early[1])
    problem = _problem(data, planet, empty, exposure_s=exposure_s, baselines=baselines)
    settled = settle(
        problem.light, problem.bases, problem.solve, problem.prior, outlier_sigma=outlier_sigma
    )
    beta = time_averaging_factor(
        settled.light.offset_d[settled.kept], settled.residual[settled.kept]
    )
    delta_bic = _delta_bic_flat(settled, problem, beta)
    verdict, reason = _judge(settled, problem, delta_bic, min_delta_bic)
    if verdict == "no transit":
        settled = settle(
            problem.light, problem.bases, _solve_flat, problem.prior, outlier_sigma=outlier_sigma
        )
        beta = time_averaging_factor(
            settled.light.offset_d[settled.kept], settled.residual[settled.kept]
        )
    fit = _with_points(empty, settled, problem, beta)
    fit = replace(fit, verdict=verdict, reason=reason, delta_bic_flat=delta_bic)
    return fit if settled.solution.theta is None else _with_transit(fit, settled, problem, beta)


def _prepare(
    bjd_tdb: ArrayLike,
    flux: ArrayLike,
    flux_err: ArrayLike | None,
    covariates: Mapping[str, object] | pl.DataFrame | None,
) -> pl.DataFrame:
    """Gather the points in time order; those without time or flux are gone, null is nan."""
    time = np.array(bjd_tdb, dtype=float)
    columns = covariate_columns(time, covariates)
    columns |= {"bjd_tdb": time, "flux": np.array(flux, dtype=float)}
    columns["flux_err"] = (
        np.full(time.shape, np.nan) if flux_err is None else np.array(flux_err, float)
    )
    for name in ("flux", "flux_err"):
        if len(columns[name]) != len(time):
            raise UsageError(
                f"{name}: {len(columns[name])} values for {len(time)} times; expected one a time."
            )
    frame = pl.DataFrame(columns).filter(pl.all_horizontal(pl.col("bjd_tdb", "flux").is_finite()))
    return frame.sort("bjd_tdb", maintain_order=True)


def _unfitted(data: pl.DataFrame, planet: Ephemeris) -> TransitFit:
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


def _coverage(
    data: pl.DataFrame, planet: Ephemeris, empty: TransitFit, n_min_baseline: int
) -> tuple[Verdict, str] | None:
    """Say why the prediction forbids a fit, or None."""
    first, last = expected_contacts(planet)
    offset = data["bjd_tdb"] - (empty.predicted_mid_bjd_tdb or 0.0)
    n_before, n_after = int((offset < first).sum()), int((offset > last).sum())
    n_inside = data.height - n_before - n_after
    if n_inside < 3:
        return "no data", (
            f"{n_inside} points inside the transit predicted for "
            f"{empty.predicted_mid_bjd_tdb:.5f}, {n_before} before, {n_after} after; a fit needs 3 inside"
        )
    if n_before + n_after < n_min_baseline:
        return "no baseline", (
            f"{n_before} points before and {n_after} after the predicted transit; "
            f"a fit needs {n_min_baseline} outside"
        )
    return None


@dataclass(frozen=True, slots=True)
class _Problem:
    """What is fitted: light with quoted errors, baselines that can be tried, priors."""

    light: Light
    is_quoted: bool
    bases: dict[str, Array]
    missing: tuple[str, ...]
    prior: Prior
    known: Shape

    def solve(self, light: Light, basis: Array, start: Array | None) -> Solution:
        return solve_transit(light, basis, self.prior, start)


def _problem(
    data: pl.DataFrame,
    planet: Ephemeris,
    empty: TransitFit,
    *,
    exposure_s: float,
    baselines: Sequence[str],
) -> _Problem:
    columns = {name: data[name].to_numpy() for name in data.columns}
    designs = {name: design(name, columns) for name in baselines}
    bases = {name: basis for name, basis in designs.items() if basis is not None}
    if not bases:
        raise UsageError(
            f"baselines {', '.join(baselines) or '(none)'}: none has all its columns complete; "
            "expected 'constant' among them."
        )
    first, last = expected_contacts(planet)
    window_d = (last - first) / 2 + 3 * (empty.predicted_mid_err_d or 0.0)
    err, flux = columns["flux_err"], columns["flux"]
    is_quoted = bool(np.all(np.isfinite(err) & (err > 0)))
    if not is_quoted:
        err = np.full_like(flux, abs(float(np.median(flux))) or 1.0)
    offset_d = columns["bjd_tdb"] - empty.predicted_mid_bjd_tdb
    known = shape(planet)
    return _Problem(
        light=Light(offset_d, flux, err, exposure_s),
        is_quoted=is_quoted,
        bases=bases,
        missing=tuple(name for name in designs if name not in bases),
        prior=prior_of(planet, known, window_d=window_d),
        known=known,
    )


def _solve_flat(light: Light, basis: Array, _start: Array | None) -> Solution:
    return solve_flat(light, basis)


def _delta_bic_flat(settled: Settled, problem: _Problem, beta: float) -> float:
    """BIC of the best flat line less that of the transit, with errors widened by the red noise."""
    wide = replace(settled.light, err=settled.light.err * beta).where(settled.kept)
    flat = min(solve_flat(wide, basis[settled.kept]).bic for basis in problem.bases.values())
    transit = replace(settled.solution, chi2=settled.solution.chi2 / beta**2)
    return flat - transit.bic


def _judge(
    settled: Settled, problem: _Problem, delta_bic: float, min_delta_bic: float
) -> tuple[Verdict, str]:
    """Say what the fit is worth."""
    theta = settled.solution.theta
    assert theta is not None
    depth = depth_and_duration(problem.prior, theta)[0]
    dip = f"dip of {100 * depth:.2f} % at {1440 * theta[0]:+.0f} min from the prediction"
    bic = f"BIC {delta_bic:+.0f} against the flat line, {min_delta_bic:g} needed"
    outer = contacts(orbit_at(problem.prior, theta), 1 + theta[1])
    if outer is None or delta_bic < min_delta_bic:
        return "no transit", f"best {dip}: {bic}"
    if abs(theta[0]) > 0.98 * problem.prior.high[0]:
        return "no transit", f"best {dip}, the end of the range searched: {bic}"
    if lacking := _lacking(settled, problem, outer):
        return "partial", f"{dip}, without {' and '.join(lacking)}: {bic}"
    return "transit", f"{dip}: {bic}"


def _lacking(settled: Settled, problem: _Problem, outer: tuple[float, float]) -> list[str]:
    """Name the parts of a fitted transit that too few points show."""
    theta = settled.solution.theta
    assert theta is not None
    inner = contacts(orbit_at(problem.prior, theta), 1 - theta[1]) or (theta[0], theta[0])
    offset = settled.light.offset_d[settled.kept]
    parts = {
        "3 points before ingress": np.sum(offset < outer[0]) >= 3,
        "ingress": _is_straddled(offset, outer[0], inner[0]),
        "egress": _is_straddled(offset, inner[1], outer[1]),
        "3 points after egress": np.sum(offset > outer[1]) >= 3,
    }
    return [name for name, is_there in parts.items() if not is_there]


def _is_straddled(offset: Array, begin: float, end: float) -> bool:
    """Points on both sides of the middle, none further from begin or end than their distance."""
    middle, length = (begin + end) / 2, end - begin
    before = (offset >= begin - length) & (offset <= middle)
    after = (offset >= middle) & (offset <= end + length)
    return bool(before.any() and after.any())


def _with_points(fit: TransitFit, settled: Settled, problem: _Problem, beta: float) -> TransitFit:
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
        red_noise_factor=beta,
        chi2_reduced=float(in_quoted @ in_quoted) / n_degree if problem.is_quoted else None,
        baseline=settled.name,
        baseline_bic=settled.bic | dict.fromkeys(problem.missing),
    )


def _with_transit(fit: TransitFit, settled: Settled, problem: _Problem, beta: float) -> TransitFit:
    """Add the transit's own numbers, with errors widened by the red noise."""
    theta, prior = settled.solution.theta, problem.prior
    assert theta is not None
    assert fit.predicted_mid_bjd_tdb is not None
    kept, light = settled.kept, settled.light
    cov, _ = covariance(
        settled.solution, light.where(kept), settled.basis[kept], prior, inflation=beta
    )
    err = np.sqrt(np.diag(cov))
    depth, length_d = depth_and_duration(prior, theta).tolist()
    depth_err, length_err_d = propagate(prior, theta, cov).tolist()
    outer = contacts(orbit_at(prior, theta), 1 + theta[1])
    assert outer is not None
    predicted, predicted_err = fit.predicted_mid_bjd_tdb, fit.predicted_mid_err_d
    o_minus_c_err = None if predicted_err is None else 1440 * math.hypot(err[0], predicted_err)
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
        parameters=_parameters(settled, problem, err),
    )


def _parameters(settled: Settled, problem: _Problem, err: Array) -> dict[str, Parameter]:
    theta, known = settled.solution.theta, problem.known
    assert theta is not None
    window_min = 1440 * problem.prior.high[0]
    notes = {
        "mid_offset_d": ("d", f"within {window_min:.0f} min of the prediction"),
        "radius_ratio": ("", f"0 to {problem.prior.high[1]:g}"),
        "impact_parameter": ("", _normal(problem.prior, 2, known.b_source)),
        "a_over_r": ("", _normal(problem.prior, 3, known.a_source)),
        "q1": ("", _normal(problem.prior, 4, "stellar models, broad")),
        "q2": ("", _normal(problem.prior, 5, "stellar models, broad")),
    }
    found = {
        name: Parameter(float(theta[i]), float(err[i]), *notes[name])
        for i, name in enumerate(NAMES)
    }
    terms = [
        "constant",
        *(t.strip() for t in settled.name.split("+") if settled.name != "constant"),
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
