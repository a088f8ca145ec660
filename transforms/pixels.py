"""Pixels of one frame from disk, whole or in bands of rows.

Three kinds of file look the same from outside: plain FITS (a band is one seek and one read), FITS
in gzip (a stream that is only ever read forwards, as long as the bands come in order) and tile
compressed `.fz` (only the tiles of the band are unpacked). None of them needs the whole frame.
"""

import gzip
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..errors import PixelError

Image = NDArray[np.float32]
GZIP_MAGIC = b"\x1f\x8b"
FITS_MAGIC = b"SIMPLE"
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


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the pixels of an HDU lie in the unzipped file, and how numbers are made of them."""

    shape: tuple[int, int]
    offset_byte: int
    span_byte: int
    bitpix: int
    bscale: float
    bzero: float
    blank: int | None
    is_tiled: bool
    is_gzip: bool

    @property
    def is_unsigned(self) -> bool:
        """Unsigned integers are stored as signed ones with half the range as zero point."""
        return self.bitpix in (16, 32) and self.bscale == 1 and self.bzero == 2 ** (self.bitpix - 1)

    @property
    def is_plain_integer(self) -> bool:
        """The stored integers are the values: no scaling and no missing pixels."""
        has_offset = self.bscale != 1 or self.bzero != 0
        return 0 < self.bitpix <= 32 and self.blank is None and not has_offset

    @property
    def is_plain_float(self) -> bool:
        """The stored numbers are the values, in float32."""
        return self.bitpix == -32 and self.bscale == 1 and self.bzero == 0


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
    layout = _locate(path, hdu_index)
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
        with _readable(self.path):
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
        self._read_whole(raw, offset, start)
        return _to_numbers(raw, self.layout)

    def fill(self, room: Image, start: int) -> None:
        """Write the rows from `start` on into a contiguous array, shape (n_row, n_x)."""
        if not self.layout.is_plain_float:
            super().fill(room, start)
            return
        self._check(start, start + len(room))
        with _readable(self.path):
            offset = self.layout.offset_byte + start * self.shape[1] * room.itemsize
            self._read_whole(room, offset, start)
        if sys.byteorder == "little":
            room.byteswap(inplace=True)

    def _read_whole(self, raw: NDArray[Any], offset: int, start: int) -> None:
        n_read = self._read_bytes(raw, offset)
        if n_read != raw.nbytes:
            raise PixelError(
                f"{self.path}: truncated: {n_read} of {raw.nbytes} bytes in rows {start} to "
                f"{start + len(raw) - 1}. Copy the file again."
            )

    def _read_bytes(self, raw: NDArray[Any], offset: int) -> int:
        if not self.layout.is_gzip:
            # opened anew for each band: hundreds of frames are combined at once, and the number
            # of files a process may hold open is small
            with open(self.path, "rb", buffering=0) as file:
                file.seek(offset)
                return _read_into(file, raw)
        if self._stream is None:
            self._stream = gzip.GzipFile(self.path, "rb")
        self._stream.seek(offset)
        return _read_into(self._stream, raw)

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


def _in_native_order(raw: NDArray[Any]) -> NDArray[Any]:
    if sys.byteorder == "little":
        raw.byteswap(inplace=True)
    return raw.view(raw.dtype.newbyteorder("="))


def _locate(path: Path, hdu_index: int) -> Layout:
    """Find the pixels of an HDU without reading them."""
    with _readable(path):
        with open(path, "rb") as file:
            magic = file.read(6)
        is_gzip = magic.startswith(GZIP_MAGIC)
        if not is_gzip and magic != FITS_MAGIC:
            raise PixelError(
                f"{path}: begins with {magic!r}, neither plain FITS nor gzip. Unpack it first."
            )
        with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
            layout = _layout(path, hdus, hdu_index, is_gzip=is_gzip)
        end_byte = layout.offset_byte + layout.span_byte
        if not is_gzip and path.stat().st_size < end_byte:
            raise PixelError(
                f"{path}: truncated: {path.stat().st_size} bytes, its header announces {end_byte}. "
                "Copy the file again."
            )
    return layout


def _layout(path: Path, hdus: fits.HDUList, hdu_index: int, *, is_gzip: bool) -> Layout:
    try:
        hdu: Any = hdus[hdu_index]
    except IndexError as error:
        raise PixelError(f"{path}: no HDU {hdu_index}. Ingest the file again.") from error
    header = hdu.header
    is_tiled = isinstance(hdu, fits.BinTableHDU) and bool(header.get("ZIMAGE", False))
    prefix = "Z" if is_tiled else ""
    n_axis = int(header.get(f"{prefix}NAXIS", 0))
    lengths = [int(header[f"{prefix}NAXIS{axis}"]) for axis in range(1, n_axis + 1)]
    is_image = is_tiled or (hdu.is_image and not isinstance(hdu, fits.GroupsHDU))
    is_flat = len(lengths) >= 2 and min(lengths) > 0 and all(n == 1 for n in lengths[2:])
    if not (is_image and is_flat):
        raise PixelError(
            f"{path}: HDU {hdu_index} is no image of two axes but {type(hdu).__name__} with axes "
            f"{lengths}. Ingest the file again."
        )
    place: Any = hdu.fileinfo()
    bitpix = int(header[f"{prefix}BITPIX"])
    # without the padding of the last block, which is often missing and nobody needs
    if is_tiled:
        n_byte = header["NAXIS1"] * header["NAXIS2"] + header.get("PCOUNT", 0)
    else:
        n_byte = lengths[0] * lengths[1] * abs(bitpix) // 8
    blank = header.get("BLANK")
    return Layout(
        shape=(lengths[1], lengths[0]),
        offset_byte=int(place["datLoc"]),
        span_byte=int(n_byte),
        bitpix=bitpix,
        bscale=float(header.get("BSCALE", 1)),
        bzero=float(header.get("BZERO", 0)),
        blank=int(blank) if blank is not None and bitpix > 0 else None,
        is_tiled=is_tiled,
        is_gzip=is_gzip,
    )


def _signature(path: Path) -> tuple[int, int, int]:
    """Tell a file from any later version of itself."""
    try:
        stat = path.stat()
    except OSError as error:
        raise PixelError(
            f"{path}: gone ({error.strerror}). Put it back or ingest again."
        ) from error
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a parser raise or warn into one PixelError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is checked by hand
            yield
    except PixelError:
        raise
    except FileNotFoundError as error:
        raise PixelError(f"{path}: gone. Put it back or ingest its folder again.") from error
    except EOFError as error:
        raise PixelError(f"{path}: truncated within its gzip stream. Copy it again.") from error
    except MemoryError:
        raise
    except Exception as error:  # astropy raises nearly anything on damaged bytes
        raise PixelError(
            f"{path}: its pixels cannot be read: {type(error).__name__}: {error}. Copy it again."
        ) from error


def _size(shape: tuple[int, int]) -> str:
    """Write a shape as people do, x first."""
    return f"{shape[1]} x {shape[0]}"
