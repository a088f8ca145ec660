"""Packages: sealed bundles of Parquet files, the lasting form of every row.

A package is a folder below `packages/` with one Parquet file a table and `manifest.json`. It is
written under a temporary name, synced and renamed, so it is there whole or not at all. Loading
replaces rows by key in one transaction and adds a row to the ledger; only the ledger makes it done.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import xxhash

from .. import sql
from ..errors import PackageError
from . import disk, renumbering

MANIFEST_NAME = "manifest.json"

# What a load replaces: all rows of a table that share the key with the rows (or the explicit
# `replaces`) of the package.
REPLACE_KEY: dict[str, str] = {
    "aperture": "aperture_id",
    "aperture_choice": "field_id",
    "aperture_flux": "frame_id",
    "calibration": "frame_id",
    "camera": "camera_id",
    "comparison_choice": "target_source_id",
    "comparison_star": "target_source_id",
    "curve_of_growth": "frame_id",
    "defect_map": "master_id",
    "defect_use": "frame_id",
    "detection": "search_id",
    "ensemble_frame": "field_id",
    "ensemble_source": "field_id",
    "failure": "subject",
    "field": "field_id",
    "field_frame": "frame_id",
    "field_source": "field_id",
    "flag": "bit",
    "foreign_curve": "foreign_curve_id",
    "foreign_point": "foreign_curve_id",
    "frame": "frame_id",
    "frame_level": "frame_id",
    "frame_quality": "frame_id",
    "frame_transparency": "frame_id",
    "gain_fit": "camera_id",
    "identity": "target_key",
    "imported_master": "master_id",
    "isochrone": "grid_id",
    "isochrone_band": "grid_id",
    "isochrone_fit": "isochrone_fit_id",
    "isochrone_grid": "grid_id",
    "linearity_point": "camera_id",
    "joint_fit": "joint_fit_id",
    "joint_transit": "joint_fit_id",
    "master": "master_id",
    "master_file": "master_id",
    "master_frame": "master_id",
    "measurement": "frame_id",
    "minimum_fit": "source_id",
    "path": "path",
    "photometric_solution": "camera_id",
    "planet": "planet_id",
    "point_spread": "frame_id",
    "product": "frame_id",
    "profile_fit": "frame_id",
    "published_transit": "content_hash",
    "quarantine": "path",
    "reference_catalogue": "catalogue_id",
    "reference_field": "field_id",
    "reference_magnitude": "reference_star_id",
    "reference_match": "field_id",
    "reference_star": "reference_star_id",
    "ramp_fit": "camera_id",
    "registration": "frame_id",
    "retired_master": "master_id",
    "search": "search_id",
    "setting": "setting_name",
    "site": "site_id",
    "source": "source_id",
    "source_change": "change_id",
    "stack": "stack_id",
    "stack_flux": "stack_id",
    "stack_frame": "stack_id",
    "stack_measurement": "stack_id",
    "transfer_point": "camera_id",
    "transit_fit": "transit_fit_id",
    "vantage": "frame_id",
    "variable_star": "reference_star_id",
    "wcs": "frame_id",
    "wcs_residual": "frame_id",
    "zero_point": "frame_id",
}
# Tables where the key alone would take too much away.
REPLACE_ALSO: dict[str, tuple[str, ...]] = {
    "aperture_choice": ("night", "band"),
    "product": ("step",),
    "published_transit": ("planet_key",),
    "failure": ("step", "run_id"),
    "reference_magnitude": ("band", "photometric_system"),
    "comparison_choice": ("source_id",),
    "comparison_star": ("night", "band", "aperture_id"),
    "ensemble_frame": ("band", "aperture_id"),
    "ensemble_source": ("band", "aperture_id"),
    "minimum_fit": ("night", "band"),
    "gain_fit": ("night", "band", "method", "gain_setting", "x_binning", "readout_mode"),
    "photometric_solution": ("band", "scope", "first_night"),
    "linearity_point": ("night", "band", "gain_setting", "x_binning", "readout_mode"),
    "ramp_fit": ("night", "band", "gain_setting", "x_binning", "readout_mode"),
    "transfer_point": ("night", "band", "gain_setting", "x_binning", "readout_mode"),
}
# The physical order of a load decides the speed of the light curve of one star.
SORT_KEY: dict[str, tuple[str, ...]] = {
    "measurement": ("source_id", "frame_id"),
    "aperture_flux": ("source_id", "aperture_id", "frame_id"),
    "reference_star": ("healpix",),
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself; `seal` is the checksum of all the rest."""

    package_id: str
    sequence: int
    step: str
    run: dict[str, Any]
    tables: dict[str, dict[str, Any]]
    replaces: dict[str, list[Any]]
    seal: str = ""

    @property
    def n_row(self) -> int:
        """Rows in all tables."""
        return sum(int(table["n_row"]) for table in self.tables.values())


@cache
def table_schemas() -> dict[str, pl.Schema]:
    """Return the Polars schema of every table, as stated by `sql/schema`."""
    with _empty_database() as con:
        names = [str(row[0]) for row in con.sql("show tables").fetchall()]
        return {name: con.table(name).limit(0).pl().schema for name in names}


@cache
def required_columns() -> dict[str, frozenset[str]]:
    """Return the columns of every table that must not be null, as stated by `sql/schema`."""
    required: dict[str, set[str]] = {name: set() for name in table_schemas()}
    with _empty_database() as con:
        columns = con.sql("from duckdb_columns()").filter("not internal and not is_nullable")
        for table, column in columns.project("table_name, column_name").fetchall():
            required[table].add(column)
    return {name: frozenset(columns) for name, columns in required.items()}


def conform(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Bring rows into the columns and types of a table; columns not given are null.

    Raises
    ------
    PackageError
        If the table or a column is unknown, or a column cannot be cast, holds a nan or an infinity
        (null is "not measured"), or a null where the table allows none.
    """
    if table not in REPLACE_KEY:
        raise PackageError(
            f"no table {table!r} that takes rows; there are: {', '.join(REPLACE_KEY)}."
        )
    schema = table_schemas()[table]
    unknown = set(rows.columns) - set(schema)
    if unknown:
        raise PackageError(f"table {table} has no column {', '.join(sorted(unknown))}.")
    if not rows.columns:
        return schema.to_frame()  # columns filled with null would make it one row
    given = rows.schema
    try:
        rows = rows.select(
            pl.lit(None, dtype).alias(name)
            if name not in given
            else pl.col(name)
            if given[name] == dtype
            else pl.col(name).cast(dtype)
            for name, dtype in schema.items()
        )
    except pl.exceptions.PolarsError as error:
        raise PackageError(f"rows for table {table} do not fit its columns: {error}") from error
    if infinite := _not_finite(rows):
        raise PackageError(
            f"table {table}: nan or infinity in {', '.join(infinite)}; not measured is null."
        )
    empty = sorted(name for name in required_columns()[table] if rows[name].null_count())
    if empty:
        raise PackageError(f"table {table}: null in {', '.join(empty)}, which must have a value.")
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
    for name in replaces or {}:
        if name not in REPLACE_KEY:
            raise PackageError(f"no table {name!r} whose rows could be replaced.")
    try:
        with disk.room_for(folder, sum(frame.estimated_size() for frame in rows.values())):
            draft.mkdir(parents=True)
            content: dict[str, Any] = {
                "package_id": package_id,
                "sequence": sequence,
                "step": step,
                "run": dict(run or {}),
                "tables": {name: _write_table(draft, name, frame) for name, frame in rows.items()},
                "replaces": {name: list(keys) for name, keys in (replaces or {}).items()},
            }
            text = json.dumps(content | {"seal": _seal(content)}, indent=1)
            disk.write_whole(draft / MANIFEST_NAME, text.encode())
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(path, ignore_errors=True)
            disk.replace(draft, path)
            disk.sync(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return path


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a package.

    Raises
    ------
    PackageError
        If it is missing, altered or not what `write` wrote.
    """
    try:
        content = json.loads((path / MANIFEST_NAME).read_text(encoding="utf-8"))
        manifest = Manifest(**content)
    except (OSError, ValueError, TypeError) as error:
        raise PackageError(
            f"{path}: no readable {MANIFEST_NAME} ({error}). Restore it from a backup."
        ) from error
    if manifest.seal != _seal({name: content[name] for name in content if name != "seal"}):
        raise PackageError(
            f"{path / MANIFEST_NAME}: altered since it was sealed. Restore it from a backup."
        )
    return manifest


def load(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Load a package inside the caller's transaction; return the number of rows.

    Rows that share a key with the package are replaced, so loading it twice changes nothing.

    Raises
    ------
    PackageError
        If a file is missing or altered.
    """
    manifest = read_manifest(path)
    if "source_change" in manifest.tables and not _is_loaded(con, manifest.package_id):
        _verify(path, "source_change", manifest)
        renumbering.renumber(con, pl.read_parquet(path / "source_change.parquet"))
    for table, gone in manifest.replaces.items():
        key = REPLACE_KEY[table]
        _delete(con, table, pl.DataFrame({key: gone}), (key,))
    for table in manifest.tables:
        _verify(path, table, manifest)
        file = path / f"{table}.parquet"
        keys = (REPLACE_KEY[table], *REPLACE_ALSO.get(table, ()))
        _delete(con, table, pl.read_parquet(file, columns=list(keys)).unique(), keys)
        try:
            con.execute(f"insert into {table} by name from read_parquet($1)", [str(file)])
        except (duckdb.DataError, duckdb.ProgrammingError, duckdb.IntegrityError) as error:
            raise PackageError(
                f"{file}: table {table} does not take these rows: {error}"
            ) from error
    con.execute("delete from package where package_id = $1", [manifest.package_id])
    con.execute(
        "insert into package values ($1, $2, $3, $4, $5, $6, now()::timestamp)",
        [
            manifest.package_id,
            manifest.sequence,
            manifest.run.get("run_id"),
            manifest.step,
            file_checksum(path / MANIFEST_NAME),
            manifest.n_row,
        ],
    )
    return manifest.n_row


def size_byte(path: Path) -> int:
    """Return the size of all files of a package."""
    return sum(file.stat().st_size for file in path.iterdir())


def file_checksum(path: Path) -> str:
    """Return the xxh3-128 of a file's bytes, hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_loaded(con: duckdb.DuckDBPyConnection, package_id: str) -> bool:
    known = con.sql("from package where package_id = $name", params={"name": package_id})
    return known.limit(1).fetchone() is not None


def _empty_database() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    for script in sql.scripts("schema").values():
        con.execute(script.text)
    return con


def _not_finite(rows: pl.DataFrame) -> list[str]:
    """Name the columns of numbers, or of lists of numbers, that hold a nan or an infinity."""
    found: list[str] = []
    for name in (name for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)):
        values = rows[name].explode()
        if values.dtype.is_float() and not values.is_finite().all():
            found.append(name)
    # one query for all columns: each costs a tenth of a millisecond however few the rows
    is_finite = rows.select(pl.col(pl.Float32, pl.Float64).is_finite().all())
    return found + [name for name in is_finite.columns if not is_finite[name][0]]


def _seal(content: Mapping[str, Any]) -> str:
    """Return the checksum of a manifest's content, whatever its spacing."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def _write_table(folder: Path, name: str, rows: pl.DataFrame) -> dict[str, Any]:
    path = folder / f"{name}.parquet"
    if name in SORT_KEY:
        # four times faster than Polars by several columns
        rows = rows[np.lexsort([rows[key].to_numpy() for key in reversed(SORT_KEY[name])])]
    rows.write_parquet(path, compression="zstd")
    disk.sync(path)
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
    # equality, not distinctness, lets DuckDB skip the parts of a table that hold none of the keys
    compare = dict.fromkeys(required_columns()[table], "=")
    same = " and ".join(
        f"{table}.{key} {compare.get(key, 'is not distinct from')} replaced.{key}"
        for key in columns
    )
    con.execute(f"delete from {table} using replaced where {same}")
    con.unregister("replaced")
