"""Read tables of catalogues in any of their formats into rows and the units of their columns."""

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..errors import UsageError

if TYPE_CHECKING:
    from astropy.table import Table

DELIMITERS = ",;\t|"
FORMATS = "CSV, ECSV, VOTable, FITS or Parquet"


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table as its file has it.

    Attributes
    ----------
    rows
        Columns under their names; those of a text file are strings. A masked cell is null.
    units
        Unit of each column that states one, as text.
    """

    rows: pl.DataFrame
    units: dict[str, str]


def read_table(path: Path) -> RawTable:
    """Read a table of whatever format its first bytes tell.

    Raises
    ------
    UsageError
        The file cannot be read, is cut off, empty, or none of CSV, ECSV, VOTable, FITS, Parquet.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Check the path.") from error
    if not head.strip():
        raise UsageError(f"{path}: empty; expected a table as {FORMATS}. Get it again.")
    try:
        raw = _read(path, head)
    except UsageError:
        raise
    except Exception as error:  # every reader has its own errors; whatever it is, it is the file's
        raise UsageError(
            f"{path}: not readable as {_kind(head)} ({type(error).__name__}: {error}). Cut off or "
            f"damaged? Get it again."
        ) from error
    if raw.rows.is_empty():
        raise UsageError(f"{path}: no rows below {raw.rows.width} columns. Get it again.")
    return raw


def from_astropy(table: "Table") -> RawTable:
    """Take over a table of astropy: numbers, texts and units; columns of arrays are left out."""
    columns: dict[str, pl.Series] = {}
    units: dict[str, str] = {}
    for name, column in table.columns.items():
        if column.ndim != 1:
            continue
        columns[name] = _series(name, np.ma.asarray(getattr(column, "value", column)))
        if column.unit is not None:
            units[name] = str(column.unit)
    return RawTable(pl.DataFrame(columns), units)


def _kind(head: bytes) -> str:
    if head.startswith(b"SIMPLE  ="):
        return "FITS"
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"# %ECSV"):
        return "ECSV"
    if b"<VOTABLE" in head or head.lstrip().startswith(b"<?xml"):
        return "VOTable"
    return "CSV"


def _read(path: Path, head: bytes) -> RawTable:
    kind = _kind(head)
    if kind == "CSV":
        return _read_text(path)
    if kind == "Parquet":
        return _read_parquet(path)
    from astropy.table import Table

    astropy_format = {"FITS": "fits", "ECSV": "ascii.ecsv", "VOTable": "votable"}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units and names that are not by the book
        if kind == "FITS":
            _refuse_short_fits(path)
        return from_astropy(Table.read(path, format=astropy_format))


def _refuse_short_fits(path: Path) -> None:
    """Look at the length first: a FITS file that was cut off may read as rows of zeros."""
    from astropy.io import fits

    with fits.open(path, memmap=True) as hdus:
        last: Any = hdus[-1]
        info = last.fileinfo()
        if info["datLoc"] + info["datSpan"] > path.stat().st_size:
            raise UsageError(
                f"{path}: {path.stat().st_size} bytes, its headers promise "
                f"{info['datLoc'] + info['datSpan']}: cut off. Get it again."
            )


def _read_parquet(path: Path) -> RawTable:
    """Read a Parquet file, with units as `unit` of a field or as astropy writes them.

    astropy writes the mask of a column as another one, and itself reads them with pandas only.
    """
    import pyarrow.parquet as pq

    rows, schema = pl.read_parquet(path), pq.read_schema(path)
    units = {
        field.name: field.metadata[b"unit"].decode()
        for field in schema
        if field.metadata and b"unit" in field.metadata
    }
    if schema.metadata and b"table_meta_yaml" in schema.metadata:
        from astropy.table.meta import get_header_from_yaml

        header = get_header_from_yaml(schema.metadata[b"table_meta_yaml"].decode().splitlines())
        told = {column["name"]: column for column in header["datatype"]}
        told |= header.get("meta", {}).get("__serialized_columns__", {})
        units |= {name: str(about["unit"]) for name, about in told.items() if about.get("unit")}
        masks = [name for name in rows.columns if name.endswith(".mask")]
        rows = rows.with_columns(
            pl.when(~pl.col(name)).then(name.removesuffix(".mask")) for name in masks
        ).drop(masks)
    return RawTable(rows, units)


def _read_text(path: Path) -> RawTable:
    """Read CSV, or what comes near: other delimiters, lines of '#', VizieR's rows of units."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {error}; expected {FORMATS}. Convert it.") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path}: nothing but comments; expected a line of column names.")
    delimiter = max(DELIMITERS, key=lines[0].count)
    names = [name.strip() for name in _cells(lines[0], delimiter)]
    _refuse_bad_names(path, names)
    units: dict[str, str] = {}
    first = 1
    if len(lines) > 2 and set("".join(_cells(lines[2], delimiter))) <= set("- "):
        units = dict(zip(names, _cells(lines[1], delimiter), strict=False))
        first = 3
    _refuse_cut_off(path, lines, names, delimiter)
    rows = pl.read_csv(
        io.BytesIO("\n".join(lines[first:]).encode()),
        has_header=False,
        new_columns=names,
        separator=delimiter,
        infer_schema=False,
        schema=dict.fromkeys(names, pl.String),
    )
    units = {name: unit.strip() for name, unit in units.items() if unit.strip()}
    return RawTable(rows.with_columns(pl.all().str.strip_chars()), units)


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))


def _refuse_bad_names(path: Path, names: list[str]) -> None:
    if len(names) < 2 or all(_is_number(name) for name in names):
        raise UsageError(
            f"{path}: the first line is {','.join(names)[:60]!r}; expected the names of two "
            f"columns or more, parted by commas. Add a line of names."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: column {', '.join(twice)} is there twice. Rename one of them.")


def _refuse_cut_off(path: Path, lines: list[str], names: list[str], delimiter: str) -> None:
    last = _cells(lines[-1], delimiter)
    if len(lines) > 1 and len(last) < len(names):
        raise UsageError(
            f"{path}: its last line has {len(last)} cells, {len(names)} expected: cut off. "
            f"Get it again."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _series(name: str, values: np.ma.MaskedArray) -> pl.Series:
    missing = np.ma.getmaskarray(values)
    if values.dtype.kind in "iufb":
        plain = values.data.astype(values.dtype.newbyteorder("="))
        series = pl.Series(name, plain)
    else:
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in values.data]
        series = pl.Series(name, texts, dtype=pl.String).str.strip_chars()
    if not missing.any():
        return series
    return pl.select(pl.when(~pl.Series(missing)).then(series).alias(name)).to_series()
