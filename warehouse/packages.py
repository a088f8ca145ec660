"""Packages: sealed bundles of Parquet files, the lasting form of every row.

A package is a folder below `packages/` with one Parquet file a table and `manifest.json`. It is
written under a temporary name, synced and renamed, so it is there whole or not at all. Loading
replaces rows by key in one transaction and adds a row to the ledger; only the ledger makes it done.
"""

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import xxhash

from .. import sql
from ..errors import DiskFullError, PackageError

# What a load replaces: all rows of a table that share the key with the rows (or the explicit
# `replaces`) of the package.
REPLACE_KEY: dict[str, str] = {
    "aperture": "aperture_id",
    "aperture_flux": "frame_id",
    "calibration": "frame_id",
    "camera": "camera_id",
    "comparison_star": "target_source_id",
    "failure": "subject",
    "field": "field_id",
    "field_frame": "frame_id",
    "flag": "bit",
    "frame": "frame_id",
    "frame_quality": "frame_id",
    "gain_fit": "camera_id",
    "identity": "target_key",
    "master": "master_id",
    "master_frame": "master_id",
    "measurement": "frame_id",
    "path": "path",
    "planet": "planet_id",
    "product": "frame_id",
    "quarantine": "path",
    "registration": "frame_id",
    "setting": "setting_name",
    "site": "site_id",
    "source": "source_id",
    "transit_fit": "transit_fit_id",
    "vantage": "frame_id",
    "wcs": "frame_id",
}
# Tables where the key alone would take too much away.
REPLACE_ALSO: dict[str, tuple[str, ...]] = {
    "product": ("step",),
    "failure": ("step", "run_id"),
    "comparison_star": ("night", "band", "aperture_id"),
    "gain_fit": ("night", "band", "method", "gain_setting", "x_binning", "readout_mode"),
}
# The physical order of a load decides the speed of the light curve of one star.
SORT_KEY: dict[str, tuple[str, ...]] = {
    "measurement": ("source_id", "frame_id"),
    "aperture_flux": ("source_id", "aperture_id", "frame_id"),
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself."""

    package_id: str
    sequence: int
    step: str
    run: dict[str, Any]
    tables: dict[str, dict[str, Any]]
    replaces: dict[str, list[Any]]

    @property
    def n_row(self) -> int:
        """Rows in all tables."""
        return sum(int(table["n_row"]) for table in self.tables.values())


@cache
def table_schemas() -> dict[str, pl.Schema]:
    """Return the Polars schema of every table, as stated by `sql/schema`."""
    with duckdb.connect() as con:
        for script in sql.scripts("schema").values():
            con.execute(script.text)
        names = [str(row[0]) for row in con.sql("show tables").fetchall()]
        return {name: con.table(name).limit(0).pl().schema for name in names}


def conform(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Bring rows into the columns and types of a table; columns not given are null.

    Raises
    ------
    PackageError
        If a column is unknown, cannot be cast, or holds a nan (null is "not measured").
    """
    schema = table_schemas()[table]
    unknown = set(rows.columns) - set(schema)
    if unknown:
        raise PackageError(f"table {table} has no column {', '.join(sorted(unknown))}.")
    try:
        rows = rows.select(
            pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in schema.items()
        )
    except pl.exceptions.PolarsError as error:
        raise PackageError(f"rows for table {table} do not fit its columns: {error}") from error
    floats = [name for name, dtype in schema.items() if dtype.is_float()]
    if floats and not rows.is_empty():
        bad = rows.select(pl.col(floats).is_nan().any().fill_null(value=False)).row(0, named=True)
        if any(bad.values()):
            names = ", ".join(name for name, is_bad in bad.items() if is_bad)
            raise PackageError(f"table {table}: nan in {names}; not measured is null.")
    return rows


def write(
    folder: Path,
    package_id: str,
    tables: Mapping[str, pl.DataFrame],
    *,
    sequence: int = 0,
    step: str,
    run: Mapping[str, Any] | None = None,
    replaces: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    """Write a package below a folder and return its path; it appears whole or not at all.

    Raises
    ------
    DiskFullError
        If there is no room; what was written is removed.
    """
    path = folder / package_id
    draft = folder / f".{package_id.replace('/', '-')}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    rows = {name: conform(name, frame) for name, frame in tables.items()}
    try:
        draft.mkdir(parents=True)
        described = {name: _write_table(draft, name, frame) for name, frame in rows.items()}
        manifest = {
            "package_id": package_id,
            "sequence": sequence,
            "step": step,
            "run": dict(run or {}),
            "tables": described,
            "replaces": {name: list(keys) for name, keys in (replaces or {}).items()},
        }
        _write_synced(draft / "manifest.json", json.dumps(manifest, indent=1).encode())
        _sync(draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            needed = sum(frame.estimated_size() for frame in rows.values())
            free = shutil.disk_usage(folder).free
            raise DiskFullError(
                f"{path}: no room for {needed / 1e6:.1f} MB of rows, {free / 1e6:.1f} MB free. "
                f"Make room and run the same command again: nothing is lost."
            ) from error
        raise
    return path


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a package.

    Raises
    ------
    PackageError
        If it is missing or not what `write` wrote.
    """
    try:
        return Manifest(**json.loads((path / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PackageError(f"{path}: no readable manifest.json ({error}).") from error


def read_tables(path: Path) -> dict[str, pl.DataFrame]:
    """Read all tables of a package, each checked against its checksum.

    Raises
    ------
    PackageError
        If a file is missing or altered.
    """
    manifest = read_manifest(path)
    for name in manifest.tables:
        _verify(path, name, manifest)
    return {name: pl.read_parquet(path / f"{name}.parquet") for name in manifest.tables}


def load(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Load a package inside the caller's transaction; return the number of rows.

    Rows that share a key with the package are replaced, so loading it twice changes nothing.

    Raises
    ------
    PackageError
        If a file is missing or altered.
    """
    manifest = read_manifest(path)
    for table, keys in manifest.replaces.items():
        gone = pl.DataFrame({REPLACE_KEY[table]: keys})
        _delete(con, table, gone, (REPLACE_KEY[table],))
    for table in manifest.tables:
        _verify(path, table, manifest)
        file = path / f"{table}.parquet"
        keys = (REPLACE_KEY[table], *REPLACE_ALSO.get(table, ()))
        _delete(con, table, pl.read_parquet(file, columns=list(keys)).unique(), keys)
        con.execute(f"insert into {table} by name from read_parquet($1)", [str(file)])
    con.execute("delete from package where package_id = $1", [manifest.package_id])
    con.execute(
        "insert into package values ($1, $2, $3, $4, $5, $6, now()::timestamp)",
        [
            manifest.package_id,
            manifest.sequence,
            manifest.run.get("run_id"),
            manifest.step,
            file_checksum(path / "manifest.json"),
            manifest.n_row,
        ],
    )
    return manifest.n_row


def file_checksum(path: Path) -> str:
    """Return the xxh3-128 of a file's bytes, hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_table(folder: Path, name: str, rows: pl.DataFrame) -> dict[str, Any]:
    path = folder / f"{name}.parquet"
    if name in SORT_KEY:
        rows = rows.sort(SORT_KEY[name])
    rows.write_parquet(path, compression="zstd")
    _sync(path)
    return {"n_row": rows.height, "checksum": file_checksum(path)}


def _verify(path: Path, table: str, manifest: Manifest) -> None:
    file = path / f"{table}.parquet"
    if not file.is_file():
        raise PackageError(f"{file}: missing; the manifest names it. Restore it from a backup.")
    if file_checksum(file) != manifest.tables[table]["checksum"]:
        raise PackageError(f"{file}: altered since it was sealed. Restore it from a backup.")


def _delete(
    con: duckdb.DuckDBPyConnection, table: str, keys: pl.DataFrame, columns: tuple[str, ...]
) -> None:
    if keys.is_empty():
        return
    con.register("replaced", keys)
    same = " and ".join(f"{table}.{key} is not distinct from replaced.{key}" for key in columns)
    con.execute(f"delete from {table} using replaced where {same}")
    con.unregister("replaced")


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
