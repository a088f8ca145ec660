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
def stamp_sums(stamps, corner, image, weight):
    """Weigh image and stamps on each star's pixels.

    Returns
    -------
    Sum of weight x stamp x image; of weight x stamp^2; of stamp^2 where the weight is not 0, and
    wherever; sum of weight x stamp: each of shape (n,).
    """
    n_y, n_x = image.shape
    side = stamps.shape[1]
    out = np.zeros((5, corner.shape[0]))
    for k in range(corner.shape[0]):
        for j in range(side):
            for i in range(side):
                light = stamps[k, j, i]
                out[3, k] += light * light
                row, column = corner[k, 1] + j, corner[k, 0] + i
                if row < 0 or column < 0 or row >= n_y or column >= n_x:
                    continue
                w = weight[row, column]
                if w == 0.0:
                    continue
                out[0, k] += w * light * image[row, column]
                out[1, k] += w * light * light
                out[2, k] += light * light
                out[4, k] += w * light
    return out


@njit(cache=True, nogil=True)
def pair_sums(stamps, corner, first, second, weight):
    """Sum weight x stamp x stamp of pairs of stars over the pixels they share, shape (n_pair,)."""
    n_y, n_x = weight.shape
    side = stamps.shape[1]
    shared = np.zeros(first.size)
    for m in range(first.size):
        a, b = first[m], second[m]
        di, dj = corner[a, 0] - corner[b, 0], corner[a, 1] - corner[b, 1]
        for j in range(max(0, -dj), min(side, side - dj)):
            row = corner[a, 1] + j
            if row < 0 or row >= n_y:
                continue
            for i in range(max(0, -di), min(side, side - di)):
                column = corner[a, 0] + i
                if column < 0 or column >= n_x:
                    continue
                shared[m] += weight[row, column] * stamps[a, j, i] * stamps[b, j + dj, i + di]
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
