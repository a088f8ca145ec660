"""The step that tells how much light each frame lost, and which aperture is steadiest, by night."""

from typing import Any

import polars as pl

from ...warehouse.runs import Run
from ...warehouse.store import Warehouse, shipped
from ..aperture_choice import choose_aperture
from ..dimming import frame_dimming


def measure_transparency(run: Run) -> int:
    """Solve the dimming of the frames of every field, band and night that changed.

    With it the apertures of the group are judged, so that their choice reads a few stored rows.

    Returns
    -------
    Number of groups of frames that were solved.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_transparency").order("night, field_id, band").pl()
    for group in pending.iter_rows(named=True):
        tables = _solve(run.warehouse, group) | {
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


def _solve(warehouse: Warehouse, group: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Return the rows of frame_transparency and aperture_choice of one field, band and night."""
    frame_ids = group["frame_ids"]
    with warehouse.reading() as con:
        points = shipped(con, "common_stars", frame_ids=frame_ids)
        shapes = con.table("frame").filter(f"frame_id = {int(frame_ids[0])}")
        n_x_pix, n_y_pix = shapes.project("n_x_pix, n_y_pix").fetchall()[0]
    if points.is_empty():
        return {}
    centre_pix = ((n_x_pix - 1) / 2, (n_y_pix - 1) / 2)
    dimming = pl.concat(
        frame_dimming(rows, centre_pix=centre_pix).with_columns(
            aperture_id=pl.lit(aperture_id, pl.Int16)
        )
        for (aperture_id,), rows in points.group_by("aperture_id", maintain_order=True)
    )
    choice = choose_aperture(points, dimming, centre_pix=centre_pix).with_columns(
        field_id=pl.lit(group["field_id"]),
        night=pl.lit(group["night"]),
        band=pl.lit(group["band"], pl.String),
    )
    return {"frame_transparency": dimming, "aperture_choice": choice}
