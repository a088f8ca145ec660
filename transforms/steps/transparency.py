"""The step that tells how much light each frame lost, night by night."""

import polars as pl

from ...warehouse.runs import Run
from ...warehouse.store import Warehouse, shipped
from ..dimming import frame_dimming


def measure_transparency(run: Run) -> int:
    """Solve the dimming of the frames of every field, band and night that changed.

    Returns
    -------
    Number of groups of frames that were solved.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_transparency").order("night, field_id, band").pl()
    for group in pending.iter_rows(named=True):
        tables = {
            "frame_transparency": _solve(run.warehouse, group["frame_ids"]),
            "product": pl.DataFrame(
                {
                    "frame_id": group["frame_ids"],
                    "step": "transparency",
                    "recipe": group["recipe"],
                    "state": "done",
                }
            ),
        }
        run.store(
            "transparency",
            tables,
            night=group["night"],
            replaces={"frame_transparency": group["frame_ids"]},
        )
    return pending.height


def _solve(warehouse: Warehouse, frame_ids: list[int]) -> pl.DataFrame:
    """Return the rows of table frame_transparency of the frames of one field, band and night."""
    with warehouse.reading() as con:
        points = shipped(con, "common_stars", frame_ids=frame_ids)
        shapes = con.table("frame").filter(f"frame_id = {int(frame_ids[0])}")
        n_x_pix, n_y_pix = shapes.project("n_x_pix, n_y_pix").fetchall()[0]
    centre_pix = ((n_x_pix - 1) / 2, (n_y_pix - 1) / 2)
    found = [
        frame_dimming(rows, centre_pix=centre_pix).with_columns(
            aperture_id=pl.lit(aperture_id, pl.Int16)
        )
        for (aperture_id,), rows in points.group_by("aperture_id", maintain_order=True)
    ]
    return pl.concat(found) if found else pl.DataFrame()
