"""Kernels of photometry by fits: all stars of a frame at once, at given places."""

import numpy as np
from numba import njit

from .profile_kernels import pixel_light


@njit(cache=True, nogil=True)
def star_stamps(model, shape, x, y, reach):
    """Draw the light of unit stars: stamps, shape (n, side, side), and the place of their corner.

    `reach` is the distance in pixels from the centre to the edge of a stamp.
    """
    side = 2 * reach + 1
    stamps = np.empty((x.size, side, side))
    corner = np.empty((x.size, 2), dtype=np.int64)
    for k in range(x.size):
        i0, j0 = int(np.rint(x[k])) - reach, int(np.rint(y[k])) - reach
        corner[k, 0], corner[k, 1] = i0, j0
        for j in range(side):
            for i in range(side):
                stamps[k, j, i] = pixel_light(model, i0 + i - x[k], j0 + j - y[k], shape)
    return stamps, corner


@njit(cache=True, nogil=True)
def _share(dx, dy, radius):
    """Tell how much a pixel counts in a fit: all within the radius, none a pixel beyond."""
    return min(max(radius + 0.5 - np.sqrt(dx * dx + dy * dy), 0.0), 1.0)


@njit(cache=True, nogil=True)
def core_sums(stamps, corner, x, y, radius, image, weight):  # noqa: PLR0917
    """Weigh image and stamps on the pixels of each star's core, shares t of pixels at the rim.

    Returns
    -------
    Sums of t w stamp image; of t w stamp^2; of t stamp^2 where the weight is not 0, and wherever;
    of t w stamp; of t^2 w stamp^2: each of shape (n,).
    """
    n_y, n_x = image.shape
    side = stamps.shape[1]
    out = np.zeros((6, corner.shape[0]))
    for k in range(corner.shape[0]):
        for j in range(side):
            row = corner[k, 1] + j
            for i in range(side):
                column = corner[k, 0] + i
                share = _share(column - x[k], row - y[k], radius)
                if share == 0.0:
                    continue
                light = stamps[k, j, i]
                out[3, k] += share * light * light
                if row < 0 or column < 0 or row >= n_y or column >= n_x:
                    continue
                w = weight[row, column]
                if w == 0.0:
                    continue
                out[0, k] += share * w * light * image[row, column]
                out[1, k] += share * w * light * light
                out[2, k] += share * light * light
                out[4, k] += share * w * light
                out[5, k] += share * share * w * light * light
    return out


@njit(cache=True, nogil=True)
def pair_sums(stamps, corner, x, y, radius, first, second, weight):  # noqa: PLR0917
    """Sum t w stamp x stamp of pairs over the core of the first star, shape (n_pair,)."""
    n_y, n_x = weight.shape
    side = stamps.shape[1]
    shared = np.zeros(first.size)
    reach = int(np.ceil(radius + 0.5))
    for m in range(first.size):
        a, b = first[m], second[m]
        i_mid, j_mid = int(np.rint(x[a])), int(np.rint(y[a]))
        for row in range(max(0, j_mid - reach), min(n_y, j_mid + reach + 1)):
            j, j_other = row - corner[a, 1], row - corner[b, 1]
            if j < 0 or j >= side or j_other < 0 or j_other >= side:
                continue
            for column in range(max(0, i_mid - reach), min(n_x, i_mid + reach + 1)):
                i, i_other = column - corner[a, 0], column - corner[b, 0]
                if i < 0 or i >= side or i_other < 0 or i_other >= side:
                    continue
                share = _share(column - x[a], row - y[a], radius)
                light = stamps[a, j, i] * stamps[b, j_other, i_other]
                shared[m] += share * weight[row, column] * light
    return shared


@njit(cache=True, nogil=True)
def add_stars(image, stamps, corner, flux):
    """Add stars of the given fluxes to an image in place; nan adds nothing."""
    n_y, n_x = image.shape
    side = stamps.shape[1]
    for k in range(flux.size):
        if not np.isfinite(flux[k]):
            continue
        for j in range(side):
            row = corner[k, 1] + j
            if row < 0 or row >= n_y:
                continue
            for i in range(side):
                column = corner[k, 0] + i
                if 0 <= column < n_x:
                    image[row, column] += flux[k] * stamps[k, j, i]


@njit(cache=True, nogil=True)
def absolute_residuals(residual, weight, x, y, sky, radius):  # noqa: PLR0917
    """Sum what is left of good pixels within a radius of each star over its sky, shape (n,)."""
    n_y, n_x = residual.shape
    total = np.zeros(x.size)
    for k in range(x.size):
        for j in range(max(0, int(np.ceil(y[k] - radius))), min(n_y, int(y[k] + radius) + 1)):
            for i in range(max(0, int(np.ceil(x[k] - radius))), min(n_x, int(x[k] + radius) + 1)):
                is_near = (i - x[k]) ** 2 + (j - y[k]) ** 2 <= radius * radius
                if is_near and weight[j, i] > 0.0:
                    total[k] += abs(residual[j, i] - sky[k])
    return total
