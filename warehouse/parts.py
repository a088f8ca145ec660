"""What workers leave of a task: its tables in one file, until they are sealed into a package.

A package is read by people and other programs, one Parquet file a table; a part only by the process
that asked for it. One file is synced once, where a file a table took longer than its rows.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import xxhash

from ..errors import PackageError
from . import disk
from .packages import conform

DIGEST_BYTE = 16


def write_part(path: Path, tables: Mapping[str, pl.DataFrame]) -> Path:
    """Write rows as they are; the file appears whole or not at all.

    What the columns of a table are only the reader has to know: a worker that asked for them held
    a database for that.

    Raises
    ------
    DiskFullError
        If there is no room.
    """
    content = {name: _packed(rows) for name, rows in tables.items()}
    index = json.dumps({name: len(block) for name, block in content.items()}).encode()
    body = b"\n".join([index, b"".join(content.values())])
    with disk.room_for(path.parent, len(body)):
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write_whole(path, xxhash.xxh3_128_digest(body) + body)
    return path


def read_part(path: Path) -> dict[str, pl.DataFrame]:
    """Read all tables of a part, their rows brought into the columns of the tables.

    Raises
    ------
    PackageError
        If it is missing or not what `write_part` wrote, or rows do not fit their table.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path}: no readable part ({error}). Run the command again.") from error
    digest, body = content[:DIGEST_BYTE], content[DIGEST_BYTE:]
    if xxhash.xxh3_128_digest(body) != digest:
        raise PackageError(
            f"{path}: altered since it was written. Remove it and run the command again."
        )
    start = body.index(b"\n") + 1
    tables: dict[str, pl.DataFrame] = {}
    for name, size in json.loads(body[:start]).items():
        tables[name] = conform(name, pl.read_ipc(io.BytesIO(body[start : start + size])))
        start += size
    return tables


def _packed(rows: pl.DataFrame) -> bytes:
    block = io.BytesIO()
    rows.write_ipc(block)
    return block.getvalue()
