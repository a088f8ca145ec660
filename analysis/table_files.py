"""Rows with units, UCDs and meanings as CSV, ECSV, VOTable, Parquet and FITS.

What a column means is read from the comments in the database, so that every format says the same.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from .exported_curves import ExportedCurve

FITS_ZERO_BJD = 2457000  # TESS counts from there, and programs know it
TEXT_UNITS = ("UTC",)  # not a unit to other programs


def csv_text(rows: pl.DataFrame) -> str:
    """Write rows as plain CSV; an empty cell was not measured."""
    return _flat(rows).write_csv()


def ecsv_text(rows: pl.DataFrame, meanings: pl.DataFrame, meta: Mapping[str, str]) -> str:
    """Write rows as ECSV with units and descriptions."""
    out = io.StringIO()
    _table(rows, meanings, meta).write(out, format="ascii.ecsv")
    return out.getvalue()


def write_votable(
    path: Path, rows: pl.DataFrame, meanings: pl.DataFrame, meta: Mapping[str, str]
) -> None:
    """Write rows as VOTable with units, UCDs and descriptions."""
    from astropy.io.votable import from_table, writeto

    table = _table(rows, meanings, meta)
    for column in table.itercols():
        if column.unit is not None and not _is_of_vo(column.unit):
            column.description = f"[{column.unit}] {column.description or ''}".strip()
            column.unit = None
    votable = from_table(table)
    ucds = {row["column_name"]: row["ucd"] for row in meanings.iter_rows(named=True)}
    for field in votable.get_first_table().fields:
        if ucd := ucds.get(field.name):
            field.ucd = ucd
    writeto(votable, str(path))


def write_parquet(
    path: Path, rows: pl.DataFrame, meanings: pl.DataFrame, meta: Mapping[str, str]
) -> None:
    """Write rows as Parquet with unit, ucd and meaning in the metadata of each column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = {row["column_name"]: row for row in meanings.iter_rows(named=True)}
    table = rows.to_arrow()
    fields = []
    for field in table.schema:
        row = said.get(field.name, {})
        notes = {
            key: row[column]
            for key, column in (("unit", "unit"), ("ucd", "ucd"), ("description", "meaning"))
            if row.get(column)
        }
        fields.append(field.with_metadata(notes))
    schema = pa.schema(fields, metadata=dict(meta))
    pq.write_table(table.cast(schema), path)


def write_lightkurve(path: Path, curve: ExportedCurve, *, software: str) -> None:
    """Write a light curve as the FITS table that lightkurve and its kin read.

    TIME is BJD_TDB less 2457000, FLUX and FLUX_ERR are relative, FLAGS are ours. QUALITY is zero
    for clean points and holds the flags of others, for what is not zero there is thrown away.
    """
    from astropy.io import fits

    points = curve.points.filter(pl.col("mid_bjd_tdb").is_not_null()).with_columns(
        quality=pl.when("is_clean").then(0).otherwise("flags")
    )

    def column(name: str, ours: str, form: str, unit: str | None = None) -> Any:
        values = points[ours].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if name == "TIME":
            values = values - FITS_ZERO_BJD
        return fits.Column(name=name, format=form, unit=unit, array=values)

    table = fits.BinTableHDU.from_columns(
        [
            column("TIME", "mid_bjd_tdb", "D", f"BJD - {FITS_ZERO_BJD}, days"),
            column("FLUX", "relative_flux", "D"),
            column("FLUX_ERR", "relative_flux_err", "D"),
            column("QUALITY", "quality", "J"),
            column("FLAGS", "flags", "J"),
            column("AIRMASS", "airmass", "D"),
            column("MOM_CENTR1", "x_pix", "D", "pixel"),
            column("MOM_CENTR2", "y_pix", "D", "pixel"),
        ],
        name="LIGHTCURVE",
    )
    zero = {"BJDREFI": FITS_ZERO_BJD, "BJDREFF": 0.0, "TIMEUNIT": "d", "TIMESYS": "TDB"}
    for key, value in (zero | {"TIMEREF": "SOLARSYSTEM"}).items():
        table.header[key] = value
    primary = fits.PrimaryHDU()
    exposure_s = points["exposure_s"].median()
    cards = {
        "OBJECT": curve.name,
        "TELESCOP": _shared(points, "telescope_name"),
        "INSTRUME": _shared(points, "camera_name"),
        "FILTER": _shared(points, "band"),
        "EXPTIME": exposure_s,
        "CREATOR": software,
    }
    for key, value in cards.items():
        if isinstance(value, str):
            primary.header[key] = value.encode("ascii", "replace").decode()
        elif value is not None:
            primary.header[key] = value
    fits.HDUList([primary, table]).writeto(path, overwrite=True, checksum=True)


def _is_of_vo(unit: Any) -> bool:
    """Whether the Virtual Observatory knows a unit; electrons and degrees Celsius it does not."""
    try:
        unit.to_string("vounit")
    except ValueError:
        return False
    return True


def _shared(points: pl.DataFrame, column: str) -> str | None:
    values = points[column].drop_nulls().unique().to_list()
    return values[0] if len(values) == 1 else None


def _table(rows: pl.DataFrame, meanings: pl.DataFrame, meta: Mapping[str, str]) -> Any:
    """Rows as an astropy table: units, descriptions, nulls masked."""
    import numpy as np
    from astropy.table import MaskedColumn, Table
    from astropy.units import Unit

    said = {row["column_name"]: row for row in meanings.iter_rows(named=True)}
    columns = []
    for column in _flat(rows).iter_columns():
        row = said.get(column.name, {})
        unit = row.get("unit") or None
        is_text = column.dtype == pl.String
        neutral = "" if is_text else False if column.dtype == pl.Boolean else 0
        data = column.fill_null(neutral).to_numpy()
        columns.append(
            MaskedColumn(
                data.astype(str) if is_text else data,
                name=column.name,
                mask=column.is_null().to_numpy(),
                unit=Unit(unit) if unit and unit not in TEXT_UNITS else None,
                description=row.get("meaning") or None,
                dtype=np.float64 if column.dtype == pl.Null else None,
            )
        )
    return Table(columns, meta=dict(meta))


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that any format holds: dates and times as ISO text, lists and structures as JSON."""
    import json

    nested = [
        pl.Series(
            name,
            [None if value is None else json.dumps(value, default=str) for value in rows[name]],
            pl.String,
        )
        for name, dtype in rows.schema.items()
        if dtype.is_nested()
    ]
    times = [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f" if dtype != pl.Date else "%Y-%m-%d")
        for name, dtype in rows.schema.items()
        if dtype.is_temporal() and dtype != pl.Time and not isinstance(dtype, pl.Duration)
    ]
    decimals = [
        pl.col(name).cast(pl.Float64)
        for name, dtype in rows.schema.items()
        if isinstance(dtype, pl.Decimal)
    ]
    return rows.with_columns(nested).with_columns(*times, *decimals)
