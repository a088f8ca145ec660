"""Files of time, flux and error: for ExoClock, and for EXOFAST with its columns for detrending."""

import polars as pl

from ..errors import UsageError
from .exported_curves import ExportedCurve

# Names of filters as ExoClock's form has them.
EXOCLOCK_FILTER = {
    "u": "u'",
    "g": "g'",
    "r": "r'",
    "i": "i'",
    "z": "z'",
    "U": "U",
    "B": "B",
    "V": "V",
    "R": "R",
    "I": "I",
    "clear": "Clear",
    "luminance": "Luminance",
}
DETREND = ("airmass", "x_pix", "y_pix", "fwhm_pix", "sky_adu_per_pix")


def exoclock_text(curve: ExportedCurve) -> str:
    """Write BJD_TDB at mid-exposure, relative flux as measured, its error: for ExoClock.

    Raises
    ------
    UsageError
        A point has no error, or more than one night was chosen.
    """
    return _lines(_with_errors(curve).select(*_THREE))


def exoclock_info(curve: ExportedCurve, *, data_name: str, software: str) -> str:
    """Write what ExoClock's form asks beside the points.

    Raises
    ------
    UsageError
        The star is no planet's host, or its band has no name there.
    """
    if curve.planet is None:
        raise UsageError(
            f"{curve.name} is no planet of table `planet`; ExoClock takes transits of planets. "
            f"Import its ephemeris: starmuster import ephemerides FILE."
        )
    band = curve.one("band")
    if band not in EXOCLOCK_FILTER:
        raise UsageError(
            f"band {band!r} has no name at ExoClock; known are {', '.join(EXOCLOCK_FILTER)}."
        )
    exposure_s = curve.one("exposure_s")
    told = {
        "Planet": curve.planet["planet_name"].replace(" ", ""),
        "File to upload": data_name,
        "Time format": "BJD_TDB",
        "Time stamp": "Mid-exposure",
        "Flux format": "Flux (of the target over the comparison stars, not detrended)",
        "Filter": EXOCLOCK_FILTER[band],
        "Exposure time in seconds": "unknown" if exposure_s is None else f"{exposure_s:g}",
        "Camera": curve.one("camera_name"),
        "Telescope": curve.one("telescope_name") or "unknown",
        "Comparison stars": curve.comparison.height,
        "Comments": f"Reduced with {software}.",
    }
    return "".join(f"{name}: {value}\n" for name, value in told.items())


def exofast_text(curve: ExportedCurve) -> str:
    """Write BJD_TDB, flux around 1, its error and columns for detrending: for EXOFAST.

    Columns without a gap count; the names stand in a comment.

    Raises
    ------
    UsageError
        A point has no error, or more than one night was chosen.
    """
    points = _with_errors(curve)
    whole = [name for name in DETREND if points[name].null_count() == 0]
    table = points.select(*_THREE, *(pl.col(name).round(6) for name in whole))
    return f"# {' '.join(['bjd_tdb', 'flux', 'err', *whole])}\n" + _lines(table)


_THREE = (
    pl.col("mid_bjd_tdb").round(8),
    pl.col("relative_flux").round(8),
    pl.col("relative_flux_err").round(8),
)


def _with_errors(curve: ExportedCurve) -> pl.DataFrame:
    curve.one("night")
    points = curve.sound
    if points["relative_flux_err"].null_count() or points.is_empty():
        raise UsageError(
            f"{curve.name}: {points['relative_flux_err'].null_count()} of {points.height} points "
            f"have no error, and this format takes none without. Tell the camera's gain "
            f"(starmuster.toml, gain_e_per_adu)."
        )
    return points


def _lines(rows: pl.DataFrame) -> str:
    text = []
    for time, *values in rows.iter_rows():
        text.append(" ".join([f"{time:.8f}", *(f"{value:.8g}" for value in values)]))
    return "\n".join(text) + "\n"
