"""The step that notes level and noise of each calibration frame: rows of table frame_level."""

import math
from typing import Any

import polars as pl

from ...errors import PixelError
from ...warehouse.runs import Run
from ..levels import frame_level
from ..pixels import open_rows
from .paths import frame_paths

RECIPE = "1"


def measure_levels(run: Run) -> None:
    """Look at some rows of every calibration frame that has not been looked at.

    A frame that cannot be read gets no level here; the master it is offered to names it.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_level").order("night, frame_id").pl()
        paths = frame_paths(con, pending["frame_id"].to_list())
    for (night,), frames in pending.group_by("night", maintain_order=True):
        levels: list[dict[str, Any]] = []
        states: list[str] = []
        for frame in frames.iter_rows(named=True):
            shape = (frame["n_y_pix"], frame["n_x_pix"])
            try:
                with open_rows(paths[frame["frame_id"]], frame["hdu_index"], shape=shape) as rows:
                    seen = frame_level(rows)
            except PixelError:
                states.append("failed")
                continue
            is_known = math.isfinite(seen.level_adu) and math.isfinite(seen.noise_adu)
            states.append("done" if is_known else "failed")
            if is_known:
                levels.append(
                    {
                        "frame_id": frame["frame_id"],
                        "level_adu": seen.level_adu,
                        "noise_adu": seen.noise_adu,
                    }
                )
        products = frames.select(
            "frame_id", step=pl.lit("level"), recipe=pl.lit(RECIPE), state=pl.Series(states)
        )
        tables = {"product": products}
        if levels:
            tables["frame_level"] = pl.DataFrame(levels)
        run.store("level", tables, night=night)  # pyright: ignore[reportArgumentType]
