"""From a FITS header to the columns of table `frame`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from .bands import read_band, read_frame_type
from .cards import Header
from .files import RawFile
from .hdus import find_image
from .positions import Pointing, Site, read_pointing, read_scale, read_site
from .quantities import Found, Quantities, Synonyms, make_synonyms
from .times import night_of, read_times

_NUMBERS = (
    "exposure_s",
    "gain_setting",
    "offset_setting",
    "egain_e_per_adu",
    "sensor_degc",
    "set_degc",
    "x_first_pix",
    "y_first_pix",
)
_TEXTS = ("target_name", "readout_mode", "program", "camera_name", "telescope_name")
_PIER_SIDES = {alias: side for side in ("east", "west") for alias in (side, side[0], f"pier{side}")}


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a header says of its frame: columns of `frame`, and of the instruments it names.

    `keyword_of` tells for each quantity the keyword it came from; it is no column.
    """

    frame_type: str | None
    frame_type_source: str
    band: str | None
    band_header: str | None
    exposure_s: float | None
    start_utc: datetime | None
    mid_utc: datetime | None
    time_source: str | None
    time_err_s: float | None
    night: date | None
    target_name: str | None
    target_key: str | None
    ra_deg: float | None
    dec_deg: float | None
    scale_arcsec_per_pix: float | None
    x_binning: int | None
    y_binning: int | None
    x_first_pix: float | None
    y_first_pix: float | None
    gain_setting: float | None
    offset_setting: float | None
    egain_e_per_adu: float | None
    readout_mode: str | None
    sensor_degc: float | None
    set_degc: float | None
    pier_side: str | None
    program: str | None
    camera_name: str | None
    telescope_name: str | None
    site_name: str | None
    latitude_deg: float | None
    longitude_deg: float | None
    elevation_m: float | None
    site_source: str | None
    header: str
    header_issue: list[str]
    keyword_of: dict[str, str] = field(repr=False)


def target_key(name: str | None) -> str | None:
    """Return the form in which target names match: HATP-32, HAT-P-32 and hat p 32 are one.

    Lower case, without blanks and separators; + stays, it tells J0102+03 from J0102-03.
    """
    if name is None:
        return None
    return "".join(c for c in name.casefold() if c.isalnum() or c == "+") or None


def normalise(
    header: Header,
    *,
    path_hint: str = "",
    synonyms: Synonyms | None = None,
    camera_sites: Mapping[str, Site] | None = None,
    default_site: Site | None = None,
) -> FrameHeader:
    """Normalise a header into the columns of table `frame`.

    Parameters
    ----------
    header
        Cards of the image, the primary's merged in.
    path_hint
        File name with its folders: tells the type of a frame whose header does not.
    synonyms
        From `make_synonyms`; the shipped table by default.
    camera_sites
        Sites by camera name that count whatever the header says.
    default_site
        Site of frames whose header gives none.

    Returns
    -------
    The columns; None where the header does not tell, and what was odd in `header_issue`.
    """
    quantities = Quantities(header, synonyms or make_synonyms())
    found = {name: quantities.number(name) for name in _NUMBERS}
    found |= {name: quantities.text(name) for name in _TEXTS}
    found |= {f"{axis}_binning": _read_binning(quantities, axis) for axis in "xy"}
    values: dict[str, Any] = {name: item and item.value for name, item in found.items()}
    keyword_of = {name: item.keyword for name, item in found.items() if item is not None}

    times = read_times(quantities, values["exposure_s"])
    pointing = read_pointing(quantities)
    site = (camera_sites or {}).get(values["camera_name"] or "")
    site = site or read_site(quantities, times, pointing) or default_site
    scale = read_scale(quantities, values["x_binning"])
    band, band_header = read_band(quantities)
    is_on_target = bool(values["target_name"] and pointing and (values["exposure_s"] or 0) > 0)
    frame_type = read_frame_type(quantities, path_hint, is_on_target)
    if times.start_utc is None and times.mid_utc is None:
        quantities.issues.append("no time of the exposure is given")

    keyword_of |= _keywords_of(times.time_source, pointing, site, scale, band_header)
    if frame_type.keyword is not None:
        keyword_of["frame_type"] = frame_type.keyword
    return FrameHeader(
        **values,
        frame_type=frame_type.frame_type,
        frame_type_source=frame_type.source,
        band=band,
        band_header=band_header.value if band_header is not None else None,
        start_utc=times.start_utc,
        mid_utc=times.mid_utc,
        time_source=times.time_source,
        time_err_s=times.time_err_s,
        night=night_of(times.mid_utc or times.start_utc, site.longitude_deg if site else None),
        target_key=target_key(values["target_name"]),
        ra_deg=pointing.ra_deg if pointing is not None else None,
        dec_deg=pointing.dec_deg if pointing is not None else None,
        scale_arcsec_per_pix=scale.value if scale is not None else None,
        pier_side=_read_pier_side(quantities, keyword_of),
        site_name=site.site_name if site is not None else None,
        latitude_deg=site.latitude_deg if site is not None else None,
        longitude_deg=site.longitude_deg if site is not None else None,
        elevation_m=site.elevation_m if site is not None else None,
        site_source=site.source if site is not None else None,
        header=header.to_json(),
        header_issue=list(dict.fromkeys(quantities.issues)),
        keyword_of=keyword_of,
    )


def explain(path: Path, *, synonyms: Synonyms | None = None) -> pl.DataFrame:
    """List every quantity of a file's header, its value, and the keyword it came from.

    Returns
    -------
    Columns quantity, value (as text, null where missing), keyword; issues come last.

    Raises
    ------
    HeaderError
        If the file holds no image that can be catalogued.
    OSError
        If the system does not let it be read.
    """
    path = path.resolve()
    with RawFile(path) as file:
        image = find_image(file)
    frame = normalise(image.header, path_hint=str(path), synonyms=synonyms)
    rows: list[tuple[str, str | None, str | None]] = [
        ("hdu_index", str(image.hdu_index), None),
        ("n_x_pix", str(image.n_x_pix), None),
        ("n_y_pix", str(image.n_y_pix), None),
    ]
    for item in fields(frame):
        if item.name not in ("header", "header_issue", "keyword_of"):
            value = getattr(frame, item.name)
            text = None if value is None else str(value)
            rows.append((item.name, text, frame.keyword_of.get(item.name)))
    rows += [("header_issue", issue, None) for issue in frame.header_issue]
    schema = {"quantity": pl.String, "value": pl.String, "keyword": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _read_binning(quantities: Quantities, axis: str) -> Found | None:
    """Return the binning of an axis; cards like CCDSUM = '2 1' or BINNING = '2x1' hold both."""
    quantity = f"{axis}_binning"
    for card in quantities.cards(quantity):
        parts = re.findall(r"\d+(?:\.0*)?", card.text)
        if parts and not isinstance(card.value, bool) and len(parts) <= 2:
            factor = float(parts[-1 if axis == "y" else 0])
            low, high = quantities.synonyms.ranges[quantity]
            if low <= factor <= high and factor.is_integer():
                return Found(int(factor), card.keyword)
            quantities.issues.append(f"{quantity}: {card.keyword} = {card.text} is no binning")
    return None


def _read_pier_side(quantities: Quantities, keyword_of: dict[str, str]) -> str | None:
    found = quantities.text("pier_side")
    side = _PIER_SIDES.get(str(found.value).replace(" ", "").casefold()) if found else None
    if found is not None and side is not None:
        keyword_of["pier_side"] = found.keyword
    return side


def _keywords_of(
    time_source: str | None,
    pointing: Pointing | None,
    site: Site | None,
    scale: Found | None,
    band: Found | None,
) -> dict[str, str]:
    origins = {
        "start_utc": time_source,
        "mid_utc": time_source,
        "ra_deg": pointing and pointing.keyword,
        "dec_deg": pointing and pointing.keyword,
        "latitude_deg": site and site.keyword,
        "longitude_deg": site and site.keyword,
        "scale_arcsec_per_pix": scale and scale.keyword,
        "band": band and band.keyword,
    }
    return {name: keyword for name, keyword in origins.items() if keyword is not None}
