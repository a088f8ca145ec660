"""A star's light curve with all that files for others say of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import polars as pl

from ..errors import AnalysisError, NotFoundError, UsageError
from ..warehouse.config import Ensemble
from ..warehouse.store import shipped
from .light_curves import LightCurve, light_curve
from .orbits import Ephemeris
from .planets import find_planet
from .star_nights import MARGIN_D, chosen_nights, star_nights, transit_nights
from .stars import Star, find_star


@dataclass(frozen=True, slots=True)
class ExportedCurve:
    """One star's curve, ready to be written.

    Attributes
    ----------
    points
        Rows of view `exported_light_curve` in time order, all nights and bands asked for.
    comparison
        Comparison stars used: source_id, ra_deg, dec_deg, x_pix, y_pix, weight; the heaviest first.
    comparison_points
        Rows of view `light_curve` of those stars on the frames of `points`.
    planet
        Row of table `planet` if the target is a planet or its host.
    fit
        Newest row of `transit_fit` of the planet for this night and band.
    meanings
        unit, ucd and meaning of each column of `points`.
    """

    name: str
    star: Star
    points: pl.DataFrame
    comparison: pl.DataFrame
    comparison_points: pl.DataFrame
    planet: dict[str, Any] | None
    fit: dict[str, Any] | None
    meanings: pl.DataFrame

    @property
    def sound(self) -> pl.DataFrame:
        """Clean points with a flux, in time order."""
        return self.points.filter(pl.col("is_clean") & pl.col("relative_flux").is_not_null())

    def one(self, column: str) -> Any:
        """The value all points share; None if there is none.

        Raises
        ------
        UsageError
            They differ, and the file takes one value.
        """
        values = self.points[column].drop_nulls().unique().sort().to_list()
        if len(values) > 1:
            seen = ", ".join(map(str, values[:5]))
            raise UsageError(
                f"{self.name}: {len(values)} values of {column} ({seen}); "
                f"one file of this format takes one. Choose with --night and --band."
            )
        return values[0] if values else None


def chosen_curves(
    con: duckdb.DuckDBPyConnection,
    name: str,
    *,
    night: str | None,
    band: str | None,
    aperture: str | None,
    options: Ensemble,
) -> tuple[Star, dict[str, Any] | None, list[LightCurve]]:
    """Choose comparison stars and aperture for the nights of a star; a transit decides nothing.

    Returns
    -------
    The star, the row of its planet if its name is one, and a curve for each night and band.

    Raises
    ------
    NotFoundError, AnalysisError
        No such star, night or band, or no curve could be made.
    """
    planet = _planet(con, name)
    star = find_star(con, planet["planet_name"] if planet else name)
    nights = star_nights(con, star)
    windows: dict[tuple[date, str | None], tuple[float, float]] = {}
    if planet is not None:
        for row in transit_nights(con, star, Ephemeris.from_row(planet)).iter_rows(named=True):
            if row.get("first_contact_bjd_tdb") is not None:
                first, fourth = row["first_contact_bjd_tdb"], row["fourth_contact_bjd_tdb"]
                windows[row["night"], row["band"]] = (first - MARGIN_D, fourth + MARGIN_D)
    wanted = chosen_nights(nights, name, night, band)
    curves, errors = [], []
    for when, seen_in in wanted.select("night", "band").iter_rows():
        try:
            curves.append(
                light_curve(
                    con,
                    star,
                    night=when,
                    band=seen_in,
                    aperture=aperture,
                    transit_bjd_tdb=windows.get((when, seen_in)),
                    options=options,
                )
            )
        except AnalysisError as error:
            errors.append(error)
    if not curves:
        raise errors[-1]
    return star, planet, curves


def exported_curve(
    con: duckdb.DuckDBPyConnection,
    name: str,
    star: Star,
    planet: dict[str, Any] | None,
    curves: Sequence[LightCurve],
) -> ExportedCurve:
    """Gather what files say of curves whose comparison stars are stored."""
    chosen = pl.DataFrame(
        {
            "night": [curve.night for curve in curves],
            "band": pl.Series([curve.band for curve in curves], dtype=pl.String),
            "aperture_id": pl.Series([curve.aperture_id for curve in curves], dtype=pl.Int16),
        }
    )
    points = shipped(con, "exported_points", source_id=star.source_id).join(
        chosen, on=["night", "band", "aperture_id"], how="semi", nulls_equal=True
    )
    used = pl.concat([curve.comparison.filter("is_used") for curve in curves])
    comparison = shipped(con, "comparison_places", source_id=star.source_id).join(
        used.group_by("source_id").agg(pl.col("weight").mean()), on="source_id"
    )
    first = curves[0]
    fit = shipped(con, "newest_fit", source_id=star.source_id, night=first.night, band=first.band)
    return ExportedCurve(
        name=planet["planet_name"] if planet else name,
        star=star,
        points=points.sort("mid_jd_utc", "frame_id"),
        comparison=comparison.sort("weight", descending=True),
        comparison_points=shipped(
            con,
            "comparison_points",
            source_id=star.source_id,
            night=first.night,
            band=first.band,
            aperture_id=first.aperture_id,
        ),
        planet=planet,
        fit=fit.row(0, named=True) if fit.height and planet else None,
        meanings=shipped(con, "describe", table_name="exported_light_curve"),
    )


def _planet(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any] | None:
    """The planet of a name; None if it is none, or the host of several."""
    try:
        return find_planet(con, name)
    except NotFoundError:
        return None
