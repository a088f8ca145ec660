"""Which WCS of a header to trust."""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS, FITSFixedWarning

from .astrometry import pixel_positions, scale_arcsec, separation_deg, sky_positions

MIN_SCALE_ARCSEC, MAX_SCALE_ARCSEC = 0.05, 60.0
CELESTIAL = ("TAN", "TPV", "SIN", "ARC", "STG", "ZEA", "ZPN", "TNX", "CAR")
NUMERIC = re.compile(
    r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d\d?|(A|B|AP|BP)_(ORDER|\d_\d)|L(ON|AT)POLE"
)
TEXT = re.compile(r"CTYPE[12]|CUNIT[12]|RADESYS")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A WCS that can be trusted, or None and the reason why not."""

    wcs: WCS | None
    reason: str


def trusted_wcs(
    cards: Iterable[Sequence],
    n_x_pix: int,
    n_y_pix: int,
    *,
    scale_hint_arcsec_per_pix: float | None = None,
    scale_tolerance: float = 0.25,
    pointing_deg: tuple[float, float] | None = None,
    pointing_tolerance_deg: float = 2.0,
) -> Verdict:
    """Say whether the celestial WCS of a header can be trusted, and why not.

    Only the cards of the FITS WCS standard and SIP are looked at, and only if their values are
    numbers: a WCS of quoted strings makes astropy report RA 0 and a degree a pixel, without a
    word. Scale, perpendicular axes, position and the way back from the sky must be plausible.

    Parameters
    ----------
    cards
        Keyword, value and perhaps comment of each card.
    n_x_pix, n_y_pix
        Size of the frame, pixels.
    scale_hint_arcsec_per_pix, scale_tolerance
        Scale from the header or the configuration, and by what fraction the WCS may differ.
    pointing_deg, pointing_tolerance_deg
        RA and Dec as pointed, and how far off the frame's centre may be.
    """
    try:
        header = _wcs_header(cards)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header)
        _require_plausible(wcs, n_x_pix, n_y_pix)
        _require_hints(
            wcs,
            n_x_pix,
            n_y_pix,
            scale_hint_arcsec_per_pix,
            scale_tolerance,
            pointing_deg,
            pointing_tolerance_deg,
        )
    except _DoubtError as doubt:
        return Verdict(None, str(doubt))
    except Exception as error:  # wcslib raises many kinds for a header it cannot make sense of
        return Verdict(None, f"WCS cards make no WCS ({type(error).__name__}: {error})")
    return Verdict(wcs, "plausible")


class _DoubtError(Exception):
    """A reason not to trust a WCS."""


def _wcs_header(cards: Iterable[Sequence]) -> Header:
    """Keep the cards of the WCS standard and SIP, with the traps of real headers taken out."""
    kept: dict[str, object] = {}
    for card in cards:
        keyword, value = str(card[0]).strip().upper(), card[1]
        keyword = "RADESYS" if keyword == "RADECSYS" else keyword
        if value is None or keyword in kept:
            continue
        if NUMERIC.fullmatch(keyword):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _DoubtError(f"{keyword} is {value!r}: a number expected")
            if not np.isfinite(value):
                raise _DoubtError(f"{keyword} is {value}")
            kept[keyword] = value
        elif TEXT.fullmatch(keyword):
            kept[keyword] = str(value).strip()
        elif keyword == "EQUINOX" and isinstance(value, int | float):
            kept[keyword] = value
    _take_out_traps(kept)
    return Header(list(kept.items()))


def _take_out_traps(kept: dict[str, object]) -> None:
    """Refuse cards that make no celestial WCS, and drop what contradicts the rest."""
    missing = [k for k in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2") if k not in kept]
    if missing:
        raise _DoubtError(f"no celestial WCS: {', '.join(missing)} missing")
    if any(keyword.startswith("CD") and "_" in keyword for keyword in kept):
        # the older description of the same thing, often left behind by another program
        for keyword in ("CDELT1", "CDELT2", "CROTA1", "CROTA2"):
            kept.pop(keyword, None)
    elif not any(keyword.startswith(("CDELT", "PC")) for keyword in kept):
        raise _DoubtError("no celestial WCS: neither a CD matrix nor CDELT")
    for axis in ("1", "2"):
        kind = str(kept[f"CTYPE{axis}"])
        if not kind[5:8].strip("-") or kind[5:8] not in CELESTIAL:
            raise _DoubtError(f"CTYPE{axis} is {kind!r}: a projection of the sky expected")
        if "A_ORDER" in kept and not kind.endswith("-SIP"):
            kept[f"CTYPE{axis}"] = kind + "-SIP"


def _require_plausible(wcs: WCS, n_x_pix: int, n_y_pix: int) -> None:
    if not wcs.has_celestial or wcs.naxis != 2:
        raise _DoubtError("no celestial WCS of two axes")
    matrix = np.asarray(wcs.pixel_scale_matrix) * 3600
    x_scale, y_scale = np.hypot(matrix[0], matrix[1])
    if not (np.isfinite(matrix).all() and min(x_scale, y_scale) >= MIN_SCALE_ARCSEC):
        raise _DoubtError(f"scale {x_scale:.3g} x {y_scale:.3g} arcsec/pix: too fine to be true")
    if max(x_scale, y_scale) > MAX_SCALE_ARCSEC:
        raise _DoubtError(f"scale {x_scale:.3g} x {y_scale:.3g} arcsec/pix: too coarse to be true")
    if max(x_scale, y_scale) > 1.2 * min(x_scale, y_scale):
        raise _DoubtError(f"scales of x and y differ: {x_scale:.3g} and {y_scale:.3g} arcsec/pix")
    if abs(np.linalg.det(matrix)) < 0.9 * x_scale * y_scale:
        raise _DoubtError("axes of x and y are far from perpendicular")
    if not -90 <= wcs.wcs.crval[1] <= 90 or not -360 <= wcs.wcs.crval[0] <= 360:
        raise _DoubtError(
            f"reference point {wcs.wcs.crval[0]:g}, {wcs.wcs.crval[1]:g} is not on the sky"
        )
    x = np.array([0, n_x_pix - 1, 0, n_x_pix - 1, (n_x_pix - 1) / 2])
    y = np.array([0, 0, n_y_pix - 1, n_y_pix - 1, (n_y_pix - 1) / 2])
    ra, dec = sky_positions(wcs, x, y)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise _DoubtError("corners of the frame have no place on the sky")
    back = np.hypot(*(np.array(pixel_positions(wcs, ra, dec, reach_deg=60.0)) - [x, y]))
    if not (back < 0.5).all():
        raise _DoubtError(
            "corners of the frame do not find back from the sky: diverging distortion"
        )


def _require_hints(  # noqa: PLR0917
    wcs: WCS, n_x_pix, n_y_pix, scale_hint, scale_tolerance, pointing_deg, pointing_tolerance_deg
) -> None:
    scale = scale_arcsec(wcs)
    if scale_hint is not None and not (
        1 / (1 + scale_tolerance) < scale / scale_hint < 1 + scale_tolerance
    ):
        raise _DoubtError(f"scale {scale:.3g} arcsec/pix, {scale_hint:.3g} expected")
    if pointing_deg is None:
        return
    ra, dec = sky_positions(wcs, [(n_x_pix - 1) / 2], [(n_y_pix - 1) / 2])
    off_deg = float(separation_deg(ra[0], dec[0], *pointing_deg))
    if off_deg > pointing_tolerance_deg:
        raise _DoubtError(
            f"centre at {ra[0]:.4f}, {dec[0]:.4f} is {off_deg:.3g} degrees from where the "
            f"telescope pointed, {pointing_tolerance_deg:g} allowed"
        )
