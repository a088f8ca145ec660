"""Light curves that other programs wrote: AstroImageJ, EXOTIC, LEMON, AAVSO, plain columns.

Every reader gives the times as they stand in the file. The time system is what the file itself
says of it, or null: then who imports it must say so. It is never guessed.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import UsageError
from .time_systems import SYSTEMS, parse_system

COLUMNS = (
    "given_time",
    "value",
    "value_err",
    "airmass",
    "x_pix",
    "y_pix",
    "fwhm_pix",
    "sky_adu_per_pix",
)
# Columns of an AstroImageJ table, of the target T1, by ours.
ASTROIMAGEJ = {
    "value": "rel_flux_T1",
    "value_err": "rel_flux_err_T1",
    "airmass": "AIRMASS",
    "x_pix": "X(FITS)_T1",
    "y_pix": "Y(FITS)_T1",
    "fwhm_pix": "FWHM_T1",
    "sky_adu_per_pix": "Sky/Pixel_T1",
}
# Filter codes of the AAVSO that are not names of our bands.
AAVSO_BANDS = {
    "SU": "u",
    "SG": "g",
    "SR": "r",
    "SI": "i",
    "SZ": "z",
    "CV": "clear",
    "CR": "clear",
    "HA": "H-alpha",
}
ASTROIMAGEJ_TIMES = ("BJD_TDB", "HJD_UTC", "JD_UTC")  # the best one there is counts
MAG_PER_RELATIVE = 2.5 / math.log(10)
FITS_PIXEL = 1.0  # the first pixel of FITS is 1, ours is 0
MAX_BYTE = 64 << 20
MIN_JD = 2_400_000.0


@dataclass(frozen=True, slots=True)
class ForeignCurve:
    """What a file holds.

    Attributes
    ----------
    points
        `COLUMNS` in the order of the file; value is a flux, or a magnitude where `is_magnitude`.
    time_system
        As the file states it; None where it does not.
    n_left_out
        Lines without a time or a value.
    """

    file_format: str
    points: pl.DataFrame
    is_magnitude: bool
    time_system: str | None
    n_left_out: int
    target_name: str | None = None
    band: str | None = None
    observer: str | None = None
    exposure_s: float | None = None


def read_foreign_curve(path: Path, file_format: str | None = None) -> ForeignCurve:
    """Read a light curve that another program wrote.

    Parameters
    ----------
    file_format
        One of `READERS`; None recognises it by its first lines.

    Raises
    ------
    UsageError
        The file cannot be read, is of no known format, or a line does not fit it: the line is
        named, and nothing of the file is used.
    """
    text = _text_of(path)
    file_format = file_format or recognise(text)
    if file_format not in READERS:
        raise UsageError(
            f"{path}: format {file_format!r}; expected one of {', '.join(READERS)}. "
            f"Name it with --format."
        )
    try:
        curve = READERS[file_format](text)
    except _RefusedError as error:
        raise UsageError(
            f"{path}: not a light curve as {file_format} writes it: {error}."
        ) from None
    if curve.points.is_empty():
        raise UsageError(
            f"{path}: no point with a time and a brightness ({curve.n_left_out} lines without)."
        )
    early = curve.points.filter(pl.col("given_time") < MIN_JD)
    if not early.is_empty():
        raise UsageError(
            f"{path}: a time of {early['given_time'][0]:g}; expected full Julian dates, above "
            f"{MIN_JD:.0f}. Add what was taken off them."
        )
    return curve


def recognise(text: str) -> str | None:
    """Tell the format from the first lines; None if it is none of them."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if text.lstrip()[:1] == "{":
        return "exotic"
    if re.match(r"#\s*TYPE\s*=\s*EXOPLANET\b", first, re.IGNORECASE):
        return "aavso-exoplanet"
    if "rel_flux_T1" in first:
        return "astroimagej"
    if any("lemon" in line.lower() for line in text.splitlines()[:5] if line.startswith("#")):
        return "lemon"
    words = re.split(r"[\s,;]+", _lines(text)[0][1].strip()) if _lines(text) else []
    return "columns" if len(words) >= 2 and _number(words[0]) is not None else None


class _RefusedError(Exception):
    """The text is not what its format says; the message tells line and content."""


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTE:
            raise UsageError(
                f"{path}: {path.stat().st_size} bytes; expected a light curve as text."
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}; expected text in UTF-8. Check the path.") from error


def _astroimagej(text: str) -> ForeignCurve:
    """Read a table of measurements: tabs, one header line, T1 the target."""
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = "\t" if "\t" in first else ","
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    time = next((name for name in ASTROIMAGEJ_TIMES if name in names), None)
    if time is None or "rel_flux_T1" not in names:
        raise _RefusedError(
            f"no column rel_flux_T1 or none of {', '.join(ASTROIMAGEJ_TIMES)} among "
            f"{', '.join(names[:8])}"
        )
    wanted = {"given_time": time} | {k: v for k, v in ASTROIMAGEJ.items() if v in names}
    place = {name: names.index(column) for name, column in wanted.items()}
    rows: list[dict[str, float | None]] = []
    for n_line, cells in enumerate(reader, 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < len(names):
            raise _RefusedError(f"line {n_line} has {len(cells)} columns of {len(names)}")
        rows.append({name: _cell(cells[i], n_line) for name, i in place.items()})
    points, n_left_out = _sound(rows)
    return ForeignCurve(
        "astroimagej",
        points.with_columns(pl.col("x_pix", "y_pix") - FITS_PIXEL),
        is_magnitude=False,
        time_system=time,
        n_left_out=n_left_out,
    )


def _exotic(text: str) -> ForeignCurve:
    """Read EXOTIC's JSON: name, time, flux, and errors and airmass where it has them."""
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise _RefusedError(f"no JSON: {error}") from None
    if not isinstance(content, dict) or not {"time", "flux"} <= set(content):
        raise _RefusedError("no lists `time` and `flux` at its top")
    names = {"given_time": "time", "value": "flux", "airmass": "airmass"}
    names["value_err"] = next((n for n in ("flux_err", "fluxerr", "err") if n in content), "err")
    columns = {name: content[key] for name, key in names.items() if key in content}
    lengths = {names[name]: len(v) if isinstance(v, list) else None for name, v in columns.items()}
    if None in lengths.values() or len(set(lengths.values())) != 1:
        told = ", ".join(f"{n} {'no list' if v is None else v}" for n, v in lengths.items())
        raise _RefusedError(f"lists of one length expected: {told}")
    cells = zip(*columns.values(), strict=True)
    rows = [
        {name: _json_number(v, n) for name, v in zip(columns, row, strict=True)}
        for n, row in enumerate(cells, 1)
    ]
    points, n_left_out = _sound(rows)
    name = content.get("name")
    return ForeignCurve(
        "exotic",
        points,
        is_magnitude=False,
        time_system=parse_system(str(content.get("time_format", ""))),
        n_left_out=n_left_out,
        target_name=name if isinstance(name, str) else None,
    )


def _lemon(text: str) -> ForeignCurve:
    """Read LEMON's text: Julian date, differential magnitude, signal to noise."""
    rows = []
    for n_line, words in _table(text, least=3):
        time, magnitude, snr = (_cell(word, n_line) for word in words[:3])
        err = None if snr is None or snr <= 0 else MAG_PER_RELATIVE / snr
        rows.append({"given_time": time, "value": magnitude, "value_err": err})
    points, n_left_out = _sound(rows)
    return ForeignCurve("lemon", points, True, None, n_left_out)


def _columns(text: str) -> ForeignCurve:
    """Read time, flux or magnitude, and its error if there is a third column."""
    rows, labels = [], set()
    for n_line, words in _table(text, least=2):
        cells = {"given_time": _cell(words[0], n_line), "value": _cell(words[1], n_line)}
        if len(words) > 2:
            cells["value_err"] = _cell(words[2], n_line)
        if len(words) == 4 and _number(words[3]) is None:
            labels.add(words[3])  # some write the instrument beside each point
        rows.append(cells)
    points, n_left_out = _sound(rows)
    observer = labels.pop() if len(labels) == 1 else None
    return ForeignCurve("columns", points, False, None, n_left_out, observer=observer)


def _aavso_exoplanet(text: str) -> ForeignCurve:
    """Read a report in AAVSO's exoplanet format: what it says of itself counts."""
    told = {
        found[1].upper(): found[2].strip()
        for line in text.splitlines()
        if (found := re.match(r"#\s*([\w-]+)\s*=(.*)", line))
    }
    kind = told.get("MEASUREMENT_TYPE", "").lower()
    if kind not in {"rflux", "rnflux", "dmag"}:
        raise _RefusedError(f"MEASUREMENT_TYPE is {kind!r}, not Rflux, Rnflux or Dmag")
    detrend = [name.strip().lower() for name in told.get("DETREND_PARAMETERS", "").split(",")]
    at_airmass = 3 + detrend.index("airmass") if "airmass" in detrend else None
    rows = []
    for n_line, words in _table(text, least=3):
        time, value, err = (_cell(word, n_line) for word in words[:3])
        cells = {"given_time": time, "value": value, "value_err": err}
        if at_airmass is not None and len(words) > at_airmass:
            cells["airmass"] = _cell(words[at_airmass], n_line)
        rows.append(cells)
    points, n_left_out = _sound(rows)
    return ForeignCurve(
        "aavso-exoplanet",
        points,
        is_magnitude=kind == "dmag",
        time_system=parse_system(told.get("DATE_TYPE", "")),
        n_left_out=n_left_out,
        target_name=told.get("EXOPLANET_NAME") or None,
        band=told.get("FILTER") or None,
        observer=told.get("OBSCODE") or None,
        exposure_s=_number(told.get("EXPOSURE_TIME", "")),
    )


READERS: dict[str, Callable[[str], ForeignCurve]] = {
    "astroimagej": _astroimagej,
    "exotic": _exotic,
    "lemon": _lemon,
    "aavso-exoplanet": _aavso_exoplanet,
    "columns": _columns,
}


def _lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without comments and empty ones."""
    return [
        (n, line)
        for n, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _table(text: str, *, least: int) -> Iterable[tuple[int, list[str]]]:
    """Yield line number and words of each line; a first line of names is passed over."""
    lines = _lines(text)
    for n, (n_line, line) in enumerate(lines):
        words = [word for word in re.split(r"[\s,;|]+", line.strip()) if word]
        if n == 0 and _number(words[0]) is None:
            continue
        if len(words) < least:
            raise _RefusedError(f"line {n_line} has {len(words)} columns, {least} expected")
        yield n_line, words


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cell(text: str, n_line: int) -> float | None:
    """A number; nan, infinity, empty and na are no value."""
    text = text.strip()
    if text.lower() in {"", "na", "null", "none", "--"}:
        return None
    value = _number(text)
    if value is None:
        raise _RefusedError(f"line {n_line}: {text[:40]!r} is no number")
    return value if math.isfinite(value) else None


def _json_number(value: object, n: int) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _RefusedError(f"item {n}: {str(value)[:40]!r} is no number")
    return float(value) if math.isfinite(value) else None


def _sound(rows: list[dict[str, float | None]]) -> tuple[pl.DataFrame, int]:
    """Keep rows with a time and a value; an error of zero or less is none."""
    table = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.Float64))
    sound = table.drop_nulls(["given_time", "value"]).with_columns(
        value_err=pl.when(pl.col("value_err") > 0).then("value_err")
    )
    return sound, table.height - sound.height


def stated_system(curve: ForeignCurve, given: str | None) -> str:
    """Return the time system of a curve: what the file says, else what was given with it.

    Raises
    ------
    UsageError
        Neither says it, what was given is no system, or both disagree.
    """
    told = None if given is None else parse_system(given)
    if given is not None and told is None:
        raise UsageError(f"time system {given!r}; expected one of {', '.join(SYSTEMS)}.")
    if told is None and curve.time_system is None:
        raise UsageError(
            f"the file does not say which time system it is in; say it with --time-system: "
            f"{', '.join(SYSTEMS)}."
        )
    if told and curve.time_system and told != curve.time_system:
        raise UsageError(
            f"the file says its times are {curve.time_system}, --time-system says {told}."
        )
    return told or str(curve.time_system)
