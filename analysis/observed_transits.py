"""Transits that stored nights cover, each with its light curve and fit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import duckdb
import polars as pl
import xxhash

from ..errors import AnalysisError
from ..warehouse.config import Ensemble
from .baselines import COVARIATES
from .light_curves import LightCurve, light_curve
from .minima import Minimum, time_of_minimum
from .orbits import Ephemeris
from .planets import find_planet
from .posteriors import (
    correlated_likelihood_of,
    evidence,
    likelihood_of,
    sample,
)
from .star_nights import MARGIN_D, chosen_nights, transit_nights
from .stars import Star, find_star
from .transit_results import with_posterior
from .transits import TransitFit, fit_transit


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


def _no_data(planet: Ephemeris, reason: str) -> TransitFit:
    return replace(fit_transit([], [], None, planet=planet, exposure_s=0.0), reason=reason)


def _choose_night(
    nights: pl.DataFrame, name: str, night: str | None, band: str | None
) -> dict[str, Any] | None:
    """Take the latest night with a transit; of its bands the one with most frames."""
    if nights.is_empty():
        return None
    wanted = chosen_nights(nights, name, night, band)
    if night is None:
        if "epoch" not in wanted.columns:
            return None
        wanted = wanted.filter(pl.col("epoch").is_not_null())
        if wanted.is_empty():
            return None
    return wanted.sort("night", "n_frames", descending=True).row(0, named=True)
