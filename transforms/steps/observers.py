"""The step that places the observer of every frame that has a time."""

import polars as pl

from ...warehouse.runs import Run
from ..vantage import vantage


def place_observers(run: Run) -> None:
    """Store where the observer was for every frame that has a time."""
    with run.warehouse.reading() as con:
        pending = con.table("pending_vantage").order("frame_id").pl()
    if pending.is_empty():
        return
    rows: list[pl.DataFrame] = []
    for _, group in pending.group_by("recipe", maintain_order=True):
        site = group.row(0, named=True)
        rows.append(
            vantage(
                group["mid_utc"],
                latitude_deg=site["latitude_deg"],
                longitude_deg=site["longitude_deg"],
                elevation_m=site["elevation_m"],
                frame_id=group["frame_id"],
            )
        )
    products = pending.select("frame_id", "recipe", step=pl.lit("vantage"), state=pl.lit("done"))
    run.store("vantage", {"vantage": pl.concat(rows), "product": products})
