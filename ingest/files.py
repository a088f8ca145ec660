"""A file on disk, opened so that nothing it is or holds can hang or harm the reader."""

import gzip
import os
import stat
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import xxhash

from ..errors import HeaderError

MAX_UNPACKED_BYTE = 1 << 30
_CHUNK_BYTE = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_NO_FITS = {
    b"\x1f\x9d": "LZW-compressed (.Z): run `uncompress` on it first",
    b"BZh": "bzip2-compressed: run `bunzip2` on it first",
    b"\xfd7zXZ": "xz-compressed: run `unxz` on it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\x00\x05\x16\x07": "a macOS companion file (AppleDouble), which holds no image: delete it",
    b"\x00\x05\x16\x00": "a macOS companion file (AppleSingle), which holds no image: delete it",
}


class RawFile:
    """An open regular file: bytes at an offset, gzip unpacked, and the hash of the content.

    Links, FIFOs and devices are refused before a byte is read: opening does not follow the last
    link nor wait for a FIFO's writer.

    Raises
    ------
    HeaderError
        If it is not a regular file, is empty, or is packed in a way that is not read here.
    OSError
        If the system does not let it be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = os.open(path, flags)
        self._gzip: gzip.GzipFile | None = None
        try:
            state = os.fstat(self._descriptor)
            self.size_byte, self.mtime_ns = state.st_size, state.st_mtime_ns
            if not stat.S_ISREG(state.st_mode):
                raise HeaderError(f"{path}: not a regular file; expected a FITS file.")
            self._open_content()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        if self._gzip is not None:
            self._gzip.close()
        os.close(self._descriptor)

    def _open_content(self) -> None:
        magic = os.pread(self._descriptor, 8, 0)
        if not magic:
            raise HeaderError(f"{self.path}: empty file; expected a FITS header. Copy it again.")
        if magic.startswith(_GZIP_MAGIC):
            stream = open(self._descriptor, "rb", closefd=False)  # noqa: SIM115
            self._gzip = gzip.GzipFile(fileobj=stream)
        for start, meaning in _NO_FITS.items():
            if magic.startswith(start):
                raise HeaderError(f"{self.path}: {meaning}.")

    def read_at(self, offset: int, n_byte: int) -> bytes:
        """Return up to `n_byte` bytes from `offset` of the (unpacked) content.

        Raises
        ------
        HeaderError
            If packed content is damaged or unpacks to more than `MAX_UNPACKED_BYTE`.
        """
        if self._gzip is None:
            return os.pread(self._descriptor, n_byte, offset)
        if offset + n_byte > MAX_UNPACKED_BYTE:
            raise HeaderError(
                f"{self.path}: needs more than {MAX_UNPACKED_BYTE} bytes when unpacked, "
                "the limit. Unpack it yourself if it is what it should be."
            )
        try:
            self._gzip.seek(offset)
            return self._gzip.read(n_byte)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise HeaderError(
                f"{self.path}: damaged gzip content ({error}). Copy it again."
            ) from error

    def content_size(self, n_needed_byte: int) -> int:
        """Return the size of the content; of packed content no more than is needed is unpacked."""
        if self._gzip is None:
            return self.size_byte
        if n_needed_byte and not self.read_at(n_needed_byte - 1, 1):
            return self._gzip.tell()
        return n_needed_byte

    def content_hash(self) -> str:
        """Return xxh3-128 of the file's bytes (packed ones as they are).

        Raises
        ------
        HeaderError
            If the file changed since it was opened: it is still being written.
        """
        digest = xxhash.xxh3_128()
        n_read = 0
        while chunk := os.pread(self._descriptor, _CHUNK_BYTE, n_read):
            digest.update(chunk)
            n_read += len(chunk)
            if n_read > self.size_byte:
                break
        state = os.fstat(self._descriptor)
        if (n_read, state.st_size, state.st_mtime_ns) != (
            self.size_byte,
            self.size_byte,
            self.mtime_ns,
        ):
            raise HeaderError(
                f"{self.path}: changed while it was read ({self.size_byte} bytes at first, "
                f"{state.st_size} at the end). It is tried again by the next ingest."
            )
        return digest.hexdigest()
