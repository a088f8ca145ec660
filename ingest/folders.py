"""Folders of raw frames: which files say they are FITS, and which of them must be read."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ..errors import UsageError

_FITS_NAME = re.compile(r"(\.(fits?|fts)(\.(fz|gz|z|bz2|xz|zip))?|\.fz)$", re.IGNORECASE)
_FITS_START = re.compile(rb"SIMPLE *=")
_FIRST_BYTE = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that says it is FITS, as the walk saw it."""

    path: str
    size_byte: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a walk found.

    `pending` must be read; `n_unchanged` were skipped unread; `ignored` holds (path, reason) of
    what has the name of a frame but is no regular file, and of folders that cannot be read.
    """

    pending: tuple[Candidate, ...]
    n_unchanged: int
    ignored: tuple[tuple[str, str], ...] = field(default=())

    @property
    def n_seen(self) -> int:
        """Files that say they are FITS."""
        return len(self.pending) + self.n_unchanged


def list_folders(
    paths: Sequence[Path],
    known: pl.DataFrame,
    *,
    skip_folders: Sequence[Path] = (),
) -> Listing:
    """Walk files and folders and list what must be read.

    Every regular file whose name or first bytes say FITS is seen, hidden ones included. Links
    below a path are not followed: what they name inside the tree is met anyway.

    Parameters
    ----------
    paths
        Files and folders.
    known
        Columns path, size_byte, mtime_ns of the tables `path` and `quarantine`; files that are
        there unchanged are not opened.
    skip_folders
        Folders that are not entered, such as a warehouse's own masters.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    held = {
        path: (size_byte, mtime_ns)
        for path, size_byte, mtime_ns in known.select("path", "size_byte", "mtime_ns").iter_rows()
    }
    skipped = {os.path.realpath(folder) for folder in skip_folders}
    ignored: list[tuple[str, str]] = []
    pending: dict[str, Candidate] = {}
    unchanged: set[str] = set()
    for root in paths:
        if not root.exists():
            raise UsageError(f"{root}: no such file or folder. Check the path.")
        for path, state in _walk(os.path.realpath(root), skipped, ignored):
            key = printable(path)
            if held.get(key) == (state.st_size, state.st_mtime_ns):
                unchanged.add(key)
            elif _says_fits(path, ignored):
                pending[path] = Candidate(path, state.st_size, state.st_mtime_ns)
            elif path == os.path.realpath(root):
                ignored.append((key, "neither its name nor its first bytes say FITS"))
    return Listing(tuple(pending.values()), len(unchanged), tuple(ignored))


def _walk(
    root: str, skipped: AbstractSet[str], ignored: list[tuple[str, str]]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield regular files below a path in the order of their names, links not followed."""
    if not os.path.isdir(root):
        state = os.lstat(root)
        if stat.S_ISREG(state.st_mode):
            yield root, state
        else:
            ignored.append((printable(root), "not a regular file"))
        return
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            ignored.append((printable(folder), f"the folder cannot be read: {error.strerror}"))
            continue
        below: list[str] = []
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                if entry.path not in skipped:
                    below.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                try:
                    yield entry.path, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    ignored.append((printable(entry.path), "vanished while the folder was read"))
            elif _FITS_NAME.search(entry.name) or entry.is_symlink():
                kind = "a link, not followed" if entry.is_symlink() else "not a regular file"
                ignored.append((printable(entry.path), kind))
        folders += reversed(below)


def _says_fits(path: str, ignored: list[tuple[str, str]]) -> bool:
    if _FITS_NAME.search(path):
        return True
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except OSError as error:
        ignored.append((printable(path), f"cannot be read: {error.strerror}"))
        return False
    try:
        return _FITS_START.match(os.read(descriptor, _FIRST_BYTE)) is not None
    finally:
        os.close(descriptor)


def printable(path: str) -> str:
    """Return a path as text that any table can hold: bytes outside UTF-8 are written as \\x.."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
