"""Rows of `joint_fit` and `joint_transit`, and the document of `transits fit`."""

import json
import math
from typing import Any

import polars as pl

from .joint_results import JointFit


def joint_rows(fit: JointFit, planet_id: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the row of the fit and those of its transits, without number and time of the fit."""
    row = {
        "planet_id": planet_id,
        "time_model": fit.model.time_model,
        "n_transit": len(fit.transits),
        "n_point": fit.n_point,
        "n_outlier": sum(int((~transit.kept).sum()) for transit in fit.transits),
        "impact_parameter": fit.value["impact_parameter"],
        "impact_parameter_err": fit.err["impact_parameter"],
        "a_over_r": fit.value["a_over_r"],
        "a_over_r_err": fit.err["a_over_r"],
        "period_d": fit.period_d,
        "period_err_d": fit.period_err_d,
        "mid_bjd_tdb": fit.mid_bjd_tdb,
        "mid_err_d": fit.mid_err_d,
        "chi2_reduced": fit.chi2_reduced,
        "parameters": json.dumps(parameter_values(fit)),
    }
    transits = [
        {
            "curve_name": transit.curve.name,
            "source_id": transit.curve.source_id,
            "foreign_curve_id": transit.curve.foreign_curve_id,
            "night": transit.curve.night,
            "band": transit.curve.band,
            "epoch": transit.curve.epoch,
            "mid_bjd_tdb": transit.mid_bjd_tdb,
            "mid_err_d": transit.mid_err_d,
            "radius_ratio": transit.radius_ratio,
            "radius_ratio_err": transit.radius_ratio_err,
            "baseline": transit.baseline,
            "n_point": int(transit.kept.sum()),
            "n_outlier": int((~transit.kept).sum()),
            "residual_scatter": transit.residual_scatter,
            "red_noise_factor": transit.red_noise_factor,
        }
        for transit in fit.transits
    ]
    return row, transits


def parameter_values(fit: JointFit) -> dict[str, dict[str, float | None]]:
    """Return value, error and width of the prior (None: free) of every parameter, by name."""
    width = dict(zip(fit.model.names, fit.model.width.tolist(), strict=True))
    found: dict[str, dict[str, float | None]] = {
        name: {
            "value": value,
            "err": fit.err[name],
            "prior_err": width[name] if math.isfinite(width[name]) else None,
        }
        for name, value in fit.value.items()
    }
    tilt: dict[str, float | None] = {"value": fit.inclination_deg, "err": fit.inclination_err_deg}
    return found | {"inclination_deg": tilt | {"prior_err": None}}


def transit_table(fit: JointFit) -> pl.DataFrame:
    """One row a transit for people."""
    _, rows = joint_rows(fit, 0)
    columns = (
        "curve_name",
        "night",
        "band",
        "epoch",
        "mid_bjd_tdb",
        "mid_err_d",
        "radius_ratio",
        "radius_ratio_err",
        "baseline",
        "n_point",
        "residual_scatter",
        "red_noise_factor",
    )
    return pl.DataFrame(rows, infer_schema_length=None).select(columns)
