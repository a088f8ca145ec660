"""Files for the American Association of Variable Star Observers: Extended and Exoplanet formats.

https://www.aavso.org/aavso-extended-file-format, https://www.aavso.org/aavso-exoplanet-report-file-format
"""

import json
import math
from typing import Any

import polars as pl

from ..errors import UsageError
from .exported_curves import ExportedCurve

FILTER_CODE = {
    "u": "SU",
    "g": "SG",
    "r": "SR",
    "i": "SI",
    "z": "SZ",
    "zs": "ZS",
    "U": "U",
    "B": "B",
    "V": "V",
    "R": "R",
    "I": "I",
    "clear": "CV",
    "luminance": "CV",
    "H-alpha": "HA",
    "red": "TR",
    "green": "TG",
    "blue": "TB",
    "TG": "TG",
}
STARID_LENGTH, NAME_LENGTH, NOTES_LENGTH = 30, 100, 100
MAX_EXPOSURE_S = 600
EXTENDED = (
    "STARID",
    "DATE",
    "MAG",
    "MERR",
    "FILT",
    "TRANS",
    "MTYPE",
    "CNAME",
    "CMAG",
    "KNAME",
    "KMAG",
    "AIRMASS",
    "GROUP",
    "CHART",
    "NOTES",
)


def filter_code(band: str | None) -> str:
    """Return the AAVSO's code of a band.

    Raises
    ------
    UsageError
        It has none.
    """
    code = FILTER_CODE.get(band or "")
    if code is None:
        raise UsageError(
            f"band {band!r} has no filter code of the AAVSO; known are "
            f"{', '.join(FILTER_CODE)}. Name the band with `bands` in starmuster.toml, or export "
            f"to another format."
        )
    return code


def extended_text(
    curve: ExportedCurve, *, software: str, observer_code: str, chart: str | None = None
) -> str:
    """Write every magnitude of a star in the Extended format, dates as JD at mid-exposure.

    Calibrated magnitudes are told as standardised (STD), transformed where the colour term was
    applied with the star's own colour; without a zero point they are told as differences from the
    ensemble of comparison stars (DIF). Points without a magnitude are left out.

    Raises
    ------
    UsageError
        A band without a code, or no point with a magnitude.
    """
    head = {
        "TYPE": "Extended",
        "OBSCODE": observer_code,
        "SOFTWARE": software[:255],
        "DELIM": ",",
        "DATE": "JD",
        "OBSTYPE": "CCD",
    }
    lines = [f"#{name}={' '.join(value.split())}" for name, value in head.items()]
    lines.append(f"#{','.join(EXTENDED)}")
    rows = [
        row
        for point in curve.sound.iter_rows(named=True)
        if (row := _extended_row(curve, point, chart)) is not None
    ]
    if not rows:
        raise UsageError(f"{curve.name}: no clean point with a magnitude to write.")
    return "\n".join([*lines, *rows]) + "\n"


def _extended_row(curve: ExportedCurve, point: dict[str, Any], chart: str | None) -> str | None:
    if point["is_calibrated"]:
        mag, err = point["mag"], point["mag_err"]
        note = f"{point['photometric_system']} system; {point['catalogue_name']}"
    else:
        flux, flux_err = point["relative_flux"], point["relative_flux_err"]
        mag = -2.5 * math.log10(flux) if flux > 0 else None
        err = 2.5 / math.log(10) * flux_err / flux if mag is not None and flux_err else None
        note = "difference from the ensemble and the night's median"
    if mag is None:
        return None
    cells = {
        "STARID": curve.name[:STARID_LENGTH],
        "DATE": f"{point['mid_jd_utc']:.6f}",
        "MAG": f"{mag:.4f}",
        "MERR": f"{err:.4f}" if err is not None and err < 10 else "na",
        "FILT": filter_code(point["band"]),
        "TRANS": "YES" if point["is_calibrated"] and point["has_colour"] else "NO",
        "MTYPE": "STD" if point["is_calibrated"] else "DIF",
        "CNAME": "ENSEMBLE",
        "AIRMASS": "na" if point["airmass"] is None else f"{point['airmass']:.4f}"[:7],
        "CHART": chart or "na",
        "NOTES": f"{point['n_comparison']} comparison stars; {note}"[:NOTES_LENGTH],
    }
    return ",".join(_clean(cells.get(name, "na")) for name in EXTENDED)


def exoplanet_text(
    curve: ExportedCurve,
    *,
    software: str,
    observer_code: str,
    secondary_codes: str = "",
    notes: str = "",
) -> str:
    """Write one observation of a transit in the Exoplanet format, normalised relative flux.

    Raises
    ------
    UsageError
        The star is no planet's host, or more than one night or band was chosen.
    """
    planet = curve.planet
    if planet is None:
        raise UsageError(
            f"{curve.name} is no planet of table `planet`; name the planet, or import its "
            f"ephemeris: starmuster import ephemerides FILE."
        )
    curve.one("night")
    exposure_s = curve.one("exposure_s")
    if exposure_s is not None and exposure_s > MAX_EXPOSURE_S:
        raise UsageError(f"{curve.name}: exposures of {exposure_s:g} s; the AAVSO takes up to 600.")
    points = curve.sound
    has_airmass = points["airmass"].is_not_null().any()
    head = {
        "TYPE": "EXOPLANET",
        "OBSCODE": observer_code,
        "SECONDARY_OBSCODES": secondary_codes,
        "SOFTWARE": software[:255],
        "DELIM": ",",
        "DATE_TYPE": "BJD_TDB",
        "OBSTYPE": "CCD",
        "STAR_NAME": (planet["host_name"] or planet["planet_name"][:-2])[:NAME_LENGTH],
        "EXOPLANET_NAME": planet["planet_name"][:NAME_LENGTH],
        "BINNING": f"{curve.one('x_binning') or 1}x{curve.one('y_binning') or 1}",
        "EXPOSURE_TIME": "na" if exposure_s is None else f"{exposure_s:g}",
        "COMP_STAR-XC": json.dumps(_comparison(curve)),
        "NOTES": notes or "na",
        "DETREND_PARAMETERS": "AIRMASS" if has_airmass else "NONE",
        "MEASUREMENT_TYPE": "Rnflux",
        "FILTER": filter_code(curve.one("band")),
        "FILTER-XC": json.dumps({"name": curve.one("band")}),
        **_priors(planet),
        **_results(curve.fit),
    }
    lines = [f"#{name}={' '.join(str(value).split())}" for name, value in head.items()]
    lines.append("#DATE,DIFF,ERR" + ",DETREND_1" * has_airmass)
    level = _level(curve)
    for row in points.iter_rows(named=True):
        err = row["relative_flux_err"]
        cells = [
            f"{row['mid_bjd_tdb']:.8f}",
            f"{row['relative_flux'] / level:.7f}",
            "na" if err is None else f"{err / level:.7f}",
        ]
        if has_airmass:
            cells.append("na" if row["airmass"] is None else f"{row['airmass']:.6f}")
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def _level(curve: ExportedCurve) -> float:
    """Flux outside the fitted transit, by its median; of all points where nothing was fitted."""
    points, fit = curve.sound, curve.fit
    if fit and fit["mid_bjd_tdb"] is not None and fit["duration_h"] is not None:
        outside = points.filter(
            (pl.col("mid_bjd_tdb") - fit["mid_bjd_tdb"]).abs() > fit["duration_h"] / 48
        )
        points = outside if outside.height else points
    return float(points["relative_flux"].median())  # pyright: ignore[reportArgumentType]


def _comparison(curve: ExportedCurve) -> list[dict[str, Any]]:
    return [
        {
            "ra": None if row["ra_deg"] is None else f"{row['ra_deg']:.6f}",
            "dec": None if row["dec_deg"] is None else f"{row['dec_deg']:.6f}",
            "x": f"{row['x_pix']:.1f}",
            "y": f"{row['y_pix']:.1f}",
        }
        for row in curve.comparison.iter_rows(named=True)
    ]


def _priors(planet: dict[str, Any]) -> dict[str, str]:
    known = {
        "Period": ("period_d", "period_err_d", "days"),
        "Tc": ("mid_bjd_tdb", "mid_err_d", "BJD_TDB"),
        "Rp/R*": ("radius_ratio", "radius_ratio_err", ""),
        "a/R*": ("a_over_r", "a_over_r_err", ""),
        "inc": ("inclination_deg", "inclination_err_deg", "degrees"),
        "ecc": ("eccentricity", None, ""),
    }
    return _measured(planet, known, "PRIORS")


def _results(fit: dict[str, Any] | None) -> dict[str, str]:
    if fit is None or fit["mid_bjd_tdb"] is None:
        return {}
    known = {
        "Tc": ("mid_bjd_tdb", "mid_err_d", "BJD_TDB"),
        "Rp/R*": ("radius_ratio", "radius_ratio_err", ""),
        "Duration": ("duration_h", "duration_err_h", "hours"),
        "Depth": ("depth", "depth_err", ""),
    }
    return _measured(fit, known, "RESULTS")


def _measured(row: dict[str, Any], known: dict[str, Any], title: str) -> dict[str, str]:
    """A line of name=value +- error, and the same as JSON."""
    texts, objects = [], {}
    for name, (column, err_column, unit) in known.items():
        value = row[column]
        if value is None:
            continue
        err = row[err_column] if err_column else None
        texts.append(f"{name}={_plain(value)}" + (f" +/- {_plain(err)}" if err else ""))
        objects[name] = {"value": _plain(value), "uncertainty": err and _plain(err), "units": unit}
    return {title: ",".join(texts), f"{title}-XC": json.dumps(objects)}


def _plain(value: float) -> str:
    return f"{value:.10g}" if abs(value) < 1e5 else f"{value:.6f}"


def _clean(value: object) -> str:
    """A cell in one line without the delimiter."""
    return " ".join(str(value).replace(",", ";").split())
