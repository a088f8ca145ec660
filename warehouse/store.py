"""The warehouse: a folder with a configuration, a DuckDB file, packages, masters and reports."""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from .. import sql
from ..errors import NoWarehouseError, QueryError, WarehouseError
from . import disk, locks, migrate
from .config import FILE_NAME, TEMPLATE, Config, read_config
from .locks import DEFAULT_WAIT_S

if TYPE_CHECKING:
    import sqlalchemy

DATABASE_NAME = "starmuster.duckdb"

logger = logging.getLogger(__name__)


class Warehouse:
    """A warehouse folder. Connections are opened for moments; see `reading` and `writing`.

    Parameters
    ----------
    folder
        Folder made by `Warehouse.create` or `starmuster init`.
    wait_s
        How long to wait for another process that holds the database.

    Raises
    ------
    NoWarehouseError
        If there is no warehouse in the folder.
    WarehouseError
        If its database was lost or is not one.
    ConfigError
        If its configuration is off.
    """

    def __init__(self, folder: Path | str, *, wait_s: float = DEFAULT_WAIT_S) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.wait_s = wait_s
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._is_kept_open = False
        if not self.database.is_file():
            _refuse_lost_database(self.folder)
            raise NoWarehouseError(
                f"{self.folder}: no warehouse here (no {DATABASE_NAME}). Make one with "
                f"`starmuster init`, or choose one with --warehouse or STARMUSTER_WAREHOUSE."
            )
        self.config  # noqa: B018  a faulty configuration is told before any work begins
        if not self._patiently(lambda: migrate.is_current(self.database)):
            with self.claimed("migration"):
                self._patiently(lambda: migrate.migrate(self.database))

    @classmethod
    def create(cls, folder: Path | str, *, wait_s: float = DEFAULT_WAIT_S) -> "Warehouse":
        """Make a warehouse in a folder; one that exists already is opened as it is.

        Raises
        ------
        WarehouseError
            If the folder holds packages but no database: that is to be rebuilt, not begun anew.
        """
        folder = Path(folder).expanduser().resolve()
        for name in ("packages", "masters", "reports"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not (folder / FILE_NAME).exists():
            (folder / FILE_NAME).write_text(TEMPLATE, encoding="utf-8")
        if not (folder / DATABASE_NAME).exists():
            with locks.claim(folder, wait_s=wait_s, purpose="init"):
                if not (folder / DATABASE_NAME).exists():
                    _refuse_lost_database(folder)
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
        con = self.con.cursor() if self._is_kept_open else self._connect(read_only=True)
        try:
            yield con
        finally:
            con.close()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Leave the database open from one reading to the next, up to each writing.

        To open it takes longer than most questions do. Only for who holds the claim: nobody else
        could write anyway, and all can read.
        """
        self._is_kept_open = True
        try:
            yield
        finally:
            self._is_kept_open = False
            self.close()

    @contextmanager
    def writing(self, *, needed_byte: int = 0) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database for writing, for a moment, in one transaction, then checkpoint.

        Parameters
        ----------
        needed_byte
            Size of what will be written, to be told when the disk is full.

        Raises
        ------
        LockedError
            If another process reads or writes for longer than `wait_s`.
        DiskFullError
            If there is no room; nothing was changed.
        """
        self.close()
        con = self._connect(read_only=False)
        try:
            with disk.room_for(self.database, needed_byte):
                con.execute("begin")
                try:
                    yield con
                except BaseException:
                    with suppress(duckdb.Error):  # a fatal error has ended the transaction already
                        con.execute("rollback")
                    raise
                con.execute("commit")
            _checkpoint(con, self.database)
        finally:
            con.close()

    def claimed(self, purpose: str = "a run") -> AbstractContextManager[None]:
        """Hold the right to be the one process that changes this warehouse.

        Raises
        ------
        LockedError
            If another starmuster works on it; its purpose and process number are named.
        """
        return locks.claim(self.folder, wait_s=self.wait_s, purpose=purpose)

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """A read-only DuckDB connection that stays open until `close`."""
        if self._connection is None:
            self._connection = self._connect(read_only=True)
        return self._connection

    @cached_property
    def engine(self) -> "sqlalchemy.Engine":
        """A SQLAlchemy engine over the same read-only connection as `con`."""
        from .engine import engine

        return engine(lambda: self.con)

    def close(self) -> None:
        """Close the connection behind `con` and `engine`, so that others may write."""
        if "engine" in self.__dict__:
            self.engine.dispose()  # an idle cursor in its pool would keep the file open
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

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        return self._patiently(lambda: migrate.connect(self.database, read_only=read_only))

    def _patiently(self, action):
        return locks.patiently(action, self.database, wait_s=self.wait_s)


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
        if parameters:
            # `con.sql` would copy the rows of a query with parameters a hundred times slower
            table = con.execute(query, parameters).to_arrow_table()
            return pl.DataFrame(pl.from_arrow(table))
        found = con.sql(query)
        if found is not None:
            return found.pl()
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    raise QueryError("the statement returns no rows: write a query, beginning with `select`.")


def lay(con: duckdb.DuckDBPyConnection, name: str, rows: pl.DataFrame) -> None:
    """Put rows into a temporary table, for queries that take parameters.

    A frame that is only registered can lock such a query up for good: DuckDB 1.5 runs it while it
    holds Python's lock, for which its own threads wait when they scan the frame.
    """
    con.register("rows_to_lay", rows)
    try:
        con.execute(f"create or replace temp table {name} as from rows_to_lay")
    finally:
        con.unregister("rows_to_lay")


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
    bound = {key: _light(parameters.get(key)) for key in script.parameters}
    return frame(con, script.text, **bound)


def _light(value: Any) -> Any:
    """Write a list of whole numbers as text, which the query casts to what it is.

    DuckDB 1.5 takes 0.1 ms for each element of a list to find out its type.
    """
    if isinstance(value, list) and value and all(isinstance(one, int) for one in value):
        return str(value)
    return value


def _checkpoint(con: duckdb.DuckDBPyConnection, database: Path) -> None:
    """Fold the log into the file; the rows are committed whether or not this succeeds."""
    try:
        con.execute("checkpoint")
    except duckdb.Error as error:
        logger.warning("%s: checkpoint put off: %s", database, error)


def _refuse_lost_database(folder: Path) -> None:
    if any(folder.glob("packages/*/*/manifest.json")):
        raise WarehouseError(
            f"{folder}: packages are here, but {DATABASE_NAME} is gone. "
            f"Make it anew from them with `starmuster rebuild`."
        )
