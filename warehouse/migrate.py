"""Make a database, and bring an older one up to date on a copy of it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from .. import sql
from ..errors import VersionError, WarehouseError
from . import disk

STORAGE_VERSION = "v1.5.0"


def connect(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a database file; a new one gets an explicit storage version."""
    if read_only:
        con = duckdb.connect(path, read_only=True)
    else:
        con = duckdb.connect(path, config={"storage_compatibility_version": STORAGE_VERSION})
    con.execute("set global timezone = 'UTC'")  # of cursors, too
    return con


def create(path: Path) -> None:
    """Create an empty database; it appears whole or not at all."""
    with drafted(path) as draft, connect(draft) as con:
        _apply(con, found=0)


def scratch() -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory with all tables, macros and views."""
    con = duckdb.connect()
    _apply(con, found=0)
    return con


def is_current(path: Path) -> bool:
    """Say whether a database has the newest schema, macros and views.

    Raises
    ------
    VersionError
        If the database was made by a newer starmuster.
    WarehouseError
        If the file is a DuckDB database of something else.
    """
    with connect(path, read_only=True) as con:
        found, objects = versions(con)
    if found > sql.schema_version():
        raise VersionError(
            f"{path}: made by a newer starmuster (schema {found}, this one knows "
            f"{sql.schema_version()}). Update with `pip install -U starmuster`."
        )
    return (found, objects) == (sql.schema_version(), sql.objects_fingerprint())


def migrate(path: Path) -> bool:
    """Bring a database up to date; return whether anything had to be done.

    New schema files run on a copy that replaces the database only when all went well (a kill
    during `alter table` can leave a DuckDB 1.5 file that does not open any more). Macros and
    views are refreshed in place, in one transaction. One process at a time may do this.

    Raises
    ------
    VersionError
        If the database was made by a newer starmuster.
    DiskFullError
        If there is no room for the copy; the database stays as it was.
    """
    if is_current(path):
        return False
    with connect(path) as con:
        found, _ = versions(con)
        if found == sql.schema_version():
            _transaction(con, _refresh_objects)
            return True
        con.execute("checkpoint")
        n_row = row_counts(con)
    with drafted(path) as draft, disk.room_for(path, path.stat().st_size):
        shutil.copyfile(path, draft)
        with connect(draft) as con:
            _apply(con, found=found)
        _verify(draft, n_row)
    return True


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give a path to make a database at; it takes the place of `path` when all went well.

    A write-ahead log beside either is removed: DuckDB would replay it onto the wrong file. What
    the old database's log holds must be checkpointed before.
    """
    draft = path.with_name(f"{path.name}.draft")
    _remove(draft)
    try:
        yield draft
        _remove_logs(path)
        disk.replace(draft, path)
    finally:
        _remove(draft)


def versions(con: duckdb.DuckDBPyConnection) -> tuple[int, str]:
    """Return the schema number and the fingerprint of macros and views of a database.

    Raises
    ------
    WarehouseError
        If the file is a DuckDB database of something else.
    """
    try:
        found = dict(con.sql("from version").project("subject, value").fetchall())
        return int(found["schema"]), found.get("objects", "")
    except (duckdb.CatalogException, duckdb.BinderException, KeyError, ValueError) as error:
        raise WarehouseError(
            "the database does not say which schema it has (no such row in table `version`): "
            "it is not a starmuster warehouse. Point --warehouse at another folder."
        ) from error


def row_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count the rows of every table."""
    tables = con.sql("from duckdb_tables()").filter("not internal").project("table_name").fetchall()
    counts: dict[str, int] = {}
    for (name,) in tables:
        count = con.table(name).count("*").fetchone()
        counts[name] = int(count[0]) if count else 0
    return counts


def _apply(con: duckdb.DuckDBPyConnection, *, found: int) -> None:
    _transaction(con, lambda con: _extend(con, found=found))
    _transaction(con, _refresh_objects)
    con.execute("checkpoint")


def _extend(con: duckdb.DuckDBPyConnection, *, found: int) -> None:
    for script in sql.scripts("schema").values():
        if int(script.name.split("_")[0]) > found:
            con.execute(";\n".join([script.text, *sql.comments(script)]))
    con.execute("delete from version where subject = 'schema'")
    con.execute("insert into version values ('schema', $1)", [str(sql.schema_version())])


def _refresh_objects(con: duckdb.DuckDBPyConnection) -> None:
    stale = con.sql("from duckdb_views()").filter("not internal").project("view_name").fetchall()
    for (name,) in stale:
        con.execute(f'drop view if exists "{name}"')
    for kind in sql.OBJECT_KINDS:
        for script in sql.ordered(kind):
            con.execute(script.text)
    known = {
        (view, column)
        for view, column in con.sql("from duckdb_columns()")
        .filter("not internal")
        .project("table_name, column_name")
        .fetchall()
    }
    con.execute(";\n".join(sql.view_comments(known)))
    con.execute("delete from version where subject = 'objects'")
    con.execute("insert into version values ('objects', $1)", [sql.objects_fingerprint()])


def _verify(draft: Path, n_row: dict[str, int]) -> None:
    """Open the migrated copy anew and see that no table lost a row and every view binds."""
    with connect(draft, read_only=True) as con:
        now = row_counts(con)
        lost = sorted(name for name, n in n_row.items() if now.get(name, n) < n)
        if lost or versions(con)[0] != sql.schema_version():
            raise WarehouseError(
                f"{draft}: the migration lost rows of {', '.join(lost) or 'table version'}; "
                f"the database was left as it was. Please report this."
            )
        for script in sql.scripts("views").values():
            con.table(script.name)


def _transaction(
    con: duckdb.DuckDBPyConnection, action: Callable[[duckdb.DuckDBPyConnection], None]
) -> None:
    con.execute("begin")
    try:
        action(con)
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")


def _remove(database: Path) -> None:
    database.unlink(missing_ok=True)
    _remove_logs(database)


def _remove_logs(database: Path) -> None:
    for log in database.parent.glob(f"{database.name}.wal*"):
        log.unlink(missing_ok=True)
