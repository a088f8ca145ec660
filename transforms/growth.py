"""The curve of growth of a frame's stars, and the radial profile that it implies."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .apertures import circle_sums

LADDER_FWHM = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5)
MIN_STAR, MAX_STAR, MAX_CANDIDATE = 3, 60, 300
MIN_SIGNAL_TO_NOISE = 100.0
LONELY_SHARE = 0.01  # of the star's light, that all neighbours together may have
PROFILE_STEP_PIX = 0.25
FALLBACK_BETA = 3.0  # of the Moffat profile of a frame without stars to measure it
GROWTH_SCHEMA = {
    "aperture_id": pl.Int16,
    "radius_pix": pl.Float32,
    "total_radius_pix": pl.Float32,
    "enclosed_fraction": pl.Float64,
    "enclosed_fraction_err": pl.Float64,
    "n_star": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Growth:
    """Share of a star's light within each radius.

    Attributes
    ----------
    radius_pix, fraction, fraction_err
        Radii in rising order, the last counts as the whole; shape (n_radius,).
    n_star
        Stars behind it.
    """

    radius_pix: NDArray[np.float64]
    fraction: NDArray[np.float64]
    fraction_err: NDArray[np.float64]
    n_star: int


def curve_of_growth(  # noqa: PLR0917
    image, bits, bad_bits: int, x, y, sky_adu, *, radius_pix
) -> Growth | None:
    """Measure how the light of stars grows with the radius: median of the stars at each radius.

    Parameters
    ----------
    image, bits, bad_bits
        As in `circle_sums`.
    x, y, sky_adu
        Bright stars without neighbours, and their sky, shape (n,).
    radius_pix
        Radii, any order; the largest counts as the whole light.

    Returns
    -------
    None with fewer than 3 stars whose circles are whole.
    """
    radius = np.unique(np.asarray(radius_pix, dtype=np.float64))
    total, area, lost, _ = circle_sums(image, bits, bad_bits, x, y, radius)
    net = total - np.asarray(sky_adu)[:, None] * area
    is_whole = (lost[:, -1] == 0) & (area[:, -1] > 0.999 * np.pi * radius[-1] ** 2)
    good = is_whole & (net[:, -1] > 0)
    n_star = int(np.count_nonzero(good))
    if n_star < MIN_STAR:
        return None
    share = net[good] / net[good, -1:]
    fraction = np.median(share, axis=0)
    # standard error of a median, from the median absolute deviation
    scatter = 1.4826 * np.median(np.abs(share - fraction), axis=0)
    return Growth(radius, fraction, 1.2533 * scatter / np.sqrt(n_star), n_star)


def lonely_stars(
    x, y, flux, is_candidate: NDArray[np.bool_], *, brightness: NDArray, reach_pix: float
) -> NDArray[np.intp]:
    """Choose the brightest stars whose neighbours have next to none of their light.

    Parameters
    ----------
    x, y, flux
        All stars, shape (n,); flux on any common scale, nan where not known.
    is_candidate
        Stars that could serve, shape (n,).
    brightness
        What the brightest are chosen by, shape (n,).
    reach_pix
        Stars farther away are no neighbours.
    """
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    candidates = np.flatnonzero(is_candidate)
    candidates = candidates[np.argsort(-brightness[candidates], kind="stable")][:MAX_CANDIDATE]
    if candidates.size == 0:
        return candidates
    light = np.nan_to_num(flux)
    tree = KDTree(np.column_stack([x[known], y[known]]))
    near = tree.query_ball_point(np.column_stack([x[candidates], y[candidates]]), reach_pix)
    foreign = np.array([light[known[found]].sum() for found in near]) - light[candidates]
    lonely = candidates[foreign <= LONELY_SHARE * light[candidates]]
    return lonely[:MAX_STAR]


def growth_rows(growth: Growth | None, radius_of: Mapping[int, float]) -> pl.DataFrame:
    """Give rows of table `curve_of_growth`, frame_id apart: apertures, and the radii between."""
    if growth is None:
        return pl.DataFrame(schema=GROWTH_SCHEMA)
    between = set(growth.radius_pix.tolist()) - set(radius_of.values())
    wanted = [*radius_of.items(), *((None, radius) for radius in sorted(between))]
    where = np.searchsorted(growth.radius_pix, [radius for _, radius in wanted])
    return pl.DataFrame(
        {
            "aperture_id": [number for number, _ in wanted],
            "radius_pix": growth.radius_pix[where],
            "total_radius_pix": np.full(len(wanted), growth.radius_pix[-1]),
            "enclosed_fraction": growth.fraction[where],
            "enclosed_fraction_err": growth.fraction_err[where],
            "n_star": np.full(len(wanted), growth.n_star),
        },
        schema=GROWTH_SCHEMA,
        strict=False,
    )


def radial_profile(growth: Growth, reach_pix: float) -> NDArray[np.float64]:
    """Give the light of a pixel at each distance: what rings of the curve of growth hold.

    Returns
    -------
    Samples at multiples of PROFILE_STEP_PIX up to the reach, on the scale of the whole light.
    """
    inner = np.concatenate([[0.0], growth.radius_pix[:-1]])
    area = np.pi * (growth.radius_pix**2 - inner**2)
    surface = np.maximum(np.diff(growth.fraction, prepend=0.0), 0.0) / area
    # where half of a ring's area lies within
    middle = np.sqrt(0.5 * (growth.radius_pix**2 + inner**2))
    return np.interp(_distances(reach_pix), middle, surface)


def moffat_profile(fwhm_pix: float, reach_pix: float) -> NDArray[np.float64]:
    """Give the profile of a frame whose stars are too few or faint: a Moffat of exponent 3."""
    alpha = fwhm_pix / (2 * np.sqrt(2 ** (1 / FALLBACK_BETA) - 1))
    surface = (1 + (_distances(reach_pix) / alpha) ** 2) ** -FALLBACK_BETA
    return surface * (FALLBACK_BETA - 1) / (np.pi * alpha**2)


def _distances(reach_pix: float) -> NDArray[np.float64]:
    return np.arange(0.0, reach_pix + 2 + PROFILE_STEP_PIX, PROFILE_STEP_PIX)
