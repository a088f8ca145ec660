"""The light of neighbours in an aperture, and what it does when the width of stars changes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from scipy.special import chndtr, i0e, i1e

from .shapes import SIGMA_PER_FWHM

REACH_SIGMA = 5.5  # of a neighbour's light beyond an aperture's edge


def blending(
    x_pix: ArrayLike, y_pix: ArrayLike, flux: ArrayLike, *, radius_pix: ArrayLike, fwhm_pix: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate how much of the light in an aperture is the neighbours', over the star's own.

    Parameters
    ----------
    x_pix, y_pix, flux
        All stars, shape (n,); nan where not known.
    radius_pix
        Radii, shape (n_radius,).

    Returns
    -------
    Neighbours' light and its change per unit of ln FWHM, both over the star's own light, shape
    (n, n_radius), 0 without neighbours. The light of a Gaussian star inside a circle at some
    distance is a non-central chi-square probability.
    """
    x, y = np.asarray(x_pix, dtype=np.float64), np.asarray(y_pix, dtype=np.float64)
    flux = np.nan_to_num(np.asarray(flux, dtype=np.float64))
    radius = np.atleast_1d(np.asarray(radius_pix, dtype=np.float64))
    sigma = fwhm_pix * SIGMA_PER_FWHM
    foreign, slope = np.zeros((2, x.size, radius.size))
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (flux > 0))
    if known.size < 2:
        return foreign, slope
    points = np.column_stack([x[known], y[known]])
    pairs = KDTree(points).query_pairs(radius.max() + REACH_SIGMA * sigma, output_type="ndarray")
    distance = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    for m, r in enumerate(radius):
        near = distance < r + REACH_SIGMA * sigma
        share = chndtr((r / sigma) ** 2, 2, (distance[near] / sigma) ** 2)
        own = -np.expm1(-0.5 * (r / sigma) ** 2)
        first, second = known[pairs[near, 0]], known[pairs[near, 1]]
        ratio = flux[second] / (flux[first] * own)
        back = flux[first] / (flux[second] * own)
        change = _change(distance[near] / sigma, r / sigma)
        for total, each in ((foreign, share), (slope, change)):
            np.add.at(total[:, m], first, ratio * each)
            np.add.at(total[:, m], second, back * each)
    return foreign, slope


def _change(distance: NDArray, radius: float) -> NDArray[np.float64]:
    """Change of a Gaussian star's light inside a circle per unit of ln sigma; lengths in sigmas."""
    product = distance * radius
    bessel = distance * i1e(product) - radius * i0e(product)
    return radius * bessel * np.exp(-0.5 * (distance - radius) ** 2)
