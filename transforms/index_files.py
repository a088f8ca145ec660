"""The plate solver on this machine: its program, its index files, and which fields these cover."""

import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FrameError

CONFIGS = (Path("/etc/astrometry.cfg"), Path("/usr/local/astrometry/etc/astrometry.cfg"))
FOLDERS = (Path("/usr/share/astrometry"), Path("/usr/local/astrometry/data"))
# Debian packages, and the Gaia series 5200 to 5206 for smaller fields, by scale, arcmin
DEBIAN = (
    ("astrometry-data-tycho2-07", 22, 30),
    ("astrometry-data-tycho2-08", 30, 42),
    ("astrometry-data-tycho2-09", 42, 60),
    ("astrometry-data-tycho2-10-19", 60, 2000),
)
LITE_ARCMIN = ((2, 2.8), (2.8, 4), (4, 5.6), (5.6, 8), (8, 11), (11, 16), (16, 22))
BLOCK_BYTE = 2880
LARGEST_HEADER_BLOCK = 200
# a quad of stars helps if it is no larger than the frame, and not lost among its stars
LEAST_SHARE, LARGEST_SHARE = 0.1, 1.0
INSTALL = "Install it (Debian: apt install astrometry.net astrometry-data-tycho2), or go without."


@dataclass(frozen=True, slots=True)
class IndexFile:
    """Index stars of one scale: quads between two sizes; `defect` says why it is of no use."""

    path: Path
    low_arcmin: float
    high_arcmin: float
    defect: str | None = None

    def helps(self, width_arcmin: float) -> bool:
        """Tell whether its quads fit into a frame of that width."""
        return (
            self.defect is None
            and self.low_arcmin < LARGEST_SHARE * width_arcmin
            and self.high_arcmin > LEAST_SHARE * width_arcmin
        )


def solver_program() -> str | None:
    """Return the path of solve-field; None where it is not installed."""
    return shutil.which("solve-field")


def index_paths(folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """List the index files of a folder, or those the program itself would look for."""
    folders = [Path(folder).expanduser()] if folder is not None else [*_configured(), *FOLDERS]
    found = [path.resolve() for place in folders for path in sorted(place.glob("index-*.fit*"))]
    return list(dict.fromkeys(found))


def index_files(folder: str | os.PathLike[str] | None = None) -> list[IndexFile]:
    """Read what scales the index files cover; one that is damaged says so."""
    return [_read(path) for path in index_paths(folder)]


def reach_text(files: Sequence[IndexFile]) -> str:
    """Say in words which widths of field the usable files cover."""
    good = [file for file in files if file.defect is None]
    if not good:
        return "no usable index files"
    low = min(file.low_arcmin for file in good) / LARGEST_SHARE
    high = max(file.high_arcmin for file in good) / LEAST_SHARE
    return f"index files for fields of {low:.3g} to {min(high, 180 * 60):.3g} arcmin"


def install_command(width_arcmin: float) -> str:
    """Return the command that installs index files whose quads fit well into a frame.

    Quads between a third and the whole of the width are asked for: smaller ones are many and large,
    and hardly needed.
    """
    low, high = width_arcmin / 3, width_arcmin
    packages = [name for name, least, most in DEBIAN if least < high and most > low]
    if packages:
        return "apt-get install " + " ".join(packages)
    series = [
        f"{5200 + k}" for k, size in enumerate(LITE_ARCMIN) if low < size[1] and size[0] < high
    ]
    if not series:
        return "no index files are published for fields that small: import a catalogue instead"
    names = ",".join(f"index-{name}-*.fits" for name in series)
    return (
        f"wget -r -np -nd -P ~/astrometry -A '{names}' http://data.astrometry.net/5200/LITE/ "
        "(then registration.index_folder), or import a catalogue of the field"
    )


def _configured() -> list[Path]:
    """Read the folders named in the program's own configuration."""
    folders: list[Path] = []
    for config in CONFIGS:
        if config.is_file():
            text = config.read_text(encoding="utf-8", errors="replace")
            folders += [
                Path(name.strip()) for name in re.findall(r"^\s*add_path\s+(.+)$", text, re.M)
            ]
    return folders


def _read(path: Path) -> IndexFile:
    try:
        cards = _walk(path)
        low, high = (math.degrees(float(cards[name])) * 60 for name in ("SCALE_L", "SCALE_U"))
    except (OSError, KeyError, ValueError, FrameError) as error:
        seen = f"no {error}" if isinstance(error, KeyError) else str(error)
        return IndexFile(path, math.nan, math.nan, f"{path.name} is damaged: {seen}")
    return IndexFile(path, low, high)


def _walk(path: Path) -> dict[str, str]:
    """Return the cards of the first header, having seen that the file holds all it announces."""
    size = path.stat().st_size
    first: dict[str, str] = {}
    with path.open("rb") as stream:
        end = 0
        while end < size:
            stream.seek(end)
            cards = _header(stream)
            first = first or cards
            end = stream.tell() + _data_byte(cards)
    if end > size:
        raise FrameError(f"{size} bytes, {end} expected")
    return first


def _header(stream) -> dict[str, str]:
    cards: dict[str, str] = {}
    for _ in range(LARGEST_HEADER_BLOCK):
        block = stream.read(BLOCK_BYTE).decode("ascii", "replace")
        if len(block) < BLOCK_BYTE:
            raise FrameError("it ends within a header")
        for start in range(0, BLOCK_BYTE, 80):
            card = block[start : start + 80]
            if card.startswith("END     "):
                return cards
            if card[8:10] == "= ":
                cards.setdefault(card[:8].strip(), card[10:].split("/")[0].strip())
    raise FrameError("a header without end")


def _data_byte(cards: dict[str, str]) -> int:
    axes = [int(cards[f"NAXIS{k + 1}"]) for k in range(int(cards["NAXIS"]))]
    if not axes:
        return 0
    n_value = int(cards.get("GCOUNT", "1")) * (int(cards.get("PCOUNT", "0")) + math.prod(axes))
    n_byte = abs(int(cards["BITPIX"])) // 8 * n_value
    return -(-n_byte // BLOCK_BYTE) * BLOCK_BYTE
