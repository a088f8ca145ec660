"""Which point of one set is which of another: one to one, nearest pairs first."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Points = NDArray[np.float64]
Rows = NDArray[np.intp]
N_NEAREST = 4  # partners a point may have to choose from


def pair_points(
    first: Points, second: Points, reach: NDArray[np.float64] | float
) -> tuple[Rows, Rows]:
    """Pair points one to one; of all pairs within reach the nearest come first.

    Parameters
    ----------
    first, second
        Shapes (n, n_axis) and (m, n_axis).
    reach
        How far a point of the first set may be from its partner, shape (n,) or one number.

    Returns
    -------
    Row numbers of the pairs in both sets, in the order of the first.
    """
    if not len(first) or not len(second):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    limit = np.broadcast_to(np.asarray(reach, float), (len(first),))
    distance, partner = KDTree(second).query(
        first, k=min(N_NEAREST, len(second)), distance_upper_bound=float(limit.max()) * (1 + 1e-12)
    )
    distance, partner = distance.reshape(len(first), -1), partner.reshape(len(first), -1)
    i, k = np.nonzero(distance <= limit[:, None])
    chosen = nearest_first(i, partner[i, k], distance[i, k])
    i, j = i[chosen], partner[i, k][chosen]
    order = np.argsort(i)
    return i[order], j[order]


def nearest_first(i: Rows, j: Rows, distance: NDArray[np.float64]) -> Rows:
    """Choose pairs so that no member is in two; the nearest of all that are left comes first.

    Returns
    -------
    Row numbers of the chosen pairs.
    """
    left = np.lexsort((j, i, distance))
    chosen: list[Rows] = []
    while left.size:
        first_of_i, first_of_j = np.zeros(left.size, bool), np.zeros(left.size, bool)
        first_of_i[np.unique(i[left], return_index=True)[1]] = True
        first_of_j[np.unique(j[left], return_index=True)[1]] = True
        taken = left[first_of_i & first_of_j]
        chosen.append(taken)
        left = left[~np.isin(i[left], i[taken]) & ~np.isin(j[left], j[taken])]
    return np.concatenate(chosen) if chosen else np.zeros(0, np.intp)
