"""The equations of zero points: frames, stars, shared terms and the air, solved in one.

Each point says: offset = zero point of its frame + shared terms + offset of its star. Each star
says that its offset is naught within what the catalogue and an intrinsic scatter allow; each clear
frame that its zero point is what its night and the air make it, within the scatter of such frames.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, diags

from .airmass_trend import Air, Trend, find_trend
from .robust_scatter import HUBER, excess_scatter

Array = NDArray[Any]

N_ROUND = 30
SETTLED_MAG = 1e-5
FIRST_SCATTER_MAG = 0.02


@dataclass(slots=True)
class System:
    """Points with their place in lists of frames and stars, and what is known of them."""

    frame: Array
    star: Array
    offset: Array  # catalogue less instrument
    variance: Array  # of the instrument
    star_variance: Array  # of the catalogue, by star
    design: Array  # of the shared terms, shape (n_point, n_term)
    n_frame: int
    n_star: int
    air_design: Array = field(init=False)  # of the zero points, shape (n_frame, n_air)
    air_weight: Array = field(init=False)  # of what it says; naught: a cloudy frame
    huber: Array = field(init=False)
    star_huber: Array = field(init=False)

    def __post_init__(self) -> None:
        self.air_design = np.empty((self.n_frame, 0))
        self.air_weight = np.zeros(self.n_frame)
        self.huber = np.ones(len(self.offset))
        self.star_huber = np.ones(self.n_star)

    def by_star(self, values: Array) -> Array:
        """Sum over the points of each star."""
        return np.bincount(self.star, values, self.n_star)

    def by_frame(self, values: Array) -> Array:
        """Sum over the points of each frame."""
        return np.bincount(self.frame, values, self.n_frame)


@dataclass(frozen=True, slots=True)
class Found:
    """What solves the equations."""

    zero_point: Array
    zero_point_err: Array
    terms: Array
    terms_covariance: Array
    air: Array
    """Levels, then the extinction; empty without an expectation."""
    air_covariance: Array
    residual: Array
    """Of the points; star offsets not taken out."""
    intrinsic: float
    trend: Trend | None = None


def solve_robustly(system: System, air: Air | None = None) -> Found:
    """Solve, judge points, stars and frames, and solve again until the zero points stay.

    Points and stars beyond 2 sigma count linearly (Huber), frames in clouds not at all.

    Parameters
    ----------
    air
        Airmass and level of the frames; None: zero points are what they are.
    """
    found = solve(system, FIRST_SCATTER_MAG)
    for _ in range(N_ROUND):
        before = found.zero_point
        star_offset, star_err2 = _star_offsets(system, found.residual)
        known = star_err2 + system.star_variance
        lost = (1 + system.design.shape[1]) / system.n_star
        intrinsic = excess_scatter(star_offset, known, freedom=max(1 - lost, 1 / system.n_star))
        spread = np.sqrt(known + intrinsic**2)
        system.star_huber = HUBER / np.maximum(np.abs(star_offset) / spread, HUBER)
        own = found.residual - star_offset[system.star]
        system.huber = HUBER / np.maximum(np.abs(own) / np.sqrt(system.variance), HUBER)
        trend = None if air is None else _judge_frames(system, air, found, own)
        found = solve(system, intrinsic, trend)
        if np.abs(found.zero_point - before).max() < SETTLED_MAG:
            break
    return found


def solve(system: System, intrinsic: float, trend: Trend | None = None) -> Found:
    """Solve the normal equations: zero points are eliminated, they do not touch each other.

    Parameters
    ----------
    intrinsic
        Scatter of the stars beyond the catalogue's errors, magnitudes.
    trend
        How the weights of frames were found, to be handed on.
    """
    equations = _equations(system, intrinsic)
    carried = equations.cross / equations.of_frame[:, None]
    factor = cho_factor(equations.shared - equations.cross.T @ carried, lower=True)
    shared = cho_solve(factor, equations.right - carried.T @ equations.right_frame)
    zero_point = (equations.right_frame - equations.cross @ shared) / equations.of_frame
    spread = np.einsum("fi,if->f", carried, cho_solve(factor, carried.T))
    after_stars = np.eye(len(shared))[:, system.n_star :]
    covariance = cho_solve(factor, after_stars)[system.n_star :]
    n_term = system.design.shape[1]
    terms, air = np.split(shared[system.n_star :], [n_term])
    return Found(
        zero_point=zero_point,
        zero_point_err=np.sqrt(1 / equations.of_frame + spread),
        terms=terms,
        terms_covariance=covariance[:n_term, :n_term],
        air=air,
        air_covariance=covariance[n_term:, n_term:],
        residual=system.offset - zero_point[system.frame] - system.design @ terms,
        intrinsic=intrinsic,
        trend=trend,
    )


@dataclass(frozen=True, slots=True)
class _Equations:
    """Normal equations: those of frames on the diagonal, of all shared unknowns, and between."""

    of_frame: Array
    cross: Array
    shared: Array
    right_frame: Array
    right: Array


def _equations(system: System, intrinsic: float) -> _Equations:
    """Sum the products over the points; shared unknowns are stars, then terms, then the air."""
    weight = system.huber / system.variance
    prior = system.star_huber / (system.star_variance + intrinsic**2)
    design, offset = system.design, system.offset
    rows, ones = np.arange(len(weight)), np.ones(len(weight))
    frames = csr_matrix((ones, (rows, system.frame)), (len(weight), system.n_frame))
    stars = csr_matrix((ones, (rows, system.star)), (len(weight), system.n_star))
    weighted = diags(weight)
    expected = system.air_weight[:, None] * system.air_design
    star_terms = stars.T @ weighted @ design
    of_star = np.diag(system.by_star(weight) + prior)
    n_term, n_air = design.shape[1], expected.shape[1]
    no_stars, no_terms = np.zeros((system.n_star, n_air)), np.zeros((n_term, n_air))
    return _Equations(
        of_frame=system.by_frame(weight) + system.air_weight,
        cross=np.hstack(
            [(frames.T @ weighted @ stars).toarray(), frames.T @ weighted @ design, -expected]
        ),
        shared=np.block(
            [
                [of_star, star_terms, no_stars],
                [star_terms.T, design.T @ (weight[:, None] * design), no_terms],
                [no_stars.T, no_terms.T, system.air_design.T @ expected],
            ]
        ),
        right_frame=system.by_frame(weight * offset),
        right=np.concatenate(
            [system.by_star(weight * offset), design.T @ (weight * offset), np.zeros(n_air)]
        ),
    )


def _star_offsets(system: System, residual: Array) -> tuple[Array, Array]:
    """Return by how much each star is off the catalogue, and the variance of that by photons."""
    weight = system.huber / system.variance
    total = system.by_star(weight)
    return system.by_star(weight * residual) / total, 1 / total


def _judge_frames(system: System, air: Air, found: Found, own: Array) -> Trend | None:
    """Weigh frames by how far their own stars put them from what night and air make of them."""
    weight = system.huber / system.variance
    total = system.by_frame(weight)
    zero_point = found.zero_point + system.by_frame(weight * own) / total
    trend = find_trend(zero_point, 1 / total, air)
    if trend is None:
        system.air_design = np.empty((system.n_frame, 0))
        system.air_weight = np.zeros(system.n_frame)
        return None
    levels = np.unique(air.level[trend.clear])
    of_level = air.level[:, None] == levels
    # a night of clouds alone has no level
    system.air_weight = np.where(of_level.any(axis=1), trend.weight, 0.0) / trend.scatter_mag**2
    system.air_design = np.column_stack([of_level, -np.nan_to_num(air.airmass)])
    return trend
