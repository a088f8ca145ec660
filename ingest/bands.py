"""Names of photometric bands, and the types of frames, in the words of many programs."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import NamedTuple

from .quantities import Found, Quantities, band_key

_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_WORD = re.compile(r"[^\W\d_]+")
_NEUTRAL = frozenset({"frame", "frames", "field", "fields", "raw", "raws", "fits", "fit", "image"})
_NEUTRAL_MAX_LETTERS = 2
_N_FOLDER = 2


class FrameType(NamedTuple):
    """A frame type (None: unknown) and where it was learnt."""

    frame_type: str | None
    source: str
    keyword: str | None


def read_band(quantities: Quantities) -> tuple[str | None, Found | None]:
    """Return the normalised band and the name as given; a name found nowhere stays as it is.

    Wheel positions and pass bands in brackets are dropped: ' (2) r (530-700)  ' is r.
    """
    for card in quantities.cards("band"):
        given = card.text.strip()
        name = _BRACKETS.sub(" ", given).strip() or given
        if given and not isinstance(card.value, bool):
            return quantities.synonyms.bands.get(band_key(name), name), Found(given, card.keyword)
    return None, None


def read_frame_type(quantities: Quantities, path_hint: str, is_on_target: bool) -> FrameType:
    """Decide what kind of frame it is.

    The first rule that gives an answer counts:

    1. the header's type, by its first word ('Light Frame', 'FLAT', 'object'; 'Dark Flat' and
       'Flat Dark' are darkflat); source `header`;
    2. an OBJECT that is called bias, dark or flat; source `header`;
    3. words of the file name ('bias1', 'domeflat_g_001'), if they name one type and do not
       belong to the target's name; source `file name`;
    4. the two folders above it, the nearer first, if their first word is a type and nothing but
       counts, bands and words like 'frames' follow ('LIGHT', 'flats_V'); source `folder`;
    5. without any type in the header, a named target, a pointing and an exposure make a light;
       source `inferred`.

    Else it is unknown: None, source `none`, and an issue says so.
    """
    types = quantities.synonyms.frame_types
    given = next((card for card in quantities.cards("frame_type") if _letters(card.value)), None)
    if given is not None:
        known = _first_word_type(str(given.value), types)
        if known is not None:
            return FrameType(known, "header", given.keyword)
    target = quantities.text("target_name")
    if target is not None and (known := types.get(str(target.value).casefold())) is not None:
        return FrameType(known, "header", target.keyword)
    path = PurePath(path_hint)
    known = _file_name_type(path.name, str(target.value) if target else "", types)
    if known is not None:
        return FrameType(known, "file name", None)
    for folder in list(reversed(path.parts[:-1]))[:_N_FOLDER]:
        if (known := _folder_type(folder, types, quantities.synonyms.bands)) is not None:
            return FrameType(known, "folder", None)
    if given is None and is_on_target:
        return FrameType("light", "inferred", None)
    seen = f"{given.keyword} = {given.text!r} is no known type" if given else "no type is given"
    quantities.issues.append(f"frame type unknown: {seen}, and neither file nor folder tell")
    return FrameType(None, "none", None)


def _letters(value: object) -> bool:
    return isinstance(value, str) and _WORD.search(value) is not None


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _first_word_type(text: str, types: Mapping[str, str]) -> str | None:
    words = _words(text)
    if {"dark", "flat"} <= set(words[:2]):
        return "darkflat"
    return types.get(words[0]) if words else None


def _file_name_type(name: str, target: str, types: Mapping[str, str]) -> str | None:
    words = set(_words(name.partition(".")[0] or name)) - set(_words(target))
    named = {types[word] for word in words if word in types}
    if named == {"dark", "flat"}:
        return "darkflat"
    return named.pop() if len(named) == 1 else None


def _folder_type(name: str, types: Mapping[str, str], bands: Mapping[str, str]) -> str | None:
    words = _words(name)
    known = _first_word_type(name, types)
    rest = words[2 if known == "darkflat" and types.get(words[0]) != "darkflat" else 1 :]
    is_plain = all(
        word in _NEUTRAL or len(word) <= _NEUTRAL_MAX_LETTERS or band_key(word) in bands
        for word in rest
    )
    return known if is_plain else None
