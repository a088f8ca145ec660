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


def lost_masters(con: duckdb.DuckDBPyConnection, folder: Path) -> set[int]:
    """Return the masters whose file is gone or has another size than when it was written.

    Parameters
    ----------
    folder
        Folder of the masters.
    """
    masters = con.table("master").set_alias("master")
    files = con.table("master_file").set_alias("file")
    known = masters.join(files, "master.master_id = file.master_id", how="left")
    rows = known.project("master.master_id, file_name, size_byte").fetchall()
    return {int(number) for number, name, size in rows if not _has_size(folder / str(name), size)}


def _has_size(path: Path, size_byte: int | None) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return size_byte is None or found.st_size == size_byte
