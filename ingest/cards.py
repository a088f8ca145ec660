"""The cards of a FITS header: a fast, lenient parser that never loses a card.

One regular expression reads a card as the standard writes it. Whatever it does not match is read
leniently, kept with its raw text, and mentioned in the header's issues; nothing here can fail.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

CARD_BYTE = 80
_CACHED_CARDS = 8192

Value = str | int | float | bool | None

# Groups: text, number, logical, complex number, comment.
_VALUE = r"""
    \ *
    (?: '([^']*(?:''[^']*)*)'
      | ([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[EeDd][+-]?\d+)?)
      | ([TF])
      | (\([^()/']*\))
    )?
    \ *(?:/(.*))?
"""
_STANDARD = re.compile(_VALUE, re.VERBOSE)
_HIERARCH = re.compile(rf"HIERARCH\ +([^=]*?)\ *={_VALUE}", re.VERBOSE)
_LENIENT = re.compile(rf"\ *([A-Za-z0-9_.-]+)\ *={_VALUE}", re.VERBOSE)
_BROKEN = re.compile(r" *([A-Za-z0-9_.-]+) *= *(.*)")
_NAME = re.compile(r"[A-Z0-9_-]*")
_PRINTABLE = bytes(range(32, 127))
_CONTROL = dict.fromkeys([*range(32), 127], " ")
_COMMENTARY = frozenset({"", "COMMENT", "HISTORY", "CONTINUE"})


class Card(NamedTuple):
    """One card. `text` is the value as written: it holds the decimals a number was given with."""

    keyword: str
    value: Value
    comment: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """All cards in their order, the first of each keyword by name, and what was odd."""

    cards: tuple[Card, ...]
    issues: tuple[str, ...]
    by_keyword: Mapping[str, Card]

    def get(self, keyword: str) -> Card | None:
        """Return the card that counts for this keyword."""
        return self.by_keyword.get(keyword)

    def to_json(self) -> str:
        """Return the cards as a JSON list of [keyword, value, comment]."""
        return f"[{','.join(map(_card_json, self.cards))}]"


def parse_header(raw: bytes) -> Header:
    """Parse the cards before END.

    Bytes outside ASCII are read as Latin-1 and control characters as blanks; both are mentioned.
    The first of several cards of one keyword counts, as in most readers.
    """
    issues: list[str] = []
    text = raw.decode("latin-1")
    if raw.translate(None, _PRINTABLE):
        cleaned = text.translate(_CONTROL)
        if cleaned != text:
            issues.append("the header holds control characters, read as blanks")
        if not raw.isascii():
            issues.append("the header holds bytes outside ASCII, read as Latin-1")
        text = cleaned
    cards: list[Card] = []
    for start in range(0, len(text), CARD_BYTE):
        line = text[start : start + CARD_BYTE]
        card = _standard_card(line)
        if card is not None:
            cards.append(card)
        elif not line.isspace() and not _continue(cards, line):
            _append_odd(cards, line, issues)
    by_keyword = _index(cards, issues)
    return Header(tuple(cards), tuple(issues), by_keyword)


def merge_headers(primary: Header, extension: Header) -> Header:
    """Join the header of an image extension to the primary's.

    Cards are listed primary first. Where both hold a keyword the extension's counts: it is the
    one that speaks of the image (FITS standard 4.0, section 4.4.2.6, INHERIT).
    """
    return Header(
        primary.cards + extension.cards,
        tuple(dict.fromkeys(primary.issues + extension.issues)),
        {**primary.by_keyword, **extension.by_keyword},
    )


# Most cards of a night's frames are the same to the byte: each is read once.
@lru_cache(maxsize=_CACHED_CARDS)
def _standard_card(line: str) -> Card | None:
    """Read a card that is written as the standard says; None if it is not."""
    if line[8:10] != "= " or _NAME.fullmatch(keyword := line[:8].rstrip()) is None:
        return None
    found = _STANDARD.fullmatch(line, 10)
    return None if found is None else _card(keyword, *found.groups())


@lru_cache(maxsize=_CACHED_CARDS)
def _card_json(card: Card) -> str:
    # equal cards are written alike: 1, 1.0 and true differ in their text
    return json.dumps(card[:3], allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _card(  # noqa: PLR0917 (the groups of _VALUE, in its order)
    keyword: str,
    string: str | None,
    number: str | None,
    logical: str | None,
    complex_: str | None,
    comment: str | None,
) -> Card:
    if comment is not None:
        comment = comment.strip() or None
    if number is not None:
        return Card(keyword, _number(number), comment, number)
    if string is not None:
        value = string.rstrip()
        if "'" in value:
            value = value.replace("''", "'")
        return Card(keyword, value, comment, value)
    if logical is not None:
        return Card(keyword, logical == "T", comment, logical)
    return Card(keyword, complex_, comment, complex_ or "")


def _number(text: str) -> int | float | str:
    if text.isdecimal() or (text[1:].isdecimal() and text[0] in "+-"):
        return int(text)
    value = float(text.replace("D", "E").replace("d", "e"))
    # -1.8e308 is some program's word for "not set": no finite number, so it stays a text.
    return value if abs(value) < float("inf") else text


def _continue(cards: list[Card], line: str) -> bool:
    """Append a CONTINUE card to the long string before it, if there is one."""
    if not line.startswith("CONTINUE  ") or not cards:
        return False
    before, found = cards[-1], _STANDARD.fullmatch(line, 10)
    if found is None or not isinstance(before.value, str) or not before.value.endswith("&"):
        return False
    more = _card("CONTINUE", *found.groups())
    value = before.value[:-1] + str(more.value or "")
    comment = " ".join(part for part in (before.comment, more.comment) if part)
    cards[-1] = Card(before.keyword, value, comment or None, value)
    return True


def _append_odd(cards: list[Card], line: str, issues: list[str]) -> None:
    """Read a card that is not a plain `KEYWORD = value / comment`; keep it whatever it is."""
    keyword = line[:8].rstrip()
    if keyword in _COMMENTARY and line[8:10] != "= ":
        cards.append(Card(keyword, line[8:].rstrip(), None, ""))
        return
    hierarch = _HIERARCH.fullmatch(line)
    if hierarch is not None:
        cards.append(_card(hierarch[1].upper(), *hierarch.groups()[1:]))
        return
    if _NAME.fullmatch(keyword) and "=" not in line:
        cards.append(Card(keyword, line[8:].strip(), None, ""))
        return
    issues.append(f"card {len(cards) + 1} is not standard: {line.rstrip()!r}")
    lenient = _LENIENT.fullmatch(line)
    if lenient is not None:
        cards.append(_card(lenient[1].upper(), *lenient.groups()[1:]))
        return
    broken = _BROKEN.fullmatch(line)
    if broken is None:
        cards.append(Card("", line.rstrip(), None, ""))
        return
    value = broken[2].partition(" /")[0].strip().strip("'").rstrip()
    cards.append(Card(broken[1].upper(), value, f"as written: {line.rstrip()}", value))


def _index(cards: list[Card], issues: list[str]) -> dict[str, Card]:
    first: dict[str, Card] = {}
    for card in cards:
        if card.keyword in _COMMENTARY:
            continue
        held = first.setdefault(card.keyword, card)
        if held is not card and held.value != card.value:
            issues.append(
                f"{card.keyword} stands twice: {held.text!r} is used, {card.text!r} is not"
            )
    return first
