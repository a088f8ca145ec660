"""FITS headers of synthetic frames, card by card as N.I.N.A. writes them."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from astropy.io import fits

from .synthetic_sky import Site

Card = tuple[str, str | float | int | bool, str]

PIXEL_UM = 3.76
MJD_ZERO = datetime(1858, 11, 17)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a header says of one exposure; None leaves the card out."""

    frame_type: str
    start_utc: datetime
    exposure_s: float
    sensor_degc: float
    set_degc: float
    gain_e_per_adu: float
    scale_arcsec_per_pix: float
    site: Site
    band: str | None = None
    object_name: str | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    airmass: float | None = None
    altitude_deg: float | None = None
    azimuth_deg: float | None = None
    pier_side: str | None = None

    @property
    def focal_length_mm(self) -> float:
        """Focal length at which the pixels have their scale."""
        return math.degrees(PIXEL_UM / 1000) * 3600 / self.scale_arcsec_per_pix


def header(exposure: Exposure, wcs_cards: list[Card] | None = None) -> fits.Header:
    """Write the header of an exposure, with the cards of a sky solution behind if given."""
    cards = [
        *_exposure_cards(exposure),
        *_camera_cards(exposure),
        *_telescope_cards(exposure),
        *_object_cards(exposure),
        ("ROWORDER", "TOP-DOWN", "FITS Image Orientation"),
        ("EQUINOX", 2000.0, "Equinox of celestial coordinate system"),
        ("SWCREATE", "N.I.N.A. 3.1.2.9001 (x64)", "Software that created this file"),
    ]
    if wcs_cards:
        cards += [card for card in wcs_cards if card[0] != "EQUINOX"]
    return fits.Header(cards)


def _exposure_cards(exposure: Exposure) -> list[Card]:
    mid_utc = exposure.start_utc + timedelta(seconds=exposure.exposure_s / 2)
    return [
        ("IMAGETYP", exposure.frame_type, "Type of exposure"),
        ("EXPOSURE", exposure.exposure_s, "[s] Exposure duration"),
        ("EXPTIME", exposure.exposure_s, "[s] Exposure duration"),
        ("DATE-LOC", _iso(exposure.start_utc), "Time of observation (local)"),
        ("DATE-OBS", _iso(exposure.start_utc), "Time of observation (UTC)"),
        ("DATE-AVG", _iso(mid_utc), "Averaged midpoint time (UTC)"),
        ("MJD-OBS", _mjd(exposure.start_utc), "[d] Modified Julian Date of observation"),
        ("MJD-AVG", _mjd(mid_utc), "[d] MJD of averaged midpoint"),
    ]


def _camera_cards(exposure: Exposure) -> list[Card]:
    cards: list[Card] = [
        ("XBINNING", 1, "X axis binning factor"),
        ("YBINNING", 1, "Y axis binning factor"),
        ("GAIN", 100, "Sensor gain"),
        ("OFFSET", 50, "Sensor gain offset"),
        ("EGAIN", exposure.gain_e_per_adu, "[e-/ADU] Electrons per A/D unit"),
        ("XPIXSZ", PIXEL_UM, "[um] Pixel X axis size"),
        ("YPIXSZ", PIXEL_UM, "[um] Pixel Y axis size"),
        ("INSTRUME", "Synthetic CMOS", "Imaging instrument name"),
        ("SET-TEMP", exposure.set_degc, "[degC] CCD temperature setpoint"),
        ("CCD-TEMP", exposure.sensor_degc, "[degC] CCD temperature"),
        ("READOUTM", "High Gain", "Sensor readout mode"),
    ]
    if exposure.band is not None:
        cards += [
            ("FWHEEL", "Synthetic wheel", "Filter Wheel name"),
            ("FILTER", exposure.band, "Active filter name"),
        ]
    return cards


def _telescope_cards(exposure: Exposure) -> list[Card]:
    cards: list[Card] = [
        ("TELESCOP", "Synthetic 0.25 m", "Name of telescope"),
        ("FOCALLEN", round(exposure.focal_length_mm, 3), "[mm] Focal length"),
        ("SITEELEV", exposure.site.elevation_m, "[m] Observation site elevation"),
        ("SITELAT", exposure.site.latitude_deg, "[deg] Observation site latitude"),
        ("SITELONG", exposure.site.longitude_deg, "[deg] Observation site longitude"),
    ]
    optional: list[tuple[str, str | float | None, str]] = [
        ("RA", exposure.ra_deg, "[deg] RA of telescope"),
        ("DEC", exposure.dec_deg, "[deg] Declination of telescope"),
        ("CENTALT", exposure.altitude_deg, "[deg] Altitude of telescope"),
        ("CENTAZ", exposure.azimuth_deg, "[deg] Azimuth of telescope"),
        ("AIRMASS", exposure.airmass, "Airmass at frame center (Gueymard 1993)"),
        ("PIERSIDE", exposure.pier_side, "Telescope pointing state"),
    ]
    return cards + [(key, value, comment) for key, value, comment in optional if value is not None]


def _object_cards(exposure: Exposure) -> list[Card]:
    cards: list[Card] = []
    if exposure.object_name is not None:
        cards.append(("OBJECT", exposure.object_name, "Name of the object of interest"))
    if exposure.ra_deg is not None and exposure.dec_deg is not None:
        cards += [
            ("OBJCTRA", sexagesimal(exposure.ra_deg / 15), "[H M S] RA of imaged object"),
            ("OBJCTDEC", _signed(exposure.dec_deg), "[D M S] Declination of imaged object"),
        ]
    return cards


def tangent_wcs_cards(
    *,
    ra_deg: float,
    dec_deg: float,
    x_pix: float,
    y_pix: float,
    scale_arcsec_per_pix: float,
    rotation_deg: float,
) -> list[Card]:
    """Write the gnomonic WCS of a frame that sees a sky position at a 0-based pixel.

    East lies to the left when north is up; `rotation_deg` is the position angle of the y axis,
    east of north.
    """
    scale_deg = scale_arcsec_per_pix / 3600
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    return [
        ("CTYPE1", "RA---TAN", "Gnomonic projection"),
        ("CTYPE2", "DEC--TAN", "Gnomonic projection"),
        ("CUNIT1", "deg", "Unit of CRVAL1"),
        ("CUNIT2", "deg", "Unit of CRVAL2"),
        ("CRVAL1", ra_deg, "[deg] RA of reference pixel"),
        ("CRVAL2", dec_deg, "[deg] Dec of reference pixel"),
        ("CRPIX1", x_pix + 1, "X reference pixel"),
        ("CRPIX2", y_pix + 1, "Y reference pixel"),
        ("CD1_1", -scale_deg * cos, "[deg] WCS matrix"),
        ("CD1_2", scale_deg * sin, "[deg] WCS matrix"),
        ("CD2_1", scale_deg * sin, "[deg] WCS matrix"),
        ("CD2_2", scale_deg * cos, "[deg] WCS matrix"),
        ("RADESYS", "ICRS", "Reference frame"),
        ("EQUINOX", 2000.0, "Equinox of celestial coordinate system"),
    ]


def sexagesimal(value: float) -> str:
    """Write a value of at least 0 as `12 34 56.78`."""
    hundredths = round(value * 360000)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60:02d} {minutes % 60:02d} {rest / 100:05.2f}"


def _signed(value_deg: float) -> str:
    return ("-" if value_deg < 0 else "+") + sexagesimal(abs(value_deg))


def _iso(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _mjd(at: datetime) -> float:
    return (at.replace(tzinfo=None) - MJD_ZERO) / timedelta(days=1)
