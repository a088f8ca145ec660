"""Transits that stored nights cover, each with its light curve and fit."""

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Literal

import duckdb
import polars as pl
import xxhash

from ..errors import AnalysisError, NotFoundError
from ..warehouse.config import Ensemble
from ..warehouse.store import shipped
from .baselines import COVARIATES
from .light_curves import LightCurve, light_curve
from .minima import Minimum, time_of_minimum
from .orbits import Ephemeris, predict
from .posteriors import (
    Posterior,
    correlated_likelihood_of,
    evidence,
    likelihood_of,
    sample,
)
from .stars import Star, find_star
from .transit_results import with_posterior
from .transits import TransitFit, fit_transit

MARGIN_D = 0.01  # around the predicted contacts: frames there do not choose comparison stars


@dataclass(frozen=True, slots=True)
class ObservedTransit:
    """A planet's transit in one night: what was predicted, seen and fitted.

    `planet` is the row of table `planet`; `curve` is None where there is no light curve.
    `fingerprint` is that of the rows and settings behind the fit, `minimum` that of a dip that is
    no transit.
    """

    planet: dict[str, Any]
    star: Star
    night: date | None
    band: str | None
    curve: LightCurve | None
    fit: TransitFit
    fingerprint: str | None = None
    minimum: Minimum | None = None


def find_planet(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """Return the newest ephemeris of a planet.

    Raises
    ------
    NotFoundError
        If none was imported, or the name is a host of several planets.
    """
    found = shipped(con, "newest_planet", planet_name=name)
    if found.height == 1:
        return found.row(0, named=True)
    if found.height > 1:
        names = ", ".join(found["planet_name"])
        raise NotFoundError(f"{name} is the host of {names}: name the planet.")
    names = [str(row[0]) for row in con.table("planet").project("planet_name").fetchall()]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise NotFoundError(
        f"no ephemeris of {name!r}.{hint} Import one: starmuster import ephemerides FILE."
    )


def transit_nights(con: duckdb.DuckDBPyConnection, star: Star, planet: Ephemeris) -> pl.DataFrame:
    """Return the nights and bands of a star, with the transit each covers.

    Returns
    -------
    One row a night and band: night, band, n_frames, first_bjd_tdb, last_bjd_tdb, and of the
    predicted transit nearest to their middle: epoch, mid_bjd_tdb, first_contact_bjd_tdb,
    fourth_contact_bjd_tdb; null where no part of a transit falls into the night.
    """
    rows: list[dict[str, Any]] = []
    for span in shipped(con, "night_spans", source_id=star.source_id).iter_rows(named=True):
        if span["first_bjd_tdb"] is None:
            continue
        covered = predict(planet, span["first_bjd_tdb"], span["last_bjd_tdb"])
        middle = (span["first_bjd_tdb"] + span["last_bjd_tdb"]) / 2
        nearest = covered.sort((pl.col("mid_bjd_tdb") - middle).abs()).head(1).to_dicts()
        rows.append(span | (nearest[0] if nearest else {}))
    return pl.DataFrame(rows, infer_schema_length=None)


def observe_transit(
    con: duckdb.DuckDBPyConnection,
    name: str,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
    options: Ensemble,
) -> ObservedTransit:
    """Fit the transit of a planet in the latest stored night that covers one, or the night given.

    Raises
    ------
    NotFoundError
        No such planet, its star is in no field, or it was not measured in that night.
    """
    return fitted(
        observe_curve(con, name, night=night, band=band, aperture=aperture, options=options)
    )


def observe_curve(
    con: duckdb.DuckDBPyConnection,
    name: str,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
    options: Ensemble,
) -> ObservedTransit:
    """Make the light curve that `observe_transit` fits; its `fit` has the verdict "no data" yet.

    Raises
    ------
    NotFoundError
        As `observe_transit`.
    """
    row = find_planet(con, name)
    planet = Ephemeris.from_row(row)
    star = find_star(con, row["planet_name"])
    chosen = _choose_night(transit_nights(con, star, planet), row["planet_name"], night, band)
    if chosen is None:
        reason = f"no stored night covers a predicted transit of {planet.planet_name}"
        return ObservedTransit(row, star, None, band, None, _no_data(planet, reason))
    window = None
    if chosen.get("first_contact_bjd_tdb") is not None:
        window = (
            chosen["first_contact_bjd_tdb"] - MARGIN_D,
            chosen["fourth_contact_bjd_tdb"] + MARGIN_D,
        )
    where = (chosen["night"], chosen["band"])
    try:
        curve = light_curve(
            con,
            star,
            night=chosen["night"],
            band=chosen["band"],
            aperture=aperture,
            transit_bjd_tdb=window,
            options=options,
        )
    except AnalysisError as error:
        if aperture is not None:
            raise
        return ObservedTransit(row, star, *where, None, _no_data(planet, str(error)))
    mark = _fingerprint(row, curve, options)
    return ObservedTransit(row, star, *where, curve, _no_data(planet, "not fitted"), mark)


def fitted(transit: ObservedTransit) -> ObservedTransit:
    """Fit the light curve; where there is no transit, time another dip without a model."""
    if transit.curve is None:
        return transit
    fit = fit_curve(transit.curve, Ephemeris.from_row(transit.planet))
    if fit.verdict != "no transit":
        return replace(transit, fit=fit)
    points = fit.points.filter(~pl.col("is_outlier"))
    time_d, flux = (points[name].to_numpy() for name in ("bjd_tdb", "flux"))
    timed = time_of_minimum(time_d, flux)
    return replace(transit, fit=fit, minimum=None if timed.kwee_d is None else timed)


def sampled(
    transit: ObservedTransit,
    *,
    n_sample: int,
    sampler: Literal["emcee", "dynesty"],
    has_process: bool = False,
    advance: Callable[[int], None] | None = None,
) -> ObservedTransit:
    """Sample the posterior of a fitted transit; one without a transit stays as it is.

    With `has_process` the noise is a Gaussian process, and errors are not widened (emcee only).
    """
    fit = transit.fit
    if fit.settled is None or fit.error_inflation is None:
        return transit
    if has_process:
        likelihood = correlated_likelihood_of(fit.settled, fit.prior)
    else:
        likelihood = likelihood_of(fit.settled, fit.prior, fit.error_inflation)
    terms = [name for name in fit.parameters or {} if name.startswith("baseline ")]
    if sampler == "dynesty":
        posterior = evidence(likelihood, n_sample=n_sample, terms=terms)
    else:
        posterior = sample(likelihood, fit.settled, n_sample=n_sample, terms=terms, advance=advance)
    return replace(transit, fit=with_posterior(fit, posterior))


def residual_correlation(transit: ObservedTransit) -> dict[int, float]:
    """Correlate each comparison star's own curve with the residuals of the fit."""
    curve, fit = transit.curve, transit.fit
    if curve is None or fit.points.is_empty() or fit.points["residual"].is_null().all():
        return {}
    residual = fit.points.filter(~pl.col("is_outlier")).select("bjd_tdb", "residual")
    joined = curve.own.join(residual, left_on="mid_bjd_tdb", right_on="bjd_tdb")
    found = (
        joined.group_by("source_id")
        .agg(r=pl.corr("relative_flux", "residual"), n=pl.len())
        .filter((pl.col("n") > 9) & pl.col("r").is_finite())
    )
    return dict(found.sort("source_id").select("source_id", "r").iter_rows())


def _fingerprint(planet: dict[str, Any], curve: LightCurve, options: Ensemble) -> str:
    """Hash all that decides the numbers of a fit: rows, comparison stars, ephemeris, settings."""
    digest = xxhash.xxh3_128()
    digest.update(curve.points.write_csv().encode())
    digest.update(curve.comparison.sort("source_id").write_csv().encode())
    digest.update(repr(sorted(planet.items())).encode())
    digest.update(options.fingerprint().encode())
    return digest.hexdigest()


def fit_curve(curve: LightCurve, planet: Ephemeris) -> TransitFit:
    """Fit the clean points of a light curve."""
    clean = curve.points.filter(pl.col("is_clean") & pl.col("relative_flux").is_not_null())
    return fit_transit(
        clean["mid_bjd_tdb"],
        clean["relative_flux"],
        clean["relative_flux_err"],
        clean.select(*COVARIATES, "^trend_.*$", "pier_side"),
        planet=planet,
        band=curve.band,
        exposure_s=float(clean["exposure_s"].median() or 0.0),  # pyright: ignore
    )


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


def _no_data(planet: Ephemeris, reason: str) -> TransitFit:
    return replace(fit_transit([], [], None, planet=planet, exposure_s=0.0), reason=reason)


def _choose_night(
    nights: pl.DataFrame, name: str, night: str | None, band: str | None
) -> dict[str, Any] | None:
    """Take the latest night with a transit; of its bands the one with most frames."""
    if nights.is_empty():
        return None
    wanted = nights
    if night is not None:
        wanted = wanted.filter(pl.col("night").cast(pl.String) == night)
    if band is not None:
        wanted = wanted.filter(pl.col("band") == band)
    if wanted.is_empty():
        seen = ", ".join(f"{row[0]} in {row[1]}" for row in nights.iter_rows())
        raise NotFoundError(
            f"{name}: not measured on {night or 'any night'} in {band or 'any band'}; "
            f"it was on {seen}."
        )
    if night is None:
        if "epoch" not in wanted.columns:
            return None
        wanted = wanted.filter(pl.col("epoch").is_not_null())
        if wanted.is_empty():
            return None
    return wanted.sort("night", "n_frames", descending=True).row(0, named=True)
