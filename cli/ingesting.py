"""Commands that bring data in: ingest, run, import, demo."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from .. import __version__
from ..errors import UsageError
from .catalogues import import_catalogue
from .isochrones import import_isochrones
from .session import SESSION, plain_rows, progress

if TYPE_CHECKING:
    from ..warehouse.runs import Run
    from ..warehouse.store import Warehouse


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(ingest)
    app.command(run)
    importing = App(name="import", help="Bring in what others published.")
    importing.command(ephemerides)
    importing.command(import_catalogue, name="catalogue")
    importing.command(import_isochrones, name="isochrones")
    app.command(importing)
    app.command(demo)


def ingest(
    *paths: Path,
    jobs: Annotated[int | None, Parameter(name=["--jobs", "-j"])] = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Take new frames in and work on everything that is pending.

    Only new files are read. A frame that cannot be used costs itself only: it is listed in table
    `failure`. Running it again changes nothing.

    Parameters
    ----------
    paths
        Folders, searched to the bottom, and files.
    jobs
        Worker processes; else one a core.
    dry_run
        Print the plan and change nothing.
    """
    if not paths:
        raise UsageError("ingest: no folder given; name the folder of a night.")
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder.")
    start = time.monotonic()
    warehouse = SESSION.warehouse()
    if dry_run:
        _plan(warehouse, paths)
        return 0
    from ..ingest.nights import catalogue

    with open_run(warehouse) as current:
        SESSION.say("looking for new frames")
        counts = catalogue(current, paths)
        work = _work(current, jobs)
    summary = {
        "frames_seen": counts.n_seen,
        "frames_new": counts.n_new,
        "frames_skipped": counts.n_skipped,
        "frames_failed": counts.n_failed,
        **work,
        "seconds": round(time.monotonic() - start, 3),
    }
    _summarise(warehouse, summary)
    return 1 if counts.n_failed or work["frames_not_measured"] else 0


def run(
    *,
    jobs: Annotated[int | None, Parameter(name=["--jobs", "-j"])] = None,
    retry: Annotated[bool, Parameter(negative=())] = False,
    complete: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Work on everything that is pending, without looking for new frames.

    Parameters
    ----------
    jobs
        Worker processes; else one a core.
    retry
        Try frames again that failed, for instance because their files were away.
    complete
        Measure frames again that lack stars which deeper or wider frames showed later.
    """
    start = time.monotonic()
    warehouse = SESSION.warehouse()
    with open_run(warehouse) as current:
        if retry:
            failed = warehouse.query("failed_frames")["frame_id"].to_list()
            current.store("retry", {}, replaces={"product": failed})
        work = _work(current, jobs, complete=complete)
    _summarise(warehouse, {**work, "seconds": round(time.monotonic() - start, 3)})
    return 1 if work["frames_not_measured"] else 0


def ephemerides(file: Path, /) -> int:
    """Read planets from a CSV file in the NASA Exoplanet Archive's columns, or ExoClock's JSON.

    Parameters
    ----------
    file
        The table `ps` or `pscomppars` of the archive, or a file like it; else a JSON document of
        ExoClock.
    """
    from datetime import UTC, datetime

    import polars as pl

    from ..ingest.ephemerides import sift_ephemerides

    planets, refused = sift_ephemerides(file)
    with open_run(SESSION.warehouse()) as current:
        first = current.next_id("planet")
        rows = planets.with_columns(
            planet_id=pl.int_range(first, first + planets.height, dtype=pl.Int32),
            imported_utc=pl.lit(datetime.now(UTC).replace(tzinfo=None)),
        )
        if not rows.is_empty():
            current.store("ephemerides", {"planet": rows})
    for name, reason in refused.iter_rows():
        SESSION.say(f"left out {name}: {reason}")
    if SESSION.as_json:
        SESSION.answer({"planets": planets.height, "refused": plain_rows(refused)})
    SESSION.tell(f"{planets.height} planets imported, {refused.height} left out")
    return 1 if planets.is_empty() else 0


def demo(folder: Path = Path("demo-warehouse"), /) -> int:
    """Make a synthetic night with a known transit, reduce it and show what was recovered.

    Parameters
    ----------
    folder
        Folder for frames, warehouse and report; it is made anew.
    """
    from .demo import run_demo

    return run_demo(folder)


def open_run(warehouse: "Warehouse") -> "Run":
    """Begin a run under the command line as it was given."""
    from ..warehouse.runs import Run

    return Run(warehouse, SESSION.command, __version__)


def _work(current: "Run", jobs: int | None, *, complete: bool = False) -> dict[str, Any]:
    import os

    from ..transforms.run import work

    return work(
        current,
        jobs=jobs or os.cpu_count() or 1,
        progress=progress,
        say=SESSION.say,
        complete=complete,
    )


def _plan(warehouse: "Warehouse", paths: tuple[Path, ...]) -> None:
    from ..ingest.nights import preview
    from ..transforms.plan import plan

    counts, frames = preview(warehouse, paths)
    tables = plan(warehouse, frames)
    if SESSION.as_json:
        SESSION.answer(
            {
                "frames_seen": counts.n_seen,
                "frames_new": counts.n_new,
                "frames_skipped": counts.n_skipped,
                "frames_failed": counts.n_failed,
                **{name: plain_rows(rows) for name, rows in tables.items()},
            }
        )
        return
    SESSION.tell(
        f"{counts.n_seen} frames seen: {counts.n_new} new, {counts.n_skipped} known, "
        f"{counts.n_failed} unusable. Nothing was changed."
    )
    for name, rows in tables.items():
        SESSION.table(rows, title=name)


def _summarise(warehouse: "Warehouse", summary: dict[str, Any]) -> None:
    if SESSION.as_json:
        SESSION.answer(summary)
        return
    for name, value in summary.items():
        SESSION.tell(f"{name.replace('_', ' '):>22}  {value}")
    SESSION.table(warehouse.query("nights"), title="nights")
