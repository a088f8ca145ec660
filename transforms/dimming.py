"""How much light each frame lost against the others of its night, from the stars they share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[Any]

MIN_STAR = 3
MIN_GRADIENT_STAR = 20.0  # that many stars of equal weight
FLOOR_MAG = 0.003  # no star is trusted further, so that one alone does not rule a frame
UNKNOWN_ERR_MAG = 0.01
HUBER = 2.0
N_POLISH, N_ROUND = 4, 40
SETTLED_MAG = 1e-6
SIGMA_PER_MAD = 1.4826
CLEAR_QUANTILE = 0.25
_SCHEMA = {
    "frame_id": pl.Int32,
    "dimming_mag": pl.Float64,
    "dimming_err_mag": pl.Float64,
    "x_gradient_mag": pl.Float64,
    "y_gradient_mag": pl.Float64,
    "gradient_err_mag": pl.Float64,
    "scatter_mag": pl.Float64,
    "n_star": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class _Points:
    """Magnitudes with the place of their frame and star in lists, shape (n_point,) each."""

    frame: Array
    star: Array
    mag: Array
    variance: Array
    u: Array
    v: Array
    n_frame: int
    n_star: int

    def by_frame(self, values: Array) -> Array:
        return np.bincount(self.frame, values, self.n_frame)

    def by_star(self, values: Array) -> Array:
        return np.bincount(self.star, values, self.n_star)


def frame_dimming(points: pl.DataFrame, *, centre_pix: tuple[float, float]) -> pl.DataFrame:
    """Solve for a level of each star and a dimming, with its gradient, of each frame.

    Every magnitude is level + dimming + gradient times place. Weights follow from the errors, with
    a floor; those of stars that vary are lowered to what they scatter, and single outliers count
    linearly (Huber). A star that is missing from some frames makes no step.

    Parameters
    ----------
    points
        frame_id, source_id, mag, mag_err (null: not known), x_pix, y_pix; one row per frame and
        star, in one band and aperture.
    centre_pix
        x and y of the centre of the frames, where the dimming holds.

    Returns
    -------
    frame_id, dimming_mag (against the clearest quarter of the frames), dimming_err_mag,
    x_gradient_mag, y_gradient_mag, gradient_err_mag (all per 1000 pixels, null where the stars are
    too few), scatter_mag, n_star; one row per frame with at least three stars that others share.

    References
    ----------
    Honeycutt 1992, PASP 104, 435.
    """
    shared = points.filter(pl.len().over("source_id") > 1)
    shared = shared.filter(pl.len().over("frame_id") >= MIN_STAR)
    if shared.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    given = _given(shared, centre_pix)
    terms = np.zeros((given.n_frame, 3))
    terms[:, 0] = _polished(shared, given)
    has_gradient = np.zeros(given.n_frame, bool)
    weight, residual = 1 / given.variance, given.mag
    for _ in range(N_ROUND):
        level = given.by_star(weight * (given.mag - _dimming(given, terms)))
        level /= given.by_star(weight)
        before = terms
        has_gradient = _n_equal(given, weight) >= MIN_GRADIENT_STAR
        terms = _frame_terms(given, weight, given.mag - level[given.star], has_gradient)
        residual = given.mag - level[given.star] - _dimming(given, terms)
        weight = _trust(given, residual)
        if np.abs(terms - before).max() < SETTLED_MAG:
            break
    terms[:, 0] -= np.quantile(terms[:, 0], CLEAR_QUANTILE)
    terms[~has_gradient, 1:] = np.nan
    spread = given.by_frame(weight * (given.u**2 + given.v**2)) / 2
    rows = pl.DataFrame(
        {
            "frame_id": shared["frame_id"].unique().sort(),
            "dimming_mag": terms[:, 0],
            "dimming_err_mag": 1 / np.sqrt(given.by_frame(weight)),
            "x_gradient_mag": terms[:, 1],
            "y_gradient_mag": terms[:, 2],
            "gradient_err_mag": np.where(
                has_gradient, 1 / np.sqrt(np.maximum(spread, 1e-12)), np.nan
            ),
            "scatter_mag": SIGMA_PER_MAD * _by_frame_median(given, np.abs(residual)),
            "n_star": given.by_frame(np.ones_like(weight)),
        }
    )
    return rows.with_columns(pl.col(pl.Float64).fill_nan(None)).cast(_SCHEMA)  # pyright: ignore


def _given(shared: pl.DataFrame, centre_pix: tuple[float, float]) -> _Points:
    err_mag = shared["mag_err"].fill_null(UNKNOWN_ERR_MAG).to_numpy()
    frame_id, frame = np.unique(shared["frame_id"].to_numpy(), return_inverse=True)
    source_id, star = np.unique(shared["source_id"].to_numpy(), return_inverse=True)
    return _Points(
        frame=frame,
        star=star,
        mag=shared["mag"].to_numpy().astype(float),
        variance=err_mag.astype(float) ** 2 + FLOOR_MAG**2,
        u=(shared["x_pix"].to_numpy() - centre_pix[0]) / 1000,
        v=(shared["y_pix"].to_numpy() - centre_pix[1]) / 1000,
        n_frame=len(frame_id),
        n_star=len(source_id),
    )


def _polished(shared: pl.DataFrame, given: _Points) -> Array:
    """Return a first dimming of each frame by medians by turns, which variables cannot drag."""
    known = shared.select("frame_id", "source_id", "mag", dimming=pl.lit(0.0))
    for _ in range(N_POLISH):
        known = known.with_columns(
            level=(pl.col("mag") - pl.col("dimming")).median().over("source_id")
        ).with_columns(dimming=(pl.col("mag") - pl.col("level")).median().over("frame_id"))
    found = np.zeros(given.n_frame)
    found[given.frame] = known["dimming"].to_numpy()
    return found


def _dimming(given: _Points, terms: Array) -> Array:
    each = terms[given.frame]
    return each[:, 0] + each[:, 1] * given.u + each[:, 2] * given.v


def _n_equal(given: _Points, weight: Array) -> Array:
    """Return how many stars of equal weight each frame's are worth."""
    return given.by_frame(weight) ** 2 / given.by_frame(weight**2)


def _frame_terms(given: _Points, weight: Array, offset: Array, has_gradient: NDArray) -> Array:
    """Fit a constant and, where the stars allow, a gradient to the offsets of every frame."""
    base = (np.ones_like(given.u), given.u, given.v)
    matrix = np.empty((given.n_frame, 3, 3))
    right = np.empty((given.n_frame, 3))
    for i in range(3):
        right[:, i] = given.by_frame(weight * base[i] * offset)
        for j in range(3):
            matrix[:, i, j] = given.by_frame(weight * base[i] * base[j])
    without = ~has_gradient
    matrix[without, 1:, :] = matrix[without, :, 1:] = 0
    matrix[without, 1, 1] = matrix[without, 2, 2] = 1
    right[without, 1:] = 0
    return np.linalg.solve(matrix, right[..., None])[..., 0]


def _trust(given: _Points, residual: Array) -> Array:
    """Return weights that fall where a star varies or a point is wild."""
    pull2 = residual**2 / given.variance
    freedom = np.maximum(given.by_star(np.ones_like(pull2)) - 1, 1)
    # one wild point alone must not condemn a star: it is capped first
    excess = np.maximum(given.by_star(np.minimum(pull2, 100.0)) / freedom, 1.0)[given.star]
    huber = HUBER / np.maximum(np.sqrt(pull2 / excess), HUBER)
    return huber / (given.variance * excess)


def _by_frame_median(given: _Points, values: Array) -> Array:
    rows = pl.DataFrame({"frame": given.frame, "value": values}).group_by("frame")
    return rows.agg(pl.col("value").median()).sort("frame")["value"].to_numpy()
