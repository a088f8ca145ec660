"""When a planet really transits: its refined ephemeris, and whether its period changes."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import polars as pl
import xxhash
from scipy.special import chdtrc, fdtrc

from ..errors import NotFoundError
from ..warehouse.store import frame
from .planets import find_planet

SIGNIFICANT = 0.0027  # chance of 3 sigma of a normal distribution


@dataclass(frozen=True, slots=True)
class Timing:
    """All mid-transit times of a planet and the ephemeris they give.

    Attributes
    ----------
    planet
        Row of table `planet`: the ephemeris the times are held against.
    times
        Rows of view `transit_time` in time order.
    refined
        Row of view `refined_ephemeris`; None without a time that has an error.
    quadratic_chance
        Chance that noise alone makes so large a quadratic term; None where it has no meaning.
    """

    planet: dict[str, Any]
    times: pl.DataFrame
    refined: dict[str, Any] | None
    quadratic_chance: float | None

    @property
    def line(self) -> dict[str, Any] | None:
        """The refined ephemeris; None where times of two transits at least are wanting.

        What a single transit gives is its own mid-time: it tells nothing of other transits.
        """
        has_slope = self.refined is not None and self.refined["period_err_d"] is not None
        return self.refined if has_slope else None

    @property
    def is_quadratic(self) -> bool:
        """Whether the quadratic term is significant: by chance in less than 0.27 %."""
        return self.quadratic_chance is not None and self.quadratic_chance < SIGNIFICANT

    @property
    def verdict(self) -> str:
        """One sentence on the straight line and the quadratic term."""
        if self.refined is None:
            return "no mid-transit time with an error is known: nothing can be refined"
        n_time, n_degree = self.refined["n_time"], self.refined["n_degree"]
        if self.refined["period_err_d"] is None:
            times = f"{n_time} time{'s' * (n_time > 1)} of one transit"
            return f"{times}: nothing is refined, two transits are needed"
        chi2 = self.refined["chi2"]
        line = f"{n_time} times on a straight line: chi-square {chi2:.1f} of {n_degree}"
        if self.quadratic_chance is None:
            return f"{line}; too few for a quadratic term"
        told = (
            f"quadratic term {self.refined['quadratic_sigma']:.1f} sigma, by chance in "
            f"{100 * self.quadratic_chance:.2g} %"
        )
        if self.is_quadratic:
            return f"{line}; {told}: SIGNIFICANT, a straight line does not describe these times"
        return f"{line}; {told}: not significant"


def timing(con: duckdb.DuckDBPyConnection, name: str) -> Timing:
    """Gather the mid-transit times of a planet and its refined ephemeris.

    Raises
    ------
    NotFoundError
        No such planet.
    """
    planet = find_planet(con, name)
    key = planet["planet_key"]
    of_planet = "from transit_time where planet_key = $key order by mid_bjd_tdb, transit_name"
    times = frame(con, of_planet, key=key)
    found = frame(con, "from refined_ephemeris where planet_key = $key", key=key)
    refined = found.row(0, named=True) if found.height else None
    return Timing(planet, times, refined, quadratic_chance(refined))


def other_times(
    con: duckdb.DuckDBPyConnection, planet_key: str, night: date | None, band: str | None
) -> str:
    """Hash the mid-times of a planet but that of one night and band.

    Its O - C diagram changes with them.
    """
    rows = frame(
        con,
        "from transit_time where planet_key = $key and not (night is not distinct from $night "
        "and band is not distinct from $band) order by all",
        key=planet_key,
        night=night,
        band=band,
    )
    return xxhash.xxh3_128_hexdigest(rows.write_csv().encode())


def quadratic_chance(refined: dict[str, Any] | None) -> float | None:
    """Chance of so large a quadratic term if the period does not change.

    From the fall of chi-square against the residuals of the parabola (F test), which knows no
    error bars; where the residuals are smaller than these, against the errors as quoted.
    """
    if refined is None or refined["quadratic_d"] is None:
        return None
    n_degree = refined["n_time"] - 3
    gain = refined["quadratic_sigma"] ** 2
    if refined["chi2_quadratic"] > n_degree:
        return float(fdtrc(1, n_degree, gain))
    return float(chdtrc(1, gain))


def residual_times(found: Timing) -> pl.DataFrame:
    """Times with their distance from the refined ephemeris in minutes, and its own error there.

    Raises
    ------
    NotFoundError
        No time of the planet is known.
    """
    if found.times.is_empty():
        raise NotFoundError(
            f"{found.planet['planet_name']}: no mid-transit time is known. Fit a transit "
            f"(`starmuster report transit`) or import times (`starmuster import transit-times`)."
        )
    if found.line is None:
        nothing = pl.lit(None, pl.Float64)
        return found.times.with_columns(residual_min=nothing, predicted_err_min=nothing)
    epochs = found.times["epoch"].to_list()
    ahead = [predicted(found.line, epoch) for epoch in epochs]
    mids = found.times["mid_bjd_tdb"].to_list()
    return found.times.with_columns(
        residual_min=pl.Series([1440 * (t - p[0]) for t, p in zip(mids, ahead, strict=True)]),
        predicted_err_min=pl.Series([1440 * p[1] for p in ahead]),
    )


def predicted(refined: dict[str, Any], epoch: int) -> tuple[float, float]:
    """Mid-time BJD_TDB of a transit by a refined ephemeris, and its error in days.

    `epoch` counts from the ephemeris the refinement began with, as in view `transit_time`.
    """
    n = epoch - refined["epoch"]
    variance = refined["mid_err_d"] ** 2
    if refined["period_err_d"] is not None:
        variance += (n * refined["period_err_d"]) ** 2 + 2 * n * refined["covariance_d2"]
    return refined["mid_bjd_tdb"] + n * refined["period_d"], math.sqrt(max(variance, 0.0))


def adopted(found: Timing) -> dict[str, Any]:
    """Return the refined ephemeris as a new version of the planet's row, without its number.

    Raises
    ------
    NotFoundError
        There is nothing to adopt.
    """
    refined = found.line
    if refined is None:
        raise NotFoundError(f"{found.planet['planet_name']}: {found.verdict}; nothing to adopt.")
    return found.planet | {
        "period_d": refined["period_d"],
        "period_err_d": refined["period_err_d"],
        "mid_bjd_tdb": refined["mid_bjd_tdb"],
        "mid_err_d": refined["mid_err_d"],
        "covariance_d2": refined["covariance_d2"],
        "time_system": "BJD_TDB",
        "source": f"refined by starmuster from {refined['n_time']} mid-transit times",
    }
