"""Read ephemerides: CSV in the NASA Exoplanet Archive's column names, or ExoClock's JSON.

Both of the archive's tables do (`pscomppars`, `ps`), as do files of one line made by hand. Values
are stored as published; what had to be derived or assumed is said in the column `source`.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import astropy.units as u
import numpy as np
import polars as pl
from astropy import constants
from astropy.coordinates import Angle

from ..errors import AnalysisError, UsageError
from .ephemeris_columns import archive_row, json_rows
from .headers import target_key
from .time_systems import NEEDS_PLACE, parse_system, to_bjd_tdb

SCHEMA: dict[str, type[pl.DataType]] = {
    "planet_name": pl.String,
    "planet_key": pl.String,
    "host_name": pl.String,
    "ra_deg": pl.Float64,
    "dec_deg": pl.Float64,
    "period_d": pl.Float64,
    "period_err_d": pl.Float64,
    "mid_bjd_tdb": pl.Float64,
    "mid_err_d": pl.Float64,
    "time_system": pl.String,
    "radius_ratio": pl.Float64,
    "radius_ratio_err": pl.Float64,
    "a_over_r": pl.Float64,
    "a_over_r_err": pl.Float64,
    "inclination_deg": pl.Float64,
    "inclination_err_deg": pl.Float64,
    "impact_parameter": pl.Float64,
    "eccentricity": pl.Float64,
    "omega_deg": pl.Float64,
    "depth": pl.Float64,
    "duration_h": pl.Float64,
    "star_teff_k": pl.Float64,
    "star_logg": pl.Float64,
    "star_feh": pl.Float64,
    "source": pl.String,
}
REQUIRED = ("pl_name", "pl_orbper", "pl_tranmid")
ASSUMED = "assumed BJD_TDB"
SYSTEM_COLUMNS = ("pl_tranmid_systemref", "pl_tsystemref")
REFERENCE_COLUMNS = ("pl_refname", "pl_tranmid_reflink")
SEXAGESIMAL = re.compile(r"[+-]?\d+\s*[:hd\s]\s*\d+\s*[:m\s]\s*\d+(\.\d*)?\s*s?")

Row = Mapping[str, str]


class _RefusedError(AnalysisError):
    """One row cannot be used; the message is the reason, without the planet."""


def read_ephemerides(path: Path) -> pl.DataFrame:
    """Read a file in which every row must be usable.

    Returns
    -------
    The columns of table `planet` but `planet_id` and `imported_utc`, one row a planet.

    Raises
    ------
    UsageError
        The file cannot be read, has no such columns, or has a row that cannot be used; the message
        names the planet. `sift_ephemerides` takes a whole archive with its unusable rows.
    """
    planets, refused = sift_ephemerides(path)
    if not refused.is_empty():
        first = "; ".join(f"{name}: {why}" for name, why in refused.head(5).iter_rows())
        raise UsageError(
            f"{path}: {refused.height} of {refused.height + planets.height} planets cannot be "
            f"used: {first}. Correct or remove these rows."
        )
    return planets


def sift_ephemerides(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read what can be used, and say what cannot.

    Returns
    -------
    planets
        As `read_ephemerides`.
    refused
        planet_name and reason, one row a row of the file that was left out.

    Raises
    ------
    UsageError
        The file cannot be read or is no such table.
    """
    planets: dict[str, dict[str, object]] = {}
    refused: list[dict[str, str]] = []
    for n_line, row in _rows(path):
        name = row["pl_name"] or f"line {n_line}"
        try:
            planet = _planet(row, file_name=path.name)
            if planet["planet_key"] in planets:
                raise _RefusedError("named twice; expected one row a planet")
            planets[str(planet["planet_key"])] = planet
        except _RefusedError as error:
            refused.append({"planet_name": name, "reason": str(error)})
    return (
        pl.DataFrame(list(planets.values()), schema=SCHEMA),
        pl.DataFrame(refused, schema={"planet_name": pl.String, "reason": pl.String}),
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and row; the archive begins its files with lines of '#'."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: {error}; expected a CSV or JSON file in UTF-8. Check the path."
        ) from error
    if text.lstrip().startswith(("{", "[")):
        yield from _json_rows(path, text)
        return
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if _is_content(line)]
    reader = csv.DictReader([line for _, line in lines], skipinitialspace=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    _refuse_without(path, names)
    reader.fieldnames = names
    for row in reader:
        n_line = lines[reader.line_num - 1][0]
        yield (
            n_line,
            archive_row({key: (value or "").strip() for key, value in row.items() if key}),
        )


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        rows = list(json_rows(text))
    except UsageError as error:
        raise UsageError(f"{path}: {error}. Check what was downloaded.") from error
    for n, row in rows:
        _refuse_without(path, list(row))
        yield n, archive_row(row)


def _refuse_without(path: Path, names: list[str]) -> None:
    known = archive_row(dict.fromkeys(names, "1"))
    if missing := [name for name in REQUIRED if name not in known]:
        raise UsageError(
            f"{path}: no column {', '.join(missing)} among {', '.join(names[:8]) or 'none'}; "
            "expected the names of the NASA Exoplanet Archive or of ExoClock. Export pscomppars "
            "as CSV, or rename."
        )


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _planet(row: Row, *, file_name: str) -> dict[str, object]:
    if row.get("default_flag", "1") not in {"", "1"}:
        raise _RefusedError("not the archive's default solution (default_flag)")
    if not row["pl_name"]:
        raise _RefusedError("no name (pl_name)")
    ra_deg, dec_deg = _position(row)
    notes: list[str] = []
    mid_bjd_tdb, system, note = _mid_time(row, ra_deg, dec_deg)
    notes += note
    ratio, ratio_err, note = _radius_ratio(row)
    notes += note
    a_over_r, a_over_r_err, note = _a_over_r(row)
    notes += note
    depth = _number(row, "pl_trandep")
    reference = next((_plain(row[c]) for c in REFERENCE_COLUMNS if row.get(c)), None)
    return {
        "planet_name": row["pl_name"],
        "planet_key": target_key(row["pl_name"]),
        "host_name": row.get("hostname") or None,
        "ra_deg": ra_deg,
        "dec_deg": dec_deg,
        "period_d": _positive(row, "pl_orbper", "period"),
        "period_err_d": _error(row, "pl_orbper"),
        "mid_bjd_tdb": mid_bjd_tdb,
        "mid_err_d": _error(row, "pl_tranmid"),
        "time_system": system,
        "radius_ratio": ratio,
        "radius_ratio_err": ratio_err,
        "a_over_r": a_over_r,
        "a_over_r_err": a_over_r_err,
        "inclination_deg": _within(row, "pl_orbincl", 0, 180),
        "inclination_err_deg": _error(row, "pl_orbincl"),
        "impact_parameter": _number(row, "pl_imppar"),
        "eccentricity": _within(row, "pl_orbeccen", 0, 0.99),
        "omega_deg": _number(row, "pl_orblper"),
        "depth": None if depth is None else depth / 100,  # the archive gives per cent
        "duration_h": _number(row, "pl_trandur"),
        "star_teff_k": _number(row, "st_teff"),
        "star_logg": _number(row, "st_logg"),
        "star_feh": _number(row, "st_met"),
        "source": "; ".join([file_name, *([reference] if reference else []), *notes]),
    }


def _number(row: Row, column: str) -> float | None:
    """Return a measured value; an upper or lower limit is not one."""
    text = row.get(column, "")
    if not text or row.get(f"{column}lim", "") not in {"", "0"}:
        return None
    try:
        value = float(text)
    except ValueError:
        raise _RefusedError(f"{column} is {text!r}; expected a number") from None
    return value if math.isfinite(value) else None


def _positive(row: Row, column: str, what: str) -> float:
    value = _number(row, column)
    if value is None or value <= 0:
        raise _RefusedError(
            f"no {what} ({column} is {row.get(column) or 'empty'}); expected days > 0"
        )
    return value


def _within(row: Row, column: str, low: float, high: float) -> float | None:
    value = _number(row, column)
    if value is not None and not low <= value <= high:
        raise _RefusedError(f"{column} is {value:g}; expected {low:g} to {high:g}")
    return value


def _error(row: Row, column: str) -> float | None:
    """Return the larger of the upper and the lower error."""
    sides = [_number(row, f"{column}{side}") for side in ("err1", "err2", "err")]
    sizes = [abs(side) for side in sides if side]
    return max(sizes, default=None)


def _position(row: Row) -> tuple[float | None, float | None]:
    ra_deg = _angle_deg(row, "ra", "rastr", unit=u.hourangle)
    dec_deg = _angle_deg(row, "dec", "decstr", unit=u.deg)
    if (ra_deg is None) != (dec_deg is None):
        raise _RefusedError("only one of ra and dec is given")
    if (
        ra_deg is not None
        and dec_deg is not None
        and not (0 <= ra_deg < 360 and abs(dec_deg) <= 90)
    ):
        raise _RefusedError(
            f"ra {ra_deg:g}, dec {dec_deg:g}; expected 0 to 360 and -90 to 90 degrees"
        )
    return ra_deg, dec_deg


def _angle_deg(row: Row, decimal: str, sexagesimal: str, *, unit: u.UnitBase) -> float | None:
    """Decimal degrees, else sexagesimal hours (ra) or degrees (dec); never one for the other."""
    for column in (decimal, sexagesimal):
        text = row.get(column, "")
        if SEXAGESIMAL.fullmatch(text):
            return float(Angle(text, unit=unit).to_value(u.deg))  # pyright: ignore
        if text and column == decimal:
            return _number(row, column)
        if text:
            raise _RefusedError(
                f"{column} is {text!r}; expected a sexagesimal angle as 02h04m10.2s"
            )
    return None


def _mid_time(
    row: Row, ra_deg: float | None, dec_deg: float | None
) -> tuple[float, str, list[str]]:
    """Mid-transit in BJD_TDB, the time system as table `planet` states it, and notes."""
    mid = _positive(row, "pl_tranmid", "mid-transit time")
    if mid < 2_400_000:
        raise _RefusedError(f"pl_tranmid is {mid:g}; expected a full Julian date above 2400000")
    given = next((row[c] for c in SYSTEM_COLUMNS if row.get(c)), "")
    if not given:
        return mid, ASSUMED, ["no time system given, taken as BJD_TDB"]
    system = parse_system(given)
    if system is None:
        raise _RefusedError(
            f"time system {given!r}; expected BJD-TDB, BJD-UTC, HJD-UTC, HJD-TDB or JD-UTC, "
            "with its standard named"
        )
    if system == "BJD_TDB":
        return mid, "BJD_TDB", []
    if system in NEEDS_PLACE and ra_deg is None:
        raise _RefusedError(f"a mid-time in {system} needs ra and dec of the host to be converted")
    converted = float(to_bjd_tdb(mid, system, ra_deg, dec_deg))
    return converted, "BJD_TDB", [f"mid-time converted from {given}"]


def _radius_ratio(row: Row) -> tuple[float | None, float | None, list[str]]:
    ratio = _number(row, "pl_ratror")
    if ratio is not None:
        return ratio, _error(row, "pl_ratror"), []
    depth = _number(row, "pl_trandep")
    if depth is not None and depth > 0:
        ratio, depth_err = math.sqrt(depth / 100), _error(row, "pl_trandep")
        err = None if depth_err is None else depth_err / 100 / (2 * ratio)
        return ratio, err, ["radius ratio is the root of the depth"]
    planet, star = _number(row, "pl_rade"), _number(row, "st_rad")
    if planet and star:
        unit = float(constants.R_earth / constants.R_sun)  # pyright: ignore
        ratio = planet / star * unit
        err = _ratio_err(row, ratio, "pl_rade", "st_rad")
        return ratio, err, ["radius ratio from the radii"]
    return None, None, []


def _a_over_r(row: Row) -> tuple[float | None, float | None, list[str]]:
    a_over_r = _number(row, "pl_ratdor")
    if a_over_r is not None:
        return a_over_r, _error(row, "pl_ratdor"), []
    axis_au, star = _number(row, "pl_orbsmax"), _number(row, "st_rad")
    if axis_au and star:
        a_over_r = axis_au / star * float(constants.au / constants.R_sun)  # pyright: ignore
        err = _ratio_err(row, a_over_r, "pl_orbsmax", "st_rad")
        return a_over_r, err, ["a/R* from semi-major axis and radius"]
    return None, None, []


def _ratio_err(row: Row, ratio: float, *columns: str) -> float | None:
    """Error of a quotient of two published columns; None if either has no error."""
    relative = []
    for column in columns:
        value, err = _number(row, column), _error(row, column)
        if value is None or err is None:
            return None
        relative.append(err / value)
    return float(ratio * np.hypot(*relative))


def _plain(reference: str) -> str:
    """The archive wraps its references in links."""
    return re.sub(r"<[^>]*>", "", reference).strip()
