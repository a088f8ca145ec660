"""A celestial WCS from stars of known places, some of which may be the wrong ones."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from .astrometry import (
    fitted_wcs,
    pixel_positions,
    separation_deg,
    sip_wcs,
    sky_of_plane,
    sky_positions,
    tangent_plane,
)

Array = NDArray[np.float64]

MIN_STAR = 6  # twice the three that a linear plate needs
N_CLIP = 10
N_CENTRE = 4  # turns of moving the tangent point to the frame's centre; two do
N_RADIAL = 4  # turns of moving the linear part and the tangent point; two do
RADIAL_ORDER = 3
RAYLEIGH_MEDIAN = 1.1774  # of distances whose components have a sigma of 1
LEAST_SIGMA_ARCSEC = 0.01  # a clip of perfect positions must leave some


@dataclass(frozen=True, slots=True)
class PlateFit:
    """A fitted plate: the n_star `used` stars lie within rms_arcsec (root mean square distance)."""

    wcs: WCS
    n_star: int
    rms_arcsec: float
    used: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Model:
    """A plate: a polynomial of both coordinates, perhaps with one radial cubic term.

    Optics distort by the cube of the distance from the axis: one number instead of eight, which
    few stars hold much better in the corners. An axis beside the frame's centre adds squares.
    """

    order: int
    is_radial: bool = False

    @property
    def n_parameter(self) -> int:
        return (self.order + 1) * (self.order + 2) + self.is_radial


def fit_plate(
    start: WCS,
    pixels: tuple[ArrayLike, ArrayLike],
    sky_deg: tuple[ArrayLike, ArrayLike],
    n_x_pix: int,
    n_y_pix: int,
    *,
    n_sigma: float = 4.0,
    max_sip_order: int = 2,
) -> PlateFit | None:
    """Fit a plate to pairs of stars without those that contradict the others.

    One wrong pair of fourteen bends a least-squares solution by several arcsec. Here stars
    beyond `n_sigma` of the median distance are left out, first by the starting solution, then by
    each fit. A distortion is fitted only where the stars demand it (Bayesian information).

    Parameters
    ----------
    start
        A solution good enough to tell right pairs from wrong ones.
    pixels, sky_deg
        x and y, 0-based, and RA and Dec of the same stars, each of shape (n,).

    Returns
    -------
    None where fewer than six stars agree.
    """
    x, y = (np.asarray(values, float) for values in pixels)
    ra, dec = (np.asarray(values, float) for values in sky_deg)
    places = np.column_stack([x, y, ra, dec])
    agree = _agreeing(_distances(start, places), np.ones(len(x), dtype=bool), n_sigma)
    best: tuple[float, PlateFit] | None = None
    for model in _models(max_sip_order):
        # two coordinates each: as many to spare
        if agree.sum() < max(MIN_STAR, model.n_parameter):
            break
        wcs, used = _clipped_fit(places, agree, n_x_pix, n_y_pix, model=model, n_sigma=n_sigma)
        distance = _distances(wcs, places)
        n_coordinate = 2 * int(agree.sum())
        # judged by the same stars, whichever of them this model left out
        criterion = n_coordinate * np.log(
            np.mean(distance[agree] ** 2)
        ) + model.n_parameter * np.log(n_coordinate)
        if best is None or criterion < best[0]:
            rms_arcsec = float(np.sqrt(np.mean(distance[used] ** 2)))
            best = criterion, PlateFit(wcs, int(used.sum()), rms_arcsec, used)
    return None if best is None else best[1]


def _models(max_sip_order: int) -> list[_Model]:
    """Return the plates to be tried, those of fewest parameters first."""
    models = [_Model(order) for order in range(1, max_sip_order + 1)]
    if max_sip_order >= RADIAL_ORDER:
        models += [_Model(order, is_radial=True) for order in range(1, RADIAL_ORDER)]
    return sorted(models, key=lambda model: model.n_parameter)


def plate_residuals(
    wcs: WCS,
    pixels: tuple[ArrayLike, ArrayLike],
    sky_deg: tuple[ArrayLike, ArrayLike],
    used: NDArray[np.bool_],
) -> pl.DataFrame:
    """Say how far stars are from where a plate puts them: rows of `wcs_residual`.

    Stars that have no place on the plate, or stand there twice, are left out.
    """
    x, y = (np.asarray(values, float) for values in pixels)
    x_there, y_there = pixel_positions(wcs, *sky_deg)
    rows = pl.DataFrame(
        {"x_pix": x, "y_pix": y, "dx_pix": x - x_there, "dy_pix": y - y_there, "is_used": used}
    )
    rows = rows.filter(pl.all_horizontal(pl.col("dx_pix", "dy_pix").is_finite()))
    numbers = pl.selectors.float()
    return rows.with_columns(numbers.cast(pl.Float32)).unique(
        ["x_pix", "y_pix"], keep="first", maintain_order=True
    )


def _clipped_fit(
    places: Array,
    agree: NDArray[np.bool_],
    n_x_pix: int,
    n_y_pix: int,
    *,
    model: _Model,
    n_sigma: float,
) -> tuple[WCS, NDArray[np.bool_]]:
    used = agree
    fit = _fit_radial if model.is_radial else _fit
    wcs = fit(places[used], n_x_pix, n_y_pix, model.order)
    for _ in range(N_CLIP):
        kept = _agreeing(_distances(wcs, places), used, n_sigma)
        if kept.sum() < MIN_STAR or (kept == used).all():
            break
        used = kept
        wcs = fit(places[used], n_x_pix, n_y_pix, model.order)
    return wcs, used


def _fit(places: Array, n_x_pix: int, n_y_pix: int, order: int) -> WCS:
    """Fit with the tangent point at the centre of the frame, found on the way."""
    x, y, ra, dec = places.T
    u, v = x - (n_x_pix - 1) / 2, y - (n_y_pix - 1) / 2
    exponents = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    reach = max(n_x_pix, n_y_pix) / 2
    powers = np.column_stack([(u / reach) ** i * (v / reach) ** j for i, j in exponents])
    middle = int(np.argmin(np.hypot(u, v)))
    centre = float(ra[middle]), float(dec[middle])
    for _ in range(N_CENTRE):
        plane = np.column_stack(tangent_plane(ra, dec, *centre))
        offset = np.linalg.lstsq(powers, plane, rcond=None)[0][exponents.index((0, 0))]
        centre = sky_of_plane(float(offset[0]), float(offset[1]), *centre)
    return fitted_wcs((x, y), (ra, dec), n_x_pix, n_y_pix, centre_deg=centre, sip_order=order)


def _fit_radial(places: Array, n_x_pix: int, n_y_pix: int, order: int) -> WCS:
    """Fit a polynomial and a displacement along the radius by its cube, centred on the frame."""
    x, y, ra, dec = places.T
    x0, y0 = (n_x_pix - 1) / 2, (n_y_pix - 1) / 2
    reach = max(n_x_pix, n_y_pix) / 2
    u, v = (x - x0) / reach, (y - y0) / reach
    exponents = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    powers = np.column_stack([u**i * v**j for i, j in exponents])
    empty, cube = np.zeros_like(powers), (u**2 + v**2) * np.array([u, v])
    design = np.column_stack([np.block([[powers, empty], [empty, powers]]), cube.ravel()])
    start = _fit(places, n_x_pix, n_y_pix, order)
    centre, cd = (float(start.wcs.crval[0]), float(start.wcs.crval[1])), start.wcs.cd
    radial, terms, linear = 0.0, {}, np.eye(2)
    for _ in range(N_RADIAL):
        plane = np.column_stack(tangent_plane(ra, dec, *centre))
        straight = np.linalg.solve(cd * reach, plane.T).ravel()
        *fitted, radial = np.linalg.lstsq(design, straight, rcond=None)[0]
        terms = dict(zip(exponents, np.reshape(fitted, (2, -1)).T, strict=True))
        xi, eta = cd * reach @ terms[0, 0]
        centre = sky_of_plane(float(xi), float(eta), *centre)
        linear = np.column_stack([terms[1, 0], terms[0, 1]])
        cd = cd @ linear
    cubes = {(3, 0): (radial, 0), (1, 2): (radial, 0), (2, 1): (0, radial), (0, 3): (0, radial)}
    bent = {pair: value for pair, value in terms.items() if sum(pair) > 1} | cubes
    sip = {
        (i, j): np.linalg.solve(linear, np.array(value)) / reach ** (i + j - 1)
        for (i, j), value in bent.items()
    }
    return sip_wcs(centre, (x0, y0), cd, sip, sip_order=RADIAL_ORDER)


def _distances(wcs: WCS, places: Array) -> Array:
    """Distances of the stars from where a WCS puts them, arcsec; infinite where it is undefined."""
    x, y, ra, dec = places.T
    distance = 3600 * separation_deg(*sky_positions(wcs, x, y), ra, dec)
    return np.where(np.isfinite(distance), distance, np.inf)


def _agreeing(distance: Array, used: NDArray[np.bool_], n_sigma: float) -> NDArray[np.bool_]:
    sigma = max(float(np.median(distance[used])) / RAYLEIGH_MEDIAN, LEAST_SIGMA_ARCSEC)
    return distance < n_sigma * sigma
