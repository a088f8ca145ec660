"""The step that gives a field its reference frame."""

from collections.abc import Callable

import numpy as np
import polars as pl

from ...errors import RegistrationError, StarmusterError
from ...warehouse.runs import Run
from ..pool import run_tasks
from .lights import failed_products, light_tasks
from .looks import Inspection, best_looks
from .tasks import LightTask
from .worker import inspect_light, judged_header

SHARE_OF_BEST = 0.5  # a frame with a WCS is taken before one with twice its stars


def make_references(
    run: Run, *, jobs: int, looks: dict[int, Inspection], say: Callable[[str], None]
) -> int:
    """Choose the reference frame of every field that has none: its pixels are the field's.

    Some frames spread over the night are looked at; of those with most stars the one that is sharp
    and has a dark sky is taken, one with a trustworthy WCS before others. A field none of whose
    frames shows stars is left for later.

    Parameters
    ----------
    looks
        Takes up what was seen on the frames, so that none is looked at twice.

    Returns
    -------
    Number of frames that were found to be no reference.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_reference").order("field_id, mid_utc, content_hash").pl()
    n_failed = 0
    for (field_id,), frames in pending.group_by("field_id", maintain_order=True):
        n_failed += _make_reference(
            run, int(str(field_id)), frames, jobs=jobs, looks=looks, say=say
        )
    return n_failed


def _make_reference(
    run: Run,
    field_id: int,
    frames: pl.DataFrame,
    *,
    jobs: int,
    looks: dict[int, Inspection],
    say: Callable[[str], None],
) -> int:
    n_candidate = run.warehouse.config.detection.reference_candidates
    failed: list[LightTask] = []
    for picked in _spread(frames, n_candidate):
        chosen = picked.select(
            "frame_id", "field_id", recipe=pl.lit(run.warehouse.config.detection.fingerprint())
        )
        found: list[tuple[LightTask, Inspection]] = []
        tasks = light_tasks(run.warehouse, chosen)
        places = {task.frame_id: place for place, task in enumerate(tasks)}
        for outcome in run_tasks(inspect_light, tasks, jobs=min(jobs, len(tasks))):
            if outcome.result is not None and outcome.result.stars.height >= _least(run):
                found.append((outcome.task, outcome.result))
                looks[outcome.task.frame_id] = outcome.result
                continue
            failed.append(outcome.task)
            error = outcome.error
            if not isinstance(error, StarmusterError):
                n_star = 0 if outcome.result is None else outcome.result.stars.height
                seen = f"stars: {n_star}" if error is None else f"{type(error).__name__}: {error}"
                error = RegistrationError(
                    f"{outcome.task.path}: {seen}; a reference needs {_least(run)} or more. "
                    f"Clouds, a closed dome, or a wrong exposure?"
                )
            run.fail("reference", str(outcome.task.path), error, frame_id=outcome.task.frame_id)
        if found:
            # of equals the earliest is taken, whichever worker was done first
            found.sort(key=lambda pair: places[pair[0].frame_id])
            _store_reference(run, field_id, *_best(found), failed=failed, say=say)
            return 0
    run.store("reference", {"product": failed_products(failed, "reference")})
    say(f"field {field_id}: no frame shows enough stars for a reference")
    return len(failed)


def _least(run: Run) -> int:
    return run.warehouse.config.registration.min_star


def _spread(frames: pl.DataFrame, n_candidate: int):
    """Yield the frames in portions, each spread over the time that is left."""
    left = frames
    while not left.is_empty():
        where = np.unique(np.linspace(0, left.height - 1, min(n_candidate, left.height)).round())
        picked = left[where.astype(int).tolist()]
        yield picked
        left = left.join(picked.select("frame_id"), on="frame_id", how="anti")


def _best(
    found: list[tuple[LightTask, Inspection]],
) -> tuple[LightTask, Inspection]:
    """Take the frame that shows most; one with a trustworthy WCS before others."""
    wcs = {task.frame_id: judged_header(task).wcs for task, _ in found}
    most = max(inspection.stars.height for _, inspection in found)
    ordered = [found[i] for i in best_looks([inspection for _, inspection in found])]
    with_wcs = [
        (task, inspection)
        for task, inspection in ordered
        if wcs[task.frame_id] is not None and inspection.stars.height >= SHARE_OF_BEST * most
    ]
    return (with_wcs or ordered)[0]


def _store_reference(
    run: Run,
    field_id: int,
    task: LightTask,
    inspection: Inspection,
    *,
    failed: list[LightTask],
    say: Callable[[str], None],
) -> None:
    tables = {"field": _field(run, field_id, task)}
    if failed:
        tables["product"] = failed_products(failed, "reference")
    run.store("reference", tables)
    say(f"field {field_id}: its reference is {task.path.name}, {inspection.stars.height} stars")


def _field(run: Run, field_id: int, task: LightTask) -> pl.DataFrame:
    with run.warehouse.reading() as con:
        row = con.table("field").filter(f"field_id = {int(field_id)}").pl()
    return row.with_columns(
        reference_frame_id=pl.lit(task.frame_id),
        is_on_sky=pl.lit(value=False),
        scale_arcsec_per_pix=pl.lit(task.scale_arcsec_per_pix, pl.Float64),
        scale_source=pl.lit("none" if task.scale_arcsec_per_pix is None else "header"),
    )
