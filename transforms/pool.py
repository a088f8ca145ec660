"""A pool of processes that outlives its workers: a frame that kills one costs only itself."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from pebble import CONSTS, ProcessExpired, ProcessPool

from ..errors import FrameError

MAX_ATTEMPTS = 3
DEADLINE_S = 600.0
POLL_S = 1.0  # a pool that broke does not end the tasks it had not given out
LOCK_S = 5.0  # a worker killed with the lock of the pool's pipe keeps it; a message takes ms

CONSTS.channel_lock_timeout = LOCK_S  # of workers, too: they import this module

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Task, Result]):
    """What became of one task: a result, or the error that stopped it."""

    task: Task
    result: Result | None
    error: Exception | None


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int,
    deadline_s: float = DEADLINE_S,
) -> Iterator[Outcome[Task, Result]]:
    """Run a function over tasks in worker processes and yield each outcome as it comes.

    A worker that dies is replaced, and its task tried again, three times in all; a task that
    takes longer than its deadline is stopped. Neither disturbs the other tasks, while a
    `ProcessPoolExecutor` would fail every pending future.

    Parameters
    ----------
    function
        Importable function of one argument; an exception it raises becomes the outcome's error.
    jobs
        Number of worker processes.
    deadline_s
        Longest time for one task, seconds.
    """
    queue = iter(tasks)
    while True:
        lost: list[Task] = []
        yield from _pooled(function, queue, lost, jobs=jobs, deadline_s=deadline_s)
        if not lost:
            return
        for task in lost:
            yield _alone(function, task, deadline_s=deadline_s)


def _pooled(
    function: Callable[[Task], Result],
    queue: Iterator[Task],
    lost: list[Task],
    *,
    jobs: int,
    deadline_s: float,
) -> Iterator[Outcome[Task, Result]]:
    """Work off a queue; where the pool itself breaks, `lost` gets the tasks that were out."""
    running: dict[Future, tuple[Task, int]] = {}
    with _pool(function, jobs) as pool:

        def submit(task: Task, attempt: int) -> None:
            running[_schedule(pool, function, task, deadline_s)] = (task, attempt)

        while True:
            while len(running) < 2 * jobs and (given := list(islice(queue, 1))):
                submit(given[0], 1)
            if not running:
                return
            done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    continue
                task, attempt = running.pop(future)
                if isinstance(error, ProcessExpired) and attempt < MAX_ATTEMPTS:
                    submit(task, attempt + 1)
                    continue
                yield _outcome(task, future, attempt, deadline_s)
            if not pool.active:
                lost.extend(task for task, _ in running.values())
                return


def _alone(
    function: Callable[[Task], Result], task: Task, *, deadline_s: float
) -> Outcome[Task, Result]:
    """Run one task with a worker of its own, so that a death can be laid to nothing else."""
    future: Future = Future()
    for _ in range(MAX_ATTEMPTS):
        with _pool(function, 1) as pool:
            future = _schedule(pool, function, task, deadline_s)
            while pool.active and not future.done():
                wait([future], timeout=POLL_S)
        if future.done() and not isinstance(future.exception(), ProcessExpired | BrokenExecutor):
            break
    return _outcome(task, future, MAX_ATTEMPTS, deadline_s)


@contextmanager
def _pool(function: Callable, jobs: int) -> Iterator[ProcessPool]:
    context = multiprocessing.get_context("forkserver")
    # what a task needs is imported once, by the process that all workers are forked from
    context.set_forkserver_preload(["__main__", function.__module__])
    with ProcessPool(max_workers=jobs, context=context) as pool:
        try:
            yield pool
        except BaseException:
            pool.stop()
            raise


def _schedule(pool: ProcessPool, function, task, deadline_s: float) -> Future:
    """Hand a task to a pool; to one that has just broken, as a task that it lost."""
    try:
        return pool.schedule(function, args=[task], timeout=deadline_s)
    except RuntimeError as error:
        future: Future = Future()
        future.set_exception(BrokenExecutor(str(error)))
        return future


def _outcome(task, future: Future, attempt: int, deadline_s: float) -> Outcome:
    error = future.exception() if future.done() else BrokenExecutor("no answer")
    if error is None:
        return Outcome(task, future.result(), None)
    if isinstance(error, ProcessExpired | BrokenExecutor):
        code = f" (exit code {error.exitcode})" if isinstance(error, ProcessExpired) else ""
        error = FrameError(
            f"killed its worker {attempt} times{code}; it is left out. "
            f"Look at the file, or give the machine more memory."
        )
    elif isinstance(error, TimeoutError):
        error = FrameError(f"took longer than {deadline_s:g} s; it is left out.")
    elif not isinstance(error, Exception):
        raise error
    return Outcome(task, None, error)
