"""Commands of the plate solution: solve, plates."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ..errors import NotFoundError
from .answering import find_field
from .ingesting import open_run
from .session import SESSION, plain_rows, progress

if TYPE_CHECKING:
    from ..warehouse.store import Warehouse


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(solve)
    app.command(plates)


def solve(
    field: str | None = None,
    /,
    *,
    each: Annotated[bool, Parameter(negative=())] = False,
    jobs: Annotated[int | None, Parameter(name=["--jobs", "-j"])] = None,
) -> int:
    """Find the place of fields on the sky, with the catalogues and the solver at hand.

    `ingest` and `run` do it whenever there is something new to try; this does it anyway. Nothing is
    measured anew.

    Parameters
    ----------
    field
        Number or name of the field; else all fields.
    each
        Solve every light frame by itself as well, not only the reference frame.
    jobs
        Frames solved at the same time; else one a core.
    """
    import os

    from ..transforms.steps.skies import place_fields
    from ..transforms.steps.solving import solve_fields

    start = time.monotonic()
    warehouse = SESSION.warehouse()
    chosen = _chosen_fields(warehouse, field)
    n_job = jobs or os.cpu_count() or 1
    n_solved = n_frame = n_failed = 0
    with open_run(warehouse) as current:
        for field_id in chosen:
            n_solved += solve_fields(current, jobs=n_job, say=SESSION.say, of_field=field_id)
            if each:
                from ..transforms.steps.solving_each import solve_each

                solved, failed = solve_each(
                    current, field_id=field_id, jobs=n_job, progress=progress, say=SESSION.say
                )
                n_frame, n_failed = n_frame + solved, n_failed + failed
        place_fields(current, say=SESSION.say)
    summary = {
        "fields": len(chosen),
        "fields_solved": n_solved,
        "frames_solved": n_frame,
        "frames_not_solved": n_failed,
        "seconds": round(time.monotonic() - start, 3),
    }
    if SESSION.as_json:
        SESSION.answer(summary)
    else:
        for name, value in summary.items():
            SESSION.tell(f"{name.replace('_', ' '):>18}  {value}")
    return 1 if n_failed or n_solved < len(chosen) else 0


def plates(
    field: str | None = None,
    /,
    *,
    frame: str | None = None,
    output: Path | None = None,
) -> None:
    """List how frames came to their place on the sky, and how well the stars agree.

    Parameters
    ----------
    field
        Number or name of the field; else all fields.
    frame
        Number or file name of one frame: its residuals are drawn as a PNG file.
    output
        The PNG file; else in the folder `reports`.
    """
    warehouse = SESSION.warehouse()
    field_id = None if field is None else find_field(warehouse, field)[0]
    rows = warehouse.query("plates", field_id=field_id, frame_id=None)
    if frame is None:
        SESSION.rows(rows)
        return
    row = _chosen_frame(rows.to_dicts(), frame)
    path = _draw(warehouse, row, output)
    if SESSION.as_json:
        shown = plain_rows(rows.filter(rows["frame_id"] == row["frame_id"]))[0]
        SESSION.answer(shown | {"files": [path]})
        return
    for name, value in row.items():
        if value is not None and name not in {"n_x_pix", "n_y_pix"}:
            SESSION.tell(
                f"{name:>22}  {value:.5g}" if isinstance(value, float) else f"{name:>22}  {value}"
            )
    SESSION.tell(f"{'wrote':>22}  {path}")


def _chosen_fields(warehouse: "Warehouse", field: str | None) -> list[int]:
    if field is not None:
        return [find_field(warehouse, field)[0]]
    with warehouse.reading() as con:
        known = con.table("field_solution").order("field_id").project("field_id").fetchall()
    return [number for (number,) in known]


def _chosen_frame(rows: list[dict], frame: str) -> dict:
    name = Path(frame).name
    found = [row for row in rows if frame == str(row["frame_id"]) or name == row["file_name"]]
    if not found:
        raise NotFoundError(
            f"frame {frame!r}: not among the {len(rows)} frames that have a place on the sky or on "
            "their field. `starmuster plates` lists them; table `failure` tells what went wrong."
        )
    return found[0]


def _draw(warehouse: "Warehouse", row: dict, output: Path | None) -> Path:
    from ..analysis.canvas import as_png
    from ..analysis.plate_figures import residual_figure

    with warehouse.reading() as con:
        residuals = con.table("wcs_residual").filter(f"frame_id = {int(row['frame_id'])}").pl()
    if residuals.is_empty():
        raise NotFoundError(
            f"frame {row['frame_id']}: no stars were compared with its solution ({row['method']}); "
            f"{row['verdict'] or 'nothing can be drawn'}."
        )
    against = row["catalogue_name"] or "the stars of its field"
    figure = residual_figure(
        residuals,
        n_x_pix=row["n_x_pix"],
        n_y_pix=row["n_y_pix"],
        title=f"{row['file_name']} against {against}",
    )
    path = output or warehouse.folder / "reports" / f"plate-{row['frame_id']}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_png(figure))
    return path.resolve()
