"""Mid-transit times that others published, from tables of any delimiter."""

import csv
import re
from pathlib import Path

import polars as pl

from ..errors import UsageError
from .foreign_curves import MIN_JD

NAMES = {
    "time": ("time", "mid_time", "t", "tc", "tmid", "t_mid", "t0", "mid", "midtime", "bjd", "hjd"),
    "err": ("error", "err", "sigma", "unc", "uncertainty", "mid_err_d", "time_err", "terr", "e_t"),
    "epoch": ("epoch", "e", "n", "cycle"),
    "reference": ("reference", "ref", "source", "author"),
}
SCHEMA = {
    "line_number": pl.Int32,
    "time": pl.Float64,
    "err": pl.Float64,
    "epoch": pl.Int32,
    "reference": pl.String,
}


def read_transit_times(path: Path) -> pl.DataFrame:
    """Read a table of mid-transit times with a line of column names.

    Returns
    -------
    line_number, time (Julian date as it stands), err (days, null where none), epoch, reference.

    Raises
    ------
    UsageError
        The file cannot be read, has no column of times, or a line does not fit.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}; expected a table in UTF-8. Check the path.") from error
    lines = [
        (n, line)
        for n, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise UsageError(f"{path}: empty; expected column names and mid-transit times.")
    delimiter = next((d for d in "\t,;|" if d in lines[0][1]), " ")
    cells = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True)
    place = _places(path, next(cells))
    rows = [
        _row(path, n_line, words, place)
        for (n_line, _), words in zip(lines[1:], cells, strict=True)
    ]
    if not rows:
        raise UsageError(f"{path}: column names and no times below them.")
    return pl.DataFrame(rows, schema=SCHEMA)


def _places(path: Path, names: list[str]) -> dict[str, int]:
    """Return where each of our columns stands; units in brackets and time systems are no names."""
    plain = [
        re.sub(r"_(tdb|utc|tt)$", "", re.sub(r"[(\[].*?[)\]]", "", name).strip().lower())
        for name in names
    ]
    place = {
        ours: next(plain.index(name) for name in known if name in plain)
        for ours, known in NAMES.items()
        if any(name in plain for name in known)
    }
    if "time" not in place:
        raise UsageError(
            f"{path}: no column of times among {', '.join(names[:8])}; expected one called "
            f"{', '.join(NAMES['time'][:5])} or so, and one of errors."
        )
    return place


def _row(path: Path, n_line: int, words: list[str], place: dict[str, int]) -> dict[str, object]:
    def cell(name: str) -> str:
        return words[place[name]].strip() if name in place and place[name] < len(words) else ""

    def number(name: str) -> float | None:
        text = cell(name)
        try:
            return float(text) if text else None
        except ValueError:
            raise UsageError(f"{path}: line {n_line}: {text!r} is no number.") from None

    time, err, epoch = number("time"), number("err"), number("epoch")
    if time is None or not time > MIN_JD:
        raise UsageError(
            f"{path}: line {n_line}: a time of {cell('time') or 'nothing'}; expected a full Julian "
            f"date, above {MIN_JD:.0f}."
        )
    if err is not None and not 0 < err < 1:
        raise UsageError(
            f"{path}: line {n_line}: an error of {err:g}; expected days, above 0 and below 1."
        )
    return {
        "line_number": n_line,
        "time": time,
        "err": err,
        "epoch": None if epoch is None else round(epoch),
        "reference": cell("reference") or None,
    }
