"""Runs: the one way by which rows enter the warehouse, and the rebuilding of it from packages."""

import json
import logging
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ..errors import (
    LockedError,
    NoWarehouseError,
    PackageError,
    StarmusterError,
    VersionError,
    WarehouseError,
    about,
)
from ..sql import scripts
from . import disk, locks, migrate, packages
from .store import DATABASE_NAME, Warehouse, frame

PARTS = "parts"  # folder below packages/ where workers leave rows that are not yet sealed
RUNS = "runs"  # folder below packages/ with one file a run

logger = logging.getLogger(__name__)


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
        self._start = _now()
        self._failures: list[dict[str, Any]] = []
        self._n_failed = 0
        self._held = ExitStack()

    def __enter__(self) -> "Run":
        with ExitStack() as held:
            held.enter_context(self.warehouse.claimed(self.command))
            held.enter_context(self.warehouse.kept_open())
            self._begin()
            self._held = held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error, trace) -> None:
        try:
            if self._failures and kind is None:
                self.store("failure", {})
            outcome = "stopped" if kind else "failed" if self._n_failed else "done"
            self._note({"end_utc": _now().isoformat(), "outcome": outcome})
        finally:
            self._held.close()

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

        Raises
        ------
        PackageError
            If the rows do not fit their tables; nothing was stored.
        DiskFullError
            If there is no room; nothing was stored.
        LockedError
            If another process holds the database; nothing was stored.
        """
        tables = dict(tables)
        if self._failures:
            tables["failure"] = pl.DataFrame(self._failures, infer_schema_length=None)
        sequence = self._next_sequence()
        package_id = f"{night or 'all'}/{sequence:06d}-{step}"
        path = packages.write(
            self.warehouse.packages,
            package_id,
            tables,
            sequence=sequence,
            step=step,
            run=self._described(),
            replaces=replaces,
        )
        try:
            with self.warehouse.writing(needed_byte=packages.size_byte(path)) as con:
                n_row = packages.load(con, path)
        except BaseException:
            # The commit may have succeeded before what was raised: then the package must stay.
            if package_id not in self._loaded():
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
                "message": about(subject, error),
                "failed_utc": _now(),
            }
        )

    def next_id(self, table: str) -> int:
        """Return the smallest number that no row of a table has used as its identity."""
        return self._next(table, packages.REPLACE_KEY[table])

    def next_source_id(self) -> int:
        """Return the smallest number that no star has or ever had."""
        return max(self.next_id("source"), self._next("source_change", "old_source_id"))

    def _begin(self) -> None:
        discard_orphan(self.warehouse.packages, self._loaded(), next_sequence=self._next_sequence())
        self.run_id = self._next("run", "run_id")
        self._note({})

    def _note(self, outcome: Mapping[str, Any]) -> None:
        """Write the run to its file, from which a rebuild reads it, and to its table."""
        described = self._described() | dict(outcome)
        folder = self.warehouse.packages / RUNS
        folder.mkdir(exist_ok=True)
        content = json.dumps(described, indent=1).encode()
        with disk.room_for(folder, len(content)):
            disk.write_whole(folder / f"{self.run_id:06d}.json", content)
        with self.warehouse.writing() as con:
            _put_run(con, described)

    def _described(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "command": self.command,
            "version": self.version,
            "host": f"{socket.gethostname()} {os.getpid()}",
            "start_utc": self._start.isoformat(),
        }

    def _loaded(self) -> dict[str, str]:
        with self.warehouse.reading() as con:
            return _ledger(con)

    def _next_sequence(self) -> int:
        return self._next("package", "sequence")

    def _next(self, table: str, column: str) -> int:
        with self.warehouse.reading() as con:
            last = con.table(table).max(column).fetchone()
        return int(last[0] or 0) + 1 if last else 1


def sealed(folder: Path) -> dict[str, Path]:
    """Return the packages below a folder by name."""
    return {
        f"{manifest.parent.parent.name}/{manifest.parent.name}": manifest.parent
        for manifest in folder.glob(f"*/*/{packages.MANIFEST_NAME}")
        if manifest.parent.parent.name != PARTS
    }


def discard_orphan(folder: Path, known: Mapping[str, str], *, next_sequence: int) -> None:
    """Remove the package that no ledger row names: a kill left it, and it is made anew.

    Raises
    ------
    WarehouseError
        If there is more than a kill can leave: the database is not the one of these packages.
    """
    for draft in folder.glob(".*.draft"):
        shutil.rmtree(draft, ignore_errors=True)
    orphans = {name: path for name, path in sealed(folder).items() if name not in known}
    sequences = [packages.read_manifest(path).sequence for path in orphans.values()]
    if sequences not in ([], [next_sequence]):
        raise WarehouseError(
            f"{folder}: {len(orphans)} packages are not in the database ({_some(orphans)}), and a "
            f"kill leaves one at most, the newest. The database was lost or replaced by an older "
            f"one: run `starmuster rebuild`."
        )
    for path in orphans.values():
        # The manifest goes first: what a kill leaves of the rest is no package any more.
        (path / packages.MANIFEST_NAME).unlink()
        shutil.rmtree(path)


def rebuild(folder: Path | str, *, wait_s: float = locks.DEFAULT_WAIT_S) -> int:
    """Make the database of a warehouse anew from its packages; return the number of rows loaded.

    The old database, if there is one, stays in place until the new one is whole. Stars get the
    numbers they would have had if all nights had come at once; the change is a package of its
    own, so that it holds for what comes after.

    Raises
    ------
    PackageError
        If a package is damaged or missing; the old database is kept.
    VersionError
        If the old database was made by a newer starmuster.
    LockedError
        If another process holds the warehouse.
    """
    folder = Path(folder).expanduser().resolve()
    database = folder / DATABASE_NAME
    if not (folder / "packages").is_dir():
        raise NoWarehouseError(
            f"{folder}: no packages here to rebuild from. Choose a warehouse with --warehouse."
        )
    with locks.claim(folder, wait_s=wait_s, purpose="rebuild"):
        known = _old_ledger(database, wait_s) if database.exists() else {}
        replay = _in_order(sealed(folder / "packages"), known)
        size_byte = sum(packages.size_byte(path) for path in replay)
        with migrate.drafted(database) as draft, disk.room_for(database, size_byte):
            migrate.create(draft)
            with migrate.connect(draft) as con:
                n_row = _replay(con, replay, folder / "packages" / RUNS)
                n_row += _renumber(con, folder / "packages", len(replay) + 1)
                con.execute("checkpoint")
    return n_row


def _replay(con: duckdb.DuckDBPyConnection, replay: Sequence[Path], runs: Path) -> int:
    n_row = 0
    for path in replay:
        con.execute("begin")
        n_row += packages.load(con, path)
        con.execute("commit")
    for file in sorted(runs.glob("*.json")):
        _put_run(con, json.loads(file.read_text(encoding="utf-8")))
    return n_row


def _renumber(con: duckdb.DuckDBPyConnection, folder: Path, sequence: int) -> int:
    """Seal and load the change to canonical numbers of stars, if any star has another one."""
    rows = frame(con, scripts("steps")["canonical_numbers"].text)
    if rows.is_empty():
        return 0
    (last_change,) = con.table("source_change").max("change_id").fetchall()[0]
    (last_run,) = con.table("run").max("run_id").fetchall()[0]
    changes = rows.select(
        change_id=pl.int_range(pl.len()) + (last_change or 0) + 1,
        old_source_id="source_id",
        source_id="canonical_id",
        reason=pl.lit("canonical number of a rebuild"),
    )
    path = packages.write(
        folder,
        f"all/{sequence:06d}-renumber",
        {"source_change": changes},
        sequence=sequence,
        step="renumber",
        run={"run_id": last_run},
    )
    con.execute("begin")
    n_row = packages.load(con, path)
    con.execute("commit")
    return n_row


def _in_order(found: Mapping[str, Path], known: Mapping[str, str]) -> list[Path]:
    """Return all packages in the order in which they were loaded, none missing or altered."""
    missing = sorted(set(known) - set(found))
    if missing:
        raise PackageError(
            f"{len(missing)} packages that the database holds are gone ({_some(missing)}): a "
            f"rebuild would lose their rows. Restore them from a backup."
        )
    for name, checksum in known.items():
        if packages.file_checksum(found[name] / packages.MANIFEST_NAME) != checksum:
            raise PackageError(f"{found[name]}: not the package that was loaded. Restore it.")
    ordered = {packages.read_manifest(path).sequence: path for path in found.values()}
    gaps = sorted(set(range(1, max(ordered, default=0) + 1)) - set(ordered))
    if gaps or len(ordered) < len(found):
        raise PackageError(
            f"{len(found)} packages, but their numbers are not 1 to {len(found)} "
            f"(missing: {', '.join(map(str, gaps[:5])) or 'none'}): some are gone, or there twice. "
            f"Restore them from a backup."
        )
    return [ordered[sequence] for sequence in sorted(ordered)]


def _old_ledger(database: Path, wait_s: float) -> dict[str, str]:
    """Return what the old database holds, its log folded in; nothing if it does not open."""

    def read() -> dict[str, str]:
        migrate.is_current(database)
        with migrate.connect(database) as con:
            con.execute("checkpoint")
            return _ledger(con)

    try:
        return locks.patiently(read, database, wait_s=wait_s)
    except (LockedError, VersionError):
        raise
    except (WarehouseError, duckdb.Error) as error:
        logger.warning("the old database is not used: %s", error)
        return {}


def _ledger(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the checksum of the manifest of every loaded package."""
    return dict(con.table("package").project("package_id, checksum").fetchall())


def _put_run(con: duckdb.DuckDBPyConnection, run: Mapping[str, Any]) -> None:
    con.execute("delete from run where run_id = $1", [run["run_id"]])
    columns = ("run_id", "command", "version", "host", "start_utc", "end_utc", "outcome")
    con.execute(
        f"insert into run ({', '.join(columns)}) values ($1, $2, $3, $4, $5, $6, $7)",
        [run.get(column) for column in columns],
    )


def _some(names: Mapping[str, object] | Sequence[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (" ..." if len(names) > len(shown) else "")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
