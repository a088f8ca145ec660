"""Locks: wait for other processes, name them, and let one run at a time change a warehouse."""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import duckdb

from ..errors import LockedError, VersionError, WarehouseError

CLAIM_NAME = ".claim"
DEFAULT_WAIT_S = 10.0
_POLL_S = 0.05
_HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")

T = TypeVar("T")


def patiently(action: Callable[[], T], path: Path, *, wait_s: float) -> T:
    """Do something with a database file, again and again while another process holds it.

    Raises
    ------
    LockedError
        If it is still held after `wait_s`; the process is named.
    VersionError
        If the file was written by a newer DuckDB.
    WarehouseError
        If the file cannot be opened at all.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return action()
        except duckdb.ConnectionException as error:
            raise LockedError(
                f"{path}: this very process ({os.getpid()}) holds it open in another way. "
                f"Close that connection first (`Warehouse.close()`)."
            ) from error
        except (duckdb.IOException, BlockingIOError) as error:
            if isinstance(error, duckdb.IOException) and "Could not set lock" not in str(error):
                raise _unusable(error, path) from error
            if time.monotonic() >= deadline:
                raise LockedError(_held(error, path, wait_s)) from error
            time.sleep(_POLL_S)


@contextmanager
def claim(folder: Path, *, wait_s: float, purpose: str) -> Iterator[None]:
    """Hold the right to be the one process that changes a warehouse.

    Raises
    ------
    LockedError
        If another process holds it for longer than `wait_s`; its number and purpose are named.
    WarehouseError
        If the folder cannot be written to.
    """
    path = folder / CLAIM_NAME
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise WarehouseError(
            f"{folder}: cannot be written to ({error.strerror}). Mend its permissions."
        ) from error
    with file:
        patiently(lambda: _take(file), folder, wait_s=wait_s)
        file.seek(0)
        file.truncate()
        file.write(f"{purpose} (process {os.getpid()})")
        file.flush()
        yield


def _take(file: IO[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise BlockingIOError(error.errno, file.read() or "another starmuster") from error


def _held(error: Exception, path: Path, wait_s: float) -> str:
    if isinstance(error, BlockingIOError):
        who = str(error.strerror)
    elif holder := _HOLDER.search(str(error)):
        who = f"{holder[1]} (process {holder[2]})"
    else:
        who = "another process"
    return (
        f"{path}: held by {who}; waited {wait_s:g} s. "
        f"Close it there, or wait longer with --wait SECONDS."
    )


def _unusable(error: duckdb.IOException, path: Path) -> WarehouseError:
    if "version number" in str(error):
        return VersionError(
            f"{path}: written by a newer DuckDB than this one. Update duckdb. {error}"
        )
    return WarehouseError(
        f"{path}: cannot be opened ({error}). If it is damaged, `starmuster rebuild` makes it anew "
        f"from the packages."
    )
