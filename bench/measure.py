"""Measure work in a process of its own, CPU seconds and peak memory, and print it as a table.

Not a benchmark itself. What a task needs beforehand (imports, compiled kernels, masters in memory)
is made by `prepare` and not counted; `work` gets it and is. CPU seconds of all threads count, for
on a shared machine the clock says little.
"""

import multiprocessing
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SHAPE = (6388, 9576)  # a frame of the camera all figures are about, 16 bit, 122 MB


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of some work, and the peak memory of its process."""

    cpu_s: float
    peak_byte: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: ours beside the reference, which did `share` of the same work."""

    what: str
    reference: str
    theirs: Cost
    ours: Cost
    target: str
    share: float = 1.0


def measured(
    prepare: Callable[..., Any], work: Callable[[Any], Any], *given: Any, n_run: int = 1
) -> Cost:
    """Run `work(prepare(*given))` in a new process and return what `work` cost.

    Of several runs the cheapest counts: the others paid for the noise of the machine.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (prepare, work, given, n_run))


def _measure(
    prepare: Callable[..., Any], work: Callable[[Any], Any], given: Any, n_run: int
) -> Cost:
    needed = prepare(*given)
    used: list[float] = []
    for _ in range(n_run):
        before = cpu_s()
        work(needed)
        used.append(cpu_s() - before)
    return Cost(min(used), _peak_byte())


def cpu_s() -> float:
    """CPU seconds of this process so far, in all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_byte() -> int:
    # not ru_maxrss: that of the parent is inherited when a process is spawned
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows with the ratio of CPU times; a part of the work is scaled to the whole."""
    table = Table(title=title, title_justify="left")
    for name in ("work", "reference", "CPU s", "GB", "ours CPU s", "GB", "times less", "target"):
        table.add_column(name, justify="left" if name in ("work", "reference") else "right")
    for row in rows:
        theirs_s = row.theirs.cpu_s / row.share
        scaled = "" if row.share == 1 else f" ({100 * row.share:.2g} % of it, scaled)"
        table.add_row(
            row.what,
            row.reference + scaled,
            f"{theirs_s:.4g}",
            f"{row.theirs.peak_byte / 1e9:.2f}",
            f"{row.ours.cpu_s:.4g}",
            f"{row.ours.peak_byte / 1e9:.2f}",
            f"{theirs_s / row.ours.cpu_s:.1f}",
            row.target,
        )
    Console(width=150).print(table)
