"""Transits that stored nights cover, each with its light curve and fit."""

import difflib
import json
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import duckdb
import polars as pl

from ..errors import AnalysisError, NotFoundError
from ..warehouse.config import Ensemble
from ..warehouse.store import shipped
from .baselines import COVARIATES
from .light_curves import LightCurve, light_curve
from .orbits import Ephemeris, predict
from .stars import Star, find_star
from .transits import TransitFit, fit_transit

MARGIN_D = 0.01  # around the predicted contacts: frames there do not choose comparison stars


@dataclass(frozen=True, slots=True)
class ObservedTransit:
    """A planet's transit in one night: what was predicted, seen and fitted.

    `planet` is the row of table `planet`; `curve` is None where there is no light curve.
    """

    planet: dict[str, Any]
    star: Star
    night: date | None
    band: str | None
    curve: LightCurve | None
    fit: TransitFit


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
        fit = _no_data(planet, str(error))
        return ObservedTransit(row, star, chosen["night"], chosen["band"], None, fit)
    return ObservedTransit(row, star, curve.night, curve.band, curve, fit_curve(curve, planet))


def fit_curve(curve: LightCurve, planet: Ephemeris) -> TransitFit:
    """Fit the clean points of a light curve."""
    clean = curve.points.filter(pl.col("is_clean") & pl.col("relative_flux").is_not_null())
    return fit_transit(
        clean["mid_bjd_tdb"],
        clean["relative_flux"],
        clean["relative_flux_err"],
        clean.select(*COVARIATES, "pier_side"),
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
        "files": files,
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
