"""The files of masters: written whole, told from altered ones, read by workers.

A file holds the master, the variance of each of its pixels and how many frames went into it; a map
of defects holds its bits alone. The same frames give the same bytes, so that a lost file is made
again without a row changing.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...errors import CalibrationError
from ...warehouse import disk
from ...warehouse.packages import file_checksum
from ..badpixels import Defects
from ..calibrate import MasterRows
from ..masters import BuiltMaster
from ..pixels import Image, RowFiller, open_rows

CACHED_MASTERS = 4  # of 245 MB each at camera scale


@lru_cache(maxsize=CACHED_MASTERS)
def read_master(path: Path, checksum: str) -> Image:
    """Read a master frame, shape (n_y, n_x), float32.

    Raises
    ------
    CalibrationError
        If the file is gone or was altered since it was made.
    """
    return np.ascontiguousarray(_read(path, checksum), dtype=np.float32)


@lru_cache(maxsize=2)
def read_pedestal(
    bias: Path, bias_checksum: str, dark: Path, dark_checksum: str, dark_scale: float
) -> Image:
    """Read a bias with a scaled dark, free of bias, added to it; same errors."""
    total = np.ascontiguousarray(_read(bias, bias_checksum), dtype=np.float32)
    current = np.ascontiguousarray(_read(dark, dark_checksum), dtype=np.float32)
    if current.shape != total.shape:
        raise CalibrationError(
            f"{dark}: {current.shape[1]} x {current.shape[0]} pixels, but the master bias has "
            f"{total.shape[1]} x {total.shape[0]}. Retire one of the two masters."
        )
    current *= np.float32(dark_scale)
    total += current
    return total


@lru_cache(maxsize=1)
def read_defects(path: Path, checksum: str) -> NDArray[np.uint8]:
    """Read a map of defects, bits of `PixelMask`, shape (n_y, n_x); same errors."""
    return np.ascontiguousarray(_read(path, checksum), dtype=np.uint8)


def corner_in(master: Mapping[str, Any], frame: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return where in a master, (y, x), a smaller frame begins; None: it is no smaller."""
    if all(master[name] == frame[name] for name in ("n_y_pix", "n_x_pix")):
        return None
    y, x = ((frame[name] or 0) - (master[name] or 0) for name in ("y_first_pix", "x_first_pix"))
    return y, x


def cut(
    image: NDArray[Any], corner: tuple[int, int] | None, shape: tuple[int, int]
) -> NDArray[Any]:
    """Cut the part that a frame of a shape (n_y, n_x) shows out of a master."""
    if corner is None:
        return image
    y, x = corner
    return np.ascontiguousarray(image[y : y + shape[0], x : x + shape[1]])


@contextmanager
def open_master(
    path: Path,
    checksum: str,
    *,
    corner: tuple[int, int] | None = None,
    shape: tuple[int, int] = (0, 0),
) -> Iterator[MasterRows]:
    """Open a master for reading in bands of rows, with its variance if it has one; same errors.

    Parameters
    ----------
    corner, shape
        The part of it that a smaller frame shows; without a corner all of it.
    """
    check_master(path, checksum)
    with fits.open(path) as hdus:
        n_hdu = 1 + ("VARIANCE" in hdus)
    with ExitStack() as stack:
        readers: list[RowFiller] = []
        for hdu_index in range(n_hdu):
            whole = stack.enter_context(open_rows(path, hdu_index))
            readers.append(whole if corner is None else PartRows(whole, corner, shape))
        yield MasterRows(*readers)


@dataclass(frozen=True, slots=True)
class PartRows:
    """The part of a master that a smaller frame shows: begins at `corner`, has `shape`."""

    whole: RowFiller
    corner: tuple[int, int]
    shape: tuple[int, int]

    @property
    def name(self) -> str:
        """Name of the master."""
        return self.whole.name

    def rows(self, start: int, stop: int) -> Image:
        """Return rows start <= y < stop of the part."""
        y, x = self.corner
        return self.whole.rows(y + start, y + stop)[:, x : x + self.shape[1]]

    def fill(self, room: Image, start: int) -> None:
        """Write the rows from `start` on into an array, shape (n_row, n_x)."""
        room[:] = self.rows(start, start + len(room))


def is_whole(path: Path, checksum: str) -> bool:
    """Say whether the file of a master is there, and as it was made."""
    return path.is_file() and file_checksum(path) == checksum


def check_master(path: Path, checksum: str) -> None:
    """Refuse the file of a master that is gone or was altered."""
    if not path.is_file():
        raise CalibrationError(
            f"{path}: master file is gone. Run the same command again: it is made anew from its "
            "frames, if they are still there."
        )
    if file_checksum(path) != checksum:
        raise CalibrationError(
            f"{path}: master file was altered since it was made. Run the same command again: it "
            "is made anew from its frames, if they are still there."
        )


def write_master(path: Path, built: BuiltMaster, kind: str) -> None:
    """Write a master with the variance and the count of each pixel."""
    header = fits.Header()
    header["IMAGETYP"] = f"MASTER {kind.upper()}"
    header["NCOMBINE"] = (built.n_frame, "frames that went in")
    header["COMBINE"] = (built.method, "how they were combined")
    header["LEVEL"] = (built.level_adu, "[adu] median, of a flat before normalisation")
    header["NOISE"] = (built.noise_adu, "[adu] noise of one pixel, at that level")
    _write(
        path,
        fits.PrimaryHDU(built.data_adu.astype(np.float32), header),
        fits.ImageHDU(built.variance_adu2.astype(np.float32), name="VARIANCE"),
        fits.ImageHDU(built.n_used.astype(np.int16), name="COUNT"),
    )


def write_defects(path: Path, defects: Defects) -> None:
    """Write a map of defects."""
    header = fits.Header()
    header["IMAGETYP"] = "MASTER BADPIXEL"
    header["NHOT"] = (defects.n_hot_pix, "pixels with bit 8")
    header["NCOLD"] = (defects.n_cold_pix, "pixels with bit 16")
    header["NDEAD"] = (defects.n_dead_pix, "pixels with bit 32")
    _write(path, fits.PrimaryHDU(defects.bits, header))


def _read(path: Path, checksum: str) -> NDArray[Any]:
    check_master(path, checksum)
    return np.asarray(fits.getdata(path, 0, memmap=False))


def _write(path: Path, *hdus: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    n_byte = sum(hdu.data.nbytes for hdu in hdus)
    with disk.room_for(path.parent, n_byte), draft.open("wb") as file:
        fits.HDUList(list(hdus)).writeto(file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
