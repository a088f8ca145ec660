"""Kernels of the table that corrects a profile: cubic convolution on a grid of parts of pixels."""

import numpy as np
from numba import njit

from .profile_kernels import pixel_light


@njit(cache=True, nogil=True)
def _cubic(t, tap):
    """Weigh four neighbours at -1, 0, 1, 2 for a point at t (Keys 1981, a = -1/2)."""
    tap[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    tap[1] = (1.5 * t - 2.5) * t * t + 1.0
    tap[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    tap[3] = (0.5 * t - 0.5) * t * t


@njit(cache=True, nogil=True)
def profile_nodes(model, shape, reach, per_pix):
    """Light of a unit star in pixels centred at the nodes of a grid, shape (side, side)."""
    side = 2 * reach * per_pix + 1
    nodes = np.empty((side, side))
    for j in range(side):
        for i in range(side):
            dx, dy = i / per_pix - reach, j / per_pix - reach
            nodes[j, i] = pixel_light(model, dx, dy, shape)
    return nodes


@njit(cache=True, nogil=True)
def add_table(stamps, corner, x, y, table, terms, per_pix):  # noqa: PLR0917
    """Add to each stamp the table at its place in the frame, in place.

    `table` has shape (n_term, side, side), `terms` what each is times for each star, (n, n_term).
    """
    n_side, grid = stamps.shape[1], table.shape[1]
    middle = grid // 2
    tap_x, tap_y = np.empty(4), np.empty(4)
    here = np.empty((grid, grid))
    for k in range(x.size):
        here[:] = 0.0
        for m in range(table.shape[0]):
            here += terms[k, m] * table[m]
        at_x = (corner[k, 0] - x[k]) * per_pix + middle
        at_y = (corner[k, 1] - y[k]) * per_pix + middle
        first_x, first_y = int(np.floor(at_x)), int(np.floor(at_y))
        # a grid of whole parts of a pixel: all pixels of a star lie alike between nodes
        _cubic(at_x - first_x, tap_x)
        _cubic(at_y - first_y, tap_y)
        for j in range(n_side):
            row = first_y + j * per_pix - 1
            if row < 0 or row + 3 >= grid:
                continue
            for i in range(n_side):
                column = first_x + i * per_pix - 1
                if column < 0 or column + 3 >= grid:
                    continue
                for q in range(4):
                    line = here[row + q]
                    stamps[k, j, i] += tap_y[q] * (
                        tap_x[0] * line[column]
                        + tap_x[1] * line[column + 1]
                        + tap_x[2] * line[column + 2]
                        + tap_x[3] * line[column + 3]
                    )


@njit(cache=True, nogil=True)
def node_samples(image, x, y, sky, flux, reach, per_pix):  # noqa: PLR0917
    """Read an image at the nodes around each star, over its sky and flux, shape (n, side, side).

    nan off the frame and beside pixels without a value.
    """
    n_y, n_x = image.shape
    side = 2 * reach * per_pix + 1
    found = np.full((x.size, side, side), np.nan)
    tap_x, tap_y = np.empty(4), np.empty(4)
    for k in range(x.size):
        for j in range(side):
            at_y = y[k] + j / per_pix - reach
            row = int(np.floor(at_y))
            if row < 1 or row + 2 >= n_y:
                continue
            _cubic(at_y - row, tap_y)
            for i in range(side):
                at_x = x[k] + i / per_pix - reach
                column = int(np.floor(at_x))
                if column < 1 or column + 2 >= n_x:
                    continue
                _cubic(at_x - column, tap_x)
                value = 0.0
                for q in range(4):
                    for p in range(4):
                        value += tap_y[q] * tap_x[p] * image[row - 1 + q, column - 1 + p]
                found[k, j, i] = (value - sky[k]) / flux[k]
    return found
