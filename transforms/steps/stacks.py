"""The step that makes stacks: prepares the frames, combines them, keeps file and rows."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ...errors import CalibrationError, FrameError
from ...warehouse import disk
from ...warehouse.packages import file_checksum
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse
from ..registration import Registration
from ..stack import Stack, StackInput, frame_weight, stack
from ..stack_file import stack_header, write_stack
from .lights import light_tasks
from .master_files import read_master
from .paths import frame_paths
from .stack_inputs import FOLDER, draft_folder, prepare_frame
from .stack_plan import StackPlan, stored_stack
from .tasks import LightTask

FRAME_COLUMNS = (
    *("frame_id", "is_used", "reason", "flux_factor", "flux_factor_scatter", "n_star", "weight"),
)


def stack_path(warehouse: Warehouse, row: dict[str, Any]) -> Path:
    """Return where the file of a stack is."""
    return warehouse.folder / FOLDER / row["file_name"]


def is_current(warehouse: Warehouse, row: dict[str, Any] | None, plan: StackPlan) -> bool:
    """Tell whether a stored stack is what the plan would make, and its file is there unaltered."""
    if row is None or row["recipe"] != plan.recipe:
        return False
    path = stack_path(warehouse, row)
    return path.is_file() and file_checksum(path) == row["checksum"]


def make_stack(
    run: Run,
    plan: StackPlan,
    *,
    path: Path | None = None,
    jobs: int = 1,
    progress: Callable[..., Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Stack the frames of a plan, write the file and its rows; return the row of table `stack`.

    A frame that cannot be read or calibrated any more is left out, with its reason.

    Parameters
    ----------
    path
        FITS file to write; None: one in the warehouse's folder `stacks`.

    Raises
    ------
    CalibrationError
        No frame is left.
    DiskFullError
        No room for the frames while they are stacked, or for the result.
    """
    folder = run.warehouse.folder / FOLDER
    used = plan.frames.filter(pl.col("reason").is_null())
    grid = plan.field["n_y_pix"], plan.field["n_x_pix"]
    needed_byte = 4.0 * grid[0] * grid[1] * (used.height + 3)
    path = (path or folder / _file_name(plan)).resolve()
    with draft_folder(run.warehouse, needed_byte) as draft:
        frames, inputs = _prepare_all(run, plan, draft, progress=progress, say=say)
        found = stack(inputs, rule=plan.rule, kernel=plan.kernel, n_thread=jobs)
    with disk.room_for(folder, needed_byte):
        row = _stack_row(run, plan, found, frames, path)
        members = _members(run.warehouse, frames)
        cards = json.loads(plan.field["cards"]) if plan.field["cards"] else []
        header = stack_header(row, frames.filter("is_used"), cards)
        _write(path, lambda draft: write_stack(draft, found, header, members))
    row["checksum"] = file_checksum(path)
    members = frames.select(pl.lit(row["stack_id"]).alias("stack_id"), *FRAME_COLUMNS)
    rows = pl.DataFrame([row]).drop("field_name")
    run.store("stack", {"stack": rows, "stack_frame": members}, night=plan.night)
    return row


def _prepare_all(
    run: Run, plan: StackPlan, draft: Path, *, progress, say: Callable[[str], None]
) -> tuple[pl.DataFrame, list[StackInput]]:
    """Prepare every frame of the plan; return all rows, with who is used and why not."""
    chosen = plan.frames.filter(pl.col("reason").is_null())
    tasks = light_tasks(
        run.warehouse,
        chosen.select("frame_id", field_id=pl.lit(plan.field["field_id"]), recipe=pl.lit("")),
        choice="calibration",
    )
    inputs: dict[int, StackInput] = {}
    lost: dict[int, str] = {}
    rows = {row["frame_id"]: row for row in chosen.to_dicts()}
    with progress(len(tasks), "reducing") as advance:
        for task in tasks:
            try:
                inputs[task.frame_id] = _prepared(task, rows[task.frame_id], plan, draft)
            except FrameError as error:
                lost[task.frame_id] = str(error)
                say(f"left out: {error}")
            advance(1)
    read_master.cache_clear()  # a gigabyte at camera scale, which the combination needs
    if not inputs:
        reasons = [*lost.values(), *plan.frames["reason"].drop_nulls().to_list()]
        raise CalibrationError(
            f"field {plan.field['field_id']}, band {plan.band}: none of {plan.frames.height} "
            f"frames can be stacked. The first: {reasons[0]}"
        )
    total = sum(frame.weight for frame in inputs.values())
    found = pl.DataFrame(
        {
            "frame_id": [*inputs, *lost],
            "weight": [*(frame.weight / total for frame in inputs.values()), *[None] * len(lost)],
            "lost": [*[None] * len(inputs), *lost.values()],
        },
        schema={"frame_id": pl.Int32, "weight": pl.Float64, "lost": pl.String},
    )
    frames = plan.frames.join(found, on="frame_id", how="left", maintain_order="left")
    return frames.with_columns(
        reason=pl.coalesce("reason", "lost"), is_used=pl.col("weight").is_not_null()
    ), list(inputs.values())


def _prepared(task: LightTask, row: dict[str, Any], plan: StackPlan, draft: Path) -> StackInput:
    registration = Registration(
        row["degree"],
        tuple(row["x_coefficient"]),
        tuple(row["y_coefficient"]),
        row["n_registered_star"],
        None,
    )
    return prepare_frame(
        task,
        registration,
        (plan.field["n_y_pix"], plan.field["n_x_pix"]),
        draft,
        sky=plan.sky,
        flux_factor=row["flux_factor"],
        weight=frame_weight(row["flux_factor"], row["sky_rms_adu"], row["fwhm_pix"]),
        gain_e_per_adu=row["gain_e_per_adu"],
    )


def _stack_row(
    run: Run, plan: StackPlan, found: Stack, frames: pl.DataFrame, path: Path
) -> dict[str, Any]:
    used = frames.filter("is_used")
    reference = frames.filter(frame_id=plan.reference_frame_id).row(0, named=True)
    with run.warehouse.reading() as con:
        known = stored_stack(con, plan)
    folder = run.warehouse.folder / FOLDER
    sample = found.variance_adu2[::4, ::4]
    weight = used["weight"].to_numpy()
    return {
        "stack_id": known["stack_id"] if known else run.next_id("stack"),
        "field_id": plan.field["field_id"],
        "field_name": plan.field["field_name"],
        "band": plan.band,
        "night": plan.night,
        "reference_frame_id": plan.reference_frame_id,
        "sky": plan.sky,
        "rule": plan.rule,
        "kernel": plan.kernel,
        "n_frame": used.height,
        "exposure_s": reference["exposure_s"],
        "total_exposure_s": None if used["exposure_s"].null_count() else used["exposure_s"].sum(),
        "gain_e_per_adu": found.gain_e_per_adu,
        "noise_adu": float(np.sqrt(np.nanmedian(sample))),
        "noise_correlation": found.noise_correlation,
        "fwhm_pix": float(np.average(used["fwhm_pix"].to_numpy(), weights=weight)),
        "covered_share": float(np.mean(found.n_used > 0)),
        "n_x_pix": plan.field["n_x_pix"],
        "n_y_pix": plan.field["n_y_pix"],
        "file_name": path.name if path.parent == folder else str(path),
        "recipe": plan.recipe,
        "made_utc": datetime.now(UTC).replace(tzinfo=None),
    }


def _members(warehouse: Warehouse, frames: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the table FRAMES in the file of a stack."""
    with warehouse.reading() as con:
        paths = frame_paths(con, frames["frame_id"].to_list())
    names = pl.Series([paths[frame_id].name for frame_id in frames["frame_id"].to_list()])
    columns = (*FRAME_COLUMNS, "content_hash", "mid_utc", "exposure_s", "fwhm_pix")
    return frames.select(*columns, file=names)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Put a file in its place whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        write(draft)
        disk.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _file_name(plan: StackPlan) -> str:
    name = re.sub(r"[^\w+-]+", "-", plan.field["field_name"])
    sky = None if plan.sky == "mesh" else plan.sky
    parts = [f"{name}-{plan.field['field_id']}", plan.band or "no-band", plan.night, sky]
    return "_".join(str(part) for part in parts if part is not None) + ".fits"
