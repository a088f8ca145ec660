"""Where the telescope pointed, where it stood, and how fine its pixels are on the sky."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from .cards import Card
from .quantities import Found, Quantities, plain_number
from .times import Times

_SEXAGESIMAL = re.compile(
    r"\s*([+-]?)\s*(\d{1,3})\s*[\s:hd°]\s*(\d{1,2}(?:\.\d*)?)"
    r"(?:\s*[\s:m'′]\s*(\d{1,2}(?:\.\d*)?))?\s*[s\"″]?\s*([NSEW]?)\s*",
    re.IGNORECASE,
)
_COMPASS = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([NSEW])\s*", re.IGNORECASE)
_WEST = re.compile(r"west|\+ ?w\b|\[deg w\b", re.IGNORECASE)
_EAST = re.compile(r"east|\+ ?e\b", re.IGNORECASE)
_SIDEREAL_AGREES_DEG = 1.0
_ZONE_AGREES_DEG = 45.0
_ARCSEC_PER_RADIAN = math.degrees(1) * 3600
_J2000 = datetime(2000, 1, 1, 12)


class Pointing(NamedTuple):
    """Right ascension and declination as pointed, degrees, ICRS."""

    ra_deg: float
    dec_deg: float
    keyword: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where an observatory stands: degrees north and east, metres."""

    latitude_deg: float
    longitude_deg: float
    elevation_m: float | None = None
    site_name: str | None = None
    source: str = "configuration"
    keyword: str = "configuration"


def sexagesimal(text: str) -> float | None:
    """Return 'D M S' in any of its spellings in the unit of D; None if it is not of that form."""
    found = _SEXAGESIMAL.fullmatch(text)
    if found is None:
        compass = _COMPASS.fullmatch(text)
        if compass is None:
            return None
        return float(compass[1]) * (-1 if compass[2].upper() in "SW" else 1)
    sign, whole, minutes, seconds, side = found.groups()
    if float(minutes) > 60 or float(seconds or 0) > 60:
        return None
    value = float(whole) + float(minutes) / 60 + float(seconds or 0) / 3600
    is_negative = (sign == "-") != (side.upper() in ("S", "W") if side else False)
    return -value if is_negative else value


def read_pointing(quantities: Quantities) -> Pointing | None:
    """Return where the telescope pointed.

    A sexagesimal right ascension is in hours, a number in degrees unless comment or table say
    hours. Positions of another equinox are precessed to J2000.
    """
    for ra_card, dec_card in quantities.pairs("ra_deg", "dec_deg"):
        if ra_card.keyword == "CRVAL1" and celestial_scale(quantities) is None:
            continue
        ra_deg, dec_deg = _angle(quantities, ra_card, 15.0), _angle(quantities, dec_card, 1.0)
        if ra_deg is None or dec_deg is None:
            continue
        if not (0 <= ra_deg <= 360 and -90 <= dec_deg <= 90):
            quantities.issues.append(
                f"{ra_card.keyword}, {dec_card.keyword} = {ra_card.text}, {dec_card.text} "
                "is no place on the sky"
            )
            continue
        equinox = quantities.number("equinox")
        if equinox is not None and abs(equinox.value - 2000) > 0.01:
            ra_deg, dec_deg = to_j2000(ra_deg, dec_deg, equinox.value)
        return Pointing(ra_deg % 360, dec_deg, f"{ra_card.keyword}, {dec_card.keyword}")
    return None


def to_j2000(ra_deg: float, dec_deg: float, equinox: float) -> tuple[float, float]:
    """Precess a mean position from `equinox` (years) to J2000.

    References
    ----------
    Lieske et al. 1977, A&A 58, 1.
    """
    t = (equinox - 2000) / 100
    zeta = math.radians((2306.2181 * t + 0.30188 * t**2 + 0.017998 * t**3) / 3600)
    z = math.radians((2306.2181 * t + 1.09468 * t**2 + 0.018203 * t**3) / 3600)
    theta = math.radians((2004.3109 * t - 0.42665 * t**2 - 0.041833 * t**3) / 3600)
    ra, dec = math.radians(ra_deg) - z, math.radians(dec_deg)
    a = math.cos(dec) * math.sin(ra)
    b = math.cos(theta) * math.cos(dec) * math.cos(ra) + math.sin(theta) * math.sin(dec)
    c = -math.sin(theta) * math.cos(dec) * math.cos(ra) + math.cos(theta) * math.sin(dec)
    return math.degrees(math.atan2(a, b) - zeta) % 360, math.degrees(math.asin(c))


def read_site(quantities: Quantities, times: Times, pointing: Pointing | None) -> Site | None:
    """Return the site as the header gives it, longitude counted east; None if it does not.

    East positive is the custom, but some count west. What decides, the first that can:

    1. a letter behind the value, or the comment of a card with this longitude ('west', 'deg +E');
    2. sidereal time: LST, or hour angle + right ascension, minus that of Greenwich at the
       exposure is the longitude. Some programs fed local time to the formula, so the clock of
       the card's own zone is tried too. One that agrees with the custom is enough to keep it;
       a negative longitude is not turned round by one alone: a stale clock can hit it by chance;
    3. the offset a local time was given with, within three hours of 15 degrees an hour;
    4. the custom.
    """
    for latitude_card, longitude_card in quantities.pairs("latitude_deg", "longitude_deg"):
        latitude_deg = _angle(quantities, latitude_card, 1.0)
        given_deg = _angle(quantities, longitude_card, 1.0)
        if latitude_deg is None or given_deg is None or latitude_deg == given_deg == 0:
            continue
        if not (-90 <= latitude_deg <= 90 and -180 <= given_deg <= 360):
            quantities.issues.append(
                f"{latitude_card.keyword}, {longitude_card.keyword} = {latitude_card.text}, "
                f"{longitude_card.text} is no place on Earth"
            )
            continue
        sign, reason = _longitude_sign(quantities, longitude_card, given_deg, times, pointing)
        if sign < 0:
            quantities.issues.append(f"{longitude_card.keyword} is counted west: {reason}")
        elevation = quantities.number("elevation_m")
        name = quantities.text("site_name")
        return Site(
            latitude_deg,
            wrapped(sign * given_deg),
            elevation.value if elevation is not None else None,
            name.value if name is not None else None,
            source="header",
            keyword=f"{latitude_card.keyword}, {longitude_card.keyword}",
        )
    return None


def _longitude_sign(
    quantities: Quantities,
    card: Card,
    given_deg: float,
    times: Times,
    pointing: Pointing | None,
) -> tuple[int, str]:
    """Return +1 if the longitude is counted east, -1 if west, and the reason."""
    if card.text.rstrip()[-1:].upper() in ("E", "W"):
        return 1, "the letter is undone"
    comment = " ".join(
        other.comment or ""
        for other in quantities.cards("longitude_deg")
        if other is card or _is_near(_angle(quantities, other, 1.0), given_deg, 0.01)
    )
    if _EAST.search(comment):
        return 1, "its comment says so"
    if _WEST.search(comment):
        # "-105.8 / degrees west" is a longitude of the western hemisphere in either reading.
        return (-1 if given_deg > 0 else 1), "its comment says so"
    return _sign_by_clocks(quantities, given_deg, times, pointing)


def _sign_by_clocks(
    quantities: Quantities, given_deg: float, times: Times, pointing: Pointing | None
) -> tuple[int, str]:
    sidereal = _sidereal_longitudes(quantities, times, pointing)
    east = [x for x in sidereal if _is_near(given_deg, x[0], _SIDEREAL_AGREES_DEG)]
    west = [x for x in sidereal if _is_near(-given_deg, x[0], _SIDEREAL_AGREES_DEG)]
    if east:
        return 1, f"{east[0][1]} agrees"
    if len(west) > (given_deg < 0):
        return -1, f"{west[0][1]} gives {west[0][0]:.2f} deg"
    if times.zone_h is not None and abs(wrapped(given_deg)) > _ZONE_AGREES_DEG / 2:
        zone_deg = 15 * times.zone_h
        is_west = _is_near(-given_deg, zone_deg, _ZONE_AGREES_DEG)
        if is_west and not _is_near(given_deg, zone_deg, _ZONE_AGREES_DEG):
            return -1, f"local time is given with an offset of {times.zone_h:+g} h"
    return 1, "the custom"


def _is_near(a_deg: float | None, b_deg: float, within_deg: float) -> bool:
    return a_deg is not None and abs(wrapped(a_deg - b_deg)) < within_deg


def _sidereal_longitudes(
    quantities: Quantities, times: Times, pointing: Pointing | None
) -> list[tuple[float, str]]:
    if times.start_utc is None:
        return []
    greenwich_deg = _greenwich_sidereal_deg(times.start_utc)
    found: list[tuple[float, str]] = []
    for card in quantities.cards("sidereal"):
        local_deg = _angle(quantities, card, 15.0)
        if local_deg is None:
            continue
        found.append((wrapped(local_deg - greenwich_deg), card.keyword))
        if times.zone_h:
            by_local_clock_deg = greenwich_deg + 15.041068 * times.zone_h
            by_local_deg = wrapped(local_deg - by_local_clock_deg)
            found.append((by_local_deg, f"{card.keyword} of local time"))
    for card in quantities.cards("hour_angle") if pointing is not None else ():
        hour_angle_deg = _angle(quantities, card, 15.0)
        if hour_angle_deg is not None and pointing is not None:
            local_deg = hour_angle_deg + pointing.ra_deg
            found.append((wrapped(local_deg - greenwich_deg), f"{card.keyword} + RA"))
    return found


def _greenwich_sidereal_deg(utc: datetime) -> float:
    """Return mean sidereal time at Greenwich, to a few arcseconds (Meeus 1998, eq. 12.4)."""
    return 280.46061837 + 360.98564736629 * ((utc - _J2000).total_seconds() / 86400)


def wrapped(angle_deg: float) -> float:
    """Return an angle between -180 and 180 degrees; one that is there already is not touched."""
    return angle_deg if -180 <= angle_deg <= 180 else (angle_deg + 180) % 360 - 180


def _angle(quantities: Quantities, card: Card, sexagesimal_factor: float) -> float | None:
    if isinstance(card.value, str):
        value = sexagesimal(card.value)
        if value is not None:
            return value * sexagesimal_factor
    return quantities.value_of(card, "deg")


def read_scale(quantities: Quantities, x_binning: int | None) -> Found | None:
    """Return the scale of the frame's pixels, arcsec/pix, binning included.

    From a plausible celestial WCS, else a scale card, else focal length and pixel size (XPIXSZ
    is the size after binning by custom; other cards are of single pixels).
    """
    celestial = celestial_scale(quantities)
    if celestial is not None:
        return celestial
    card = quantities.number("scale_arcsec_per_pix")
    if card is not None:
        return card
    focal = quantities.number("focal_mm")
    pixel = quantities.number("pixel_binned_um")
    binning = 1
    if pixel is None:
        pixel, binning = quantities.number("pixel_um"), x_binning or 1
    if focal is None or pixel is None:
        return None
    scale = _ARCSEC_PER_RADIAN * pixel.value * binning * 1e-3 / focal.value
    low, high = quantities.synonyms.ranges["scale_arcsec_per_pix"]
    return Found(scale, f"{pixel.keyword}, {focal.keyword}") if low <= scale <= high else None


def celestial_scale(quantities: Quantities) -> Found | None:
    """Return the scale of a plausible celestial WCS, else None.

    The cards must be numbers: a WCS of quoted numbers is read by libraries as the default one.
    Position and scale must be possible and both axes alike within a factor of two.
    """
    get = quantities.header.by_keyword.get
    types = {str(card.value)[:4] for i in (1, 2) if (card := get(f"CTYPE{i}")) is not None}
    if types != {"RA--", "DEC-"}:
        return None
    crval = [_wcs_number(quantities, f"CRVAL{i}") for i in (1, 2)]
    matrix = _wcs_matrix(quantities)
    if matrix is None or None in crval or crval == [0, 0]:
        return None
    x_scale, y_scale = math.hypot(matrix[0], matrix[2]), math.hypot(matrix[1], matrix[3])
    area = abs(matrix[0] * matrix[3] - matrix[1] * matrix[2])
    scale = math.sqrt(area) * 3600
    low, high = quantities.synonyms.ranges["scale_arcsec_per_pix"]
    is_alike = 0.5 * y_scale < x_scale < 2 * y_scale and area > 0.5 * x_scale * y_scale
    if not (is_alike and low <= scale <= high):
        quantities.issues.append(f"the WCS is not plausible: {scale:g} arcsec/pix")
        return None
    return Found(scale, "WCS")


def _wcs_number(quantities: Quantities, keyword: str, default: float | None = None) -> float | None:
    card = quantities.header.get(keyword)
    if card is None:
        return default
    if isinstance(card.value, str):
        note = f"WCS card {keyword} is a text, {card.text!r}: the WCS is not used"
        if note not in quantities.issues:
            quantities.issues.append(note)
        return None
    return plain_number(card)[0]


def _wcs_matrix(quantities: Quantities) -> tuple[float, float, float, float] | None:
    """Return CD1_1, CD1_2, CD2_1, CD2_2 in degrees, from CD, or PC or CROTA2 with CDELT."""
    header = quantities.header
    names = ("1_1", "1_2", "2_1", "2_2")
    if any(header.get(f"CD{name}") is not None for name in names):
        cd = [_wcs_number(quantities, f"CD{name}", 0.0) for name in names]
        return None if None in cd else tuple(float(v or 0) for v in cd)  # pyright: ignore
    cdelt = [_wcs_number(quantities, f"CDELT{i}") for i in (1, 2)]
    if any(header.get(f"PC{name}") is not None for name in names):
        pc = [_wcs_number(quantities, f"PC{n}", float(n[0] == n[2])) for n in names]
    else:
        rotation = _wcs_number(quantities, "CROTA2", 0.0)
        angle = math.radians(rotation or 0.0)
        pc = [math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)]
    dx, dy = cdelt
    if dx is None or dy is None or None in pc:
        return None
    a, b, c, d = (float(v or 0) for v in pc)
    return dx * a, dx * b, dy * c, dy * d
