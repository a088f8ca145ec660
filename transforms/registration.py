"""How a frame lies on its field: polynomials from field pixels to frame pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, log

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ..errors import RegistrationError

Points = NDArray[np.float64]
MAX_DEGREE = 3
MIN_STAR = 4
MIN_STAR_AFFINE = 8
MIN_GAIN = 10.0


@dataclass(frozen=True, slots=True)
class Registration:
    """A polynomial from the pixels of a field to the pixels of a frame.

    Attributes
    ----------
    degree
        Degree of the polynomial, 1 to 3.
    x_coefficient, y_coefficient
        In plain pixels, of the terms 1, x, y, x^2, x y, y^2, x^3, x^2 y, x y^2, y^3 as far as
        the degree goes: 3, 6 or 10 numbers.
    n_star
        Stars behind it; 0 where it comes from elsewhere.
    rms_pix
        Residual of those stars per axis, weighted as in the fit, pixels; None without stars.
    """

    degree: int
    x_coefficient: tuple[float, ...]
    y_coefficient: tuple[float, ...]
    n_star: int
    rms_pix: float | None


def identity_registration() -> Registration:
    """Lay the reference frame on its own field."""
    return Registration(1, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), 0, None)


def terms(x: ArrayLike, y: ArrayLike, degree: int) -> NDArray[np.float64]:
    """Evaluate the polynomial's terms, shape (n, n_term), in the order of `Registration`."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return np.stack([x**i * y**j for i, j in _exponents(degree)], axis=-1)


def apply_registration(registration: Registration, x: ArrayLike, y: ArrayLike):
    """Carry field pixels to frame pixels; x, y and both results have the same shape."""
    powers = terms(x, y, registration.degree)
    return powers @ np.array(registration.x_coefficient), powers @ np.array(
        registration.y_coefficient
    )


def invert_registration(registration: Registration, x: ArrayLike, y: ArrayLike):
    """Carry frame pixels back to field pixels, by Newton's method to 1e-9 pixel.

    Returns
    -------
    Field x and y, of the shape of x and y; nan where the polynomial cannot be inverted.
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    linear = np.array([registration.x_coefficient[1:3], registration.y_coefficient[1:3]])
    offset = np.array([registration.x_coefficient[0], registration.y_coefficient[0]])
    field = np.stack([x, y], axis=-1) - offset
    field = field @ np.linalg.inv(linear).T
    with np.errstate(all="ignore"):
        for _ in range(30):
            seen_x, seen_y = apply_registration(registration, field[..., 0], field[..., 1])
            miss = np.stack([x - seen_x, y - seen_y], axis=-1)
            if np.all(np.abs(miss) < 1e-10):
                break
            (a, b), (c, d) = _jacobian(registration, field[..., 0], field[..., 1])
            determinant = a * d - b * c
            field[..., 0] += (d * miss[..., 0] - b * miss[..., 1]) / determinant
            field[..., 1] += (a * miss[..., 1] - c * miss[..., 0]) / determinant
        seen_x, seen_y = apply_registration(registration, field[..., 0], field[..., 1])
        lost = ~(np.hypot(x - seen_x, y - seen_y) < 1e-6)
    field[lost] = np.nan
    return field[..., 0], field[..., 1]


def fit_registration(
    field_xy: Points,
    frame_xy: Points,
    *,
    flux: ArrayLike | None = None,
    max_degree: int = MAX_DEGREE,
    clip_sigma: float = 4.0,
) -> Registration:
    """Fit the polynomial to matched stars, of the degree the stars deserve.

    Four to seven stars give a shift, a rotation and one scale; more give degree 1, and a higher
    degree only if there are three stars for each of its terms and the residuals fall by far
    more than chance lets them (Bayesian information criterion, difference 10). Stars beyond
    `clip_sigma` robust sigmas are left out, and the fit repeated until the set stays.

    Parameters
    ----------
    field_xy, frame_xy
        Matched positions, shape (n, 2), pixels of the field and of the frame.
    flux
        Brightness of the stars, shape (n,), any scale: faint stars weigh less, by as much as
        the residuals themselves show. None: all weigh the same.

    Raises
    ------
    RegistrationError
        If fewer than 4 stars are given or left, or they lie on one point or line.
    """
    noise = np.ones(len(field_xy))
    best = _clipped_fit(field_xy, frame_xy, 1, noise, clip_sigma)
    if flux is not None and len(field_xy) >= 2 * MIN_STAR_AFFINE:
        noise = _noise_by_flux(_misses(best, field_xy, frame_xy), np.asarray(flux, dtype=float))
        best = _clipped_fit(field_xy, frame_xy, 1, noise, clip_sigma)
    for degree in range(2, max_degree + 1):
        if len(field_xy) < 3 * _n_term(degree):
            break
        try:
            other = _clipped_fit(field_xy, frame_xy, degree, noise, clip_sigma)
        except RegistrationError:
            break  # clipping leaves too few stars for this degree; the lower one stands
        if _gain(best, other, field_xy, frame_xy, noise) > MIN_GAIN:
            best = other
    return best


def registration_from_map(
    carry: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]],
    n_x_pix: int,
    n_y_pix: int,
    *,
    degree: int = MAX_DEGREE,
) -> Registration:
    """Express any smooth map from field to frame pixels (two WCS in a row) as a polynomial.

    Parameters
    ----------
    carry
        Function of field x, y giving frame x, y; nan where it does not reach.
    n_x_pix, n_y_pix
        Size of the field's reference frame, pixels.

    Raises
    ------
    RegistrationError
        If the map reaches too little of the field.
    """
    x, y = np.meshgrid(np.linspace(0, n_x_pix - 1, 15), np.linspace(0, n_y_pix - 1, 15))
    field = np.column_stack([x.ravel(), y.ravel()])
    frame = np.column_stack(carry(field[:, 0], field[:, 1]))
    good = np.isfinite(frame).all(axis=1)
    if np.count_nonzero(good) < 3 * _n_term(degree):
        raise RegistrationError(
            f"map from field to frame: {np.count_nonzero(good)} of {good.size} grid points have "
            f"an image, {3 * _n_term(degree)} needed. The two WCS do not share a piece of sky."
        )
    return _record(_solve(field[good], frame[good], degree), degree, 0, None)


def registration_row(
    registration: Registration, *, method: str, n_x_pix: int, n_y_pix: int
) -> pl.DataFrame:
    """Give the row of table `registration`, frame_id and field_id apart.

    Parameters
    ----------
    method
        reference, wcs, wcs and stars, stars.
    n_x_pix, n_y_pix
        Size of the field's reference frame, pixels; the shift is that of its centre.
    """
    x_centre, y_centre = (n_x_pix - 1) / 2, (n_y_pix - 1) / 2
    x_there, y_there = apply_registration(registration, x_centre, y_centre)
    return pl.DataFrame(
        {
            "method": [method],
            "degree": [registration.degree],
            "x_coefficient": [list(registration.x_coefficient)],
            "y_coefficient": [list(registration.y_coefficient)],
            "n_star": [registration.n_star],
            "rms_pix": [registration.rms_pix],
            "x_shift_pix": [float(x_there) - x_centre],
            "y_shift_pix": [float(y_there) - y_centre],
        },
        schema={
            "method": pl.String,
            "degree": pl.Int16,
            "x_coefficient": pl.List(pl.Float64),
            "y_coefficient": pl.List(pl.Float64),
            "n_star": pl.Int32,
            "rms_pix": pl.Float64,
            "x_shift_pix": pl.Float64,
            "y_shift_pix": pl.Float64,
        },
    )


def registration_residuals(registration: Registration, matched: pl.DataFrame) -> pl.DataFrame:
    """Say how far matched stars are from where a registration puts them: rows of `wcs_residual`.

    Parameters
    ----------
    matched
        x_pix, y_pix on the field, x_seen_pix, y_seen_pix on the frame.
    """
    x, y = apply_registration(registration, matched["x_pix"], matched["y_pix"])
    rows = matched.select(x_pix="x_seen_pix", y_pix="y_seen_pix").with_columns(
        dx_pix=pl.col("x_pix") - pl.Series(x), dy_pix=pl.col("y_pix") - pl.Series(y)
    )
    return rows.with_columns(is_used=pl.lit(value=True)).unique(
        ["x_pix", "y_pix"], keep="first", maintain_order=True
    )


def _exponents(degree: int) -> list[tuple[int, int]]:
    return [(total - j, j) for total in range(degree + 1) for j in range(total + 1)]


def _n_term(degree: int) -> int:
    return (degree + 1) * (degree + 2) // 2


def _jacobian(registration: Registration, x: NDArray, y: NDArray):
    """Differentiate frame x and y by field x and y."""
    exponents = _exponents(registration.degree)
    by_x = np.stack([i * x ** max(i - 1, 0) * y**j for i, j in exponents], axis=-1)
    by_y = np.stack([j * x**i * y ** max(j - 1, 0) for i, j in exponents], axis=-1)
    rows = (np.array(registration.x_coefficient), np.array(registration.y_coefficient))
    return [(by_x @ row, by_y @ row) for row in rows]


def _solve(
    field_xy: Points, frame_xy: Points, degree: int, noise: NDArray | None = None
) -> NDArray[np.float64]:
    """Fit by least squares in coordinates scaled to [-1, 1]; coefficients in plain pixels."""
    weight = np.ones((len(field_xy), 1)) if noise is None else 1 / noise[:, None]
    centre = field_xy.mean(axis=0)
    reach = max(1.0, float(np.abs(field_xy - centre).max()))
    u, v = ((field_xy - centre) / reach).T
    scaled = np.linalg.lstsq(weight * terms(u, v, degree), weight * frame_xy, rcond=None)[0]
    return (_unscale(degree, centre, reach) @ scaled).T


def _unscale(degree: int, centre: NDArray, reach: float) -> NDArray[np.float64]:
    """Matrix from the coefficients of ((x - x0)/r)^i ((y - y0)/r)^j to those of x^i y^j."""
    exponents = _exponents(degree)
    matrix = np.zeros((len(exponents), len(exponents)))
    for column, (i, j) in enumerate(exponents):
        for row, (p, q) in enumerate(exponents):
            if p <= i and q <= j:
                binomial = comb(i, p) * comb(j, q)
                shift = (-centre[0]) ** (i - p) * (-centre[1]) ** (j - q)
                matrix[row, column] = binomial * shift / reach ** (i + j)
    return matrix


def _solve_similarity(field_xy: Points, frame_xy: Points) -> NDArray[np.float64]:
    """Fit shift, rotation, scale (and reflection, if that fits better) to few stars."""
    field_mean, frame_mean = field_xy.mean(axis=0), frame_xy.mean(axis=0)
    z = (field_xy - field_mean) @ np.array([1, 1j])
    w = (frame_xy - frame_mean) @ np.array([1, 1j])
    norm = np.vdot(z, z).real
    turn, flip = np.vdot(z, w) / norm, np.vdot(z.conj(), w) / norm
    if abs(turn) >= abs(flip):
        matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    else:
        matrix = np.array([[flip.real, flip.imag], [flip.imag, -flip.real]])
    return np.column_stack([frame_mean - matrix @ field_mean, matrix])


def _clipped_fit(
    field_xy: Points, frame_xy: Points, degree: int, noise: NDArray, clip_sigma: float
) -> Registration:
    keep = np.ones(len(field_xy), dtype=bool)
    is_scarce = degree == 1 and len(field_xy) < MIN_STAR_AFFINE
    while True:
        _require_stars(field_xy[keep], degree, len(field_xy))
        if is_scarce:
            coefficients = _solve_similarity(field_xy[keep], frame_xy[keep])
        else:
            coefficients = _solve(field_xy[keep], frame_xy[keep], degree, noise[keep])
        miss = frame_xy - terms(field_xy[:, 0], field_xy[:, 1], degree) @ coefficients.T
        distance = np.hypot(*miss.T) / noise
        # the median of a two-dimensional Gaussian's distance is 1.1774 sigma
        sigma = max(float(np.median(distance[keep])) / 1.1774, 1e-3)
        # a star once left out stays out, so that this ends
        previous, keep = keep, keep & (distance < clip_sigma * sigma)
        if np.array_equal(previous, keep):
            break
    n_star = int(np.count_nonzero(keep))
    n_free = 2 * n_star - (4 if is_scarce else 2 * _n_term(degree))
    weight = noise[keep] ** -2
    square = n_star * (weight[:, None] * miss[keep] ** 2).sum() / weight.sum()
    return _record(coefficients, degree, n_star, float(np.sqrt(square / max(1, n_free))))


def _record(coefficients: NDArray, degree: int, n_star: int, rms_pix: float | None) -> Registration:
    x_coefficient, y_coefficient = coefficients.tolist()
    return Registration(degree, tuple(x_coefficient), tuple(y_coefficient), n_star, rms_pix)


def _misses(registration: Registration, field_xy: Points, frame_xy: Points) -> NDArray[np.float64]:
    """Measure how far each frame position is from where the polynomial puts it, squared."""
    x, y = apply_registration(registration, field_xy[:, 0], field_xy[:, 1])
    return (frame_xy[:, 0] - x) ** 2 + (frame_xy[:, 1] - y) ** 2


def _noise_by_flux(miss2: NDArray, flux: NDArray) -> NDArray[np.float64]:
    """Model the squared residuals of stars as a floor plus a photon part, a + b / flux.

    Both come from the medians of the bright and of the faint half.
    """
    photon = 1 / np.maximum(flux, 1e-6 * np.median(np.abs(flux)) + 1e-300)
    order = np.argsort(photon)
    bright, faint = order[: order.size // 2], order[order.size // 2 :]
    (m_bright, p_bright), (m_faint, p_faint) = (
        (float(np.median(miss2[half])), float(np.median(photon[half]))) for half in (bright, faint)
    )
    slope = max(0.0, (m_faint - m_bright) / max(p_faint - p_bright, 1e-300))
    floor = max(m_bright - slope * p_bright, 0.1 * m_bright, 1e-8)
    return np.sqrt(floor + slope * photon)


def _require_stars(field_xy: Points, degree: int, n_offered: int) -> None:
    needed = MIN_STAR if degree == 1 else _n_term(degree) + 2
    if len(field_xy) < needed:
        raise RegistrationError(
            f"{n_offered} matched stars, {len(field_xy)} left after clipping: {needed} needed for "
            f"a polynomial of degree {degree}."
        )
    spread = np.linalg.svd(field_xy - field_xy.mean(axis=0), compute_uv=False)
    if spread[-1] < 1.0:
        raise RegistrationError(
            f"{len(field_xy)} matched stars lie within {spread[-1]:.2g} pixels of one line: they "
            "do not fix a rotation."
        )


def _gain(
    low: Registration, high: Registration, field_xy: Points, frame_xy: Points, noise: NDArray
) -> float:
    """Tell by how much a higher degree lowers the information criterion, on the same stars."""
    misses = [_misses(fit, field_xy, frame_xy) / noise**2 for fit in (low, high)]
    # stars that either fit believes in; wrong pairs miss both by far
    nearest = np.minimum(*misses)
    keep = nearest < 16 * max(float(np.median(nearest)), 1e-6)
    n_value = 2 * np.count_nonzero(keep)
    floor = 1e-8 * n_value
    ratio = (misses[0][keep].sum() + floor) / (misses[1][keep].sum() + floor)
    n_more = 2 * (_n_term(high.degree) - _n_term(low.degree))
    return n_value * log(ratio) - n_more * log(max(n_value, 2))
