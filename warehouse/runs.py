"""Runs: the one way by which rows enter the warehouse, and the rebuilding of it from packages."""

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ..errors import StarmusterError, WarehouseError
from . import migrate, packages
from .store import Warehouse

PARTS = "parts"  # folder below packages/ where workers leave rows that are not yet sealed


class Run:
    """One command that writes. Use it as a context; `store` is atomic, a kill loses nothing.

    Parameters
    ----------
    warehouse
        The warehouse to write to; it is claimed while the run lasts.
    command, version
        What is noted in table `run`.
    """

    def __init__(self, warehouse: Warehouse, command: str, version: str) -> None:
        self.warehouse = warehouse
        self.command = command
        self.version = version
        self.run_id = 0
        self._failures: list[dict[str, Any]] = []
        self._n_failed = 0
        self._claim = warehouse.claimed()

    def __enter__(self) -> "Run":
        self._claim.__enter__()
        try:
            self._begin()
        except BaseException:
            self._claim.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error, trace) -> None:
        try:
            if self._failures and kind is None:
                self.store("failure", {})
            outcome = "stopped" if kind else "failed" if self._n_failed else "done"
            with self.warehouse.writing() as con:
                con.execute(
                    "update run set end_utc = $1, outcome = $2 where run_id = $3",
                    [_now(), outcome, self.run_id],
                )
        finally:
            self._claim.__exit__(kind, error, trace)

    def store(
        self,
        step: str,
        tables: Mapping[str, pl.DataFrame],
        *,
        night: date | None = None,
        replaces: Mapping[str, Sequence[Any]] | None = None,
    ) -> int:
        """Seal rows into a package and load it in one transaction; return the number of rows.

        Rows with the same key are replaced; `replaces` names keys whose rows go although the
        package holds none for them. Failures noted since the last call go along.
        """
        tables = dict(tables)
        if self._failures:
            tables["failure"] = pl.DataFrame(self._failures, infer_schema_length=None)
        sequence = self._next_sequence()
        path = packages.write(
            self.warehouse.packages,
            f"{night or 'all'}/{sequence:06d}-{step}",
            tables,
            sequence=sequence,
            step=step,
            run=self._described(),
            replaces=replaces,
        )
        try:
            with self.warehouse.writing() as con:
                n_row = packages.load(con, path)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        self._failures.clear()
        return n_row

    def fail(
        self, step: str, subject: str, error: StarmusterError, *, frame_id: int | None = None
    ) -> None:
        """Note a failed item; it becomes a row of table `failure` with the next `store`."""
        self._n_failed += 1
        self._failures.append(
            {
                "run_id": self.run_id,
                "step": step,
                "frame_id": frame_id,
                "subject": subject,
                "error": type(error).__name__,
                "message": str(error),
                "failed_utc": _now(),
            }
        )

    def next_id(self, table: str) -> int:
        """Return the smallest number that no row of a table has used as its identity."""
        column = packages.REPLACE_KEY[table]
        with self.warehouse.reading() as con:
            last = con.table(table).max(column).fetchone()
        return int(last[0] or 0) + 1 if last else 1

    def _begin(self) -> None:
        with self.warehouse.writing() as con:
            last = con.table("run").max("run_id").fetchone()
            self.run_id = int(last[0] or 0) + 1 if last else 1
            known = {str(row[0]) for row in con.table("package").project("package_id").fetchall()}
            _insert_run(con, self._described())
        discard_orphan(self.warehouse.packages, known)

    def _described(self) -> dict[str, Any]:
        if not hasattr(self, "_start"):
            self._start = _now()
        return {
            "run_id": self.run_id,
            "command": self.command,
            "version": self.version,
            "host": f"{socket.gethostname()} {os.getpid()}",
            "start_utc": self._start.isoformat(),
        }

    def _next_sequence(self) -> int:
        with self.warehouse.reading() as con:
            last = con.table("package").max("sequence").fetchone()
        return int(last[0] or 0) + 1 if last else 1


def sealed(folder: Path) -> list[Path]:
    """Return the packages below a folder, in the order in which they were loaded."""
    found = [
        manifest.parent
        for manifest in folder.glob("*/*/manifest.json")
        if manifest.parent.parent.name != PARTS
    ]
    return sorted(found, key=lambda path: packages.read_manifest(path).sequence)


def discard_orphan(folder: Path, known: set[str]) -> None:
    """Remove the package that no ledger row names: a kill left it, and it is made anew.

    Raises
    ------
    WarehouseError
        If there are more than a kill can leave: the database is not the one of these packages.
    """
    for draft in folder.glob(".*.draft"):
        shutil.rmtree(draft, ignore_errors=True)
    orphans = [path for path in sealed(folder) if f"{path.parent.name}/{path.name}" not in known]
    if len(orphans) > 1:
        raise WarehouseError(
            f"{folder}: {len(orphans)} packages are not in the database; a kill leaves one at "
            f"most. The database was lost or replaced: run `starmuster rebuild`."
        )
    for path in orphans:
        shutil.rmtree(path)


def rebuild(warehouse: Warehouse) -> int:
    """Make the database anew from its packages; return the number of rows loaded.

    The old database stays in place until the new one is whole.

    Raises
    ------
    PackageError
        If a package is damaged; the old database is kept.
    """
    with warehouse.claimed():
        warehouse.close()
        draft = warehouse.database.with_suffix(".rebuilt")
        draft.unlink(missing_ok=True)
        migrate.create(draft)
        n_row = 0
        with migrate.connect(draft) as con:
            for path in sealed(warehouse.packages):
                con.execute("begin")
                n_row += packages.load(con, path)
                _insert_run(con, packages.read_manifest(path).run)
                con.execute("commit")
            con.execute("checkpoint")
        draft.replace(warehouse.database)
    return n_row


def _insert_run(con: duckdb.DuckDBPyConnection, run: Mapping[str, Any]) -> None:
    con.execute("delete from run where run_id = $1", [run["run_id"]])
    con.execute(
        "insert into run (run_id, command, version, host, start_utc) values ($1, $2, $3, $4, $5)",
        [run["run_id"], run["command"], run["version"], run["host"], run["start_utc"]],
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
