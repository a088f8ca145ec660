"""Asterisms: triangles of stars that look alike on two frames, and what they vote for."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .registration import Registration

Points = NDArray[np.float64]
N_NEIGHBOUR = 7
INVARIANT_TOLERANCE = 0.015
N_CANDIDATE = 5  # look-alikes considered for each triangle
MAX_MISS_PIX = 3.0
MAX_SCALE = 10.0
N_HYPOTHESIS = 40  # of each parity


def asterism_hypotheses(field_xy: Points, frame_xy: Points) -> list[Registration]:
    """Give the similarity transformations that most pairs of triangles vote for.

    Triangles among neighbouring stars are compared by the ratios of their sides, which survive
    any shift, rotation, scale and reflection. Each pair of look-alikes fixes a transformation;
    true ones agree with each other in scale, angle and shift, wrong ones scatter.

    Parameters
    ----------
    field_xy, frame_xy
        The brightest stars of each, shapes (n, 2) and (m, 2), pixels.

    Returns
    -------
    Transformations of degree 1, with most votes first; empty where there are no triangles.

    References
    ----------
    Groth 1986, AJ 91, 1244; Beroiz, Cabral & Sanchez 2020, A&C 32, 100384.
    """
    field_corner, field_shape = _triangles(field_xy)
    frame_corner, frame_shape = _triangles(frame_xy)
    if len(field_corner) == 0 or len(frame_corner) == 0:
        return []
    row, other = _look_alikes(field_shape, frame_shape)
    z = field_xy[field_corner[row]] @ np.array([1, 1j])
    w = frame_xy[frame_corner[other]] @ np.array([1, 1j])
    centre = complex(*(0.5 * (field_xy.min(axis=0) + field_xy.max(axis=0))))
    size_pix = float(np.hypot(*np.ptp(frame_xy, axis=0)))
    votes = [
        *_voted(z, w, centre, size_pix, is_mirrored=False),
        *_voted(z, w, centre, size_pix, is_mirrored=True),
    ]
    votes.sort(key=lambda vote: -vote[0])
    return [registration for _, registration in votes]


def distinct(points: NDArray, n_vote: NDArray, radius: float, n_most: int) -> list[int]:
    """Pick the points with most votes that are no neighbours of each other."""
    chosen: list[int] = []
    for k in np.argsort(-n_vote, kind="stable")[: 200 * n_most]:
        if all(np.linalg.norm(points[k] - points[other]) > radius for other in chosen):
            chosen.append(int(k))
            if len(chosen) == n_most:
                break
    return chosen


def _triangles(xy: Points) -> tuple[NDArray, NDArray]:
    """List triangles among neighbours: corners ordered by the side they face, side ratios.

    Returns
    -------
    Corner indices, shape (n, 3), facing the shortest, middle and longest side; invariants,
    shape (n, 2): shortest and middle side over the longest.
    """
    n_near = min(len(xy), N_NEIGHBOUR + 1)
    if n_near < 3:
        return np.empty((0, 3), dtype=np.intp), np.empty((0, 2))
    _, near = nearest_points(xy, xy, np.inf, n_near)
    pick = np.array(list(combinations(range(1, n_near), 2)))
    first = np.repeat(near[:, :1], len(pick), axis=1)
    corner = np.stack([first, near[:, pick[:, 0]], near[:, pick[:, 1]]], axis=-1).reshape(-1, 3)
    corner = np.unique(np.sort(corner, axis=1), axis=0)
    points = xy[corner]
    side = np.linalg.norm(points[:, [1, 2, 0]] - points[:, [2, 0, 1]], axis=2)
    order = np.argsort(side, axis=1)
    corner, side = np.take_along_axis(corner, order, 1), np.take_along_axis(side, order, 1)
    # a needle or a tiny triangle says little of scale and angle
    good = (side[:, 0] > 0.1 * side[:, 2]) & (side[:, 2] > 10)
    return corner[good], side[good, :2] / side[good, 2:]


def _look_alikes(field_shape: NDArray, frame_shape: NDArray) -> tuple[NDArray, NDArray]:
    """Pair each triangle of the field with the few of the frame that have its side ratios."""
    n_near = min(N_CANDIDATE, len(frame_shape))
    distance, nearest = nearest_points(frame_shape, field_shape, INVARIANT_TOLERANCE, n_near)
    row, column = np.nonzero(np.isfinite(distance))
    return row, nearest[row, column]


def nearest_points(
    points: NDArray, queries: NDArray, radius: float, n_near: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the nearest points to each query: distances (inf from the radius on) and rows.

    Both have shape (n_query, n_near); a row that belongs to no distance has no meaning.
    """
    distance, row = KDTree(points).query(queries, k=n_near, distance_upper_bound=radius)
    row = np.minimum(row, max(0, len(points) - 1))
    shape = (len(queries), n_near)
    distance, row = np.reshape(distance, shape), np.reshape(row, shape).astype(np.intp)
    return distance, row


def _voted(
    z: NDArray, w: NDArray, centre: complex, size_pix: float, *, is_mirrored: bool
) -> list[tuple[int, Registration]]:
    """Count for the transformation of each pair of triangles how many others agree with it."""
    sign = -1 if is_mirrored else 1
    seen, at = (z.conj(), centre.conjugate()) if is_mirrored else (z, centre)
    turn, middle, miss = _similarities(seen, w, at)
    scale = np.abs(turn)
    good = (miss < MAX_MISS_PIX) & (scale > 1 / MAX_SCALE) & (scale < MAX_SCALE)
    turn, middle, scale = turn[good], middle[good], scale[good]
    if len(turn) == 0:
        return []
    spot = np.column_stack(
        [
            np.log(scale) / 0.02,
            turn.real / scale / 0.02,
            turn.imag / scale / 0.02,
            middle.real / (0.01 * size_pix),
            middle.imag / (0.01 * size_pix),
        ]
    )
    n_vote = np.asarray(KDTree(spot).query_ball_point(spot, 1.0, return_length=True))
    voted = []
    for k in distinct(spot, n_vote, 1.0, N_HYPOTHESIS):
        a, b = complex(turn[k]), complex(middle[k] - turn[k] * at)
        x = (b.real, a.real, -sign * a.imag)
        y = (b.imag, a.imag, sign * a.real)
        voted.append((int(n_vote[k]), Registration(1, x, y, 0, None)))
    return voted


def _similarities(z: NDArray, w: NDArray, centre: complex):
    """Solve w = a z + b for each pair of triangles; a, image of the centre, worst miss."""
    z_mean, w_mean = z.mean(axis=1), w.mean(axis=1)
    dz, dw = z - z_mean[:, None], w - w_mean[:, None]
    turn = (dz.conj() * dw).sum(axis=1) / (np.abs(dz) ** 2).sum(axis=1)
    miss = np.abs(dw - turn[:, None] * dz).max(axis=1)
    return turn, w_mean + turn * (centre - z_mean), miss
