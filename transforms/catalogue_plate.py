"""Plate solution from a list of stars whose places are known: no program, no index files."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from ..errors import RegistrationError
from .asterisms import nearest_points
from .astrometry import fitted_wcs, separation_deg, sky_of_plane, sky_positions, tangent_plane
from .plate_fit import PlateFit, fit_plate, plate_residuals
from .registration import Registration, apply_registration, registration_from_map
from .solver import SIP_ORDER, Hints, Solution
from .starmatch import match_stars

Array = NDArray[np.float64]

UNIT_SHARE = 1000  # stars are compared in units of this part of the frame's longer side
GUESSED_FIELD_DEG = 1.0  # longer side of a frame of unknown scale
FIRST_MARGIN_DEG = 0.1  # pointing error that is looked for first
RING_STEP = 0.7  # of half a diagonal, between the places looked at after that
MAX_PLACE = 25
FIRST_TOLERANCE = 4.0  # units
LAST_TOLERANCE_PIX = 3.0
N_GROW = 12
MIN_PAIR = 8


@dataclass(frozen=True, slots=True)
class _Frame:
    """The frame in units that do not depend on its number of pixels."""

    n_x_pix: int
    n_y_pix: int
    unit_pix: float
    unit_deg: float

    @property
    def half_diagonal_deg(self) -> float:
        return 0.5 * float(np.hypot(self.n_x_pix, self.n_y_pix)) / self.unit_pix * self.unit_deg


def solve_with_catalogue(
    stars: pl.DataFrame,
    catalogue: pl.DataFrame,
    n_x_pix: int,
    n_y_pix: int,
    *,
    hints: Hints,
    header: WCS | None = None,
    timeout_s: float = 60.0,
) -> Solution:
    """Solve a frame by comparing its stars with those of a catalogue around its pointing.

    Triangles of bright stars tell the place (see `match_stars`), at the pointing first and then
    around it as far as the catalogue reaches; from there pairs of stars and a plate of rising order
    refine each other, until the whole frame is paired.

    Parameters
    ----------
    stars
        x_pix, y_pix (0-based), flux_adu, perhaps flags.
    catalogue
        ra_deg, dec_deg at the epoch of the frame, rank_mag (null: faintest).
    hints
        Pointing, which must be given, and scale; without a scale a factor of ten is searched.
    header
        A WCS that may be right, to begin with.
    timeout_s
        No further place is looked at after this.

    Raises
    ------
    RegistrationError
        No pointing, too few stars, or no match that is more than chance.
    """
    if min(stars.height, catalogue.height) < MIN_PAIR:
        raise RegistrationError(
            f"catalogue: {catalogue.height} of its stars around the pointing, {stars.height} stars "
            f"seen; at least {MIN_PAIR} of each needed."
        )
    frame = _frame(n_x_pix, n_y_pix, hints.scale_arcsec_per_pix)
    deadline_s = time.monotonic() + timeout_s
    start = _start(stars, catalogue, frame, hints, header=header, deadline_s=deadline_s)
    plate, pixels, sky_deg = _grown(start, stars, catalogue, frame)
    residuals = plate_residuals(plate.wcs, pixels, sky_deg, plate.used)
    return Solution(plate.wcs, plate.n_star, plate.rms_arcsec, residuals)


def _frame(n_x_pix: int, n_y_pix: int, scale_arcsec_per_pix: float | None) -> _Frame:
    size_pix = max(n_x_pix, n_y_pix)
    scale = scale_arcsec_per_pix or 3600 * GUESSED_FIELD_DEG / size_pix
    unit_pix = max(1.0, size_pix / UNIT_SHARE)
    return _Frame(n_x_pix, n_y_pix, unit_pix, unit_pix * scale / 3600)


def _start(
    stars: pl.DataFrame,
    catalogue: pl.DataFrame,
    frame: _Frame,
    hints: Hints,
    *,
    header: WCS | None,
    deadline_s: float,
) -> WCS:
    """Find the frame among the stars of the catalogue; a rough WCS."""
    pointing_deg = hints.pointing_deg
    if pointing_deg is None:
        raise RegistrationError("catalogue: the pointing is not known, so no stars can be chosen.")
    seen = stars.with_columns(pl.col("x_pix", "y_pix") / frame.unit_pix)
    guess = None if header is None else _guess(header, frame, pointing_deg)
    reasons: list[str] = []
    for centre_deg, near in _places(catalogue, frame, pointing_deg):
        try:
            match = match_stars(
                seen, _projected(near, frame, centre_deg), guess=guess, max_degree=2
            )
        except RegistrationError as error:
            reasons.append(str(error))
            guess = None
            if time.monotonic() > deadline_s:
                break
            continue
        return _wcs_of(match.registration, frame, centre_deg)
    if not reasons:
        raise RegistrationError("catalogue: too few of its stars around the pointing.")
    raise RegistrationError(
        f"catalogue: compared in vain at {len(reasons)} places around the pointing. "
        f"There: {reasons[0]}"
    )


def _places(
    catalogue: pl.DataFrame, frame: _Frame, pointing_deg: tuple[float, float]
) -> Iterator[tuple[tuple[float, float], pl.DataFrame]]:
    """Yield circles that would hold the frame, from the pointing outwards, with their stars."""
    ra, dec = catalogue["ra_deg"].to_numpy(), catalogue["dec_deg"].to_numpy()
    reach_deg = float(separation_deg(ra, dec, *pointing_deg).max())
    half = frame.half_diagonal_deg
    steps = [(0.0, 0.0)]
    ring = 1
    while len(steps) < MAX_PLACE and ring * RING_STEP * half < reach_deg:
        angle = np.arange(6 * ring) * np.pi / (3 * ring)
        steps += list(zip(np.cos(angle) * ring, np.sin(angle) * ring, strict=True))
        ring += 1
    for east, north in steps[:MAX_PLACE]:
        centre = sky_of_plane(RING_STEP * half * east, RING_STEP * half * north, *pointing_deg)
        margin = FIRST_MARGIN_DEG if (east, north) == (0.0, 0.0) else 0.0
        near = catalogue.filter(separation_deg(ra, dec, *centre) < half + margin)
        if near.height >= MIN_PAIR:
            yield centre, near


def _projected(
    catalogue: pl.DataFrame, frame: _Frame, centre_deg: tuple[float, float]
) -> pl.DataFrame:
    """Lay the catalogue on a plane, in units of the frame, x to the west as on the sky."""
    xi, eta = tangent_plane(
        catalogue["ra_deg"].to_numpy(), catalogue["dec_deg"].to_numpy(), *centre_deg
    )
    faintest = float(catalogue["rank_mag"].max() or 0.0)  # type: ignore[arg-type]
    magnitude = catalogue["rank_mag"].fill_null(faintest)
    return pl.DataFrame(
        {
            "x_pix": -xi / frame.unit_deg,
            "y_pix": eta / frame.unit_deg,
            "flux_adu": 10 ** (-0.4 * (magnitude - faintest)),
        }
    )


def _guess(header: WCS, frame: _Frame, centre_deg: tuple[float, float]) -> Registration | None:
    """Express a header's WCS as the map from the frame to the plane of the catalogue."""

    def carry(x: Array, y: Array) -> tuple[Array, Array]:
        sky_deg = sky_positions(header, x * frame.unit_pix, y * frame.unit_pix)
        xi, eta = tangent_plane(*sky_deg, *centre_deg)
        return -xi / frame.unit_deg, eta / frame.unit_deg

    n_x, n_y = (round(n / frame.unit_pix) for n in (frame.n_x_pix, frame.n_y_pix))
    try:
        return registration_from_map(carry, n_x, n_y)
    except RegistrationError:
        return None


def _wcs_of(registration: Registration, frame: _Frame, centre_deg: tuple[float, float]) -> WCS:
    x, y = np.meshgrid(np.linspace(0, frame.n_x_pix - 1, 9), np.linspace(0, frame.n_y_pix - 1, 9))
    x, y = np.append(x, (frame.n_x_pix - 1) / 2), np.append(y, (frame.n_y_pix - 1) / 2)
    west, north = apply_registration(registration, x / frame.unit_pix, y / frame.unit_pix)
    places = [
        sky_of_plane(xi, eta, *centre_deg)
        for xi, eta in zip(-west * frame.unit_deg, north * frame.unit_deg, strict=True)
    ]
    ra, dec = np.transpose(places)
    return fitted_wcs(
        (x, y),
        (ra, dec),
        frame.n_x_pix,
        frame.n_y_pix,
        centre_deg=(float(ra[-1]), float(dec[-1])),
        sip_order=registration.degree,
    )


def _grown(
    start: WCS, stars: pl.DataFrame, catalogue: pl.DataFrame, frame: _Frame
) -> tuple[PlateFit, tuple[Array, Array], tuple[Array, Array]]:
    """Let pairs and plate refine each other until the pairs stay the same."""
    x, y = (stars[name].to_numpy().astype(float) for name in ("x_pix", "y_pix"))
    ra, dec = (catalogue[name].to_numpy().astype(float) for name in ("ra_deg", "dec_deg"))
    wcs, plate = start, None
    tolerance_pix = FIRST_TOLERANCE * frame.unit_pix
    before: tuple[list[int], list[int]] = ([], [])
    for _ in range(N_GROW):
        i, j = _pairs(wcs, (x, y), (ra, dec), tolerance_pix)
        if (i.tolist(), j.tolist()) == before and tolerance_pix <= LAST_TOLERANCE_PIX:
            break
        before = i.tolist(), j.tolist()
        shape = frame.n_x_pix, frame.n_y_pix
        plate = fit_plate(wcs, (x[i], y[i]), (ra[j], dec[j]), *shape, max_sip_order=SIP_ORDER)
        if plate is None:
            break
        wcs, tolerance_pix = plate.wcs, max(LAST_TOLERANCE_PIX, tolerance_pix / 2)
    if plate is None or plate.n_star < MIN_PAIR:
        raise RegistrationError(
            f"catalogue: {0 if plate is None else plate.n_star} stars agree with a plate, at least "
            f"{MIN_PAIR} needed."
        )
    i, j = before
    return plate, (x[i], y[i]), (ra[j], dec[j])


def _pairs(
    wcs: WCS,
    pixels: tuple[ArrayLike, ArrayLike],
    sky_deg: tuple[Array, Array],
    tolerance_pix: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair stars with those of the catalogue that are each other's nearest."""
    centre = float(wcs.wcs.crval[0]), float(wcs.wcs.crval[1])
    seen = np.column_stack(tangent_plane(*sky_positions(wcs, *pixels), *centre))
    known = np.column_stack(tangent_plane(*sky_deg, *centre))
    scale_deg = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    seen = np.nan_to_num(seen, nan=1e3)
    distance, nearest = nearest_points(known, seen, tolerance_pix * scale_deg)
    _, back = nearest_points(seen, known, np.inf)
    rows = np.arange(len(seen))
    is_pair = np.isfinite(distance[:, 0]) & (back[nearest[:, 0], 0] == rows)
    return rows[is_pair], nearest[is_pair, 0]
