"""Runs: what a kill, a lock or a lost file may do to the rows, which is nothing."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from starmuster.errors import (
    DiskFullError,
    HeaderError,
    LockedError,
    PackageError,
    VersionError,
    WarehouseError,
)
from starmuster.warehouse import locks, packages
from starmuster.warehouse.runs import Run, rebuild, sealed
from starmuster.warehouse.store import Warehouse

NIGHT = date(2024, 3, 8)
FRAMES = 40
STARS = 50
N_KILL = 5

# Measures the frames that lack a product, one store a frame, as the runner does.
INGEST = """
import sys, polars as pl
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse
n_frame, n_star = int(sys.argv[2]), int(sys.argv[3])
with Run(Warehouse(sys.argv[1]), "ingest", "0") as run:
    print("begun", flush=True)
    done = set(run.warehouse.sql("select frame_id from product")["frame_id"])
    for frame_id in sorted(set(range(1, n_frame + 1)) - done):
        keys = pl.DataFrame({"source_id": range(n_star)}).with_columns(frame_id=pl.lit(frame_id))
        keys = keys.with_columns(flags=pl.lit(0))
        measurement = keys.with_columns(
            x_pix=pl.col("source_id") + frame_id, y_pix=pl.lit(0), n_sky_pix=pl.lit(9)
        )
        flux = keys.with_columns(
            aperture_id=pl.lit(1), flux_adu=pl.col("source_id") * 1.5, n_pix=pl.lit(9)
        )
        product = pl.DataFrame(
            {"frame_id": [frame_id], "step": ["photometry"], "recipe": ["r"], "state": ["done"]}
        )
        tables = {"measurement": measurement, "aperture_flux": flux, "product": product}
        run.store("photometry", tables)
print("ended", flush=True)
"""
CLAIM = """
import sys, time
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse
with Run(Warehouse(sys.argv[1]), "ingest /data/tonight", "0"):
    print("begun", flush=True)
    time.sleep(60)
"""


def start(code: str, warehouse: Warehouse, *arguments: object) -> subprocess.Popen[str]:
    """Start another starmuster and wait until its run has begun."""
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(warehouse.folder), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "begun\n", other.communicate()
    return other


def setting(fill, *names: str) -> dict[str, pl.DataFrame]:
    return {"setting": fill("setting", [{"setting_name": name} for name in names])}


def names(warehouse: Warehouse) -> list[str]:
    return sorted(warehouse.sql("from setting")["setting_name"])


def everything(warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    """Return all rows: of the ledger in order and without the time of loading, else sorted."""
    with warehouse.reading() as con:
        found = {name: con.table(name).order("all").pl() for name in packages.table_schemas()}
        found["run"] = con.table("run").order("run_id").pl()
        ledger = con.table("package").order("sequence")
        found["package"] = ledger.project("* exclude (loaded_utc)").pl()
    return found


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for name, rows in expected.items():
        assert found[name].equals(rows), f"{name}:\n{found[name]}\n{rows}"


def seal_orphan(warehouse: Warehouse, fill, sequence: int) -> Path:
    """Leave a package as a kill between sealing and loading does."""
    return packages.write(
        warehouse.packages,
        f"all/{sequence:06d}-x",
        setting(fill, f"orphan {sequence}"),
        sequence=sequence,
        step="x",
    )


@pytest.fixture(scope="module")
def three_runs(tmp_path_factory, new_warehouse, fill) -> Path:
    """A folder of a warehouse with three runs: rows, replaced rows and a failure, and nothing."""
    warehouse = new_warehouse(tmp_path_factory.mktemp("runs") / "warehouse")
    frames = [{"frame_id": i, "content_hash": str(i)} for i in (1, 2, 3)]
    keys = [{"frame_id": i, "source_id": s} for i in (1, 2, 3) for s in range(5)]
    with Run(warehouse, "first", "0") as run:
        run.store("catalogue", {"frame": fill("frame", frames)}, night=NIGHT)
        run.store("photometry", {"measurement": fill("measurement", keys)}, night=NIGHT)
    with Run(warehouse, "second", "0") as run:
        run.fail("photometry", "2.fits", HeaderError("2.fits: no stars"), frame_id=2)
        again = fill("measurement", [{"frame_id": 3, "source_id": 9}])
        run.store("photometry", {"measurement": again}, replaces={"measurement": [2]})
    with Run(warehouse, "third", "0"):
        pass
    return warehouse.folder


@pytest.fixture
def filled(three_runs: Path, tmp_path: Path) -> Warehouse:
    """A copy of that warehouse for each test."""
    return Warehouse(shutil.copytree(three_runs, tmp_path / "filled"))


def test_a_run_leaves_its_story(filled):
    rows = filled.sql("from run order by run_id").to_dicts()
    assert [row["command"] for row in rows] == ["first", "second", "third"]
    assert [row["outcome"] for row in rows] == ["done", "failed", "done"]
    assert [row["run_id"] for row in rows] == [1, 2, 3]
    assert all(row["start_utc"] <= row["end_utc"] for row in rows)
    assert all(row["host"].endswith(f" {os.getpid()}") for row in rows)


def test_rows_are_replaced_frame_by_frame(filled):
    rows = filled.sql("select frame_id, source_id from measurement order by all").rows()
    assert rows == [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (3, 9)]


def test_packages_lie_by_night_in_order_of_loading(filled):
    found = filled.sql("select package_id from package order by sequence")["package_id"].to_list()
    assert found == [
        "2024-03-08/000001-catalogue",
        "2024-03-08/000002-photometry",
        "all/000003-photometry",
    ]
    assert set(found) == set(sealed(filled.packages))


def test_failures_become_rows_with_the_next_store(filled):
    (row,) = filled.sql("from failure").to_dicts()
    assert (row["run_id"], row["step"], row["frame_id"]) == (2, "photometry", 2)
    assert (row["error"], row["message"]) == ("HeaderError", "2.fits: no stars")


def test_failures_are_stored_at_the_end_of_a_run_that_stores_nothing_else(warehouse):
    with Run(warehouse, "test", "0") as run:
        run.fail("catalogue", "a.fits", HeaderError("a.fits: empty"))
    assert warehouse.sql("from failure")["subject"].to_list() == ["a.fits"]
    assert warehouse.sql("from run")["outcome"].to_list() == ["failed"]


def test_the_failure_of_an_earlier_run_is_kept(warehouse):
    for _ in range(2):
        with Run(warehouse, "test", "0") as run:
            run.fail("catalogue", "a.fits", HeaderError("a.fits: empty"))
    assert warehouse.sql("from failure")["run_id"].to_list() == [1, 2]


def test_a_run_that_breaks_keeps_what_was_stored_and_says_so(warehouse, fill):
    def break_off() -> None:
        with Run(warehouse, "test", "0") as run:
            run.store("x", setting(fill, "stored"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert names(warehouse) == ["stored"]
    assert warehouse.sql("from run")["outcome"].to_list() == ["stopped"]
    with Run(warehouse, "again", "0"):
        pass


def test_a_store_that_is_refused_leaves_no_package_and_the_run_goes_on(warehouse, fill):
    with Run(warehouse, "test", "0") as run:
        with pytest.raises(PackageError):
            run.store("x", {"setting": pl.DataFrame({"nonsense": [1]})})
        run.store("x", setting(fill, "after"))
    assert names(warehouse) == ["after"]
    assert list(sealed(warehouse.packages)) == ["all/000001-x"]


def test_a_reader_that_stays_fails_one_store_and_loses_nothing(warehouse, fill):
    code = "import sys, time, duckdb; c = duckdb.connect(sys.argv[1] + '/starmuster.duckdb',"
    code += " read_only=True); print('begun', flush=True); time.sleep(60)"
    warehouse.wait_s = 0.2
    with Run(warehouse, "test", "0") as run:
        other = start(code, warehouse)
        run.fail("x", "a.fits", HeaderError("a.fits: empty"))
        try:
            with pytest.raises(LockedError, match=f"process {other.pid}"):
                run.store("x", setting(fill, "a"))
        finally:
            other.kill()
            other.communicate()
        assert sealed(warehouse.packages) == {}
        run.store("x", setting(fill, "a"))
    assert names(warehouse) == ["a"]
    assert warehouse.sql("from failure").height == 1


def test_an_interrupt_after_the_commit_keeps_the_package(warehouse, fill, monkeypatch):
    """Ctrl-C may come between the commit and the end of the store."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with Run(warehouse, "test", "0") as run:
        with monkeypatch.context() as patch:
            patch.setattr("starmuster.warehouse.store._checkpoint", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run.store("x", setting(fill, "committed"))
        assert names(warehouse) == ["committed"]
        assert list(sealed(warehouse.packages)) == ["all/000001-x"]
    assert rebuild(warehouse.folder) == 1
    assert names(warehouse) == ["committed"]


def test_a_second_run_is_refused_and_the_first_named(warehouse):
    other = start(CLAIM, warehouse)
    warehouse.wait_s = 0.2
    try:
        match = rf"held by ingest /data/tonight \(process {other.pid}\); waited 0\.2 s"
        with pytest.raises(LockedError, match=match), Run(warehouse, "second", "0"):
            pass
    finally:
        other.kill()
        other.communicate()
    with Run(warehouse, "after the first was killed", "0"):
        pass
    assert warehouse.sql("from run order by run_id")["outcome"].to_list() == [None, "done"]


def test_a_run_reads_while_another_process_reads(warehouse, fill):
    code = """
import sys, time
from starmuster.warehouse.store import Warehouse
w = Warehouse(sys.argv[1]); print("begun", flush=True)
for _ in range(30):
    w.sql("select count(*) from setting"); time.sleep(0.01)
"""
    other = start(code, warehouse)
    with Run(warehouse, "test", "0") as run:
        for i in range(8):
            run.store("x", setting(fill, f"{i}"))
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    assert len(names(warehouse)) == 8


def test_identities_are_counted_up_from_the_rows(warehouse, fill):
    with Run(warehouse, "test", "0") as run:
        assert run.next_id("frame") == 1
        frames = fill("frame", [{"frame_id": 7, "content_hash": "a"}])
        run.store("catalogue", {"frame": frames})
        assert run.next_id("frame") == 8


def test_the_package_that_a_kill_left_unloaded_is_discarded(filled, fill):
    before = everything(filled)
    orphan = seal_orphan(filled, fill, 4)
    (filled.packages / ".all-000004-x.draft").mkdir()
    with Run(filled, "next", "0") as run:
        assert not orphan.exists()
        run.store("x", setting(fill, "new"))
    assert list(filled.packages.glob(".*.draft")) == []
    assert names(filled) == ["new"]
    assert_same(
        everything(filled),
        before | {n: everything(filled)[n] for n in ("setting", "run", "package")},
    )


@pytest.mark.parametrize("sequences", [(4, 5), (5,), (2,)])
def test_more_than_a_kill_can_leave_asks_for_a_rebuild_and_removes_nothing(filled, fill, sequences):
    orphans = [seal_orphan(filled, fill, sequence) for sequence in sequences]
    with pytest.raises(WarehouseError, match="run `starmuster rebuild`"), Run(filled, "x", "0"):
        pass
    assert all(orphan.exists() for orphan in orphans)
    with filled.claimed():
        pass


def test_a_database_put_back_from_a_backup_is_not_trusted(filled, fill, tmp_path):
    backup = shutil.copy(filled.database, tmp_path)
    for i in range(2):
        with Run(filled, f"newer {i}", "0") as run:
            run.store("x", setting(fill, f"newer {i}"))
    newest = everything(filled)
    shutil.copy(backup, filled.database)
    with pytest.raises(WarehouseError, match="older"), Run(filled, "x", "0"):
        pass
    rebuild(filled.folder)
    assert_same(everything(filled), newest)


def test_a_rebuilt_database_is_the_same(filled):
    before = everything(filled)
    assert rebuild(filled.folder) == 3 + 15 + 2
    assert_same(everything(filled), before)
    assert [path.name for path in filled.folder.glob("starmuster.duckdb*")] == ["starmuster.duckdb"]


@pytest.mark.parametrize("loss", ["lost", "garbage", "truncated"])
def test_a_lost_or_damaged_database_is_made_anew(filled, loss):
    before = everything(filled)
    size_byte = filled.database.stat().st_size
    if loss == "lost":
        filled.database.unlink()
    elif loss == "garbage":
        filled.database.write_bytes(b"no database" * 5000)
    else:
        os.truncate(filled.database, size_byte // 2)
    rebuild(filled.folder)
    assert_same(everything(Warehouse(filled.folder)), before)
    with Run(Warehouse(filled.folder), "next", "0") as run:
        assert run.run_id == 4


def test_rows_that_are_only_in_the_log_survive_a_rebuild(filled, fill):
    """A kill right after the commit leaves the last rows in the log beside the database."""
    path = seal_orphan(filled, fill, 4)
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from starmuster.warehouse import migrate, packages\n"
        "con = migrate.connect(Path(sys.argv[1])); con.execute('begin')\n"
        "packages.load(con, Path(sys.argv[2])); con.execute('commit')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(filled.database), str(path)], check=False)
    log = filled.folder / "starmuster.duckdb.wal"
    assert log.exists()
    before = everything(filled)
    assert before["setting"].height == 1
    rebuild(filled.folder)
    assert not log.exists()
    assert_same(everything(filled), before)


def test_a_rebuild_that_fails_keeps_the_old_database(filled):
    before = everything(filled)
    checksum = packages.file_checksum(filled.database)
    file = next(filled.packages.glob("*/000002-*/measurement.parquet"))
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(PackageError, match="altered"):
        rebuild(filled.folder)
    assert packages.file_checksum(filled.database) == checksum
    assert_same(everything(filled), before)
    file.write_bytes(content)
    rebuild(filled.folder)


def test_a_rebuild_without_a_package_that_was_loaded_is_refused(filled):
    shutil.rmtree(filled.packages / "all")
    with pytest.raises(PackageError, match=r"1 packages .* are gone \(all/000003-photometry\)"):
        rebuild(filled.folder)
    assert filled.sql("from failure").height == 1


def test_a_gap_in_the_packages_of_a_lost_database_is_told(filled):
    filled.database.unlink()
    shutil.rmtree(next(filled.packages.glob("*/000002-*")))
    with pytest.raises(PackageError, match=r"not 1 to 2 \(missing: 2\)"):
        rebuild(filled.folder)
    assert not filled.database.exists()


def test_a_package_in_place_of_the_one_that_was_loaded_is_told(filled, fill):
    path = filled.packages / "all" / "000003-photometry"
    shutil.rmtree(path)
    packages.write(
        filled.packages, "all/000003-photometry", setting(fill, "a"), sequence=3, step="photometry"
    )
    with pytest.raises(PackageError, match="not the package that was loaded"):
        rebuild(filled.folder)


def test_a_rebuild_does_not_go_back_behind_a_newer_starmuster(filled):
    with filled.writing() as con:
        con.execute("update version set value = '9999' where subject = 'schema'")
    with pytest.raises(VersionError, match="newer"):
        rebuild(filled.folder)


def test_a_rebuild_waits_for_the_run_that_is_on(warehouse):
    other = start(CLAIM, warehouse)
    try:
        with pytest.raises(LockedError, match=f"process {other.pid}"):
            rebuild(warehouse.folder, wait_s=0.2)
    finally:
        other.kill()
        other.communicate()


def test_a_folder_without_packages_is_not_rebuilt(tmp_path):
    with pytest.raises(WarehouseError, match="no packages here"):
        rebuild(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / locks.CLAIM_NAME).mkdir()
    with (
        pytest.raises(WarehouseError, match="cannot be written to"),
        locks.claim(tmp_path, wait_s=0, purpose="test"),
    ):
        pass


def test_a_full_disk_fails_a_store_and_loses_nothing(small_disk, fill):
    warehouse = Warehouse.create(small_disk / "warehouse")
    names_ = [f"{i * 7919 % 1_000_003:x}-{i}" for i in range(300_000)]
    large = {"setting": pl.DataFrame({"setting_name": names_, "value": names_[::-1]})}

    def fill_up() -> None:
        with Run(warehouse, "large", "0") as run:
            run.store("x", setting(fill, "small"))
            run.store("x", large)

    with pytest.raises(DiskFullError, match=r"no room for \d+\.\d MB, \d+\.\d MB free"):
        fill_up()
    assert names(warehouse) == ["small"]
    assert list(sealed(warehouse.packages)) == ["all/000001-x"]
    with Run(warehouse, "small again", "0") as run:
        run.store("x", setting(fill, "more"))
    assert names(warehouse) == ["more", "small"]
    assert rebuild(warehouse.folder) == 2


@pytest.mark.long
def test_kills_at_any_moment_lose_no_row_and_double_none(warehouse):
    """What is left to do is what the rows say: the runs after the kills complete the work."""
    chance = random.Random(20240308)
    n_kill = 0
    for _ in range(N_KILL):
        other = start(INGEST, warehouse, FRAMES, STARS)
        time.sleep(chance.uniform(0.0, 0.2))
        other.send_signal(signal.SIGKILL)
        out, _ = other.communicate()
        n_kill += "ended" not in out
        assert warehouse.sql("from measurement").height % STARS == 0
    last = start(INGEST, warehouse, FRAMES, STARS)
    out, errors = last.communicate()
    assert "ended" in out, errors
    assert n_kill >= 2
    counts = warehouse.sql(
        "select count(*) as n, count(distinct (frame_id, source_id)) as n_distinct, "
        "sum(x_pix)::integer as x from measurement"
    )
    x = sum(frame + star for frame in range(1, FRAMES + 1) for star in range(STARS))
    assert counts.row(0) == (FRAMES * STARS, FRAMES * STARS, x)
    assert warehouse.sql("from aperture_flux").height == FRAMES * STARS
    assert warehouse.sql("from product").height == FRAMES
    ledger = warehouse.sql("from package")
    assert set(ledger["package_id"]) == set(sealed(warehouse.packages))
    assert sorted(ledger["sequence"]) == list(range(1, FRAMES + 1))
    assert warehouse.sql("from run")["outcome"].to_list().count("done") == 1 + N_KILL - n_kill
    before = everything(warehouse)
    rebuild(warehouse.folder)
    assert_same(everything(warehouse), before)


def test_the_file_opens_after_large_replacements_and_a_kill(warehouse):
    """The trap that forbids primary keys: delete and insert the same keys, killed in the log."""
    code = """
import os, signal, sys, duckdb
con = duckdb.connect(sys.argv[1] + "/starmuster.duckdb")
print("begun", flush=True)
for _ in range(2):
    con.execute("begin; delete from setting")
    con.execute("insert into setting select range::varchar, 'x' from range(130_000)")
    con.execute("commit")
os.kill(os.getpid(), signal.SIGKILL)
"""
    start(code, warehouse).communicate()
    found = warehouse.sql("select count(*) as n, count(distinct setting_name) as m from setting")
    assert found.row(0) == (130_000, 130_000)
    with duckdb.connect(warehouse.database) as con:
        con.execute("checkpoint")
        assert con.sql("from setting where setting_name = '77'").fetchall() == [("77", "x")]
