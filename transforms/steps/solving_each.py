"""The step that solves every light frame by itself, whatever its field says."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from ...errors import RegistrationError, StarmusterError
from ...warehouse.runs import Run
from ..astrometry import wcs_from_cards
from ..header_wcs import Verdict
from ..plate import Plate, PlateTask, compared, solve_plate
from ..pool import run_tasks
from .lights import light_tasks
from .plate_tasks import plate_task
from .solving import plate_row
from .tasks import LightTask
from .worker import inspect_light

MARGIN_S = 60.0  # for reading the frame and finding its stars, on top of the solver's limit


@dataclass(frozen=True, slots=True)
class EachTask:
    """A light frame, and what it is solved with once its stars are found."""

    light: LightTask
    plate: PlateTask
    field_cards: str | None


def solve_each(
    run: Run,
    *,
    field_id: int | None,
    jobs: int,
    progress: Callable,
    say: Callable[[str], None],
) -> tuple[int, int]:
    """Find the stars of every light frame and solve it, one process a frame, in parallel.

    A frame that fails keeps what its field gave it; the reason is recorded.

    Returns
    -------
    Numbers of frames that were solved and that were not.
    """
    tasks = _tasks(run, field_id)
    tables: dict[str, list[pl.DataFrame]] = {"wcs": [], "wcs_residual": []}
    n_failed = 0
    limit_s = 2 * run.warehouse.config.registration.solve_timeout_s + MARGIN_S
    with progress(len(tasks), "solving") as advance:
        for outcome in run_tasks(solve_one, tasks, jobs=jobs, deadline_s=limit_s):
            advance(1)
            if outcome.result is None:
                n_failed += 1
                _record(run, outcome.task, outcome.error, say=say)
                continue
            _keep(outcome.task.plate, outcome.result, tables)
    stored = {name: pl.concat(rows) for name, rows in tables.items() if rows}
    solved = stored["wcs"]["frame_id"].to_list() if stored else []
    run.store("solving", stored, replaces=dict.fromkeys(tables, solved))
    return len(solved), n_failed


def solve_one(task: EachTask) -> Plate:
    """Find the stars of a frame and solve it; what a worker process does.

    Raises
    ------
    RegistrationError
        Neither a catalogue nor the solver could tell where it is.
    """
    stars = inspect_light(task.light).stars.select("x_pix", "y_pix", "flux_adu", "flags")
    plate = solve_plate(replace(task.plate, stars=stars))
    if plate.method == "header":
        raise RegistrationError(f"{task.plate.name}: {plate.verdict}")
    if task.field_cards is None:
        return plate
    field = Verdict(wcs_from_cards(task.field_cards), "")
    told = compared(field, plate.solution.wcs, *task.plate.shape)
    return replace(plate, verdict=f"{plate.verdict}; {told.replace('header', 'field')}")


def _tasks(run: Run, field_id: int | None) -> list[EachTask]:
    with run.warehouse.reading() as con:
        wanted = con.sql("from frame join field_frame using (frame_id)")
        wanted = wanted.filter("frame_type = 'light'")
        if field_id is not None:
            wanted = wanted.filter(f"field_id = {int(field_id)}")
        rows = wanted.order("frame_id").pl()
        cards = dict(
            con.table("wcs").filter("method = 'field'").project("frame_id, cards").fetchall()
        )
    lights = light_tasks(run.warehouse, rows.select("frame_id", "field_id", recipe=pl.lit("")))
    none_yet = pl.DataFrame(
        schema={"x_pix": pl.Float64, "y_pix": pl.Float64, "flux_adu": pl.Float64, "flags": pl.Int32}
    )
    settings = run.warehouse.config.registration
    with run.warehouse.reading() as con:
        return [
            EachTask(
                light,
                plate_task(con, row | {"path": light.path}, none_yet, settings),
                cards.get(row["frame_id"]),
            )
            for row, light in zip(rows.to_dicts(), lights, strict=True)
        ]


def _keep(task: PlateTask, plate: Plate, tables: dict[str, list[pl.DataFrame]]) -> None:
    row = plate_row(plate, task.frame_id, task.shape)
    tables["wcs"].append(row)
    if plate.solution.residuals is not None:
        number = pl.lit(task.frame_id, pl.Int32).alias("frame_id")
        tables["wcs_residual"].append(plate.solution.residuals.with_columns(number))


def _record(
    run: Run, task: EachTask, error: Exception | None, *, say: Callable[[str], None]
) -> None:
    known = (
        error
        if isinstance(error, StarmusterError)
        else RegistrationError(f"{task.plate.name}: {type(error).__name__}: {error}")
    )
    run.fail("solving", task.plate.name, known, frame_id=task.plate.frame_id)
    say(f"not solved: {known}")
