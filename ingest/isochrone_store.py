"""Bring isochrones into the warehouse, each file once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import xxhash

from ..warehouse.runs import Run
from .isochrones import IsochroneFile, read_isochrones


@dataclass(frozen=True, slots=True)
class Stored:
    """What one file brought; `grid_id` is None where it was there already."""

    path: Path
    found: IsochroneFile
    grid_id: int | None


def store_isochrones(run: Run, paths: list[Path]) -> list[Stored]:
    """Read all files, then store those that are new; one bad file stores nothing.

    Raises
    ------
    UsageError
        See `read_isochrones`.
    """
    found = [(path, read_isochrones(path)) for path in paths]
    with run.warehouse.reading() as con:
        known = {row[0] for row in con.table("isochrone_grid").project("content_hash").fetchall()}
    grid_id = run.next_id("isochrone_grid")
    stored: list[Stored] = []
    for path, file in found:
        content_hash = xxhash.xxh3_128_hexdigest(path.read_bytes())
        if content_hash in known:
            stored.append(Stored(path, file, None))
            continue
        known.add(content_hash)
        run.store("isochrones", _tables(file, path, content_hash, grid_id))
        stored.append(Stored(path, file, grid_id))
        grid_id += 1
    return stored


def _tables(
    file: IsochroneFile, path: Path, content_hash: str, grid_id: int
) -> dict[str, pl.DataFrame]:
    grid = {
        "grid_id": grid_id,
        "grid_name": file.grid_name,
        "origin": str(path.resolve()),
        "content_hash": content_hash,
        "published_system": file.published_system,
        "is_synthetic": file.is_synthetic,
        "n_isochrone": file.n_isochrone,
        "n_point": file.points.height,
        "imported_utc": datetime.now(UTC).replace(tzinfo=None),
    }
    return {
        "isochrone_grid": pl.DataFrame([grid]),
        "isochrone_band": file.bands.with_columns(grid_id=grid_id),
        "isochrone": file.points.with_columns(grid_id=grid_id),
    }
