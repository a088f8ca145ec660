"""Which detections are one star, whatever the order in which they arrived; and its number.

Fills `source_id` of the table `detection`; the rows of `source` follow from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .pairing import Points, Rows, pair_points

Array = NDArray[np.float64]

LARGEST_MOTION_PER_YR = 2.0  # arcsec; fewer than a hundred stars of the sky move faster
LARGEST_REACH = 5.0  # tolerances; beyond it a moving star is another one
SAME_LIGHT = 2.0  # factor within which a star that moved has kept its brightness


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of several searches, sorted by search: those first that shall lead.

    Attributes
    ----------
    points
        Places, shape (n, n_axis): on the sphere in arcsec, or pixels.
    tolerance
        How far from a star its detection may lie, in the unit of the places, shape (n,).
    search
        Number of the search, ascending, shape (n,).
    flux
        On one scale, shape (n,).
    epoch_jyear
        When it was seen, Julian years, shape (n,).
    """

    points: Points
    tolerance: Array
    search: NDArray[np.integer]
    flux: Array
    epoch_jyear: Array


@dataclass(frozen=True, slots=True)
class Clusters:
    """Detections told apart by star: `star` of each, shape (n,), and the `seed` of each star."""

    star: Rows
    seed: Rows


def cluster_detections(found: Found, *, motion_per_yr: float = 0.0) -> Clusters:
    """Tell which detections are one star.

    Search by search, each detection is paired with the nearest star that is known by then, within
    the tolerance, one to one; what is left founds new stars. As the order of the searches is
    given by what they hold and not by when they came, the outcome is the same for any order
    of arrival. A star that moved farther is followed if nothing else there fits: neither star
    nor detection has another partner, and the brightness is the same.

    Parameters
    ----------
    motion_per_yr
        Largest proper motion, in the unit of the places a year; 0: none is followed.
    """
    star = np.full(len(found.search), -1, np.intp)
    seeds: list[int] = []
    limits = np.flatnonzero(np.diff(found.search, prepend=-1, append=-1))
    for begin, end in pairwise(limits):
        rows = np.arange(begin, end)
        known = np.array(seeds, np.intp)
        reach = found.tolerance[rows]
        i, j = pair_points(found.points[rows], found.points[known], reach)
        star[rows[i]] = j
        if motion_per_yr > 0 and len(known):
            left = rows[star[rows] < 0]
            idle = np.setdiff1d(np.arange(len(known)), j)
            moved, onto = _followed(found, left, known[idle], motion_per_yr)
            star[left[moved]] = idle[onto]
        new = rows[star[rows] < 0]
        star[new] = len(seeds) + np.arange(new.size)
        seeds += new.tolist()
    return Clusters(star, np.array(seeds, np.intp))


def _followed(found: Found, left: Rows, idle: Rows, motion_per_yr: float) -> tuple[Rows, Rows]:
    """Pair detections with stars that nothing was paired with, and that may have moved there."""
    if not left.size or not idle.size:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    reach = LARGEST_REACH * float(found.tolerance[left].max())
    near = KDTree(found.points[left]).sparse_distance_matrix(
        KDTree(found.points[idle]), reach, output_type="coo_matrix"
    )
    i, j = near.row.astype(np.intp), near.col.astype(np.intp)
    years = np.abs(found.epoch_jyear[left[i]] - found.epoch_jyear[idle[j]])
    allowed = np.minimum(
        found.tolerance[left[i]] + motion_per_yr * years, LARGEST_REACH * found.tolerance[left[i]]
    )
    light = np.abs(np.log(found.flux[left[i]] / found.flux[idle[j]]))
    fits = (near.data <= allowed) & (light < np.log(SAME_LIGHT))
    i, j = i[fits], j[fits]
    only = (np.bincount(i, minlength=left.size)[i] == 1) & (
        np.bincount(j, minlength=idle.size)[j] == 1
    )
    return i[only], j[only]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which star has which number: of each star (0: a new one is due), and what became of others.

    Attributes
    ----------
    source_id
        Number of each star, shape (n,); 0 where it has none yet.
    merged
        Numbers given up, and the number of the same star that stays.
    lost
        Numbers no star has any more.
    """

    source_id: NDArray[np.int64]
    merged: dict[int, int]
    lost: list[int]


def keep_numbers(
    stars: Points,
    reach: Array,
    known: Points,
    source_id: NDArray[np.integer],
    fields: Mapping[int, frozenset[int]],
) -> Numbers:
    """Give stars the numbers they had, by place; of two numbers of one star the lower stays.

    Parameters
    ----------
    stars, reach
        Places of the stars, shape (n, n_axis), and how far off a known one may lie, shape (n,).
    known, source_id
        Places and numbers of the known stars, shapes (m, n_axis) and (m,).
    fields
        Fields in which each number is measured. Two numbers of one field are two stars: neither
        takes over the light curve of the other.
    """
    numbers = np.zeros(len(stars), np.int64)
    merged: dict[int, int] = {}
    i, j = pair_points(stars, known, reach)
    numbers[i] = np.asarray(source_id)[j]
    rest = np.setdiff1d(np.arange(len(known)), j)
    rest = rest[np.argsort(np.asarray(source_id)[rest])]  # the lowest first: it stays
    lost = set(np.asarray(source_id)[rest].tolist())
    if len(stars) and len(rest):
        distance, nearest = (np.atleast_1d(part) for part in KDTree(stars).query(known[rest]))
        is_near = distance <= reach[nearest]
        for row, star in zip(rest[is_near], nearest[is_near], strict=True):
            old, held = int(source_id[row]), int(numbers[star])
            if fields[old] & fields.get(held, frozenset()):
                continue
            lost.discard(old)
            numbers[star] = min(old, held) if held else old
            if held:
                merged[max(old, held)] = int(numbers[star])
    return Numbers(numbers, merged, sorted(lost))


def close_pairs(stars: Points, radius: Array) -> NDArray[np.bool_]:
    """Mark stars that have another within their radius, shape (n,)."""
    marked = np.zeros(len(stars), bool)
    if len(stars) < 2 or not radius.size:
        return marked
    pairs = KDTree(stars).query_pairs(float(radius.max()), output_type="ndarray")
    distance = np.linalg.norm(stars[pairs[:, 0]] - stars[pairs[:, 1]], axis=1)
    for one in (0, 1):
        marked[pairs[distance <= radius[pairs[:, one]], one]] = True
    return marked
