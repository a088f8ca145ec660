"""The disk: synced files, atomic replacement, and the error that says there is no room."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from ..errors import DiskFullError


@contextmanager
def room_for(path: Path, n_byte: float) -> Iterator[None]:
    """Turn a full disk met inside the context into an error that says what was needed.

    Raises
    ------
    DiskFullError
        With the size that was to be written and the size that is free.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, duckdb.Error) as error:
        if not _is_full(error):
            raise
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
        raise DiskFullError(
            f"{path}: no room for {n_byte / 1e6:.1f} MB, {free / 1e6:.1f} MB free. "
            f"Make room and run the same command again: nothing is lost."
        ) from error


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(draft: Path, path: Path) -> None:
    """Put a finished draft in place of a file or folder, in one step that survives a power cut."""
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(content)
        replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _is_full(error: Exception) -> bool:
    # Polars and DuckDB pass the words of the system on, but not its number.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))
