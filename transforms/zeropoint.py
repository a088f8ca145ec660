"""Zero points of frames against a catalogue, with the terms that all of them share.

Every star has its own offset from the catalogue, of the size its error and an intrinsic scatter
allow, the same on all frames. So a star that is off does no more harm on a hundred frames than on
one, and what clouds took is known as well as the photons allow.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, diags

from ..errors import CalibrationError

Array = NDArray[Any]

MIN_STAR = 5
STARS_PER_TERM = 8  # for every term that is fitted beside the zero points
MIN_COLOUR_SPREAD_MAG = 0.1
HUBER = 2.0
CUT_MEAN = 0.9205  # mean of min(z^2, HUBER^2) of a standard normal z
N_ROUND = 30
SETTLED_MAG = 1e-5
SIGMA_PER_MAD = 1.4826
TAIL = 0.05  # of the colours at either end, which tell nothing of their spread
LEAST_ERR_MAG = 0.002  # neither a star nor a catalogue is trusted further
LARGEST_SCATTER_MAG = 1.0
POSITION_TERMS = {0: 0, 1: 2, 2: 5}  # by degree


@dataclass(frozen=True, slots=True)
class Terms:
    """What all frames share: colour term and position terms, with their errors."""

    colour_pivot_mag: float | None = None
    colour_spread_mag: float | None = None
    colour_term: float | None = None
    colour_term_err: float | None = None
    position_mag: tuple[float, ...] = ()
    position_err_mag: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Solution:
    """Zero points of frames and the terms they share."""

    frames: pl.DataFrame
    """frame_id, zero_point_mag, zero_point_err_mag, scatter_mag, n_star; sorted by frame."""
    terms: Terms
    intrinsic_scatter_mag: float
    scatter_mag: float
    n_star: int


@dataclass(slots=True)
class _System:
    """Points with their place in lists of frames and stars, and what is known of them."""

    frame: Array
    star: Array
    offset: Array  # catalogue less instrument
    variance: Array  # of the instrument
    star_variance: Array  # of the catalogue, by star
    design: Array  # of the shared terms, shape (n_point, n_term)
    frame_ids: Array
    n_star: int
    huber: Array = field(init=False)
    star_huber: Array = field(init=False)

    def __post_init__(self) -> None:
        self.huber = np.ones(len(self.offset))
        self.star_huber = np.ones(self.n_star)

    def by_star(self, values: Array) -> Array:
        return np.bincount(self.star, values, self.n_star)


def solve_zero_points(
    points: pl.DataFrame,
    *,
    position_degree: int = 1,
    with_colour: bool = True,
    fixed: Terms | None = None,
) -> Solution:
    """Solve for the zero point of every frame and the terms all of them share.

    catalogue - instrument = zero point of the frame + colour term (colour - pivot) + position terms
    + offset of the star, which is of the size of the catalogue's error and an intrinsic scatter.
    Sparse weighted least squares, outlying points and stars counting linearly (Huber). A term for
    which there are too few stars is left out.

    Parameters
    ----------
    points
        frame_id, source_id, mag, mag_err (null: not known), reference_mag, reference_err_mag (null:
        not given), colour_mag (null: not known), u, v (from -1 to 1 across the frame).
    position_degree
        0 to 2, of the polynomial in u and v.
    with_colour
        Whether a colour term is fitted; stars without a colour then take no part.
    fixed
        Terms to be taken as they are; nothing but zero points is fitted.

    Raises
    ------
    CalibrationError
        If no frame has five stars.

    References
    ----------
    Honeycutt 1992, PASP 104, 435; Padmanabhan et al. 2008, ApJ 674, 1217.
    """
    pivot = None if fixed is None else fixed.colour_pivot_mag
    has_colour = with_colour if fixed is None else fixed.colour_term is not None
    if has_colour and fixed is None:
        has_colour, pivot = _colour_pivot(points)
    used = points.filter(pl.col("colour_mag").is_not_null()) if has_colour else points
    used = used.filter(pl.len().over("frame_id") >= MIN_STAR)
    if used.is_empty():
        raise CalibrationError(
            f"{points['frame_id'].n_unique()} frames: none has {MIN_STAR} clean stars of the "
            "catalogue, so there is no zero point. Import a deeper catalogue of the field."
        )
    colour = (used["colour_mag"] - pivot).to_numpy() if has_colour else None
    design = _design(used, colour, position_degree)
    if fixed is not None:
        known = _known_terms(used, colour, fixed)
        system = _system(used, used_design=np.empty((used.height, 0)), known=known)
        return _packed(used, system, _iterate(system), fixed)
    n_star = used["source_id"].n_unique()
    if n_star < STARS_PER_TERM * (design.shape[1] + 1):
        keep = 1 if has_colour and n_star >= 2 * STARS_PER_TERM else 0
        design, has_colour = design[:, :keep], bool(keep)
    system = _system(used, used_design=design, known=np.zeros(used.height))
    found = _iterate(system)
    terms = _terms(used, found, pivot if has_colour else None, has_colour)
    return _packed(used, system, found, terms)


@dataclass(frozen=True, slots=True)
class _Found:
    zero_point: Array
    zero_point_err: Array
    terms: Array
    terms_err: Array
    intrinsic: float
    residual: Array  # star offsets not taken out


def _colour_pivot(points: pl.DataFrame) -> tuple[bool, float | None]:
    """Say whether the colours of the stars allow a colour term, and their median."""
    colours = points.group_by("source_id").agg(pl.col("colour_mag").first())["colour_mag"]
    known = colours.drop_nulls()
    if len(known) < 2 * STARS_PER_TERM or len(known) < 0.5 * len(colours):
        return False, None
    # not the median deviation: most stars of a cluster crowd at one colour, and the others tell
    low, high = np.quantile(known, [TAIL, 1 - TAIL])
    spread = float(np.std(np.clip(known, low, high)))
    if spread < MIN_COLOUR_SPREAD_MAG:
        return False, None
    return True, round(float(known.median()), 2)  # pyright: ignore


def position_design(u: Array, v: Array, degree: int) -> Array:
    """Return u, v (then uu, uv, vv) as columns, shape (n, 0), (n, 2) or (n, 5)."""
    columns = (u, v, u * u, u * v, v * v)[: POSITION_TERMS[degree]]
    return np.stack(columns, axis=1) if columns else np.empty((len(u), 0))


def _design(used: pl.DataFrame, colour: Array | None, degree: int) -> Array:
    position = position_design(used["u"].to_numpy(), used["v"].to_numpy(), degree)
    return position if colour is None else np.column_stack([colour, position])


def _known_terms(used: pl.DataFrame, colour: Array | None, fixed: Terms) -> Array:
    degree = {n: degree for degree, n in POSITION_TERMS.items()}[len(fixed.position_mag)]
    position = position_design(used["u"].to_numpy(), used["v"].to_numpy(), degree)
    known = position @ np.array(fixed.position_mag)
    return known if colour is None else known + (fixed.colour_term or 0.0) * colour


def _system(used: pl.DataFrame, *, used_design: Array, known: Array) -> _System:
    frame_ids, frame = np.unique(used["frame_id"].to_numpy(), return_inverse=True)
    sources, first, star = np.unique(
        used["source_id"].to_numpy(), return_index=True, return_inverse=True
    )
    err_mag = used["mag_err"].fill_null(0.01).to_numpy()
    star_err = used["reference_err_mag"].fill_null(0.0).to_numpy()[first]
    return _System(
        frame=frame,
        star=star,
        offset=(used["reference_mag"] - used["mag"]).to_numpy() - known,
        variance=np.maximum(err_mag, LEAST_ERR_MAG) ** 2,
        star_variance=np.maximum(star_err, LEAST_ERR_MAG) ** 2,
        design=used_design,
        frame_ids=frame_ids,
        n_star=len(sources),
    )


def _iterate(system: _System) -> _Found:
    """Solve, judge points and stars, and solve again until the zero points stay."""
    intrinsic = 0.02
    found = _solve(system, intrinsic)
    for _ in range(N_ROUND):
        before = found.zero_point
        star_offset, star_err2 = _star_offsets(system, found.residual)
        intrinsic = _intrinsic_scatter(system, star_offset, star_err2)
        spread = np.sqrt(star_err2 + system.star_variance + intrinsic**2)
        system.star_huber = HUBER / np.maximum(np.abs(star_offset) / spread, HUBER)
        pull = np.abs(found.residual - star_offset[system.star]) / np.sqrt(system.variance)
        system.huber = HUBER / np.maximum(pull, HUBER)
        found = _solve(system, intrinsic)
        if np.abs(found.zero_point - before).max() < SETTLED_MAG:
            break
    return found


def _solve(system: _System, intrinsic: float) -> _Found:
    """Solve the normal equations: zero points are eliminated, they do not touch each other."""
    weight = system.huber / system.variance
    prior = system.star_huber / (system.star_variance + intrinsic**2)
    n_frame, n_point = len(system.frame_ids), len(weight)
    rows = np.arange(n_point)
    ones = np.ones(n_point)
    frames = csr_matrix((ones, (rows, system.frame)), (n_point, n_frame))
    stars = csr_matrix((ones, (rows, system.star)), (n_point, system.n_star))
    weighted = diags(weight)
    in_frame = np.asarray(frames.T @ weight)
    cross = np.hstack(
        [(frames.T @ weighted @ stars).toarray(), frames.T @ weighted @ system.design]
    )
    star_terms = stars.T @ weighted @ system.design
    normal = np.block(
        [
            [np.diag(np.asarray(stars.T @ weight) + prior), star_terms],
            [star_terms.T, system.design.T @ (weight[:, None] * system.design)],
        ]
    )
    schur = normal - cross.T @ (cross / in_frame[:, None])
    right_frame = np.asarray(frames.T @ (weight * system.offset))
    right = np.concatenate(
        [stars.T @ (weight * system.offset), system.design.T @ (weight * system.offset)]
    )
    factor = cho_factor(schur, lower=True)
    shared = cho_solve(factor, right - cross.T @ (right_frame / in_frame))
    zero_point = (right_frame - cross @ shared) / in_frame
    carried = cross / in_frame[:, None]
    variance = 1 / in_frame + np.einsum("fi,if->f", carried, cho_solve(factor, carried.T))
    terms = shared[system.n_star :]
    inverse = cho_solve(factor, np.eye(len(shared))[:, system.n_star :])
    residual = system.offset - zero_point[system.frame] - system.design @ terms
    return _Found(
        zero_point=zero_point,
        zero_point_err=np.sqrt(variance),
        terms=terms,
        terms_err=np.sqrt(np.diag(inverse[system.n_star :])),
        intrinsic=intrinsic,
        residual=residual,
    )


def _star_offsets(system: _System, residual: Array) -> tuple[Array, Array]:
    """Return by how much each star is off the catalogue, and the variance of that by photons."""
    weight = system.huber / system.variance
    total = system.by_star(weight)
    return system.by_star(weight * residual) / total, 1 / total


def _intrinsic_scatter(system: _System, star_offset: Array, star_err2: Array) -> float:
    """Find the scatter with which the offsets of the stars are as large as they should be.

    Bisection on the mean of squares cut at Huber's limit, whose expectation for a normal
    distribution is known; so a few wild stars do not widen it.
    """
    known = star_err2 + system.star_variance
    freedom = max(system.n_star - 1 - system.design.shape[1], 1) / system.n_star

    def excess(scatter: float) -> float:
        pull2 = np.minimum(star_offset**2 / (known + scatter**2), HUBER**2)
        return float(pull2.mean()) - CUT_MEAN * freedom

    low, high = 0.0, LARGEST_SCATTER_MAG
    if excess(low) <= 0:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _terms(used: pl.DataFrame, found: _Found, pivot: float | None, has_colour: bool) -> Terms:
    position = found.terms[1:] if has_colour else found.terms
    position_err = found.terms_err[1:] if has_colour else found.terms_err
    if not has_colour:
        return Terms(position_mag=tuple(position), position_err_mag=tuple(position_err))
    colours = used.group_by("source_id").agg(pl.col("colour_mag").first())["colour_mag"]
    return Terms(
        colour_pivot_mag=pivot,
        colour_spread_mag=float(colours.std() or 0.0),  # pyright: ignore
        colour_term=float(found.terms[0]),
        colour_term_err=float(found.terms_err[0]),
        position_mag=tuple(position),
        position_err_mag=tuple(position_err),
    )


def _packed(used: pl.DataFrame, system: _System, found: _Found, terms: Terms) -> Solution:
    residuals = pl.DataFrame({"frame": system.frame, "residual": np.abs(found.residual)})
    scatter = residuals.group_by("frame").agg(
        scatter_mag=SIGMA_PER_MAD * pl.col("residual").median(), n_star=pl.len()
    )
    frames = pl.DataFrame(
        {
            "frame": np.arange(len(system.frame_ids)),
            "frame_id": system.frame_ids,
            "zero_point_mag": found.zero_point,
            "zero_point_err_mag": found.zero_point_err,
        }
    ).join(scatter, on="frame", how="left")
    return Solution(
        frames=frames.drop("frame").sort("frame_id"),
        terms=terms,
        intrinsic_scatter_mag=found.intrinsic,
        scatter_mag=SIGMA_PER_MAD * float(np.median(np.abs(found.residual))),
        n_star=system.n_star,
    )
