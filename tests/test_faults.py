"""Faults at any moment: kills, interrupts, locks, files that go; nothing is lost and none twice."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from polars.testing import assert_frame_equal

from starmuster.cli import main
from starmuster.ingest.nights import catalogue
from starmuster.ingest.synthetic import NightPlan, Truth, write_night
from starmuster.warehouse.runs import PARTS, Run
from starmuster.warehouse.store import Warehouse

pytestmark = pytest.mark.long  # each rests on a whole night, reduced

PLAN = NightPlan(
    seed=5,
    n_x_pix=240,
    n_y_pix=180,
    n_light=8,
    n_bias=5,
    n_dark=5,
    n_flat=5,
    n_star=30,
    n_comparison=10,
    target_flux_e_per_s=6000.0,
)
N_KILL = 2
HANGS_S = 400  # many times what a command needs on a busy machine
START = "import sys; from starmuster.cli import main; sys.exit(main())"
MEASURED = ("measurement", "aperture_flux", "registration", "frame_quality")


def started(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Start a command as a process of its own, with a group of its own as a terminal gives it."""
    return subprocess.Popen(
        [sys.executable, "-c", START, "--warehouse", str(folder), "--json", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, dict, str]:
    """Wait for a command; return the exit status, its one document and what it told."""
    try:
        out, err = process.communicate(timeout=HANGS_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, json.loads(out), err


def asked(folder: Path, *words: object) -> tuple[int, dict, str]:
    """Run a command as a process of its own."""
    return ended(started(folder, *words))


def typed(folder: Path, *words: object) -> tuple[int, dict]:
    """Run a command in this process, where nothing is to be killed."""
    with redirect_stdout(io.StringIO()) as out:
        code = main(["--warehouse", str(folder), "--json", *map(str, words)])
    return code, json.loads(out.getvalue())


def rows(folder: Path) -> dict[str, pl.DataFrame]:
    """Return what was measured, frames and stars by what they are and not by their numbers."""
    with Warehouse(folder).reading() as con:
        content = con.table("frame").project("frame_id, content_hash").pl()
        star = con.table("source").project("source_id, x_pix as star_x, y_pix as star_y").pl()
        found = {"frame": content.select("content_hash"), "star": star.drop("source_id")}
        for name in MEASURED:
            table = con.table(name).pl().join(content, on="frame_id").drop("frame_id")
            if "source_id" in table.columns:
                table = table.join(star, on="source_id").drop("source_id")
            found[name] = table
    return found


def assert_same(folder: Path, expected: dict[str, pl.DataFrame]) -> None:
    """Compare with an undisturbed run, and prove the rows sound."""
    for name, table in rows(folder).items():
        assert_frame_equal(table, expected[name], check_row_order=False, check_exact=True)
    assert main(["--warehouse", str(folder), "check"]) == 0


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Truth:
    """A small night on disk."""
    return write_night(tmp_path_factory.mktemp("faults") / "frames", PLAN)


@pytest.fixture(scope="module")
def frames(truth) -> Path:
    """The folder of the night."""
    return truth.planets_csv.parent


@pytest.fixture(scope="module")
def undisturbed(truth, frames, tmp_path_factory, new_warehouse) -> tuple[Path, float]:
    """The warehouse of an undisturbed run, and how long the run took, in seconds."""
    folder = new_warehouse(tmp_path_factory.mktemp("undisturbed") / "warehouse").folder
    start = time.monotonic()
    code, document, err = asked(folder, "ingest", frames)
    assert (code, document["frames_measured"]) == (0, PLAN.n_light), err
    return folder, time.monotonic() - start


def test_kills_at_any_moment_lose_no_row_and_double_none(undisturbed, frames, warehouse):
    expected, seconds = undisturbed
    moments = random.Random(20240308)
    for _ in range(N_KILL):
        process = started(warehouse.folder, "ingest", frames)
        time.sleep(moments.uniform(0.15, 0.95) * seconds)
        process.kill()
        process.communicate()
    code, document, err = asked(warehouse.folder, "ingest", frames, "--wait", 30)
    assert code == 0, err
    n_file = document["frames_seen"]
    assert n_file == document["frames_new"] + document["frames_skipped"]
    assert_same(warehouse.folder, rows(expected))
    assert not (warehouse.packages / PARTS).exists()


def test_an_interrupt_ends_with_130_and_the_next_run_goes_on(undisturbed, frames, warehouse):
    process = started(warehouse.folder, "ingest", frames)
    assert process.stderr is not None
    seen = ""
    while "field 1:" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does, workers included
    code, document, err = ended(process)
    assert (code, document["exit"]) == (130, 130), err
    assert "nothing is lost" in document["message"]
    assert "Traceback" not in err
    outcomes = warehouse.sql("from run order by run_id")["outcome"].to_list()
    assert outcomes == ["stopped"]
    code, document, err = asked(warehouse.folder, "ingest", frames)
    assert (code, document["frames_new"]) == (0, 0), err
    assert_same(warehouse.folder, rows(undisturbed[0]))


def test_a_killed_worker_costs_nothing(undisturbed, frames, warehouse):
    process = started(warehouse.folder, "ingest", frames, "--jobs", 1)
    assert process.stderr is not None
    while "field 1:" not in process.stderr.readline():
        assert process.poll() is None
    killed = _kill_a_worker(process.pid)
    code, document, err = ended(process)
    assert killed
    assert (code, document["frames_measured"]) == (0, PLAN.n_light), err
    assert_same(warehouse.folder, rows(undisturbed[0]))


def _kill_a_worker(session: int) -> int:
    """Kill the youngest process of a session other than its leader; return its number."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        forked = _workers(session)
        if forked:
            os.kill(forked[-1], signal.SIGKILL)
            return forked[-1]
        time.sleep(0.01)
    return 0


def _workers(session: int) -> list[int]:
    """Return the processes that the fork server of a session started."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent, _, sid = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1:4]
        except (OSError, IndexError):
            continue
        if int(sid) == session:
            parents[int(folder.name)] = int(parent)
    return sorted(pid for pid, parent in parents.items() if parent in parents and parent != session)


@contextmanager
def held(database: Path) -> Iterator[int]:
    """Hold a database from another process; yields its number."""
    hold = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process.pid
        finally:
            process.stdin.write(b"\n")
            process.stdin.flush()


def test_a_locked_database_is_told_with_its_holder_and_waited_for(warehouse, tmp_path):
    (tmp_path / "night").mkdir()
    words = ("ingest", tmp_path / "night", "--wait")
    with held(warehouse.database) as holder:
        code, document, _ = asked(warehouse.folder, *words, 0.2)
        assert (code, document["error"]) == (1, "LockedError")
        assert str(holder) in document["message"]
        assert "--wait" in document["message"]
        waiting = started(warehouse.folder, *words, 60)
        time.sleep(1.0)
        assert waiting.poll() is None
    assert ended(waiting)[0] == 0


def test_a_second_ingest_is_refused_while_one_is_on(warehouse, tmp_path):
    (tmp_path / "night").mkdir()
    with Run(warehouse, "starmuster ingest elsewhere", "0"):
        code, document, _ = asked(warehouse.folder, "ingest", tmp_path / "night", "--wait", 0.2)
    assert (code, document["error"]) == (1, "LockedError")
    assert str(os.getpid()) in document["message"]
    assert "starmuster ingest elsewhere" in document["message"]


def test_a_light_that_vanishes_after_it_was_catalogued_fails_alone(
    truth, frames, warehouse, tmp_path
):
    own = shutil.copytree(frames, tmp_path / "frames")
    with Run(warehouse, "a test", "0") as current:
        assert catalogue(current, [own]).n_new == len(truth.path)
    gone = sorted((own / "LIGHT").iterdir())[1]
    gone.unlink()
    code, document = typed(warehouse.folder, "run")
    assert code == 1
    assert (document["frames_measured"], document["frames_not_measured"]) == (PLAN.n_light - 1, 1)
    (failure,) = warehouse.sql("from failure where step = 'photometry'").to_dicts()
    assert failure["subject"] == str(gone)
    assert "gone" in failure["message"]
    code, document = typed(warehouse.folder, "run")
    assert (code, document["frames_measured"]) == (0, 0)  # not tried again and again


def test_blank_frames_are_told_once_and_not_tried_again(warehouse, tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "night"
    folder.mkdir()
    for i in range(3):
        blank = fits.PrimaryHDU(rng.normal(600, 5, (120, 160)).astype(np.uint16))
        start = f"2024-03-08T22:{i:02d}:00"
        blank.header.update({"IMAGETYP": "LIGHT", "EXPTIME": 30.0, "DATE-OBS": start})
        blank.header.update({"OBJECT": "nothing", "FILTER": "r", "INSTRUME": "cam"})
        blank.writeto(folder / f"{i}.fits")
    code, document = typed(warehouse.folder, "ingest", folder)
    assert (code, document["frames_new"], document["frames_not_measured"]) == (1, 3, 3)
    failures = warehouse.sql("from failure order by subject")
    assert failures["subject"].to_list() == [str(folder / f"{i}.fits") for i in range(3)]
    assert all("stars" in message for message in failures["message"])
    code, document = typed(warehouse.folder, "ingest", folder)
    assert (code, document["frames_skipped"], document["frames_not_measured"]) == (0, 3, 0)
    assert warehouse.sql("from failure").height == 3
    assert warehouse.sql("from frame_state")["state"].unique().to_list() == ["failed"]


def test_a_reader_that_holds_the_file_delays_nothing_but_the_load(undisturbed, tmp_path):
    folder = tmp_path / "warehouse"
    shutil.copytree(undisturbed[0], folder)
    with duckdb.connect(folder / "starmuster.duckdb", read_only=True):
        assert asked(folder, "status")[0] == 0
        code, document, _ = asked(folder, "run", "--wait", 0.2)
        assert (code, document["error"]) == (1, "LockedError")
    assert asked(folder, "run")[0] == 0
