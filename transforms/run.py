"""The one runner: works off everything that is pending, step by step, and stores the rows."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..warehouse.runs import Run
from .steps.paths import lost_masters
from .steps.settings import mirror_settings

Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
Say = Callable[[str], None]


def work(
    run: Run, *, jobs: int, progress: Progress, say: Say, complete: bool = False
) -> dict[str, Any]:
    """Do everything that is pending; return what was done, in numbers.

    Where nothing is, the steps with their libraries are not even imported: a second ingest of the
    same night then costs no more than looking.

    Parameters
    ----------
    run
        The run whose warehouse is worked on.
    jobs
        Worker processes for the pixels.
    progress, say
        Where progress and notices go; see `cli.session`.
    complete
        Measure frames again that lack stars found since.

    Returns
    -------
    masters, frames_measured, frames_not_measured, measurements.
    """
    say = _unless_said(say)
    done = {"masters": 0, "frames_measured": 0, "frames_not_measured": 0, "measurements": 0}
    if not mirror_settings(run) and not is_anything_pending(run) and not complete:
        return done
    from .steps.crossmatch import match_catalogues
    from .steps.fields import find_fields
    from .steps.gain import measure_gains, measure_star_scatter
    from .steps.levels import measure_levels
    from .steps.lights import measure_lights
    from .steps.masters import make_masters
    from .steps.observers import place_observers
    from .steps.ramps import measure_ramps
    from .steps.references import make_references
    from .steps.searches import search_fields
    from .steps.skies import place_fields
    from .steps.solving import solve_fields
    from .steps.transparency import measure_transparency
    from .steps.zero_points import find_zero_points

    place_observers(run)
    measure_levels(run)
    measure_ramps(run, say=say)
    measure_gains(run, say=say)
    done["masters"] = make_masters(run, say=say)
    find_fields(run)
    looks: dict[int, Any] = {}
    n_unreferenced = make_references(run, jobs=jobs, looks=looks, say=say)
    search_fields(run, jobs=jobs, looks=looks, say=say)
    looks.clear()
    solve_fields(run, jobs=jobs, say=say)
    place_fields(run, say=say)
    lights = measure_lights(run, jobs=jobs, progress=progress, say=say, complete=complete)
    solve_fields(run, jobs=jobs, say=say)  # a frame that was laid on its field may be on the sky
    place_fields(run, say=say)
    match_catalogues(run, say=say)
    measure_star_scatter(run, say=say)
    measure_transparency(run)
    find_zero_points(run, say=say)
    return done | {
        "frames_measured": lights.n_measured,
        "frames_not_measured": lights.n_failed + n_unreferenced,
        "measurements": lights.n_measurement,
    }


def _unless_said(say: Say) -> Say:
    """Leave out what was said before: a field that is tried twice ends the same way, mostly."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return tell


def is_anything_pending(run: Run) -> bool:
    """Say whether any step has anything to do, or the file of a master is gone or altered."""
    warehouse = run.warehouse
    if warehouse.query("pending")["n_frames"].sum() > 0:
        return True
    with warehouse.reading() as con:
        return bool(lost_masters(con, warehouse.masters))
