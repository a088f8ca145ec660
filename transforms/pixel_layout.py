"""Where the pixels of an HDU lie in its file, told by the header alone."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from ..errors import PixelError

GZIP_MAGIC = b"\x1f\x8b"
FITS_MAGIC = b"SIMPLE"


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


def locate(path: Path, hdu_index: int) -> Layout:
    """Find the pixels of an HDU without reading them.

    Raises
    ------
    PixelError
        The file is gone, truncated or no image.
    """
    with readable(path):
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


@contextmanager
def readable(path: Path) -> Iterator[None]:
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
