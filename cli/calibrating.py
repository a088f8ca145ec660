"""The command that writes calibrated frames for other programs: calibrate."""

from pathlib import Path

from cyclopts import App

from ..errors import StarmusterError, UsageError
from .session import SESSION, progress


def register(app: App) -> None:
    """Add the command of this module."""
    app.command(calibrate)


def calibrate(*paths: Path, output: Path | None = None) -> int:
    """Write light frames calibrated, with the variance and the mask of every pixel.

    The files are what astropy's CCDData reads: the frame, MASK and UNCERT. Nothing else needs them:
    measurements are made from frames that are calibrated in memory.

    Parameters
    ----------
    paths
        Light frames that were ingested, or folders of them.
    output
        Folder to write into; else the warehouse's folder `calibrated`.
    """
    import polars as pl

    from ..transforms.steps.assigning import known_frames
    from ..transforms.steps.calibrated_files import write_calibrated
    from ..transforms.steps.lights import light_tasks

    if not paths:
        raise UsageError("calibrate: name light frames that were ingested, or folders of them.")
    warehouse = SESSION.warehouse()
    known = pl.DataFrame({"frame_id": known_frames(warehouse, paths)})
    with warehouse.reading() as con:
        types = dict(con.table("frame").project("frame_id, frame_type").fetchall())
    lights = known.filter(
        pl.col("frame_id").map_elements(types.get, pl.String).eq("light").fill_null(value=False)
    )
    if lights.is_empty():
        raise UsageError(f"{paths[0]}: none of {known.height} frames there is a light.")
    wanted = lights.select(pl.col("frame_id").cast(pl.Int32), field_id=pl.lit(0), recipe=pl.lit(""))
    folder = output or warehouse.folder / "calibrated"
    written: list[dict[str, object]] = []
    with progress(lights.height, "calibrating") as advance:
        for task in light_tasks(warehouse, wanted):
            path = folder / f"{task.path.name.split('.')[0]}-{task.frame_id}.fits"
            try:
                has_variance = write_calibrated(path, task)
            except StarmusterError as error:
                SESSION.say(f"not calibrated: {error}")
            else:
                written.append(
                    {"frame_id": task.frame_id, "path": str(path), "has_variance": has_variance}
                )
            advance(1)
    if SESSION.as_json:
        SESSION.answer(written)
    n_bare = sum(not row["has_variance"] for row in written)
    SESSION.tell(
        f"{len(written)} of {lights.height} frames in {folder}"
        + (f"; {n_bare} without variance: gain or read noise is not known" if n_bare else "")
    )
    return 0 if len(written) == lights.height else 1
