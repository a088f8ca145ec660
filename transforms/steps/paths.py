"""Where the files of frames are, at this moment."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl


def frame_paths(con: duckdb.DuckDBPyConnection, frame_ids: Sequence[int]) -> dict[int, Path]:
    """Return a path for each frame: one where its file is to be found, else the first seen."""
    wanted = pl.DataFrame({"frame_id": frame_ids}, schema={"frame_id": pl.Int32})
    con.register("wanted", wanted)
    seen = con.sql("from path semi join wanted using (frame_id)").order("frame_id, path")
    found: dict[int, Path] = {}
    for frame_id, name in seen.project("frame_id, path").fetchall():
        path = Path(name)
        if frame_id not in found or (not found[frame_id].is_file() and path.is_file()):
            found[frame_id] = path
    con.unregister("wanted")
    return found
