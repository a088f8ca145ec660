"""Bring light curves and transit times of others into the warehouse, beside our own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import UsageError
from ..warehouse.packages import conform, file_checksum
from ..warehouse.runs import Run
from .foreign_curves import (
    AAVSO_BANDS,
    MAG_PER_RELATIVE,
    ForeignCurve,
    read_foreign_curve,
    stated_system,
)
from .headers import target_key
from .quantities import band_key, make_synonyms
from .time_systems import NEEDS_PLACE, SYSTEMS, parse_system, to_bjd_tdb
from .transit_times import read_transit_times

Place = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class ImportedCurve:
    """A light curve of others: the row of `foreign_curve`, its points, whether it is new."""

    curve: dict[str, Any]
    points: pl.DataFrame
    is_new: bool


def import_curve(
    run: Run,
    path: Path,
    target: str | None,
    place: Place,
    *,
    file_format: str | None = None,
    time_system: str | None = None,
    is_magnitude: bool | None = None,
    band: str | None = None,
    observer: str | None = None,
    exposure_s: float | None = None,
) -> ImportedCurve:
    """Import a light curve that was made elsewhere; the same file again stores nothing.

    Parameters
    ----------
    target
        Whose light curve it is; None takes the name in the file.
    place
        Position of the star in degrees, for times that need it.
    time_system, is_magnitude, band, observer, exposure_s
        What the file does not say of itself.

    Raises
    ------
    UsageError
        See `read_foreign_curve` and `stated_system`; or no target, or fluxes below zero.
    """
    read = read_foreign_curve(path, file_format)
    name = target or read.target_name
    if name is None:
        raise UsageError(f"{path}: it does not say whose light curve it is; name it with --target.")
    system = stated_system(read, time_system)
    points = _points(path, read, system, place, is_magnitude=is_magnitude)
    content_hash = file_checksum(path)
    given = band or read.band
    curve = {
        "foreign_curve_id": run.next_id("foreign_curve"),
        "target_name": name,
        "target_key": target_key(name),
        "ra_deg": place[0] if place and system in NEEDS_PLACE else None,
        "dec_deg": place[1] if place and system in NEEDS_PLACE else None,
        "band": given and _band(run, given),
        "band_given": given,
        "observer": observer or read.observer,
        "exposure_s": exposure_s or read.exposure_s,
        "file_format": read.file_format,
        "time_system": system,
        "is_magnitude": read.is_magnitude if is_magnitude is None else is_magnitude,
        "n_left_out": read.n_left_out,
        "file_name": path.name,
        "content_hash": content_hash,
        "imported_utc": datetime.now(UTC).replace(tzinfo=None),
    }
    with run.warehouse.reading() as con:
        stored = con.table("foreign_curve").pl()
    told = [name for name in curve if name not in ("foreign_curve_id", "imported_utc")]
    same = stored.filter(content_hash=content_hash, target_key=curve["target_key"])
    if same.height and all(same[name][0] == curve[name] for name in told):
        return ImportedCurve(same.row(0, named=True), points, is_new=False)
    if same.height:  # the same file, told of otherwise: the new words count
        curve["foreign_curve_id"] = same["foreign_curve_id"][0]
    numbered = points.with_columns(foreign_curve_id=pl.lit(curve["foreign_curve_id"]))
    rows = pl.DataFrame([curve], infer_schema_length=None)
    run.store("foreign-curve", {"foreign_curve": rows, "foreign_point": numbered})
    return ImportedCurve(curve, points, is_new=True)


def _band(run: Run, given: str) -> str:
    """Return the normalised name of a filter; one that is found nowhere stays as it is."""
    bands = make_synonyms(run.warehouse.config.keywords).bands
    return AAVSO_BANDS.get(given.upper()) or bands.get(band_key(given), given)


def _points(
    path: Path, read: ForeignCurve, system: str, place: Place, *, is_magnitude: bool | None
) -> pl.DataFrame:
    """Points in time order: BJD_TDB, and flux over the median of its night."""
    values = read.points["value"]
    if is_magnitude if is_magnitude is not None else read.is_magnitude:
        flux = 10 ** (-0.4 * values)
        err = flux * read.points["value_err"] / MAG_PER_RELATIVE
    else:
        flux, err = values, read.points["value_err"]
        if float(flux.median()) <= 0:  # pyright: ignore[reportArgumentType]
            raise UsageError(
                f"{path}: median flux {flux.median():g}; expected more than 0. Are these "
                f"magnitudes? Then say --magnitudes."
            )
    ra_deg, dec_deg = place or (None, None)
    bjd_tdb = to_bjd_tdb(read.points["given_time"].to_numpy(), system, ra_deg, dec_deg)
    night = pl.col("mid_bjd_tdb").floor()
    return (
        read.points.with_columns(mid_bjd_tdb=bjd_tdb, relative_flux=flux, relative_flux_err=err)
        .sort("mid_bjd_tdb", maintain_order=True)
        .with_columns(level=pl.col("relative_flux").median().over(night))
        .with_columns(pl.col("relative_flux", "relative_flux_err") / pl.col("level"))
        .with_columns(point_number=pl.int_range(1, pl.len() + 1))
        .drop("value", "value_err", "level")
    )


def import_transit_times(
    run: Run, path: Path, planet: str, place: Place, *, time_system: str
) -> pl.DataFrame:
    """Import mid-transit times that others published; the same file again changes nothing.

    Returns
    -------
    The rows of table `published_transit`.

    Raises
    ------
    UsageError
        See `read_transit_times`; or a time system that is not known.
    """
    system = parse_system(time_system)
    if system is None:
        raise UsageError(f"time system {time_system!r}; expected one of {', '.join(SYSTEMS)}.")
    times = read_transit_times(path)
    ra_deg, dec_deg = place or (None, None)
    rows = times.select(
        planet_key=pl.lit(target_key(planet)),
        planet_name=pl.lit(planet),
        mid_bjd_tdb=pl.Series(to_bjd_tdb(times["time"].to_numpy(), system, ra_deg, dec_deg)),
        mid_err_d="err",
        epoch_given="epoch",
        time_system=pl.lit(system),
        reference="reference",
        file_name=pl.lit(path.name),
        content_hash=pl.lit(file_checksum(path)),
        line_number="line_number",
        imported_utc=pl.lit(datetime.now(UTC).replace(tzinfo=None)),
    )
    with run.warehouse.reading() as con:
        stored = con.table("published_transit").pl()
    same = [name for name in rows.columns if name != "imported_utc"]
    if (
        conform("published_transit", rows)
        .join(stored, on=same, how="anti", nulls_equal=True)
        .is_empty()
    ):
        return rows
    run.store("transit-times", {"published_transit": rows})
    return rows


def line_through(
    epochs: Sequence[int | None], mid_bjd_tdb: Sequence[float], err_d: Sequence[float | None]
) -> tuple[float, float, float, float] | None:
    """First ephemeris from numbered transits: mid-time, its error, period, its error (days).

    None without two different numbers with errors. The mid-time is that of the transit number
    nearest to the weighted middle, where it hardly depends on the period.
    """
    import numpy as np

    known = [
        (n, t, s)
        for n, t, s in zip(epochs, mid_bjd_tdb, err_d, strict=True)
        if n is not None and s is not None
    ]
    if len({n for n, *_ in known}) < 2:
        return None
    number, time, sigma = (np.array(column, dtype=float) for column in zip(*known, strict=True))
    middle = round(float(np.average(number, weights=sigma**-2)))
    design = np.column_stack([np.ones_like(number), number - middle]) / sigma[:, None]
    start = time[0]
    covariance = np.linalg.inv(design.T @ design)
    offset, period = covariance @ (design.T @ ((time - start) / sigma))
    return (
        float(start + offset),
        math.sqrt(covariance[0, 0]),
        float(period),
        math.sqrt(covariance[1, 1]),
    )
