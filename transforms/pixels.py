"""Pixels of one frame from disk, whole or in bands of rows.

Three kinds of file look the same from outside: plain FITS (a band is one seek and one read), FITS
in gzip (a stream that is only ever read forwards, as long as the bands come in order) and tile
compressed `.fz` (only the tiles of the band are unpacked). None of them needs the whole frame.
"""

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import numpy as np
from astropy.io import fits
from numba import njit
from numpy.typing import NDArray

from ..errors import PixelError
from .pixel_layout import Layout, locate, readable

Image = NDArray[np.float32]
BLOCK_BYTE = 1 << 18  # read and made numbers of at once
RAW_DTYPE = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


class RowReader(Protocol):
    """What a combination needs to know of a frame: its shape, and rows on demand."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    def rows(self, start: int, stop: int) -> Image: ...


class RowFiller(RowReader, Protocol):
    """A reader that can fill an array again and again, so that no memory is asked for."""

    def fill(self, room: Image, start: int) -> None: ...


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """An image in memory, shape (n_y, n_x), as a reader of its rows."""

    image: NDArray[Any]
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the image, (n_y, n_x)."""
        n_y, n_x = self.image.shape
        return n_y, n_x

    def rows(self, start: int, stop: int) -> Image:
        """Return rows start <= y < stop as float32, shape (stop - start, n_x)."""
        return self.image[start:stop].astype(np.float32, copy=False)

    def fill(self, room: Image, start: int) -> None:
        """Write the rows from `start` on into an array, shape (n_row, n_x)."""
        room[:] = self.image[start : start + len(room)]


def read_pixels(
    path: str | os.PathLike[str],
    hdu_index: int,
    *,
    shape: tuple[int, int] | None = None,
    room: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Read the image of one HDU.

    Parameters
    ----------
    path, hdu_index
        File (plain, `.gz` or `.fz`) and 0-based HDU.
    shape
        (n_y, n_x) the image had when it was catalogued; None trusts the file.
    room
        Contiguous array that is needed no more: where the pixels of the file take as much, they
        are read into it, for memory that is asked for anew costs more than reading.

    Returns
    -------
    Array of shape (n_y, n_x), native byte order: the integers of the camera where the file holds
    integers without scaling, else float32. Blank pixels are nan (then it is float32).

    Raises
    ------
    PixelError
        The file is gone, changed, truncated or no image.
    """
    with open_rows(path, hdu_index, shape=shape) as reader:
        return reader.native(0, reader.shape[0], room=room)


def open_rows(
    path: str | os.PathLike[str], hdu_index: int, *, shape: tuple[int, int] | None = None
) -> "FrameRows":
    """Open the image of one HDU for reading in bands of rows.

    Same arguments and errors as `read_pixels`. Memory is that of the band asked for; a `.gz` read
    in any other order than forwards is unpacked again from its beginning.
    """
    path = Path(path)
    layout = locate(path, hdu_index)
    if shape is not None and layout.shape != tuple(shape):
        raise PixelError(
            f"{path}: changed since it was catalogued: {_size(layout.shape)} pixels, expected "
            f"{_size(shape)}. Ingest it again."
        )
    kind = TiledRows if layout.is_tiled else PlainRows
    return kind(path, hdu_index, layout)


class FrameRows:
    """Rows of one frame on disk. Use it as a context manager, or call `close`."""

    def __init__(self, path: Path, hdu_index: int, layout: Layout) -> None:
        self.path = path
        self.hdu_index = hdu_index
        self.layout = layout
        self._signature = _signature(path)

    @property
    def name(self) -> str:
        """Path of the file, for messages."""
        return str(self.path)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the image, (n_y, n_x)."""
        return self.layout.shape

    def rows(self, start: int, stop: int) -> Image:
        """Return rows start <= y < stop as float32, shape (stop - start, n_x)."""
        return self.native(start, stop).astype(np.float32, copy=False)

    def native(self, start: int, stop: int, *, room: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return rows start <= y < stop as the camera's integers, or float32; see `read_pixels`."""
        self._check(start, stop)
        with readable(self.path):
            return self._read(start, stop, room)

    def fill(self, room: Image, start: int) -> None:
        """Write the rows from `start` on into a contiguous array, shape (n_row, n_x)."""
        room[:] = self.rows(start, start + len(room))

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start < stop <= self.shape[0]:
            raise IndexError(f"rows {start}:{stop} of {self.shape[0]}")
        if _signature(self.path) != self._signature:
            raise PixelError(f"{self.path}: changed while it was read. Ingest it again.")

    def _read(self, start: int, stop: int, room: NDArray[Any] | None) -> NDArray[Any]:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class PlainRows(FrameRows):
    """Rows of an uncompressed image, in a plain file or in a gzip stream."""

    _stream: gzip.GzipFile | None = None

    def _read(self, start: int, stop: int, room: NDArray[Any] | None) -> NDArray[Any]:
        width = self.shape[1]
        dtype = np.dtype(RAW_DTYPE[self.layout.bitpix])
        offset = self.layout.offset_byte + start * width * dtype.itemsize
        if room is not None and room.nbytes == (stop - start) * width * dtype.itemsize:
            raw = room.view(dtype).reshape(stop - start, width)
        else:
            raw = np.empty((stop - start, width), dtype)
        is_camera_integer = self.layout.is_unsigned and dtype.itemsize == 2
        if not is_camera_integer or self.layout.blank is not None or sys.byteorder == "big":
            with self._at(offset) as file:
                self._read_whole(file, raw, start)
            return _to_numbers(raw, self.layout)
        numbers = raw.view(np.uint16)
        n_row = max(1, BLOCK_BYTE // (2 * width))
        with self._at(offset) as file:
            for first in range(0, len(raw), n_row):
                some = slice(first, first + n_row)
                self._read_whole(file, raw[some], start + first)
                _swap_unsigned(numbers[some])  # while it is in the processor's caches
        return numbers

    def fill(self, room: Image, start: int) -> None:
        """Write the rows from `start` on into a contiguous array, shape (n_row, n_x)."""
        if not self.layout.is_plain_float:
            super().fill(room, start)
            return
        self._check(start, start + len(room))
        with readable(self.path):
            offset = self.layout.offset_byte + start * self.shape[1] * room.itemsize
            with self._at(offset) as file:
                self._read_whole(file, room, start)
        if sys.byteorder == "little":
            room.byteswap(inplace=True)

    def _read_whole(self, file: IO[bytes] | gzip.GzipFile, raw: NDArray[Any], start: int) -> None:
        n_read = _read_into(file, raw)
        if n_read != raw.nbytes:
            raise PixelError(
                f"{self.path}: truncated: {n_read} of {raw.nbytes} bytes in rows {start} to "
                f"{start + len(raw) - 1}. Copy the file again."
            )

    @contextmanager
    def _at(self, offset: int) -> Iterator[IO[bytes] | gzip.GzipFile]:
        """Give the unzipped file, at a place in it."""
        if not self.layout.is_gzip:
            # opened anew for each band: hundreds of frames are combined at once, and the number
            # of files a process may hold open is small
            with open(self.path, "rb", buffering=0) as file:
                file.seek(offset)
                yield file
            return
        if self._stream is None:
            self._stream = gzip.GzipFile(self.path, "rb")
        self._stream.seek(offset)
        yield self._stream

    def close(self) -> None:
        """Let go of the gzip stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class TiledRows(FrameRows):
    """Rows of a tile-compressed image: only the tiles of the band are unpacked."""

    _hdus: fits.HDUList | None = None

    def _read(self, start: int, stop: int, room: NDArray[Any] | None) -> NDArray[Any]:
        if self._hdus is None:
            self._hdus = fits.open(self.path, memmap=False)
        section: Any = self._hdus[self.hdu_index].section  # pyright: ignore[reportAttributeAccessIssue]
        leading = (0,) * (len(section.shape) - 2)
        band = np.asarray(section[(*leading, slice(start, stop))])
        is_kept = band.dtype.kind in "iu" and band.dtype.itemsize <= 4
        return band.astype(band.dtype.newbyteorder("=") if is_kept else np.float32, copy=False)

    def close(self) -> None:
        """Let go of the file."""
        if self._hdus is not None:
            self._hdus.close()
            self._hdus = None


def _read_into(file: IO[bytes] | gzip.GzipFile, raw: NDArray[Any]) -> int:
    """Fill an array from a file that may give less than asked for at a time."""
    view = memoryview(raw.data).cast("B")
    n_read = 0
    while n_read < len(view):
        n_new = file.readinto(view[n_read:])  # pyright: ignore[reportAttributeAccessIssue]
        if not n_new:
            break
        n_read += n_new
    return n_read


def _to_numbers(raw: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Make native numbers of big-endian pixels, in their place where the size stays."""
    if layout.is_unsigned and layout.blank is None:
        unsigned = _in_native_order(raw).view(f"u{layout.bitpix // 8}")
        unsigned ^= 2 ** (layout.bitpix - 1)
        return unsigned
    if layout.is_plain_integer or layout.is_plain_float:
        return _in_native_order(raw)
    values = raw.astype(np.float64) * layout.bscale + layout.bzero
    if layout.blank is not None and layout.bitpix > 0:
        values[raw == layout.blank] = np.nan
    return values.astype(np.float32)


@njit(cache=True, nogil=True)
def _swap_unsigned(stored):
    """Make unsigned numbers of signed ones of the other byte order, in their place."""
    for j in range(stored.shape[0]):
        row = stored[j]
        for i in range(row.size):
            row[i] = ((row[i] >> 8) | ((row[i] & 0xFF) << 8)) ^ 0x8000


def _in_native_order(raw: NDArray[Any]) -> NDArray[Any]:
    if sys.byteorder == "little":
        raw.byteswap(inplace=True)
    return raw.view(raw.dtype.newbyteorder("="))


def _signature(path: Path) -> tuple[int, int, int]:
    """Tell a file from any later version of itself."""
    try:
        stat = path.stat()
    except OSError as error:
        raise PixelError(
            f"{path}: gone ({error.strerror}). Put it back or ingest again."
        ) from error
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _size(shape: tuple[int, int]) -> str:
    """Write a shape as people do, x first."""
    return f"{shape[1]} x {shape[0]}"
