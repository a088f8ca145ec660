"""How cameras behave at high levels, as is in force for frames: saturation and linearity."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from ...warehouse.config import Camera, Config


@dataclass(frozen=True, slots=True)
class Detector:
    """Saturation and linearity in force for a frame, raw ADU, and who says so.

    Attributes
    ----------
    saturation_adu, saturation_source
        From configuration or ramp; None: the frame's own pixels are to tell.
    linearity_adu
        Pixels at or above are flagged as non-linear.
    linearity
        Levels above the bias with the factors that correct them; empty: nothing is corrected.
    linearity_source
        configuration or ramp; None where nothing is corrected or flagged.
    """

    saturation_adu: float | None = None
    saturation_source: str | None = None
    linearity_adu: float | None = None
    linearity: tuple[tuple[float, float], ...] = ()
    linearity_source: str | None = None


def detectors(
    con: duckdb.DuckDBPyConnection, frame_ids: Sequence[int], config: Config
) -> dict[int, Detector]:
    """Return what is in force for some frames; a table in the configuration comes first."""
    wanted = pl.DataFrame({"frame_id": frame_ids}, schema={"frame_id": pl.Int32})
    con.register("asked", wanted)
    rows = con.sql("from frame_detector semi join asked using (frame_id)")
    named = dict(
        con.sql("from frame semi join asked using (frame_id) join camera using (camera_id)")
        .project("frame_id, camera_name")
        .fetchall()
    )
    return {
        row["frame_id"]: _detector(row, config.camera.get(named[row["frame_id"]], Camera()))
        for row in rows.pl().to_dicts()
    }


def _detector(row: dict, told: Camera) -> Detector:
    linearity = told.linearity
    source = "configuration" if linearity else row["linearity_source"]
    if not linearity and row["factors"]:
        linearity = tuple((point["level_adu"], point["factor"]) for point in row["factors"])
    return Detector(
        row["saturation_adu"],
        row["saturation_source"],
        row["linearity_adu"],
        linearity,
        source,
    )
