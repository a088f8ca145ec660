"""A pool of processes that outlives its workers: a frame that kills one costs only itself."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from ..errors import FrameError

MAX_ATTEMPTS = 3
DEADLINE_S = 600.0

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
    context = multiprocessing.get_context("forkserver")
    queue = iter(tasks)
    with ProcessPool(max_workers=jobs, context=context) as pool:
        running: dict = {}
        attempts: dict[int, int] = {}

        def submit(task: Task, attempt: int) -> None:
            future = pool.schedule(function, args=[task], timeout=deadline_s)
            running[future] = task
            attempts[id(future)] = attempt

        def fill() -> None:
            for task in queue:
                submit(task, 1)
                if len(running) >= 2 * jobs:
                    return

        fill()
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    task, attempt = running.pop(future), attempts.pop(id(future))
                    error = future.exception()
                    if isinstance(error, ProcessExpired) and attempt < MAX_ATTEMPTS:
                        submit(task, attempt + 1)
                        continue
                    yield _outcome(task, future, error, attempt, deadline_s)
                fill()
        except BaseException:
            pool.stop()
            raise


def _outcome(task, future, error, attempt: int, deadline_s: float) -> Outcome:
    if error is None:
        return Outcome(task, future.result(), None)
    if isinstance(error, ProcessExpired):
        error = FrameError(
            f"killed its worker {attempt} times (exit code {error.exitcode}); it is left out. "
            f"Look at the file, or give the machine more memory."
        )
    elif isinstance(error, TimeoutError):
        error = FrameError(f"took longer than {deadline_s:g} s; it is left out.")
    return Outcome(task, None, error)
