"""Light curves of all transits of a planet, our own and those made elsewhere, for one fit."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from ..errors import AnalysisError, NotFoundError
from ..warehouse.config import Ensemble
from ..warehouse.store import frame, shipped
from .light_curves import LightCurve, light_curve
from .orbits import Ephemeris, predict
from .star_nights import MARGIN_D, transit_nights
from .stars import Star, find_star

Array = NDArray[np.float64]

MIN_POINT = 10
MIN_INSIDE = 3
SAME_FRAME_D = 1 / 86400  # mid-times of one exposure differ less, whoever worked them out
SAME_SHARE = 0.5  # of the shorter curve; those of two cameras meet by chance only


@dataclass(frozen=True, slots=True)
class TransitCurve:
    """One transit in one night and band.

    Attributes
    ----------
    name
        Night and band, or the file it came from.
    depth_band
        Curves of one name share radius ratio and limb darkening; a filter that is not known is
        that of its own curve alone.
    time_bjd_tdb, flux, err
        Points in time order, shape (n,); all errors the same where some are not known.
    covariates
        airmass where it was told for all points, each of shape (n,).
    source_id, foreign_curve_id
        Where it came from; one of them is None.
    """

    name: str
    night: date
    band: str | None
    depth_band: str
    epoch: int
    predicted_bjd_tdb: float
    time_bjd_tdb: Array
    flux: Array
    err: Array
    exposure_s: float
    covariates: dict[str, Array]
    source_id: int | None = None
    foreign_curve_id: int | None = None


def gather_transits(
    con: duckdb.DuckDBPyConnection, planet_row: dict[str, Any], *, options: Ensemble
) -> tuple[list[TransitCurve], list[LightCurve], list[str]]:
    """Gather what `stored_transits` does, and see that there is a transit.

    Raises
    ------
    NotFoundError
        There is none.
    """
    transits, own, left_out = stored_transits(con, planet_row, options=options)
    if not transits:
        why = f" Left out: {'; '.join(left_out)}." if left_out else ""
        raise NotFoundError(
            f"{planet_row['planet_name']}: no stored light curve shows a transit of it.{why} See "
            f"`starmuster transits coverage`; foreign curves count by the name they were "
            f"imported for."
        )
    return transits, own, left_out


def stored_transits(
    con: duckdb.DuckDBPyConnection, planet_row: dict[str, Any], *, options: Ensemble
) -> tuple[list[TransitCurve], list[LightCurve], list[str]]:
    """Gather every stored transit of a planet that has points enough.

    Returns
    -------
    The transits in time order; our own light curves among them, whose comparison stars may be
    stored; and what was left out, with the reason.
    """
    planet = Ephemeris.from_row(planet_row)
    left_out: list[str] = []
    own = list(_own(con, planet_row, planet, options, left_out))
    transits = [transit for transit, _ in own]
    for name in ("planet_name", "host_name"):
        if planet_row[name]:
            foreign = shipped(con, "foreign_points", target_name=planet_row[name])
            transits += _foreign(foreign, planet, left_out)
    transits = _each_frame_once(transits, left_out)
    return (
        sorted(transits, key=lambda transit: (transit.time_bjd_tdb[0], transit.name)),
        [curve for _, curve in own],
        left_out,
    )


def fingerprint(
    con: duckdb.DuckDBPyConnection,
    planet_row: dict[str, Any],
    curves: list[TransitCurve],
    left_out: list[str],
) -> str:
    """Hash all that decides the numbers of a planet: curves, mid-times, every ephemeris."""
    digest = xxhash.xxh3_128()
    for curve in curves:
        digest.update(repr((curve.name, curve.band, curve.epoch, curve.exposure_s)).encode())
        for values in (curve.time_bjd_tdb, curve.flux, curve.err, *curve.covariates.values()):
            digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(repr(left_out).encode())
    for query in (
        "from planet where planet_key = $key order by planet_id",
        "from transit_time where planet_key = $key and origin <> 'joint' order by all",
    ):
        rows = frame(con, query, key=planet_row["planet_key"])
        digest.update(rows.write_csv().encode())
    return digest.hexdigest()


def _own(
    con: duckdb.DuckDBPyConnection,
    row: dict[str, Any],
    planet: Ephemeris,
    options: Ensemble,
    left_out: list[str],
) -> Iterator[tuple[TransitCurve, LightCurve]]:
    try:
        star: Star = find_star(con, row["planet_name"])
    except NotFoundError:
        return  # never observed here: then all its light curves are of others
    nights = transit_nights(con, star, planet)
    for night in nights.iter_rows(named=True):
        if night.get("epoch") is None:
            continue
        window = (
            night["first_contact_bjd_tdb"] - MARGIN_D,
            night["fourth_contact_bjd_tdb"] + MARGIN_D,
        )
        name = f"{night['night']} {night['band'] or 'no band'}"
        try:
            curve = light_curve(
                con,
                star,
                night=night["night"],
                band=night["band"],
                transit_bjd_tdb=window,
                options=options,
            )
        except AnalysisError as error:
            left_out.append(f"{name}: {error}")
            continue
        clean = curve.points.filter("is_clean").select(
            "mid_bjd_tdb",
            "relative_flux",
            "relative_flux_err",
            "exposure_s",
            "airmass",
        )
        where = {"name": name, "night": night["night"], "band": night["band"]}
        for transit in _transit(clean, planet, left_out, **where):
            yield replace(transit, source_id=star.source_id), curve


def _foreign(
    points: pl.DataFrame, planet: Ephemeris, left_out: list[str]
) -> Iterator[TransitCurve]:
    nights = points.group_by("foreign_curve_id", "night", maintain_order=True)
    for (curve_id, night), rows in nights:
        name, band = rows["curve_name"][0], rows["band"][0]
        where: dict[str, Any] = {"name": name, "night": night, "band": band}
        for transit in _transit(rows, planet, left_out, **where):
            depth_band = transit.depth_band if band else f"filter of {name}"
            yield replace(transit, foreign_curve_id=int(str(curve_id)), depth_band=depth_band)


def _each_frame_once(transits: list[TransitCurve], left_out: list[str]) -> list[TransitCurve]:
    """Keep one of the curves that were made from the same frames: ours, else the newest."""

    def rank(curve: TransitCurve) -> tuple[bool, int]:
        return curve.source_id is None, -(curve.foreign_curve_id or 0)

    kept: list[TransitCurve] = []
    for curve in sorted(transits, key=rank):
        twin = next((other for other in kept if _share_frames(curve, other)), None)
        if twin is None:
            kept.append(curve)
        else:
            left_out.append(f"{curve.name}: of the same frames as {twin.name}, which counts once")
    return kept


def _share_frames(curve: TransitCurve, other: TransitCurve) -> bool:
    is_other_filter = curve.band is not None and other.band not in (None, curve.band)
    if curve.epoch != other.epoch or is_other_filter:
        return False  # the colours of one exposure are as many measurements
    time, times = sorted((curve.time_bjd_tdb, other.time_bjd_tdb), key=len)
    after = np.searchsorted(times, time).clip(1, len(times) - 1)
    apart = np.minimum(np.abs(times[after] - time), np.abs(times[after - 1] - time))
    return bool(np.mean(apart < SAME_FRAME_D) > SAME_SHARE)


def _transit(
    rows: pl.DataFrame,
    planet: Ephemeris,
    left_out: list[str],
    *,
    name: str,
    night: date,
    band: str | None,
) -> Iterator[TransitCurve]:
    """The transit that most points of a night lie in, if there are enough of them."""
    rows = rows.drop_nulls(["mid_bjd_tdb", "relative_flux"]).sort("mid_bjd_tdb")
    if rows.height < MIN_POINT:
        left_out.append(f"{name}: {rows.height} points, {MIN_POINT} needed")
        return
    time = rows["mid_bjd_tdb"].to_numpy()
    covered = predict(planet, float(time[0]), float(time[-1])).with_columns(
        inside=pl.struct("first_contact_bjd_tdb", "fourth_contact_bjd_tdb").map_elements(
            lambda pair: int(
                np.sum(
                    (time >= pair["first_contact_bjd_tdb"])
                    & (time <= pair["fourth_contact_bjd_tdb"])
                )
            ),
            return_dtype=pl.Int64,
        )
    )
    best = covered.filter(pl.col("inside") >= MIN_INSIDE).sort("inside", descending=True).head(1)
    if best.is_empty():
        left_out.append(f"{name}: no predicted transit with {MIN_INSIDE} points in it")
        return
    err = rows["relative_flux_err"]
    is_quoted = err.null_count() == 0 and float(err.min() or 0) > 0  # pyright: ignore
    airmass = rows["airmass"]
    exposure_s = rows["exposure_s"].median()
    yield TransitCurve(
        name=name,
        night=night,
        band=band,
        depth_band=band or "no band",
        epoch=best["epoch"][0],
        predicted_bjd_tdb=best["mid_bjd_tdb"][0],
        time_bjd_tdb=time,
        flux=rows["relative_flux"].to_numpy(),
        err=err.to_numpy() if is_quoted else np.ones(len(time)),
        exposure_s=float(exposure_s) if isinstance(exposure_s, float) else 0.0,
        covariates={} if airmass.null_count() else {"airmass": airmass.to_numpy()},
    )
