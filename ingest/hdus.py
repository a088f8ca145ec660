"""The HDUs of a FITS file, scanned within bounds, up to the first image that can be measured.

No library touches a file before this scan has passed it: a header of one block that claims
NAXIS = 999999999 keeps a generous reader busy for ever.
"""

import math
import re
from dataclasses import dataclass

from ..errors import HeaderError
from .cards import CARD_BYTE, Header, merge_headers, parse_header
from .files import RawFile

BLOCK_BYTE = 2880
MAX_HEADER_BLOCK = 64
MAX_HDU = 256
MAX_AXIS = 3
MAX_PIXEL = 1 << 28
_READ_BLOCK = 8
_END = (b"END     ", b"END\0\0\0\0\0")
_BITPIX = frozenset({8, 16, 32, 64, -32, -64})
_COMPRESSIONS = frozenset(
    {"RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS"}
)


@dataclass(frozen=True, slots=True)
class Image:
    """The image of a file: its header (the primary's merged in), its HDU and its size."""

    header: Header
    hdu_index: int
    n_x_pix: int
    n_y_pix: int


@dataclass(frozen=True, slots=True)
class _Hdu:
    header: Header
    data_start: int
    data_byte: int
    axes: tuple[int, ...]


def find_image(file: RawFile) -> Image:
    """Find the first two-dimensional image, plain or compressed in a table.

    A third axis of length 1 is accepted. The pixels must be there in full.

    Raises
    ------
    HeaderError
        If the content is no FITS, breaks a bound, is truncated, or holds no such image; the
        message says what was found.
    """
    found: list[str] = []
    offset = 0
    primary: Header | None = None
    for hdu_index in range(MAX_HDU):
        hdu = _read_hdu(file, offset, hdu_index)
        if hdu is None:
            break
        size = _image_size(file, hdu)
        if isinstance(size, tuple):
            _require_data(file, hdu, hdu_index)
            header = hdu.header if primary is None else merge_headers(primary, hdu.header)
            return Image(header, hdu_index, *size)
        found.append(f"HDU {hdu_index} {size}")
        primary = hdu.header if primary is None else primary
        offset = hdu.data_start + _padded(hdu.data_byte)
    raise HeaderError(
        f"{file.path}: no two-dimensional image. Found: {', '.join(found[:8])}"
        f"{' ...' if len(found) > 8 else ''}. Only single images are catalogued."
    )


def _read_hdu(file: RawFile, offset: int, hdu_index: int) -> _Hdu | None:
    """Read the header at `offset`; None at the end of the file or before foreign bytes."""
    raw = file.read_at(offset, _READ_BLOCK * BLOCK_BYTE)
    if hdu_index == 0:
        if re.match(rb"SIMPLE *=", raw) is None:
            raise HeaderError(
                f"{file.path}: not FITS: begins with {raw[:8]!r}, expected b'SIMPLE  ='."
            )
    elif not raw.startswith(b"XTENSION"):
        return None
    end = _find_end(raw, 0)
    while end is None:
        n_held = len(raw)
        if n_held >= MAX_HEADER_BLOCK * BLOCK_BYTE:
            raise HeaderError(
                f"{file.path}: the header of HDU {hdu_index} has no END within "
                f"{MAX_HEADER_BLOCK} blocks."
            )
        more = file.read_at(offset + n_held, _READ_BLOCK * BLOCK_BYTE)
        if not more:
            raise HeaderError(
                f"{file.path}: truncated in the header of HDU {hdu_index}: no END after "
                f"{n_held} bytes. Copy it again."
            )
        raw += more
        end = _find_end(raw, n_held - CARD_BYTE)
    header = parse_header(raw[:end])
    axes = _axes(file, header, "NAXIS")
    return _Hdu(header, offset + _padded(end + CARD_BYTE), _data_byte(file, header, axes), axes)


def _find_end(raw: bytes, start: int) -> int | None:
    for word in _END:
        found = raw.find(word, start)
        while found >= 0:
            if found % CARD_BYTE == 0:
                return found
            found = raw.find(word, found + 1)
    return None


def _padded(n_byte: int) -> int:
    return -(-n_byte // BLOCK_BYTE) * BLOCK_BYTE


def _integer(file: RawFile, header: Header, keyword: str, default: int | None = None) -> int:
    """Return a structural keyword, which must be a whole number and not negative."""
    card = header.get(keyword)
    value = default if card is None else card.value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        seen = "is missing" if card is None else f"= {card.text or card.value!r}"
        raise HeaderError(f"{file.path}: {keyword} {seen}; expected a whole number from 0 up.")
    return value


def _axes(file: RawFile, header: Header, prefix: str) -> tuple[int, ...]:
    n_axis = _integer(file, header, prefix)
    if n_axis > MAX_AXIS:
        raise HeaderError(
            f"{file.path}: {prefix} = {n_axis}; expected 0 to {MAX_AXIS}. "
            "Only single images are catalogued."
        )
    return tuple(_integer(file, header, f"{prefix}{i}") for i in range(1, n_axis + 1))


def _data_byte(file: RawFile, header: Header, axes: tuple[int, ...]) -> int:
    """Return the bytes of the data: |BITPIX|/8 x GCOUNT x (PCOUNT + product of the axes)."""
    card = header.get("BITPIX")
    if card is None or card.value not in _BITPIX:
        seen = "is missing" if card is None else f"= {card.text}"
        raise HeaderError(f"{file.path}: BITPIX {seen}; expected 8, 16, 32, 64, -32 or -64.")
    groups = header.get("GROUPS")
    if groups is not None and groups.value is True and axes and axes[0] == 0:
        axes = axes[1:]
    n_element = math.prod(axes) if axes else 0
    n_parameter = _integer(file, header, "PCOUNT", 0)
    n_group = _integer(file, header, "GCOUNT", 1)
    return abs(int(card.value)) // 8 * n_group * (n_parameter + n_element)


def _image_size(file: RawFile, hdu: _Hdu) -> tuple[int, int] | str:
    """Return (n_x, n_y) of an image, or in words what the HDU holds instead."""
    kind = _text(hdu.header, "XTENSION") or "PRIMARY"
    axes = hdu.axes
    if _is_true(hdu.header, "ZIMAGE"):
        axes = _axes(file, hdu.header, "ZNAXIS")
        if (compression := _text(hdu.header, "ZCMPTYPE")) not in _COMPRESSIONS:
            return f"image compressed by the unknown method {compression!r}"
    elif kind not in ("PRIMARY", "IMAGE"):
        return f"{kind} table of {_times(axes)}"
    if math.prod(axes) > MAX_PIXEL:
        raise HeaderError(f"{file.path}: {_times(axes)} pixels; the limit is {MAX_PIXEL}.")
    return _not_an_image(axes) or (axes[0], axes[1])


def _not_an_image(axes: tuple[int, ...]) -> str | None:
    if not axes or math.prod(axes) == 0:
        return "without pixels"
    if len(axes) < 2 or min(axes[:2]) < 2:
        return f"spectrum or row of {_times(axes)}"
    if math.prod(axes[2:]) != 1:
        return f"cube of {_times(axes)}"
    return None


def _require_data(file: RawFile, hdu: _Hdu, hdu_index: int) -> None:
    n_needed = hdu.data_start + hdu.data_byte
    n_held = file.content_size(n_needed)
    if n_held < n_needed:
        raise HeaderError(
            f"{file.path}: truncated: HDU {hdu_index} needs {n_needed} bytes, the file holds "
            f"{n_held}. Copy it again."
        )


def _text(header: Header, keyword: str) -> str:
    card = header.get(keyword)
    return str(card.value).strip() if card is not None and card.value is not None else ""


def _is_true(header: Header, keyword: str) -> bool:
    card = header.get(keyword)
    return card is not None and card.value is True


def _times(axes: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in axes) or "nothing"
