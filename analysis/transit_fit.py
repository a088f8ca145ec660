"""The outcome of fitting one transit: what every report, table and upload is made from."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import polars as pl

Verdict: TypeAlias = Literal["transit", "partial", "no baseline", "no transit", "no data"]


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
    has_flip
        Whether the baseline holds an offset between the two sides of the pier.
    mid_permutation_err_d, radius_ratio_permutation_err
        1-sigma errors by residual permutation alone.
    mid_spread_d, radius_ratio_low, radius_ratio_high
        Largest change of the mid-time, and range of the radius ratio, by the other baselines that
        BIC does not rule out: a systematic that the errors do not hold.
    limb_darkening
        Where the priors of q1 and q2 came from.
    parameters
        Every parameter by name.
    error_inflation
        Largest of the factors of red noise for mid-time and radius ratio.
    baseline_scatter
        What the choice of the baseline adds to the errors of mid-time (days) and radius ratio.
    method
        least squares, emcee or dynesty.
    posterior
        `posteriors.Posterior`, if it was sampled.
    settled, prior
        What a sampler starts from: `transit_rounds.Settled` and `transit_solver.Prior`.
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
    has_flip: bool = False
    mid_permutation_err_d: float | None = None
    radius_ratio_permutation_err: float | None = None
    mid_spread_d: float | None = None
    radius_ratio_low: float | None = None
    radius_ratio_high: float | None = None
    limb_darkening: str | None = None
    parameters: dict[str, Parameter] | None = None
    error_inflation: float | None = None
    baseline_scatter: tuple[float, float] | None = None
    method: str = "least squares"
    posterior: Any = field(default=None, compare=False, repr=False)
    settled: Any = field(default=None, compare=False, repr=False)
    prior: Any = field(default=None, compare=False, repr=False)
