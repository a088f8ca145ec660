"""The step that measures light frames: tasks out to the workers, their rows into the warehouse."""

import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import polars as pl

from ...errors import FrameError, PackageError, StarmusterError, WarehouseError, about
from ...warehouse.config import Photometry
from ...warehouse.packages import table_schemas
from ...warehouse.parts import read_part
from ...warehouse.runs import PARTS, Run
from ...warehouse.store import Warehouse
from ..pool import Outcome, run_tasks
from .detectors import detectors
from .master_files import corner_in
from .paths import frame_paths
from .settings import psf_radii
from .tasks import FieldFile, LightTask, MasterFile
from .worker import measure_light

MEASURED_TABLES = (
    "aperture_flux",
    "calibration",
    "curve_of_growth",
    "defect_use",
    "frame_quality",
    "measurement",
    "point_spread",
    "profile_fit",
    "registration",
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a step of measuring did."""

    n_measured: int
    n_failed: int
    n_measurement: int


def measure_lights(
    run: Run, *, jobs: int, progress, say: Callable[[str], None], complete: bool = False
) -> Done:
    """Measure every light frame that is pending.

    The rows of a field and night become one package, loaded at once. Workers leave their rows as
    parts, named by all that decides them, so that work done before a kill is not done again.

    Parameters
    ----------
    complete
        Measure frames again that lack stars found since.
    """
    parts = run.warehouse.packages / PARTS
    with run.warehouse.reading() as con:
        pending = con.table("pending_photometry").pl()
        if complete:
            lacking = con.table("incomplete_photometry").select(*pending.columns).pl()
            pending = pl.concat([pending, lacking.join(pending, on="frame_id", how="anti")])
    pending = pending.sort("field_id", "frame_id")
    if pending.is_empty():
        shutil.rmtree(parts, ignore_errors=True)
        return Done(0, 0, 0)
    tasks = light_tasks(run.warehouse, pending, parts=parts)
    waiting = Counter(_group(task) for task in tasks)
    finished: dict[tuple, list[Outcome]] = defaultdict(list)
    totals = Counter()
    with progress(len(tasks), "measuring") as advance:
        for outcome in run_tasks(measure_light, tasks, jobs=jobs):
            group = _group(outcome.task)
            finished[group].append(outcome)
            waiting[group] -= 1
            advance(1)
            if not waiting[group]:
                totals.update(_seal(run, finished.pop(group), say=say))
    shutil.rmtree(parts, ignore_errors=True)
    return Done(totals["measured"], totals["failed"], totals["measurements"])


def light_tasks(
    warehouse: Warehouse,
    pending: pl.DataFrame,
    *,
    parts: Path | None = None,
    choice: Literal["calibration_choice", "calibration"] = "calibration_choice",
) -> list[LightTask]:
    """Prepare tasks for light frames, in the order given.

    Parameters
    ----------
    pending
        frame_id, field_id, recipe.
    parts
        Where workers leave their rows; None: frames are only looked at, without their field.
    choice
        Where the masters are named: those to be used now, or those a frame was measured with.
    """
    with warehouse.reading() as con:
        con.register("wanted", pending.with_row_index("place"))
        frames = con.sql(f"from wanted join frame using (frame_id) join {choice} using (frame_id)")
        rows = frames.order("place").pl().to_dicts()
        masters = {row["master_id"]: row for row in con.table("master").pl().to_dicts()}
        trims = dict(con.table("master_file").project("master_id, trim").fetchall())
        maps = dict(con.sql("from defect_choice semi join wanted using (frame_id)").fetchall())
        known = con.sql("from frame_noise semi join wanted using (frame_id)").pl()
        noise = {row["frame_id"]: row for row in known.to_dicts()}
        in_force = detectors(con, pending["frame_id"].to_list(), warehouse.config)
        paths = frame_paths(con, pending["frame_id"].to_list())
        fields = {} if parts is None else _field_files(con, pending, parts)
        apertures = tuple(con.table("aperture").project("aperture_id, kind, radius").fetchall())

    def master(master_id: int | None, frame: dict[str, Any]) -> MasterFile | None:
        if master_id is None:
            return None
        row = masters[master_id]
        path, corner = warehouse.masters / row["file_name"], corner_in(row, frame)
        return MasterFile(master_id, path, row["checksum"], trims.get(master_id), corner)

    calibration_columns = table_schemas()["calibration"].names()
    return [
        LightTask(
            frame_id=row["frame_id"],
            path=paths[row["frame_id"]],
            hdu_index=row["hdu_index"],
            shape=(row["n_y_pix"], row["n_x_pix"]),
            header=row["header"],
            scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
            ra_deg=row["ra_deg"],
            dec_deg=row["dec_deg"],
            calibration={name: row.get(name) for name in calibration_columns}
            | {"linearity_source": in_force[row["frame_id"]].linearity_source},
            bias=master(row["bias_master_id"], row),
            dark=master(row["dark_master_id"], row),
            flat=master(row["flat_master_id"], row),
            dark_is_bias_subtracted=bool(
                row["dark_master_id"] and masters[row["dark_master_id"]]["is_bias_subtracted"]
            ),
            defects=master(maps.get(row["frame_id"]), row),
            detector=in_force[row["frame_id"]],
            gain_e_per_adu=noise[row["frame_id"]]["gain_e_per_adu"],
            read_noise_e=noise[row["frame_id"]]["read_noise_e"],
            config=warehouse.config,
            recipe=row["recipe"],
            night=row["night"],
            field=fields.get(row["field_id"]),
            apertures=_configured(apertures, warehouse.config.photometry),
            parts=parts,
        )
        for row in rows
    ]


def _configured(
    apertures: Sequence[tuple[int, str, float]], photometry: Photometry
) -> tuple[tuple[int, str, float], ...]:
    """Leave out the apertures of an earlier configuration."""
    wanted = {
        "arcsec": photometry.apertures_arcsec,
        "pix": photometry.apertures_pix,
        "fwhm": photometry.apertures_fwhm,
        "psf": psf_radii(photometry),
    }
    return tuple(aperture for aperture in apertures if aperture[2] in wanted[aperture[1]])


def _field_files(
    con: duckdb.DuckDBPyConnection, pending: pl.DataFrame, parts: Path
) -> dict[int, FieldFile]:
    """Write the stars of each field to a file that all workers read."""
    parts.mkdir(parents=True, exist_ok=True)
    con.register("wanted_field", pending.select("field_id").unique())
    fields = con.sql("from field_reference semi join wanted_field using (field_id)").project(
        "field_id, reference_frame_id, n_x_pix, n_y_pix, cards, scale_arcsec_per_pix"
    )
    found: dict[int, FieldFile] = {}
    for field_id, reference_frame_id, n_x_pix, n_y_pix, cards, scale in fields.fetchall():
        stars = (
            con.table("field_star").filter(f"field_id = {int(field_id)}").order("source_id").pl()
        )
        content = hashlib.sha256(stars.write_csv().encode()).hexdigest()[:16]
        star_revision = int(stars["star_revision"].max() or 0)  # pyright: ignore
        path = parts / f"field-{field_id}-{content}.parquet"
        stars.write_parquet(path)
        found[field_id] = FieldFile(
            field_id, reference_frame_id, path, n_x_pix, n_y_pix, cards, scale, star_revision
        )
    return found


def _group(task: LightTask) -> tuple[int | None, Any]:
    return (task.field.field_id if task.field else None, task.night)


def _seal(run: Run, outcomes: list[Outcome], *, say: Callable[[str], None]) -> Counter:
    """Store the rows of a field and night, failed frames included, as one package."""
    tables: dict[str, list[pl.DataFrame]] = defaultdict(list)
    failed: list[LightTask] = []
    for outcome in outcomes:
        rows, error = _left(outcome)
        for name, some in rows.items():
            tables[name].append(some)
        if error is None:
            continue
        if isinstance(error, WarehouseError):
            raise error  # a full disk is no fault of the frame
        if not isinstance(error, StarmusterError):
            if not isinstance(error, (OSError, ValueError, ArithmeticError, MemoryError)):
                raise error
            error = FrameError(f"{outcome.task.path}: {type(error).__name__}: {error}")
        run.fail("photometry", str(outcome.task.path), error, frame_id=outcome.task.frame_id)
        say(f"not measured: {about(str(outcome.task.path), error)}")
        failed.append(outcome.task)
    if failed:
        tables["product"].append(failed_products(failed, "photometry"))
    frame_ids = [outcome.task.frame_id for outcome in outcomes]
    # a reference frame was compared with a catalogue, when its field was solved
    compared = [one.task.frame_id for one in outcomes if not _is_reference(one.task)]
    measured = {name: pl.concat(rows) for name, rows in tables.items()}
    run.store(
        "photometry",
        measured,
        night=outcomes[0].task.night,
        replaces=dict.fromkeys(MEASURED_TABLES, frame_ids) | {"wcs_residual": compared},
    )
    n_measurement = measured["measurement"].height if "measurement" in measured else 0
    return Counter(
        measured=len(outcomes) - len(failed), failed=len(failed), measurements=n_measurement
    )


def _left(outcome: Outcome) -> tuple[dict[str, pl.DataFrame], Exception | None]:
    """Return the rows a worker left of a frame, or why there are none.

    Rows that no table takes, as a number too large for its column, are the fault of one frame; its
    part goes, or the frame would never be measured again.
    """
    if outcome.error is not None:
        return {}, outcome.error
    path = outcome.result or Path()
    try:
        return read_part(path), None
    except PackageError as error:
        path.unlink(missing_ok=True)
        return {}, FrameError(f"{outcome.task.path}: {error}")


def _is_reference(task: LightTask) -> bool:
    return task.field is not None and task.field.reference_frame_id == task.frame_id


def failed_products(tasks: Sequence[LightTask], step: str) -> pl.DataFrame:
    """Return the rows of table product that keep failed frames from being tried again."""
    return pl.DataFrame(
        {
            "frame_id": [task.frame_id for task in tasks],
            "step": step,
            "recipe": [task.recipe for task in tasks],
            "state": "failed",
        },
        schema_overrides={"frame_id": pl.Int32},
    )
