"""Sky and pixels: positions through a WCS, its rows, and carrying it from frame to frame."""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from astropy.io.fits import Header
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import ArrayLike, NDArray

from ..errors import RegistrationError
from .registration import Registration, apply_registration, invert_registration


@dataclass(frozen=True, slots=True)
class Orientation:
    """Scale and attitude of a frame at its centre, as in table `wcs`."""

    scale_arcsec_per_pix: float
    rotation_deg: float
    is_mirrored: bool


def orientation(wcs: WCS, n_x_pix: int, n_y_pix: int) -> Orientation:
    """Measure scale, position angle of the y axis and parity at the centre of a frame."""
    x0, y0 = (n_x_pix - 1) / 2, (n_y_pix - 1) / 2
    ra, dec = sky_positions(wcs, [x0, x0 + 1, x0], [y0, y0, y0 + 1])
    east = ((ra[1:] - ra[0] + 180) % 360 - 180) * np.cos(np.radians(dec[0]))
    north = dec[1:] - dec[0]
    # along x: (east, north)[0], along y: [1]; seen from inside the sky east is 90 degrees
    # anticlockwise from north, so a frame as the eye sees it has a negative determinant
    determinant = east[0] * north[1] - east[1] * north[0]
    return Orientation(
        scale_arcsec_per_pix=float(3600 * np.sqrt(abs(determinant))),
        rotation_deg=float(np.degrees(np.arctan2(east[1], north[1])) % 360),
        is_mirrored=bool(determinant > 0),
    )


def sky_positions(wcs: WCS, x_pix: ArrayLike, y_pix: ArrayLike):
    """Carry 0-based pixels to RA and Dec in degrees, with all distortions; nan where undefined."""
    ra, dec = wcs.all_pix2world(np.asarray(x_pix, float), np.asarray(y_pix, float), 0)
    return np.asarray(ra) % 360, np.asarray(dec)


def pixel_positions(wcs: WCS, ra_deg: ArrayLike, dec_deg: ArrayLike, *, reach_deg: float = 10.0):
    """Carry RA and Dec in degrees to 0-based pixels, with all distortions.

    Returns
    -------
    x and y; nan farther than `reach_deg` from the reference point (a tangential projection
    shows the far side of the sky too) and where the distortion has no way back.
    """
    ra, dec = np.broadcast_arrays(
        np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    )
    x, y = np.full(ra.shape, np.nan), np.full(ra.shape, np.nan)
    distance = separation_deg(ra, dec, wcs.wcs.crval[0], wcs.wcs.crval[1])
    near = np.isfinite(distance) & (distance < reach_deg)
    if near.any():
        x[near], y[near] = wcs.all_world2pix(ra[near], dec[near], 0, quiet=True, maxiter=40)
        back = sky_positions(wcs, x[near], y[near])
        miss_deg = separation_deg(ra[near], dec[near], *back)
        lost = near.copy()
        lost[near] = ~(3600 * miss_deg < 0.1 * scale_arcsec(wcs))
        x[lost] = y[lost] = np.nan
    if np.ndim(ra_deg) == 0 and np.ndim(dec_deg) == 0:
        return x[0], y[0]
    return x, y


def separation_deg(
    ra1_deg: ArrayLike, dec1_deg: ArrayLike, ra2_deg: ArrayLike, dec2_deg: ArrayLike
):
    """Measure the angle between directions, degrees, exact for small ones too (haversine)."""
    ra1, dec1, ra2, dec2 = (
        np.radians(np.asarray(a, float)) for a in (ra1_deg, dec1_deg, ra2_deg, dec2_deg)
    )
    half = (
        np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    )
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def wcs_cards(wcs: WCS) -> str:
    """Write a WCS as JSON, a list of [keyword, value], as in table `wcs`."""
    header = wcs.to_header(relax=True)
    return json.dumps([[card.keyword, card.value] for card in header.cards if card.keyword])


def wcs_from_cards(cards: str | Iterable[Sequence]) -> WCS:
    """Make the WCS of table `wcs` again from its cards."""
    pairs = json.loads(cards) if isinstance(cards, str) else cards
    header = Header([(pair[0], pair[1]) for pair in pairs])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


def wcs_row(
    wcs: WCS,
    n_x_pix: int,
    n_y_pix: int,
    *,
    method: str,
    n_star: int | None = None,
    rms_arcsec: float | None = None,
) -> pl.DataFrame:
    """Give the row of table `wcs`, frame_id apart; for `method` see there."""
    seen = orientation(wcs, n_x_pix, n_y_pix)
    return pl.DataFrame(
        {
            "method": [method],
            "cards": [wcs_cards(wcs)],
            "n_star": [n_star],
            "rms_arcsec": [rms_arcsec],
            "scale_arcsec_per_pix": [seen.scale_arcsec_per_pix],
            "rotation_deg": [seen.rotation_deg],
            "is_mirrored": [seen.is_mirrored],
        },
        schema={
            "method": pl.String,
            "cards": pl.String,
            "n_star": pl.Int32,
            "rms_arcsec": pl.Float64,
            "scale_arcsec_per_pix": pl.Float64,
            "rotation_deg": pl.Float64,
            "is_mirrored": pl.Boolean,
        },
    )


def carried_wcs(
    field_wcs: WCS, registration: Registration, n_x_pix: int, n_y_pix: int, *, sip_order: int = 3
) -> WCS:
    """Carry the WCS of a field over to a frame that was laid on it by stars.

    A grid of frame pixels goes through the registration to the field, through the field's WCS
    to the sky, and a WCS is fitted to what comes out.

    Raises
    ------
    RegistrationError
        If the frame's centre has no place in the field's WCS.
    """
    x0, y0 = (n_x_pix - 1) / 2, (n_y_pix - 1) / 2
    x, y = np.meshgrid(np.linspace(0, n_x_pix - 1, 12), np.linspace(0, n_y_pix - 1, 12))
    x, y = np.append(x.ravel(), x0), np.append(y.ravel(), y0)
    ra, dec = sky_positions(field_wcs, *invert_registration(registration, x, y))
    if not (np.isfinite(ra[-1]) and np.isfinite(dec[-1])):
        raise RegistrationError(
            "the frame's centre has no place in the field's WCS: its registration diverges there. "
            "Solve the frame itself."
        )
    good = np.isfinite(ra) & np.isfinite(dec)
    return fitted_wcs(
        (x[good], y[good]),
        (ra[good], dec[good]),
        n_x_pix,
        n_y_pix,
        centre_deg=(float(ra[-1]), float(dec[-1])),
        sip_order=sip_order,
    )


def transferred_wcs(
    frame_wcs: WCS, registration: Registration, n_x_pix: int, n_y_pix: int, *, sip_order: int = 3
) -> WCS:
    """Carry the WCS of a frame back to the field it lies on, whose reference frame has n_x by n_y.

    Raises
    ------
    RegistrationError
        If the field's centre has no place in the frame's WCS.
    """
    x0, y0 = (n_x_pix - 1) / 2, (n_y_pix - 1) / 2
    x, y = np.meshgrid(np.linspace(0, n_x_pix - 1, 12), np.linspace(0, n_y_pix - 1, 12))
    x, y = np.append(x.ravel(), x0), np.append(y.ravel(), y0)
    ra, dec = sky_positions(frame_wcs, *apply_registration(registration, x, y))
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise RegistrationError("the field has no place in the frame's WCS.")
    centre = float(ra[-1]), float(dec[-1])
    return fitted_wcs((x, y), (ra, dec), n_x_pix, n_y_pix, centre_deg=centre, sip_order=sip_order)


def fitted_wcs(
    pixels: tuple[ArrayLike, ArrayLike],
    sky_deg: tuple[ArrayLike, ArrayLike],
    n_x_pix: int,
    n_y_pix: int,
    *,
    centre_deg: tuple[float, float],
    sip_order: int,
) -> WCS:
    """Fit a tangential WCS to places in a frame and on the sky.

    The linear part becomes the CD matrix, the rest SIP, both by one linear fit.

    Parameters
    ----------
    pixels, sky_deg
        x and y, 0-based, and RA and Dec of the same places, each of shape (n,).
    centre_deg
        RA and Dec of the frame's centre, where the plane touches the sky.
    sip_order
        Order of the distortion; 1: none.

    References
    ----------
    Shupe et al. 2005, ASP Conf. 347, 491.
    """
    x0, y0 = (n_x_pix - 1) / 2, (n_y_pix - 1) / 2
    plane = np.column_stack(tangent_plane(*sky_deg, *centre_deg))
    reach = max(n_x_pix, n_y_pix) / 2
    u, v = (np.asarray(pixels[0], float) - x0) / reach, (np.asarray(pixels[1], float) - y0) / reach
    exponents = [(i, j) for i in range(sip_order + 1) for j in range(sip_order + 1 - i) if i + j]
    powers = np.column_stack([u**i * v**j for i, j in exponents])
    scale = np.array([reach ** (i + j) for i, j in exponents])
    fit = np.linalg.lstsq(powers, plane, rcond=None)[0] / scale[:, None]
    cd = np.column_stack([fit[exponents.index((1, 0))], fit[exponents.index((0, 1))]])
    bent = np.linalg.solve(cd, fit.T)
    sip = {(i, j): bent[:, k] for k, (i, j) in enumerate(exponents) if i + j > 1}
    return sip_wcs(centre_deg, (x0, y0), cd, sip, sip_order=sip_order)


def sip_wcs(
    centre_deg: tuple[float, float],
    centre_pix: tuple[float, float],
    cd: NDArray,
    sip: Mapping[tuple[int, int], NDArray],
    *,
    sip_order: int,
) -> WCS:
    """Make a tangential WCS with SIP distortion.

    Parameters
    ----------
    centre_deg, centre_pix
        RA and Dec, and x and y (0-based), where the plane touches the sky.
    cd
        CD matrix, degrees per pixel, shape (2, 2).
    sip
        Coefficients of x and y by the powers of both pixel offsets; those left out are 0.
    """
    suffix = "-SIP" if sip_order > 1 else ""
    cards = [
        *(["CTYPE1", f"RA---TAN{suffix}"], ["CTYPE2", f"DEC--TAN{suffix}"], ["RADESYS", "ICRS"]),
        *(["CRVAL1", float(centre_deg[0])], ["CRVAL2", float(centre_deg[1])]),
        *(["CRPIX1", centre_pix[0] + 1], ["CRPIX2", centre_pix[1] + 1]),
        *([f"CD{a + 1}_{b + 1}", float(cd[a, b])] for a in (0, 1) for b in (0, 1)),
    ]
    if sip_order > 1:
        cards += [["A_ORDER", sip_order], ["B_ORDER", sip_order]]
        for (i, j), (a, b) in sip.items():
            cards += [[f"A_{i}_{j}", float(a)], [f"B_{i}_{j}", float(b)]]
    return wcs_from_cards(cards)


def tangent_plane(ra, dec, ra0, dec0):
    """Project gnomonically, degrees."""
    ra, dec, ra0, dec0 = np.radians(ra), np.radians(dec), np.radians(ra0), np.radians(dec0)
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    xi = np.cos(dec) * np.sin(ra - ra0) / cosine
    eta = np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)
    return np.degrees(xi), np.degrees(eta / cosine)


def sky_of_plane(xi: float, eta: float, ra0: float, dec0: float) -> tuple[float, float]:
    """Undo the gnomonic projection, degrees."""
    xi, eta, dec0 = np.radians(xi), np.radians(eta), np.radians(dec0)
    below = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.degrees(np.arctan2(xi, below))
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, below))
    return float(ra % 360), float(np.degrees(dec))


def scale_arcsec(wcs: WCS) -> float:
    """Measure the mean scale at the reference point, arcsec per pixel."""
    matrix = wcs.pixel_scale_matrix
    return float(3600 * np.sqrt(abs(np.linalg.det(matrix))))
