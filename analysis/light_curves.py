"""Light curves of any star from stored rows: comparison stars, aperture, relative flux."""

from dataclasses import dataclass, replace
from datetime import date

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import AnalysisError, NotFoundError
from ..warehouse.config import Ensemble
from ..warehouse.store import shipped
from .comparison_stars import choose_comparison
from .ensembles import differential, sum_weights
from .field_curves import Method, curve_rows, leave_one_out
from .star_tables import ordered_frames, tabulate
from .stars import Star
from .trends import shared_trends

Array = NDArray[np.float64]

MAD_SIGMA = 1.4826
MIN_COMPARISON = 3  # with fewer, a star with a neighbour is better than none
FAR_SIGMA = 4.0  # points farther out count as if they were there
MIN_DECIDING = 5  # frames outside a transit that can choose comparison stars and aperture


@dataclass(frozen=True, slots=True)
class LightCurve:
    """A star's light curve in one night, band and aperture.

    Attributes
    ----------
    points
        Rows of view `light_curve` with ensemble_flux, n_comparison, relative_flux and
        relative_flux_err (median one), in time order; trend_1 ... where trends were asked for.
    comparison
        Rows of table `comparison_star`: every star considered, and why it was taken or not.
    scatter
        Robust relative scatter: from frame to frame, or where a transit is predicted, that of
        the points outside it about a parabola (of the comparison stars if none are).
    aperture_scatter
        One row an aperture tried: aperture_id, aperture_name, scatter.
    own
        Comparison stars over the others: source_id, frame_id, mid_bjd_tdb (of the target),
        relative_flux.
    """

    star: Star
    night: date
    band: str | None
    aperture_id: int
    aperture_name: str
    points: pl.DataFrame
    comparison: pl.DataFrame
    scatter: float
    aperture_scatter: pl.DataFrame
    own: pl.DataFrame


def light_curve(
    con: duckdb.DuckDBPyConnection,
    star: Star,
    *,
    night: date,
    band: str | None,
    aperture: str | None = None,
    transit_bjd_tdb: tuple[float, float] | None = None,
    options: Ensemble,
) -> LightCurve:
    """Make the differential light curve of a star in one night and band.

    Comparison stars are chosen for each aperture anew; of all apertures the one is taken whose
    curve scatters least. Neither choice looks into a transit.

    Parameters
    ----------
    aperture
        Name or number; None chooses.
    transit_bjd_tdb
        Begin and end of a predicted transit: frames in between do not decide.
    options
        How comparison stars are chosen.

    Raises
    ------
    NotFoundError, AnalysisError
        No such aperture, no clean flux, or no star that can serve as comparison.
    """
    apertures = _apertures(con, star, night, band, aperture)
    where = {
        "night": night,
        "band": band,
        "aperture_id": apertures["aperture_id"][0] if apertures.height == 1 else None,
    }
    brightness = options.model_dump(include={"max_fainter_mag", "max_brighter_mag"})
    sources = shipped(con, "comparison_candidates", source_id=star.source_id, **brightness)
    rows = shipped(con, "ensemble_rows", sources=sources["source_id"].to_list(), **where)
    points = shipped(con, "star_points", source_id=star.source_id, **where)
    unfit = shipped(con, "unfit_comparison", source_id=star.source_id)
    history = shipped(
        con,
        "comparison_history",
        source_id=star.source_id,
        night=night,
        band=band,
        max_redder_mag=options.max_redder_mag,
    )
    unfit = pl.concat([unfit, history])
    by_hand = shipped(con, "comparison_choices", source_id=star.source_id)
    curves: list[LightCurve] = []
    errors: list[AnalysisError] = []
    for aperture_id, aperture_name, _ in apertures.iter_rows():
        try:
            curve = compare(
                rows.filter(aperture_id=aperture_id),
                points.filter(aperture_id=aperture_id),
                star,
                unfit=unfit,
                by_hand=by_hand,
                transit_bjd_tdb=transit_bjd_tdb,
                options=options,
            )
        except AnalysisError as error:
            errors.append(error)
            continue
        curves.append(replace(curve, aperture_name=aperture_name))
    if not curves:
        raise errors[-1]
    tried = [
        {name: getattr(curve, name) for name in ("aperture_id", "aperture_name", "scatter")}
        for curve in curves
    ]
    best = min(curves, key=lambda curve: curve.scatter)
    rows = rows.filter(aperture_id=best.aperture_id)
    best = replace(best, aperture_scatter=pl.DataFrame(tried), own=own_curves(rows, best))
    if not options.n_trend:
        return best
    table = tabulate(rows, ordered_frames(rows))
    trends = shared_trends(table, star.source_id, options.n_trend, method=options.trend_method)
    points = best.points.join(trends, on="frame_id", how="left", maintain_order="left")
    return replace(best, points=points)


def own_curves(rows: pl.DataFrame, curve: LightCurve) -> pl.DataFrame:
    """Divide each comparison star by the others: what they do by themselves."""
    used = curve.comparison.filter("is_used").select("source_id", "weight")
    stars = rows.join(used, on="source_id", how="semi")
    table = tabulate(stars, ordered_frames(rows))
    weight = pl.DataFrame({"source_id": table.source_id}).join(
        used, on="source_id", how="left", maintain_order="left"
    )
    curves = leave_one_out(table, np.arange(len(table.source_id)), weight["weight"].to_numpy())
    times = curve.points.select("frame_id", "mid_bjd_tdb")
    return curve_rows(table, curves).drop("relative_flux_err").join(times, on="frame_id")


def compare(
    rows: pl.DataFrame,
    points: pl.DataFrame,
    star: Star,
    *,
    unfit: pl.DataFrame | None = None,
    by_hand: pl.DataFrame | None = None,
    transit_bjd_tdb: tuple[float, float] | None,
    options: Ensemble,
) -> LightCurve:
    """Choose the comparison stars of one star in one aperture, and divide by them.

    Parameters
    ----------
    rows, points
        Rows of the queries `ensemble_rows` and `star_points` of one night, band and aperture.
    unfit
        Rows of the query `unfit_comparison`: stars known to be variable or to have a neighbour.
    by_hand
        Rows of table `comparison_choice` of this star.
    """
    outside = _outside(points, transit_bjd_tdb)
    # the target's curve takes no part in the choice: where hardly a frame lies outside the
    # transit, the other stars may be judged on all frames
    deciding = outside if outside.height >= max(MIN_DECIDING, points.height // 5) else points
    comparison = _choose(
        rows, star, deciding["frame_id"].to_list(), unfit=unfit, by_hand=by_hand, options=options
    )
    relative = differential(rows, star.source_id, comparison, method=options.method)
    comparison = _with_method(comparison, rows, options.method)
    points = points.join(relative, on="frame_id", how="left", maintain_order="left")
    quiet = points.join(
        outside.select("frame_id"), on="frame_id", how="semi", maintain_order="left"
    )
    night, band, aperture_id = points.select("night", "band", "aperture_id").row(0)
    return LightCurve(
        star=star,
        night=night,
        band=band,
        aperture_id=aperture_id,
        aperture_name="",
        points=points,
        comparison=comparison.with_columns(
            target_source_id=pl.lit(star.source_id),
            night=pl.lit(night),
            band=pl.lit(band, pl.String),
            aperture_id=pl.lit(aperture_id),
        ),
        scatter=_scatter(quiet, comparison, is_transit=transit_bjd_tdb is not None),
        aperture_scatter=pl.DataFrame(),
        own=pl.DataFrame(),
    )


def _choose(
    rows: pl.DataFrame,
    star: Star,
    deciding: list[int],
    *,
    unfit: pl.DataFrame | None,
    by_hand: pl.DataFrame | None,
    options: Ensemble,
) -> pl.DataFrame:
    """Choose without stars known to be unfit; those with a neighbour serve where few others do.

    What was pinned or banned by hand goes before all that is known.
    """
    pins, bans = _by_hand(by_hand)

    def choice(left_out: pl.DataFrame | None) -> pl.DataFrame:
        known = [] if left_out is None else left_out.select("source_id", "reason").rows()
        return choose_comparison(
            rows,
            star.source_id,
            out_of_transit=deciding,
            excluded=dict(reversed(known)) | bans,  # the first reason of a star counts
            pins=pins,
            max_fainter_mag=options.max_fainter_mag,
            max_brighter_mag=options.max_brighter_mag,
            max_n=options.max_star,
        )

    chosen = choice(unfit)
    if unfit is None or chosen["is_used"].sum() >= MIN_COMPARISON:
        return chosen
    return choice(unfit.filter("is_variable"))


def _by_hand(rows: pl.DataFrame | None) -> tuple[set[int], dict[int, str]]:
    """Return the pinned stars, and the banned ones with the reason."""
    if rows is None:
        return set(), {}
    pins = set(rows.filter(choice="pin")["source_id"])
    bans = {
        row["source_id"]: "banned by hand" + (f": {row['note']}" if row["note"] else "")
        for row in rows.filter(choice="ban").iter_rows(named=True)
    }
    return pins, bans


def _with_method(comparison: pl.DataFrame, rows: pl.DataFrame, method: Method) -> pl.DataFrame:
    """Name the ensemble, and give a sum of fluxes the weights that SQL needs for the same sum."""
    if method == "sum":
        used = comparison.filter("is_used").select("source_id")
        table = tabulate(rows.join(used, on="source_id", how="semi"), ordered_frames(rows))
        weight = pl.DataFrame({"source_id": table.source_id, "of_sum": sum_weights(table)})
        comparison = (
            comparison.join(weight, on="source_id", how="left", maintain_order="left")
            .with_columns(weight=pl.col("of_sum"))
            .drop("of_sum")
        )
    return comparison.with_columns(ensemble_method=pl.lit(method))


def step_scatter(flux: Array) -> float:
    """Return the robust scatter of a curve from the differences of successive points."""
    return _spread(np.diff(flux)) / np.sqrt(2)


def trend_scatter(time_d: Array, flux: Array) -> float:
    """Return the robust scatter of a curve about a parabola in time: red noise counts too."""
    offset = time_d - time_d.mean()
    trend = np.polynomial.Polynomial.fit(offset, flux, 2 if len(flux) > 2 * MIN_DECIDING else 1)
    return _spread(flux - trend(offset))


def _spread(values: Array) -> float:
    """Return the standard deviation, values far out drawn in to `FAR_SIGMA`.

    The median absolute deviation alone is as noisy as the standard deviation of a third of the
    points: too noisy to tell apertures apart by some tens of frames.
    """
    off = np.abs(values - np.median(values))
    far = FAR_SIGMA * MAD_SIGMA * float(np.median(off))
    return float(np.sqrt(np.mean(np.minimum(off, far) ** 2)))


def _apertures(
    con: duckdb.DuckDBPyConnection,
    star: Star,
    night: date,
    band: str | None,
    aperture: str | None,
) -> pl.DataFrame:
    found = shipped(con, "star_apertures", source_id=star.source_id, night=night, band=band)
    if found.is_empty():
        raise NotFoundError(
            f"{star.name}: no flux of source {star.source_id} on {night} in {band}; "
            f"see its flags in `measurement`."
        )
    if aperture is None:
        return found
    wanted = found.filter(
        (pl.col("aperture_name") == aperture) | (pl.col("aperture_id").cast(pl.String) == aperture)
    )
    if wanted.is_empty():
        raise NotFoundError(
            f"no aperture {aperture!r}; there are: {', '.join(found['aperture_name'])}."
        )
    return wanted


def _outside(points: pl.DataFrame, transit_bjd_tdb: tuple[float, float] | None) -> pl.DataFrame:
    if transit_bjd_tdb is None:
        return points
    return points.filter(~pl.col("mid_bjd_tdb").is_between(*transit_bjd_tdb))


def _scatter(points: pl.DataFrame, comparison: pl.DataFrame, *, is_transit: bool) -> float:
    """Measure a curve by points that no transit touches; by its comparison stars if none are."""
    clean = points.filter("is_clean").drop_nulls(["relative_flux", "mid_jd_utc"])
    time, flux = (clean[name].to_numpy() for name in ("mid_jd_utc", "relative_flux"))
    if len(flux) < MIN_DECIDING:
        scatter = comparison.filter("is_used")["scatter"].median()
        return float(scatter) if isinstance(scatter, float) else np.inf
    return trend_scatter(time, flux) if is_transit else step_scatter(flux)
