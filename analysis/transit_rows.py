"""What is stored and told of an observed transit."""

import json
from dataclasses import fields
from typing import Any

import polars as pl

from .minima import Minimum
from .observed_transits import ObservedTransit, residual_correlation
from .posteriors import Posterior


def fit_row(transit: ObservedTransit) -> pl.DataFrame:
    """Return the row of table `transit_fit`, without transit_fit_id and fitted_utc."""
    fit, curve = transit.fit, transit.curve
    parameters = {
        name: {item.name: getattr(parameter, item.name) for item in fields(parameter)}
        for name, parameter in (fit.parameters or {}).items()
    }
    row = {
        "planet_id": transit.planet["planet_id"],
        "source_id": transit.star.source_id,
        "night": transit.night,
        "band": transit.band,
        "aperture_id": curve.aperture_id if curve else None,
        "verdict": fit.verdict,
        "n_point": fit.n_points,
        "n_outlier": fit.n_outliers,
        "n_comparison": int(curve.comparison["is_used"].sum()) if curve else 0,
        "epoch": fit.epoch,
        "mid_bjd_tdb": fit.mid_bjd_tdb,
        "mid_err_d": fit.mid_bjd_tdb_err,
        "radius_ratio": fit.radius_ratio,
        "radius_ratio_err": fit.radius_ratio_err,
        "depth": fit.depth,
        "depth_err": fit.depth_err,
        "duration_h": fit.duration_h,
        "duration_err_h": fit.duration_h_err,
        "o_minus_c_min": fit.o_minus_c_min,
        "residual_scatter": fit.residual_scatter,
        "residual_scatter_all": fit.residual_scatter_all,
        "red_noise_factor": fit.red_noise_factor,
        "chi2_reduced": fit.chi2_reduced,
        "baseline": fit.baseline,
        "parameters": json.dumps(parameters),
        "method": fit.method,
        "noise_model": "white with red-noise factors",
        "ensemble_method": curve.comparison["ensemble_method"][0] if curve else None,
        "delta_bic_flat": fit.delta_bic_flat,
        "mid_permutation_err_d": fit.mid_permutation_err_d,
        "radius_ratio_permutation_err": fit.radius_ratio_permutation_err,
        "mid_spread_d": fit.mid_spread_d,
        "radius_ratio_low": fit.radius_ratio_low,
        "radius_ratio_high": fit.radius_ratio_high,
        "limb_darkening": fit.limb_darkening,
        "rows_fingerprint": transit.fingerprint,
    }
    if transit.minimum is not None:
        row |= {
            "minimum_bjd_tdb": transit.minimum.kwee_d,
            "minimum_err_d": transit.minimum.kwee_err_d,
        }
    if fit.posterior is not None:
        row |= {
            "noise_model": fit.posterior.noise_model,
            "n_posterior": fit.posterior.samples.height,
            "n_effective": fit.posterior.n_effective,
            "autocorrelation_step": fit.posterior.autocorrelation_step,
            "is_converged": fit.posterior.is_converged,
            "log_evidence_ratio": fit.posterior.log_evidence_ratio,
        }
    return pl.DataFrame([row], infer_schema_length=None)


def summary(transit: ObservedTransit, files: list[str]) -> dict[str, Any]:
    """Return the document of `report transit --json`."""
    fit, curve = transit.fit, transit.curve
    return {
        "target": transit.planet["planet_name"],
        "night": transit.night,
        "verdict": fit.verdict,
        "reason": fit.reason,
        "band": transit.band,
        "n_points": fit.n_points,
        "n_comparison": int(curve.comparison["is_used"].sum()) if curve else 0,
        "aperture": curve.aperture_name if curve else None,
        "mid_bjd_tdb": fit.mid_bjd_tdb,
        "mid_bjd_tdb_err": fit.mid_bjd_tdb_err,
        "radius_ratio": fit.radius_ratio,
        "radius_ratio_err": fit.radius_ratio_err,
        "depth": fit.depth,
        "depth_err": fit.depth_err,
        "duration_h": fit.duration_h,
        "duration_h_err": fit.duration_h_err,
        "first_contact_bjd_tdb": fit.first_contact_bjd_tdb,
        "fourth_contact_bjd_tdb": fit.fourth_contact_bjd_tdb,
        "residual_scatter": fit.residual_scatter,
        "residual_scatter_all": fit.residual_scatter_all,
        "n_outliers": fit.n_outliers,
        "o_minus_c_min": fit.o_minus_c_min,
        "method": fit.method,
        "ensemble": curve.comparison["ensemble_method"][0] if curve else None,
        "baseline": fit.baseline,
        "red_noise_factor": fit.red_noise_factor,
        "radius_ratio_low": fit.radius_ratio_low,
        "radius_ratio_high": fit.radius_ratio_high,
        "mid_spread_min": None if fit.mid_spread_d is None else 1440 * fit.mid_spread_d,
        "delta_bic_flat": fit.delta_bic_flat,
        "limb_darkening": fit.limb_darkening,
        "minimum": None if transit.minimum is None else _minimum(transit.minimum),
        "posterior": None if fit.posterior is None else _posterior(fit.posterior),
        "parameters": {name: [p.value, p.err] for name, p in (fit.parameters or {}).items()},
        "comparison_correlation": residual_correlation(transit),
        "files": files,
    }


def _minimum(timed: Minimum) -> dict[str, Any]:
    return {each.name: getattr(timed, each.name) for each in fields(timed)}


def _posterior(posterior: Posterior) -> dict[str, Any]:
    names = (
        "method",
        "noise_model",
        "n_effective",
        "autocorrelation_step",
        "is_converged",
        "log_evidence_ratio",
    )
    return {"n_sample": posterior.samples.height} | {
        name: getattr(posterior, name) for name in names
    }
