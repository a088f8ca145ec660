"""The warehouse: a folder with a configuration, a DuckDB file, packages, masters and reports."""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from .. import sql
from ..errors import LockedError, QueryError, WarehouseError
from . import migrate
from .config import FILE_NAME, TEMPLATE, Config, read_config

DATABASE_NAME = "starmuster.duckdb"
DEFAULT_WAIT_S = 10.0


class Warehouse:
    """A warehouse folder. Connections are opened for moments; see `reading` and `writing`.

    Parameters
    ----------
    folder
        Folder made by `Warehouse.create` or `starmuster init`.
    wait_s
        How long to wait for another process that holds the database.
    """

    def __init__(self, folder: Path | str, *, wait_s: float = DEFAULT_WAIT_S) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.wait_s = wait_s
        if not self.database.is_file():
            raise WarehouseError(
                f"{self.folder}: no warehouse here (no {DATABASE_NAME}). Make one with "
                f"`starmuster init`, or choose one with --warehouse or STARMUSTER_WAREHOUSE."
            )
        self.config  # noqa: B018  a faulty configuration is told before any work begins
        self._retry(lambda: migrate.migrate(self.database))
        self._connection: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def create(cls, folder: Path | str, *, wait_s: float = DEFAULT_WAIT_S) -> "Warehouse":
        """Make a warehouse in a folder; one that exists already is opened as it is."""
        folder = Path(folder).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("packages", "masters", "reports"):
            (folder / name).mkdir(exist_ok=True)
        if not (folder / FILE_NAME).exists():
            (folder / FILE_NAME).write_text(TEMPLATE, encoding="utf-8")
        if not (folder / DATABASE_NAME).exists():
            migrate.create(folder / DATABASE_NAME)
        return cls(folder, wait_s=wait_s)

    @property
    def database(self) -> Path:
        """Path of the DuckDB file."""
        return self.folder / DATABASE_NAME

    @property
    def packages(self) -> Path:
        """Folder of the sealed packages."""
        return self.folder / "packages"

    @property
    def masters(self) -> Path:
        """Folder of the master frames."""
        return self.folder / "masters"

    @property
    def reports(self) -> Path:
        """Folder of the reports."""
        return self.folder / "reports"

    @cached_property
    def config(self) -> Config:
        """The settings in `starmuster.toml`."""
        path = self.folder / FILE_NAME
        return read_config(path) if path.exists() else Config()

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database for reading, for a moment.

        Raises
        ------
        LockedError
            If another process is writing for longer than `wait_s`.
        """
        con = self._retry(lambda: migrate.connect(self.database, read_only=True))
        try:
            con.execute("set timezone = 'UTC'")
            yield con
        finally:
            con.close()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database for writing, for a moment, in one transaction, then checkpoint."""
        self.close()
        con = self._retry(lambda: migrate.connect(self.database))
        try:
            con.execute("set timezone = 'UTC'")
            con.execute("begin")
            try:
                yield con
            except BaseException:
                con.execute("rollback")
                raise
            con.execute("commit")
            con.execute("checkpoint")
        finally:
            con.close()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the right to be the one run that changes this warehouse.

        Raises
        ------
        LockedError
            If another starmuster process works on it; its number and command are named.
        """
        path = self.folder / ".claim"
        with path.open("a+", encoding="utf-8") as file:
            self._retry(lambda: _claim(file, path))
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """A read-only DuckDB connection that stays open until `close`."""
        if self._connection is None:
            self._connection = self._retry(lambda: migrate.connect(self.database, read_only=True))
        return self._connection

    @cached_property
    def engine(self):
        """A SQLAlchemy engine over the same read-only connection as `con`."""
        from .engine import engine

        return engine(lambda: self.con)

    def close(self) -> None:
        """Close the connection behind `con`, so that others may write."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sql(self, query: str, **parameters: Any) -> pl.DataFrame:
        """Run a query and return its rows; parameters bind as `$name`.

        Raises
        ------
        QueryError
            If DuckDB refuses the query; its words are passed on.
        """
        with self.reading() as con:
            return frame(con, query, **parameters)

    def query(self, name: str, **parameters: Any) -> pl.DataFrame:
        """Run a shipped query of `sql/queries` by name; parameters not given are null.

        Raises
        ------
        QueryError
            If there is no query of that name, or it knows no such parameter.
        """
        with self.reading() as con:
            return shipped(con, name, **parameters)

    def _retry(self, action):
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                return action()
            except (duckdb.IOException, BlockingIOError) as error:
                if isinstance(error, duckdb.IOException) and "lock" not in str(error).lower():
                    raise WarehouseError(f"{self.database}: {error}") from error
                if time.monotonic() >= deadline:
                    raise LockedError(self._locked(error)) from error
                time.sleep(0.05)

    def _locked(self, error: Exception) -> str:
        holder = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
        if holder:
            who = f"{holder[1]} (process {holder[2]})"
        elif isinstance(error, BlockingIOError):
            who = str(error.strerror)
        else:
            who = "another process"
        return (
            f"{self.folder}: held by {who}; waited {self.wait_s:g} s. "
            f"Close it there, or wait longer with --wait SECONDS."
        )


def find_folder(given: Path | str | None = None) -> Path:
    """Choose the warehouse folder: as given, else STARMUSTER_WAREHOUSE, else the current one."""
    if given is not None:
        return Path(given)
    return Path(os.environ.get("STARMUSTER_WAREHOUSE") or Path.cwd())


def frame(con: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> pl.DataFrame:
    """Run a query on an open connection and return its rows as a Polars frame.

    Raises
    ------
    QueryError
        If DuckDB refuses the query, or it returns no table.
    """
    try:
        found = con.sql(query, params=parameters) if parameters else con.sql(query)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if found is None:
        raise QueryError("the statement returns no rows: write a query, beginning with `select`.")
    try:
        return found.pl()
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def shipped(con: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> pl.DataFrame:
    """Run a query of `sql/queries` on an open connection; parameters not given are null.

    Raises
    ------
    QueryError
        If there is no query of that name, or it knows no such parameter.
    """
    known = sql.scripts("queries")
    if name not in known:
        raise QueryError(f"no shipped query {name!r}; there are: {', '.join(known)}.")
    script = known[name]
    unknown = sorted(set(parameters) - set(script.parameters))
    if unknown:
        raise QueryError(
            f"query {name} has no parameter {', '.join(unknown)}; "
            f"it takes: {', '.join(script.parameters) or 'none'}."
        )
    return frame(con, script.text, **{key: parameters.get(key) for key in script.parameters})


def _claim(file, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise BlockingIOError(error.errno, f"starmuster {holder} (claim {path.name})") from error
