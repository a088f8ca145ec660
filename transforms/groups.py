"""Groups of bright pixels that touch each other, laid out close together on a small image.

Of a frame one pixel in a hundred is bright. What takes groups apart looks at every pixel it is
given: it gets the groups alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .combine import compiled
from .significance import Runs

LEAST_WIDTH_PIX = 512  # of the small image


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of bright pixels of a frame.

    Attributes
    ----------
    runs
        The pixels.
    of_run
        Number of the group that each run belongs to, -1: of none; shape (n_run,).
    first_x, last_x, first_y, last_y
        The box of each group, pixels of the frame, shape (n_group,).
    """

    runs: Runs
    of_run: NDArray[np.intp]
    first_x: NDArray[np.intp]
    last_x: NDArray[np.intp]
    first_y: NDArray[np.intp]
    last_y: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """Some groups side by side, with dark pixels between them.

    Attributes
    ----------
    image
        Their bright pixels, all else 0, shape (n_y, n_x).
    owner
        Number of the group that each pixel of the image belongs to, -1: of none.
    x_shift, y_shift
        What is added to a place in the image to get that on the frame, for each of all groups,
        shape (n_group,); of those that are not there without meaning.
    """

    image: NDArray[np.float32]
    owner: NDArray[np.int32]
    x_shift: NDArray[np.intp]
    y_shift: NDArray[np.intp]


def touching(runs: Runs, min_area_pix: int) -> Groups:
    """Put runs together that touch, if only at a corner; groups of too few pixels are none."""
    of_run, box = _touching(runs.row, runs.first, runs.stop, min_area_pix)
    return Groups(runs, of_run, *box)


def lay_out(groups: Groups, chosen: NDArray[np.bool_]) -> Layout:
    """Copy the pixels of chosen groups, shape (n_group,), to an image of their own."""
    width = groups.last_x - groups.first_x + 1
    height = groups.last_y - groups.first_y + 1
    order = np.flatnonzero(chosen)
    order = order[np.argsort(-height[order], kind="stable")]
    n_x = max(LEAST_WIDTH_PIX, int(width[order].max(initial=0)) + 2)
    left, low, n_y = _on_shelves(width, height, order, n_x)
    image, owner = np.zeros((n_y, n_x), np.float32), np.full((n_y, n_x), -1, np.int32)
    x_shift, y_shift = groups.first_x - left, groups.first_y - low
    runs = groups.runs
    _copy(
        *(runs.row, runs.first, runs.stop, runs.start, runs.value),
        *(groups.of_run, chosen, x_shift, y_shift),
        *(image, owner),
    )
    return Layout(image, owner, x_shift, y_shift)


def count_peaks(layout: Layout, n_group: int) -> NDArray[np.intp]:
    """Count the pixels of each group of a layout that no neighbour outshines, shape (n_group,)."""
    return _count_peaks(layout.image, layout.owner, n_group)


@compiled
def _root(parent, k):
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@compiled
def _touching(row, first, stop, least):
    n_run = row.size
    parent = np.arange(n_run)
    above = 0  # the first run of the row above that this one, or a later one, may touch
    for k in range(n_run):
        while row[above] < row[k] - 1 or (row[above] == row[k] - 1 and stop[above] < first[k]):
            above += 1
        other = above
        while row[other] == row[k] - 1 and first[other] <= stop[k]:
            one, two = _root(parent, k), _root(parent, other)
            parent[max(one, two)] = min(one, two)
            other += 1
    n_pixel = np.zeros(n_run, np.intp)
    for k in range(n_run):
        parent[k] = _root(parent, k)
        n_pixel[parent[k]] += stop[k] - first[k]
    number, of_run = np.full(n_run, -1, np.intp), np.full(n_run, -1, np.intp)
    box = np.empty((4, n_run), np.intp)
    n_group = 0
    for k in range(n_run):
        root = parent[k]
        if n_pixel[root] < least:
            continue
        if number[root] < 0:
            g = number[root] = n_group
            box[0, g], box[1, g], box[2, g] = first[k], stop[k] - 1, row[k]
            n_group += 1
        g = of_run[k] = number[root]
        box[0, g], box[1, g] = min(box[0, g], first[k]), max(box[1, g], stop[k] - 1)
        box[3, g] = row[k]  # runs come row by row
    return of_run, box[:, :n_group].copy()


@compiled
def _on_shelves(width, height, order, n_x):
    """Place boxes on shelves, the highest first; return their left and low edges, and n_y."""
    left, low = np.zeros(width.size, np.intp), np.zeros(width.size, np.intp)
    x = y = 1
    shelf = 0
    for k in order:
        if x + width[k] + 1 > n_x:
            x, y, shelf = 1, y + shelf + 1, 0
        shelf = max(shelf, height[k])
        left[k], low[k] = x, y
        x += width[k] + 1
    return left, low, y + shelf + 1


@compiled
def _copy(  # noqa: PLR0917
    row, first, stop, start, value, of_run, chosen, x_shift, y_shift, image, owner
):
    for k in range(row.size):
        g = of_run[k]
        if g < 0 or not chosen[g]:
            continue
        j, left = row[k] - y_shift[g], first[k] - x_shift[g]
        for i in range(stop[k] - first[k]):
            image[j, left + i] = value[start[k] + i]
            owner[j, left + i] = g


@compiled
def _count_peaks(image, owner, n_group):
    n_peak = np.zeros(n_group, np.intp)
    for j in range(1, image.shape[0] - 1):
        for i in range(1, image.shape[1] - 1):
            if owner[j, i] < 0:
                continue
            here = image[j, i]
            is_peak = True
            for v in range(j - 1, j + 2):
                for u in range(i - 1, i + 2):
                    is_peak &= not image[v, u] > here
            n_peak[owner[j, i]] += is_peak
    return n_peak
