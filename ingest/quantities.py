"""What a header says of a quantity: the synonym table, and values with their traps undone.

The table ships as `keywords.toml`; a warehouse's configuration extends it. Sentinels become null,
units are taken from the value, the comment or the table, in this order.
"""

import difflib
import functools
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, NamedTuple

from ..errors import ConfigError
from .cards import Card, Header

_TABLES = (
    "units",
    "only_if_comment_says",
    "never_if_comment_says",
    "profiles",
    "frame_types",
    "bands",
    "ranges",
)
_NO_TEXT = frozenset({"", "nan", "null", "none", "undef", "undefined", "unknown", "n/a", "na", "-"})
_NO_NUMBER = frozenset({-999.0, -9999.0, -99999.0})
_MINUS_ONE_IS_NONE = re.compile(r"-1 *(if|when|means|for|=)|no data *= *-1", re.IGNORECASE)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµ\"'/]*)\s*")
_UNIT_WORDS = (
    ("K", re.compile(r"kelvin|[\[(]k[\])]|\bdeg\.? ?k\b", re.IGNORECASE)),
    ("F", re.compile(r"fahrenheit|[\[(]f[\])]|\bdeg\.? ?f\b", re.IGNORECASE)),
    ("C", re.compile(r"celsius|centigrade|[\[(]c[\])]|\bdeg\.? ?c\b|\bin c\b", re.IGNORECASE)),
    ("ms", re.compile(r"milli-?sec|\bms(ec)?\b", re.IGNORECASE)),
    ("us", re.compile(r"micro-?sec|\b[uµ]s(ec)?\b", re.IGNORECASE)),
    ("inch", re.compile(r"\binch(es)?\b", re.IGNORECASE)),
    ("hour", re.compile(r"\bhours?\b(?! angle)|[\[(]hr?s?[\])]", re.IGNORECASE)),
)
_TO_CANONICAL = {
    "degc": {"K": (1.0, -273.15), "F": (5 / 9, -160 / 9), "C": (1.0, 0.0)},
    "s": {"s": (1.0, 0.0), "ms": (1e-3, 0.0), "us": (1e-6, 0.0)},
    "mm": {"mm": (1.0, 0.0), "inch": (25.4, 0.0)},
    "deg": {"deg": (1.0, 0.0), "hour": (15.0, 0.0)},
}
# Sensors are cooled from room temperature: a larger number counts from absolute zero.
_KELVIN_ABOVE = 120.0
MAX_KEYWORD_SET = 1000  # sets of keywords that are remembered


class Found(NamedTuple):
    """A value and the keyword it came from."""

    value: Any
    keyword: str


@dataclass(frozen=True, slots=True)
class _Source:
    keyword: str
    only_if: re.Pattern[str] | None
    never_if: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Synonyms:
    """The synonym table, ready for look-ups. Make it once for many headers."""

    sources: Mapping[str, Mapping[str, tuple[_Source, ...]]]
    profile_patterns: Mapping[str, re.Pattern[str]]
    units: Mapping[str, str]
    ranges: Mapping[str, tuple[float, float]]
    frame_types: Mapping[str, str]
    bands: Mapping[str, str]
    _present: dict[tuple[str, frozenset[str]], dict[str, tuple[_Source, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def present(self, profile: str, keywords: frozenset[str]) -> dict[str, tuple[_Source, ...]]:
        """Return the sources of each quantity that a header has: one set of keywords a night."""
        held = self._present.get((profile, keywords))
        if held is None:
            held = {
                quantity: tuple(source for source in sources if source.keyword in keywords)
                for quantity, sources in self.sources[profile].items()
            }
            if len(self._present) < MAX_KEYWORD_SET:
                self._present[profile, keywords] = held
        return held

    def profile(self, header: Header) -> str:
        """Return the profile of the program that wrote the header, or '' for none."""
        said = [header.get(source.keyword) for source in self.sources[""]["program"]]
        text = " ".join(str(card.value) for card in said if card is not None)
        if text:
            for name, pattern in self.profile_patterns.items():
                if pattern.search(text):
                    return name
        return ""


def make_synonyms(extra: Mapping[str, Any] | None = None) -> Synonyms:
    """Merge what the configuration adds over the shipped table.

    Parameters
    ----------
    extra
        In the form of `keywords.toml`: lists of keywords by quantity, and the tables units, bands,
        frame_types, profiles ... Its lists come first.

    Raises
    ------
    ConfigError
        If a quantity is unknown, or a value is of the wrong kind.
    """
    if not extra:
        return _shipped_synonyms()
    table = {
        key: dict(value) if isinstance(value, dict) else value for key, value in _shipped().items()
    }
    for key, value in extra.items():
        if key not in table:
            near = difflib.get_close_matches(key, list(table), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(table)}."
            raise ConfigError(f"[keywords] {key}: no such quantity; {hint}")
        if isinstance(table[key], list):
            table[key] = [*_keywords(key, value), *table[key]]
        elif isinstance(value, dict):
            table[key] |= {
                name: [*_keywords(f"{key}.{name}", inner), *table[key].get(name, [])]
                if key in ("bands", "frame_types")
                else inner
                for name, inner in value.items()
            }
        else:
            raise ConfigError(f"[keywords] {key} = {value!r}; expected a table.")
    return _compile(table)


def _keywords(key: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    raise ConfigError(f"[keywords] {key} = {value!r}; expected a list of names.")


@functools.cache
def _shipped() -> dict[str, Any]:
    text = (
        resources.files("starmuster.ingest").joinpath("keywords.toml").read_text(encoding="utf-8")
    )
    return tomllib.loads(text)


@functools.cache
def _shipped_synonyms() -> Synonyms:
    return _compile(_shipped())


def _compile(table: Mapping[str, Any]) -> Synonyms:
    try:
        only = _patterns(table["only_if_comment_says"])
        never = _patterns(table["never_if_comment_says"])
        general = {
            quantity: tuple(
                _Source(word, only.get(f"{quantity}.{word}"), never.get(f"{quantity}.{word}"))
                for word in words
            )
            for quantity, words in table.items()
            if quantity not in _TABLES
        }
        sources = {"": general}
        for name, profile in table["profiles"].items():
            own = {
                quantity: tuple(_Source(word, None, None) for word in words)
                for quantity, words in profile.items()
                if quantity != "match"
            }
            sources[name] = general | own
        return Synonyms(
            sources=sources,
            profile_patterns=_patterns(
                {name: profile["match"] for name, profile in table["profiles"].items()}
            ),
            units={keyword: str(unit) for keyword, unit in table["units"].items()},
            ranges={
                name: (float(low), float(high)) for name, (low, high) in table["ranges"].items()
            },
            frame_types=_inverse(table["frame_types"], str.casefold),
            bands=_inverse(table["bands"], band_key),
        )
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise ConfigError(
            f"[keywords]: {error!r}. Compare with keywords.toml in the package starmuster.ingest."
        ) from error


def _patterns(table: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in table.items()}


def _inverse(table: Mapping[str, list[str]], key: Any) -> dict[str, str]:
    """Map every alias, and the name itself, to the name; the first mention wins."""
    inverse: dict[str, str] = {}
    for name, aliases in table.items():
        for alias in (*aliases, name):
            inverse.setdefault(key(alias), name)
    return inverse


def band_key(name: str) -> str:
    """Return the form in which band names are compared: case counts only in short names."""
    bare = re.sub(r"[\s_\-.]+", "", name)
    return bare if len(bare) <= 2 else bare.replace("'", "").casefold()


class Quantities:
    """The quantities of one header; what is odd is appended to `issues`."""

    def __init__(self, header: Header, synonyms: Synonyms) -> None:
        self.header = header
        self.synonyms = synonyms
        self.profile = synonyms.profile(header)
        self.issues: list[str] = list(header.issues)
        self._sources = synonyms.sources[self.profile]
        self._present = synonyms.present(self.profile, frozenset(header.by_keyword))

    def cards(self, quantity: str) -> list[Card]:
        """Return the cards that may hold the quantity, best first."""
        held: list[Card] = []
        for source in self._present.get(quantity, ()):
            card = self.header.by_keyword[source.keyword]
            if card.value is None:
                continue
            comment = card.comment or ""
            if source.only_if is not None and not source.only_if.search(comment):
                continue
            if source.never_if is not None and source.never_if.search(comment):
                continue
            held.append(card)
        return held

    def pairs(self, first: str, second: str) -> list[tuple[Card, Card]]:
        """Return pairs of cards whose keywords belong together, best first."""
        held: list[tuple[Card, Card]] = []
        for one, other in zip(self._sources[first], self._sources[second], strict=False):
            card = self.header.by_keyword.get(one.keyword)
            partner = self.header.by_keyword.get(other.keyword)
            if card is not None and partner is not None:
                held.append((card, partner))
        return held

    def text(self, quantity: str) -> Found | None:
        """Return the quantity as a text; sentinels and blanks are skipped."""
        for card in self.cards(quantity):
            text = card.text.strip()
            if not isinstance(card.value, bool) and text.casefold() not in _NO_TEXT:
                return Found(text, card.keyword)
        return None

    def number(self, quantity: str) -> Found | None:
        """Return the quantity in the unit its name ends in; sentinels are skipped.

        A value outside the table's range is skipped too, and becomes an issue.
        """
        low, high = self.synonyms.ranges.get(quantity, (-math.inf, math.inf))
        for card in self.cards(quantity):
            value = self.value_of(card, quantity.rpartition("_")[2])
            if value is None:
                continue
            if low <= value <= high:
                return Found(value, card.keyword)
            self.issues.append(
                f"{quantity}: {card.keyword} = {card.text} is not within {low:g} to {high:g}"
            )
        return None

    def value_of(self, card: Card, dimension: str) -> float | None:
        """Return a card's number, converted to the unit `dimension` ('degc', 's', 'deg' ...)."""
        value, unit = plain_number(card)
        if value is None:
            return None
        units = _TO_CANONICAL.get(dimension)
        if units is None:
            return value
        if unit not in units:
            unit = _unit_said(card.comment, dimension) or self.synonyms.units.get(card.keyword, "")
        if dimension == "degc" and unit in ("", "C") and value > _KELVIN_ABOVE:
            self.issues.append(f"{card.keyword} = {card.text} is taken as kelvin")
            unit = "K"
        factor, offset = units.get(unit, (1.0, 0.0))
        return value * factor + offset


@functools.lru_cache(maxsize=1024)
def _unit_said(comment: str | None, dimension: str) -> str | None:
    """Return the first unit of a dimension that a comment names."""
    if not comment:
        return None
    units = _TO_CANONICAL[dimension]
    return next(
        (name for name, word in _UNIT_WORDS if name in units and word.search(comment)), None
    )


def plain_number(card: Card) -> tuple[float | None, str]:
    """Return the number of a card and the unit written behind it; None for a sentinel."""
    value, unit = card.value, ""
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        if found is None:
            return None, ""
        value, unit = float(found[1]), found[2]
    if value is None or isinstance(value, bool):
        return None, ""
    if not abs(value) < 1e300 or value in _NO_NUMBER:
        return None, ""
    if value == -1 and card.comment is not None and _MINUS_ONE_IS_NONE.search(card.comment):
        return None, ""
    return float(value), unit
