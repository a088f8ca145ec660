"""Make a database, and bring an older one up to date on a copy of it."""

import os
import shutil
from pathlib import Path

import duckdb

from .. import sql
from ..errors import VersionError, WarehouseError

STORAGE_VERSION = "v1.5.0"


def connect(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a database file; a new one gets an explicit storage version."""
    if read_only:
        return duckdb.connect(path, read_only=True)
    return duckdb.connect(path, config={"storage_compatibility_version": STORAGE_VERSION})


def create(path: Path) -> None:
    """Create an empty database; it appears whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with connect(draft) as con:
        _apply(con, found=0)
    _replace(draft, path)


def migrate(path: Path) -> bool:
    """Bring a database up to date; return whether anything had to be done.

    New schema files run on a copy that replaces the database only when all went well (a kill
    during `alter table` can leave a DuckDB 1.5 file that does not open any more). Macros and
    views are refreshed in place, in one transaction.

    Raises
    ------
    VersionError
        If the database was made by a newer starmuster.
    """
    with connect(path, read_only=True) as con:
        found, objects = versions(con)
    if found > sql.schema_version():
        raise VersionError(
            f"{path}: made by a newer starmuster (schema {found}, this one knows "
            f"{sql.schema_version()}). Update with `pip install -U starmuster`."
        )
    if found == sql.schema_version():
        if objects == sql.objects_fingerprint():
            return False
        with connect(path) as con:
            _transaction(con, _refresh_objects)
        return True
    with connect(path) as con:
        con.execute("checkpoint")
    draft = path.with_suffix(".draft")
    shutil.copyfile(path, draft)
    with connect(draft) as con:
        _apply(con, found=found)
    _replace(draft, path)
    return True


def versions(con: duckdb.DuckDBPyConnection) -> tuple[int, str]:
    """Return the schema number and the fingerprint of macros and views of a database.

    Raises
    ------
    WarehouseError
        If the file is a DuckDB database of something else.
    """
    try:
        found = dict(con.sql("from version").fetchall())
    except duckdb.CatalogException as error:
        raise WarehouseError(
            "the database has no table `version`: it is not a starmuster warehouse. "
            "Point --warehouse at another folder."
        ) from error
    return int(found["schema"]), found.get("objects", "")


def _apply(con: duckdb.DuckDBPyConnection, *, found: int) -> None:
    for script in sql.scripts("schema").values():
        if int(script.name.split("_")[0]) > found:
            con.execute(script.text)
            for comment in sql.comments(script):
                con.execute(comment)
    con.execute("delete from version where subject = 'schema'")
    con.execute("insert into version values ('schema', $1)", [str(sql.schema_version())])
    _transaction(con, _refresh_objects)
    con.execute("checkpoint")


def _refresh_objects(con: duckdb.DuckDBPyConnection) -> None:
    stale = con.sql("from duckdb_views()").filter("not internal").project("view_name").fetchall()
    for (name,) in stale:
        con.execute(f'drop view if exists "{name}"')
    for kind in ("macros", "views"):
        for script in sql.ordered(kind):
            con.execute(script.text)
    known = {
        (view, column)
        for view, column in con.sql("from duckdb_columns()")
        .filter("not internal")
        .project("table_name, column_name")
        .fetchall()
    }
    for comment in sql.view_comments(known):
        con.execute(comment)
    con.execute("delete from version where subject = 'objects'")
    con.execute("insert into version values ('objects', $1)", [sql.objects_fingerprint()])


def _transaction(con: duckdb.DuckDBPyConnection, action) -> None:
    con.execute("begin")
    try:
        action(con)
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")


def _replace(draft: Path, path: Path) -> None:
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
