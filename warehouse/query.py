"""SQL from outside: a session that can read the warehouse and touch nothing else."""

import os
from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from ..errors import QueryError
from . import locks
from .store import Warehouse, frame

MEMORY_MB = 4096
_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def hardened(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Take away from a read-only connection what reaches beyond its database, for good.

    The order matters: access to extensions and other databases first, then the file system (read
    only and no external access alone still let a query write files), then the configuration is
    locked. Memory limit and threads are to be set before; it cannot spill to disk any more.
    """
    for statement in (
        "set python_enable_replacements = false",
        "set enable_external_access = false",
        "set disabled_filesystems = 'LocalFileSystem'",
        "set lock_configuration = true",
    ):
        con.execute(statement)
    return con


def user_query(
    warehouse: Warehouse,
    text: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    memory_mb: int | None = None,
    n_thread: int | None = None,
) -> pl.DataFrame:
    """Run one query from outside on a hardened connection and return its rows.

    Parameters
    ----------
    warehouse
        Its own connection is closed before: one process opens a DuckDB file in one way at a time.
    text
        One `select` (also `from`, `with`, `values`, `describe`, `summarize`, `show`) or `explain`.
    parameters
        Values of the `$parameters` in the text.
    memory_mb
        Memory limit in MB; None takes half of the machine's, at most 4096.
    n_thread
        Threads; None takes all.

    Raises
    ------
    QueryError
        If it is more than one statement, not a query, refused by DuckDB, or needs more memory.
    LockedError
        If another process is writing for longer than the warehouse waits.
    """
    memory_mb = memory_mb or _default_memory_mb()
    options: dict[str, Any] = {"memory_limit": f"{memory_mb}MB", "temp_directory": ""}
    if n_thread is not None:
        options["threads"] = n_thread
    warehouse.close()
    database = warehouse.database
    con = locks.patiently(
        lambda: duckdb.connect(database, read_only=True, config=options),
        database,
        wait_s=warehouse.wait_s,
    )
    try:
        con.execute("set global timezone = 'UTC'")
        hardened(con)
        _refuse_other_than_query(con, text)
        return frame(con, text, **(parameters or {}))
    except QueryError as error:
        if isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise QueryError(
                f"the query needs more than {memory_mb} MB, and a session for SQL from outside "
                f"cannot spill to disk. Ask for fewer rows or columns, or run it in Python with "
                f"`starmuster.open(...).sql(...)`, which can."
            ) from error
        raise
    finally:
        con.close()


def _refuse_other_than_query(con: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        statements = con.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    kinds = [statement.type for statement in statements]
    if len(kinds) != 1 or kinds[0] not in _READS:
        seen = ", ".join(kind.name.lower().replace("_", " ") for kind in kinds) or "nothing"
        raise QueryError(f"one query at a time, and only reading: seen {seen}; write one `select`.")


def _default_memory_mb() -> int:
    installed_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    return min(MEMORY_MB, int(installed_mb / 2))
