"""Migrations: on a copy, forward only, whole or not at all."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from starmuster import sql
from starmuster.errors import DiskFullError, VersionError, WarehouseError
from starmuster.warehouse import migrate, packages
from starmuster.warehouse.store import Warehouse

NEXT = sql.schema_version() + 1
ADDITION = """\
-- What comes later.

-- A comet. One row per comet.
create table comet (
    comet_name varchar not null,        -- name
    perihelion_au double,               -- unit=au; distance of the perihelion
);

alter table setting add column remark varchar;
"""
UPGRADE = """
import os, signal, sys
from pathlib import Path
from starmuster import sql
from starmuster.warehouse import disk, migrate
original = sql.scripts
sql.scripts = lambda kind: original(kind) | (
    {sys.argv[2]: sql.Script(sys.argv[2], sys.argv[3])} if kind == "schema" else {}
)
def killed(draft, path):
    assert draft.exists()
    os.kill(os.getpid(), signal.SIGKILL)
disk.replace = killed
migrate.migrate(Path(sys.argv[1]))
"""


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Add a schema file, as a later release would."""
    original = sql.scripts
    name = f"{NEXT:04d}_later"

    def add(text: str) -> None:
        def scripts(kind: str) -> dict[str, sql.Script]:
            extra = {name: sql.Script(name, text)} if kind == "schema" else {}
            return original(kind) | extra

        monkeypatch.setattr(sql, "scripts", scripts)

    return add


def put_setting(warehouse: Warehouse, name: str = "old") -> None:
    with warehouse.writing() as con:
        con.execute("insert into setting (setting_name, value) values ($1, 'x')", [name])


def kill_after(database: Path, statement: str) -> None:
    """Run a statement in a process that is killed before it could fold its log into the file."""
    code = (
        "import os, signal, sys, duckdb; con = duckdb.connect(sys.argv[1])\n"
        "con.execute(sys.argv[2]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(database), statement], check=False)


def leftovers(warehouse: Warehouse) -> list[str]:
    return sorted(file.name for file in warehouse.folder.glob("starmuster.duckdb.*"))


def test_an_older_database_gets_the_new_tables_and_keeps_its_rows(warehouse, later):
    put_setting(warehouse)
    later(ADDITION)
    migrated = Warehouse(warehouse.folder)
    assert migrated.sql("select setting_name, remark from setting").rows() == [("old", None)]
    assert migrated.query("describe", table_name="comet")["unit"].to_list() == ["", "au"]
    with migrated.reading() as con:
        assert migrate.versions(con) == (NEXT, sql.objects_fingerprint())
    assert leftovers(migrated) == []


def test_a_current_database_is_not_touched(warehouse):
    before = warehouse.database.stat()
    assert migrate.migrate(warehouse.database) is False
    Warehouse(warehouse.folder)
    assert warehouse.database.stat() == before


def test_rows_that_were_only_in_the_log_are_migrated_too(warehouse, later):
    kill_after(warehouse.database, "insert into setting values ('log', 'x')")
    assert leftovers(warehouse) == ["starmuster.duckdb.wal"]
    later(ADDITION)
    migrated = Warehouse(warehouse.folder)
    assert migrated.sql("from setting")["setting_name"].to_list() == ["log"]
    assert leftovers(migrated) == []


def test_a_kill_before_the_copy_takes_its_place_leaves_the_old_database(warehouse, later):
    put_setting(warehouse)
    before = packages.file_checksum(warehouse.database)
    done = subprocess.run(
        [sys.executable, "-c", UPGRADE, str(warehouse.database), f"{NEXT:04d}_later", ADDITION],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert leftovers(warehouse) == ["starmuster.duckdb.draft"]
    assert packages.file_checksum(warehouse.database) == before
    assert Warehouse(warehouse.folder).sql("from setting").height == 1
    later(ADDITION)
    assert Warehouse(warehouse.folder).sql("from comet").is_empty()
    assert leftovers(warehouse) == []


def test_the_log_of_a_killed_copy_is_not_replayed_onto_the_next(warehouse, later):
    put_setting(warehouse)
    draft = warehouse.folder / "starmuster.duckdb.draft"
    kill_after(draft, "create table comet (stale integer)")
    assert leftovers(warehouse) == ["starmuster.duckdb.draft", "starmuster.duckdb.draft.wal"]
    later(ADDITION)
    migrated = Warehouse(warehouse.folder)
    assert migrated.sql("from comet").columns == ["comet_name", "perihelion_au"]
    assert leftovers(migrated) == []


@pytest.mark.parametrize(
    "text",
    ["create table comet (name varchar);\nalter table nowhere add column x integer;\n", "selct 1"],
)
def test_a_migration_that_fails_midway_leaves_everything_as_it_was(warehouse, later, text):
    put_setting(warehouse)
    before = packages.file_checksum(warehouse.database)
    later(text)
    with pytest.raises(duckdb.Error):
        Warehouse(warehouse.folder)
    assert packages.file_checksum(warehouse.database) == before
    assert leftovers(warehouse) == []


def test_a_migration_that_loses_rows_is_refused(warehouse, later):
    put_setting(warehouse)
    later("delete from setting;\n")
    with pytest.raises(WarehouseError, match="lost rows of setting"):
        Warehouse(warehouse.folder)
    assert warehouse.sql("from setting").height == 1
    assert leftovers(warehouse) == []


def test_a_disk_too_small_for_the_copy_is_told_and_nothing_is_lost(small_disk, later):
    warehouse = Warehouse.create(small_disk / "warehouse")
    put_setting(warehouse)
    free = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes((free.f_bavail - 40) * free.f_frsize))
    later(ADDITION)
    with pytest.raises(DiskFullError, match=r"no room for \d+\.\d MB"):
        Warehouse(warehouse.folder)
    assert leftovers(warehouse) == []
    (small_disk / "ballast").unlink()
    assert Warehouse(warehouse.folder).sql("from setting").height == 1


def test_a_database_of_a_newer_starmuster_is_refused_and_left_alone(warehouse):
    with warehouse.writing() as con:
        con.execute("update version set value = '9999' where subject = 'schema'")
    before = packages.file_checksum(warehouse.database)
    with pytest.raises(VersionError, match=r"schema 9999, this one knows \d+.*pip install -U"):
        Warehouse(warehouse.folder)
    assert packages.file_checksum(warehouse.database) == before


def test_changed_views_are_made_anew_and_dropped_ones_go(warehouse):
    with warehouse.writing() as con:
        con.execute("create or replace view star as select 1 as stale")
        con.execute("create view of_an_older_release as select 1 as stale")
        con.execute("update version set value = 'another' where subject = 'objects'")
    refreshed = Warehouse(warehouse.folder)
    assert "position_source" in refreshed.sql("from star").columns
    with refreshed.reading() as con:
        names = {name for (name,) in con.sql("show tables").fetchall()}
    assert "of_an_older_release" not in names


def test_two_processes_migrate_one_after_the_other(warehouse):
    with warehouse.writing() as con:
        con.execute("update version set value = 'another' where subject = 'objects'")
    code = "import sys; from starmuster.warehouse.store import Warehouse; Warehouse(sys.argv[1])"
    both = [subprocess.Popen([sys.executable, "-c", code, str(warehouse.folder)]) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert migrate.is_current(warehouse.database)
