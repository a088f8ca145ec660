"""When a frame was exposed: the time cards of many programs, with their traps undone.

Every card gives a `Stamp`: a UTC and how finely the card was written. Local times count only with
their offset; bare dates are joined to a time of day; Julian dates are as good as their decimals.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .cards import Card
from .quantities import Quantities, plain_number

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})|(\d{1,2})[-/](\d{1,2})[-/](\d{4}|\d{2})")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d*)?))?")
_OFFSET = re.compile(r"(?:(Z|UTC?|GMT)|([+-])(\d{2}):?(\d{2}))?", re.IGNORECASE)
_LOCAL = re.compile(r"\b(LT|local|civil)\b", re.IGNORECASE)
_MID = re.compile(r"\bmid(dle|point)?\b", re.IGNORECASE)
_END = re.compile(r"\bend of\b|\bend (date|time)\b", re.IGNORECASE)
_JD_EPOCH = 2400000.5
_MJD_ZERO = datetime(1858, 11, 17)
_MJD_RANGE = (15020.0, 88069.0)  # 1900 to 2100
_YEAR_RANGE = (1900, 2100)
_TWO_DIGIT_PIVOT = 70
_GOOD_S = 0.5
_AVERAGE_SLACK_S = 60.0
_DAY_S = 86400.0
_TAI_MINUS_GPS_S = 19.0
_TT_MINUS_TAI_S = 32.184


@dataclass(frozen=True, slots=True)
class Stamp:
    """A point in time, half a unit of its last digit, and the card or cards it came from."""

    utc: datetime
    err_s: float
    keyword: str
    is_mid: bool = False
    offset_h: float | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Start and middle of an exposure; None where the header does not tell."""

    start_utc: datetime | None
    mid_utc: datetime | None
    time_source: str | None
    time_err_s: float | None
    zone_h: float | None


def read_times(quantities: Quantities, exposure_s: float | None) -> Times:
    """Find start and middle of the exposure, UTC.

    Among the cards good to a second the first in the table's order counts, else the finest. A
    card of the middle (DATE-AVG) is preferred for the middle if it lies within the exposure, else
    the middle is the start plus half the exposure. `zone_h` is the offset a local card was given
    with: it tells on which side of Greenwich the site lies.
    """
    stamps = [*_whole_dates(quantities), *_joined_dates(quantities), *_julian_dates(quantities)]
    starts = [stamp for stamp in stamps if not stamp.is_mid]
    mids = [stamp for stamp in stamps if stamp.is_mid]
    zone_h = next((s.offset_h for s in stamps if s.offset_h), None)
    start, mid = _best(starts), _best(mids)
    if start is not None and mid is not None and exposure_s is not None:
        late_s = (mid.utc - start.utc).total_seconds()
        slack_s = start.err_s + mid.err_s
        if not -slack_s <= late_s <= exposure_s + _AVERAGE_SLACK_S + slack_s:
            quantities.issues.append(
                f"{mid.keyword} lies {late_s:g} s after {start.keyword}, outside the exposure "
                f"of {exposure_s:g} s; it is not used"
            )
            mid = None
    if start is not None:
        _note_disagreement(quantities, start, starts)
    if mid is not None and (start is None or mid.err_s <= max(start.err_s, _GOOD_S)):
        start_utc = start.utc if start is not None else _shifted(mid.utc, exposure_s, -0.5)
        return Times(start_utc, mid.utc, mid.keyword, mid.err_s, zone_h)
    if start is None:
        return Times(None, None, None, None, zone_h)
    return Times(
        start.utc, _shifted(start.utc, exposure_s, 0.5), start.keyword, start.err_s, zone_h
    )


def night_of(utc: datetime | None, longitude_deg: float | None) -> date | None:
    """Return the date of the local noon before, by mean solar time; Greenwich without a site."""
    if utc is None:
        return None
    return (utc + timedelta(hours=(longitude_deg or 0.0) / 15 - 12)).date()


def _shifted(utc: datetime, exposure_s: float | None, part: float) -> datetime | None:
    return None if exposure_s is None else utc + timedelta(seconds=part * exposure_s)


def _best(stamps: list[Stamp]) -> Stamp | None:
    good = next((stamp for stamp in stamps if stamp.err_s <= _GOOD_S), None)
    return good or min(stamps, key=lambda stamp: stamp.err_s, default=None)


def _note_disagreement(quantities: Quantities, start: Stamp, others: list[Stamp]) -> None:
    for stamp in others:
        apart_s = abs((stamp.utc - start.utc).total_seconds())
        if apart_s > 1.0 + 2 * (stamp.err_s + start.err_s):
            quantities.issues.append(
                f"{stamp.keyword} is {apart_s:g} s off {start.keyword}, which is used"
            )


def _whole_dates(quantities: Quantities) -> list[Stamp]:
    stamps: list[Stamp] = []
    for quantity, is_mid in (("start_utc", False), ("mid_utc", True)):
        for card in quantities.cards(quantity):
            parsed = _parse_date(card.text)
            rest = card.text.strip()[parsed[1] :].lstrip("T ") if parsed else ""
            clock = _parse_clock(rest)
            if parsed is None or clock is None:
                continue
            stamp = _stamp(quantities, card, parsed[0], clock, is_mid=is_mid)
            if stamp is not None:
                stamps.append(stamp)
    return stamps


def _joined_dates(quantities: Quantities) -> list[Stamp]:
    """Join bare dates to times of day: DATE-OBS + TIME-OBS, DATE-OBS + UT."""
    stamps: list[Stamp] = []
    for card in quantities.cards("date"):
        parsed = _parse_date(card.text)
        if parsed is None or card.text.strip()[parsed[1] :].strip():
            continue
        for time_card in quantities.cards("time_of_day"):
            clock = _parse_clock(time_card.text.strip())
            if clock is None:
                continue
            stamp = _stamp(quantities, time_card, parsed[0], clock, also=card)
            if stamp is not None:
                stamps.append(stamp)
    return stamps


def _stamp(
    quantities: Quantities,
    card: Card,
    day: date,
    clock: tuple[float, float, float | None],
    *,
    is_mid: bool = False,
    also: Card | None = None,
) -> Stamp | None:
    """Make a stamp of a date and a time of day, unless it is local or the end of the exposure."""
    keyword = f"{also.keyword} + {card.keyword}" if also is not None else card.keyword
    comment = f"{card.comment or ''} {also.comment or '' if also is not None else ''}"
    second, err_s, offset_h = clock
    if _END.search(comment) and not _MID.search(comment):
        return None
    if offset_h is None and _LOCAL.search(comment):
        quantities.issues.append(f"{keyword} is local time without an offset and is not used")
        return None
    utc = datetime(day.year, day.month, day.day) + timedelta(
        seconds=second, hours=-(offset_h or 0.0)
    )
    if offset_h is None:
        utc = _to_utc(quantities, utc)
    return Stamp(utc, err_s, keyword, is_mid or bool(_MID.search(comment)), offset_h)


def _julian_dates(quantities: Quantities) -> list[Stamp]:
    stamps: list[Stamp] = []
    for quantity, zero in (
        ("start_jd", _JD_EPOCH),
        ("start_mjd", 0.0),
        ("mid_jd", _JD_EPOCH),
        ("mid_mjd", 0.0),
    ):
        for card in quantities.cards(quantity):
            value, _ = plain_number(card)
            if value is None or not _MJD_RANGE[0] < value - zero < _MJD_RANGE[1]:
                continue
            utc = _MJD_ZERO + timedelta(days=value - zero)
            is_mid = quantity.startswith("mid") or bool(_MID.search(card.comment or ""))
            err_s = 0.5 * 10.0 ** -_n_decimal(card.text) * _DAY_S
            stamps.append(Stamp(_to_utc(quantities, utc), err_s, card.keyword, is_mid))
    return stamps


def _n_decimal(text: str) -> int:
    """Return the decimals a number was written with: 3 for 58107.065, 9 for 2.458e+006 ..."""
    mantissa, _, exponent = text.strip().upper().replace("D", "E").partition("E")
    decimals = len(mantissa.partition(".")[2])
    return max(0, min(decimals - int(exponent or 0), 10))


def _parse_date(text: str) -> tuple[date, int] | None:
    """Return the date a text begins with and its length; day before month where both are short."""
    lead = len(text) - len(text.lstrip())
    found = _DATE.match(text, lead)
    if found is None:
        return None
    if found[1] is not None:
        year, month, day = int(found[1]), int(found[2]), int(found[3])
    else:
        day, month, year = int(found[4]), int(found[5]), int(found[6])
        if len(found[6]) == 2:
            year += 2000 if year < _TWO_DIGIT_PIVOT else 1900
        if month > 12:
            day, month = month, day
    try:
        parsed = date(year, month, day)
    except ValueError:
        return None
    if not _YEAR_RANGE[0] <= year <= _YEAR_RANGE[1]:
        return None
    return parsed, found.end() - lead


def _parse_clock(text: str) -> tuple[float, float, float | None] | None:
    """Return seconds of the day, their resolution, and the offset in hours if one is given."""
    found = _CLOCK.match(text)
    if found is None:
        return None
    offset = _OFFSET.fullmatch(text[found.end() :].strip())
    hour, minute = int(found[1]), int(found[2])
    if offset is None or hour > 24 or minute > 59:
        return None
    second_text = (found[3] or "0").replace(",", ".")
    second = float(second_text)
    if second >= 61:
        return None
    err_s = 30.0 if found[3] is None else 0.5 * 10.0 ** -len(second_text.partition(".")[2])
    offset_h = 0.0 if offset[1] is not None else None
    if offset[2] is not None:
        offset_h = (int(offset[3]) + int(offset[4]) / 60) * (-1 if offset[2] == "-" else 1)
    return hour * 3600.0 + minute * 60.0 + second, err_s, offset_h


def _to_utc(quantities: Quantities, moment: datetime) -> datetime:
    """Undo a TIMESYS other than UTC."""
    card = quantities.header.get("TIMESYS")
    scale = str(card.value).strip().upper() if card is not None else "UTC"
    if scale not in ("TT", "TDB", "TAI", "GPS"):
        return moment
    ahead_s = {"GPS": -_TAI_MINUS_GPS_S, "TAI": 0.0}.get(scale, _TT_MINUS_TAI_S)
    return moment - timedelta(seconds=ahead_s + _tai_minus_utc_s(moment))


def _tai_minus_utc_s(moment: datetime) -> float:
    import erfa

    day = max(moment, datetime(1960, 1, 1))
    table = erfa.leap_seconds.get()
    before = (table["year"] < day.year) | (
        (table["year"] == day.year) & (table["month"] <= day.month)
    )
    return float(table["tai_utc"][before][-1])
