"""A pool of processes that outlives its workers."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from starmuster.errors import FrameError, PixelError
from starmuster.transforms.pool import MAX_ATTEMPTS, run_tasks


def work(task: tuple[str, Path]) -> str:
    """Do what the task's name says; each try leaves a mark in the folder."""
    name, folder = task
    n_try = len(list(folder.glob(f"{name}-*"))) + 1
    (folder / f"{name}-{n_try}-{os.getpid()}").touch()
    if name == "deadly" or (name == "once" and n_try == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "bad":
        raise PixelError(f"{name}: no pixels")
    if name == "slow":
        time.sleep(60)
    return name.upper()


def outcomes(folder: Path, *names: str, deadline_s: float = 30.0) -> dict:
    tasks = [(name, folder) for name in names]
    found = list(run_tasks(work, tasks, jobs=2, deadline_s=deadline_s))
    assert len(found) == len(names)
    return {outcome.task[0]: outcome for outcome in found}


def test_every_task_has_its_outcome_and_an_error_costs_only_itself(tmp_path):
    names = [f"frame{i}" for i in range(12)]
    found = outcomes(tmp_path, *names, "bad")
    assert all(found[name].result == name.upper() for name in names)
    assert isinstance(found["bad"].error, PixelError)
    assert len(list(tmp_path.glob("bad-*"))) == 1


def test_a_task_that_kills_its_worker_is_tried_three_times_and_the_rest_goes_on(tmp_path):
    found = outcomes(tmp_path, "a", "deadly", "b", "once", "c")
    assert isinstance(found["deadly"].error, FrameError)
    assert "killed its worker" in str(found["deadly"].error)
    assert len(list(tmp_path.glob("deadly-*"))) == MAX_ATTEMPTS
    assert [found[name].result for name in ("a", "b", "c", "once")] == ["A", "B", "C", "ONCE"]
    assert len(list(tmp_path.glob("once-*"))) == 2


def test_a_worker_killed_between_tasks_costs_nothing(tmp_path):
    names = [f"frame{i}" for i in range(6)]
    found = run_tasks(work, [(name, tmp_path) for name in names], jobs=1)
    seen = [next(found)]
    _kill_children(1)
    seen += found
    assert sorted(outcome.result for outcome in seen) == sorted(name.upper() for name in names)


def test_workers_killed_before_they_begin_cost_nothing(tmp_path):
    found = run_tasks(work, [(f"frame{i}", tmp_path) for i in range(6)], jobs=2)
    killer = threading.Thread(target=_kill_children, args=(2,))
    killer.start()
    seen = list(found)
    killer.join()
    assert sorted(outcome.result for outcome in seen) == [f"FRAME{i}" for i in range(6)]


def _kill_children(n_kill: int) -> None:
    end = time.monotonic() + 30
    while n_kill and time.monotonic() < end:
        for child in multiprocessing.active_children()[:n_kill]:
            os.kill(child.pid or 0, signal.SIGKILL)
            n_kill -= 1
        time.sleep(0.001)
    assert not n_kill


def test_a_task_beyond_its_deadline_is_stopped(tmp_path):
    found = outcomes(tmp_path, "slow", "a", deadline_s=3.0)
    assert "took longer than 3 s" in str(found["slow"].error)
    assert found["a"].result == "A"


def test_nothing_runs_on_after_the_caller_stops(tmp_path):
    tasks = [(f"frame{i}", tmp_path) for i in range(50)]
    found = run_tasks(work, tasks, jobs=1)
    next(found)
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt)
    n_done = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == n_done < 50
