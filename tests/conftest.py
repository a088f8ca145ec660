"""Fixtures shared by all tests."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from starmuster.cli.session import SESSION, Session
from starmuster.warehouse import migrate, packages
from starmuster.warehouse.store import DATABASE_NAME, Warehouse


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real frames; a test that needs it is skipped, loudly, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STARMUSTER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}: set STARMUSTER_DATA to their folder")
    return folder.resolve()


@pytest.fixture(autouse=True)
def fresh_session() -> None:
    """Forget the options of an earlier command: a process of a user runs one command only."""
    for option in dataclasses.fields(Session):
        setattr(SESSION, option.name, option.default)


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a warehouse without rows, to be copied by tests that write."""
    return Warehouse.create(tmp_path_factory.mktemp("empty")).folder


@pytest.fixture
def warehouse(empty_warehouse: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse without rows of its own for each test."""
    folder = tmp_path / "warehouse"
    shutil.copytree(empty_warehouse, folder)
    with Warehouse(folder) as found:
        yield found


@pytest.fixture(scope="session")
def shared_connection(
    empty_warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty database, for `database` only."""
    path = shutil.copy(empty_warehouse / DATABASE_NAME, tmp_path_factory.mktemp("shared"))
    with migrate.connect(Path(path)) as con:
        yield con


@pytest.fixture
def database(
    shared_connection: duckdb.DuckDBPyConnection,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database without rows; what a test writes is taken back after it."""
    shared_connection.execute("begin")
    try:
        yield shared_connection
    finally:
        shared_connection.execute("rollback")


@pytest.fixture(scope="session")
def fill() -> Callable[[str, list[dict[str, Any]]], pl.DataFrame]:
    """Make rows of a table; columns that must have a value and get none hold a neutral one."""

    def rows_of(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
        schema = packages.table_schemas()[table]
        neutral = {name: _neutral(schema[name]) for name in packages.required_columns()[table]}
        return packages.conform(table, pl.DataFrame([neutral | row for row in rows], schema=schema))

    return rows_of


def _neutral(dtype: pl.DataType) -> Any:
    if dtype.is_numeric():
        return 0
    if isinstance(dtype, pl.List):
        return []
    return {
        pl.String: "null",  # valid as JSON, too
        pl.Boolean: False,
        pl.Date: date(2024, 3, 8),
        pl.Datetime: datetime(2024, 3, 8),
    }[dtype.base_type()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; a test that needs it is skipped, loudly, where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no small disk: {error}")
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.strip()} (root may mount one)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
