"""What an ingest would do, found out by the same SQL rule on a copy of the tables it needs."""

import polars as pl

from ..sql import scripts
from ..warehouse import migrate
from ..warehouse.packages import conform
from ..warehouse.store import Warehouse, frame
from .masters import SETTING, group_masters
from .steps.settings import current_settings

NEEDED = ("camera", "site", "frame", "master")


def plan(warehouse: Warehouse, frames: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Say what new frames there are, which masters would be made, and which lights get what.

    Parameters
    ----------
    frames
        New frames, rows of table `frame`; nothing is stored.

    Returns
    -------
    By title: `frames` (night, type, band, exposure and their number), `masters to make`,
    `calibration of lights` (masters by kind with days, kelvin and exposure ratio off, what is
    missing, number of lights).
    """
    with warehouse.reading() as con:
        held = {name: con.table(name).pl() for name in NEEDED}
    known = set(held["frame"]["frame_id"])
    everything = pl.concat([held["frame"], conform("frame", frames)])
    to_make = _masters_to_make(everything, held["master"], known)
    with migrate.scratch() as con:
        for name, rows in {
            **held,
            "frame": everything,
            "master": pl.concat([held["master"], to_make]),
            "setting": current_settings(warehouse),
        }.items():
            con.from_arrow(conform(name, rows).to_arrow()).insert_into(name)
        con.register("new_frame", conform("frame", frames).select("frame_id"))
        return {
            "frames": frame(con, scripts("plans")["frames"].text),
            "masters to make": to_make.select(
                "kind", "night", "band", "exposure_s", "sensor_degc", "n_frame"
            ),
            "calibration of lights": frame(con, scripts("plans")["calibration"].text),
        }


def _masters_to_make(frames: pl.DataFrame, masters: pl.DataFrame, known: set[int]) -> pl.DataFrame:
    """Return rows of table master for groups that hold a new frame, numbered after those known."""
    groups = group_masters(frames).filter(
        pl.col("frame_ids").list.eval(~pl.element().is_in(list(known))).list.any()
    )
    has_bias = "bias" in groups["kind"] or "bias" in masters["kind"]
    first = int(masters["master_id"].max() or 0) + 1  # pyright: ignore
    rows = groups.select(
        "kind", *SETTING, "band", "exposure_s", "sensor_degc", "n_frame"
    ).with_columns(
        master_id=pl.int_range(first, first + groups.height, dtype=pl.Int32),
        method=pl.lit("planned"),
        is_bias_subtracted=pl.lit(has_bias),
        level_adu=pl.lit(0.0),
        file_name=pl.lit(""),
        checksum=pl.lit(""),
        recipe=pl.lit("planned"),
    )
    return conform("master", rows)
