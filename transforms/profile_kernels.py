"""Kernels of profile fits: elliptical Gaussian and Moffat profiles, integrated over pixels."""

from math import exp, pi, sqrt

import numpy as np
from numba import njit

GAUSSIAN, MOFFAT = 0, 1
# parameters of a fit: flux, x, y, sky, then the inverse widths a, b, c of
# q = a dx^2 + 2 b dx dy + c dy^2, and the exponent of a Moffat profile
N_PARAMETER = 8
MAX_ITERATIONS = 100
SETTLED = 1e-7  # relative fall of chi-square
LEAST_BETA, MOST_BETA = 1.1, 15.0  # a steeper profile is a Gaussian to the pixels
MIN_PIXELS_PER_PARAMETER = 2
# two points of Gauss-Legendre quadrature along each axis of a pixel
NODE = 0.5 / sqrt(3.0)


@njit(cache=True, nogil=True)
def unit_profile(model, dx, dy, shape):
    """Light per pixel of a star of unit flux at a point; `shape` is a, b, c, beta."""
    a, b, c, beta = shape[0], shape[1], shape[2], shape[3]
    q = a * dx * dx + 2.0 * b * dx * dy + c * dy * dy
    root = sqrt(a * c - b * b)
    if model == GAUSSIAN:
        return root / (2.0 * pi) * exp(-0.5 * q)
    return (beta - 1.0) * root / pi * (1.0 + q) ** -beta


@njit(cache=True, nogil=True)
def pixel_light(model, dx, dy, shape):
    """Light of a star of unit flux in the pixel centred at (dx, dy) from it."""
    return 0.25 * (
        unit_profile(model, dx - NODE, dy - NODE, shape)
        + unit_profile(model, dx + NODE, dy - NODE, shape)
        + unit_profile(model, dx - NODE, dy + NODE, shape)
        + unit_profile(model, dx + NODE, dy + NODE, shape)
    )


@njit(cache=True, nogil=True)
def _add_point(model, dx, dy, p, slope):
    """Add the profile and its slopes by all parameters at one point of a pixel."""
    a, b, c, beta = p[4], p[5], p[6], p[7]
    det = a * c - b * b
    q = a * dx * dx + 2.0 * b * dx * dy + c * dy * dy
    if model == GAUSSIAN:
        light = sqrt(det) / (2.0 * pi) * exp(-0.5 * q)
        by_q = -0.5 * light
    else:
        light = (beta - 1.0) * sqrt(det) / pi * (1.0 + q) ** -beta
        by_q = -beta * light / (1.0 + q)
        slope[7] += 0.25 * p[0] * light * (1.0 / (beta - 1.0) - np.log(1.0 + q))
    slope[0] += 0.25 * light
    slope[1] -= 0.25 * p[0] * by_q * 2.0 * (a * dx + b * dy)
    slope[2] -= 0.25 * p[0] * by_q * 2.0 * (b * dx + c * dy)
    slope[4] += 0.25 * p[0] * (by_q * dx * dx + light * 0.5 * c / det)
    slope[5] += 0.25 * p[0] * (by_q * 2.0 * dx * dy - light * b / det)
    slope[6] += 0.25 * p[0] * (by_q * dy * dy + light * 0.5 * a / det)


@njit(cache=True, nogil=True)
def _normal(model, image, usable, box, p, weight, matrix, vector, slope):  # noqa: PLR0917
    """Build the normal equations over the usable pixels of a box; return chi-square."""
    n_free = 7 if model == GAUSSIAN else 8
    matrix[:] = 0.0
    vector[:] = 0.0
    chi2 = 0.0
    for j in range(box[2], box[3]):
        for i in range(box[0], box[1]):
            if not usable[j - box[2], i - box[0]]:
                continue
            dx, dy = i - p[1], j - p[2]
            slope[:] = 0.0
            _add_point(model, dx - NODE, dy - NODE, p, slope)
            _add_point(model, dx + NODE, dy - NODE, p, slope)
            _add_point(model, dx - NODE, dy + NODE, p, slope)
            _add_point(model, dx + NODE, dy + NODE, p, slope)
            slope[3] = 1.0
            w = weight[j - box[2], i - box[0]]
            miss = image[j, i] - p[3] - p[0] * slope[0]
            chi2 += w * miss * miss
            for m in range(n_free):
                vector[m] += w * miss * slope[m]
                for n in range(m + 1):
                    matrix[m, n] += w * slope[m] * slope[n]
    for m in range(n_free):
        for n in range(m):
            matrix[n, m] = matrix[m, n]
    return chi2


@njit(cache=True, nogil=True)
def _is_ellipse(p):
    return p[4] > 0.0 and p[6] > 0.0 and p[4] * p[6] - p[5] * p[5] > 1e-8


@njit(cache=True, nogil=True)
def _solved(matrix, vector):
    """Solve a symmetric positive definite system by Cholesky's method; nan where it is none.

    The matrix becomes its factor. That of numpy would take the compiler several seconds.
    """
    n = matrix.shape[0]
    step = np.empty(n)
    for j in range(n):
        for i in range(j, n):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            if i == j:
                matrix[j, j] = sqrt(matrix[j, j]) if matrix[j, j] > 0.0 else np.nan
            else:
                matrix[i, j] /= matrix[j, j]
    for i in range(n):
        step[i] = vector[i]
        for k in range(i):
            step[i] -= matrix[i, k] * step[k]
        step[i] /= matrix[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            step[i] -= matrix[k, i] * step[k]
        step[i] /= matrix[i, i]
    return step


@njit(cache=True, nogil=True)
def _fit_one(model, image, usable, box, p, weight):  # noqa: PLR0917
    """Improve p by the method of Levenberg and Marquardt; return chi-square, nan if it fails."""
    n_free = 7 if model == GAUSSIAN else 8
    matrix, vector = np.empty((N_PARAMETER, N_PARAMETER)), np.empty(N_PARAMETER)
    slope, damping = np.empty(N_PARAMETER), 1e-3
    chi2 = _normal(model, image, usable, box, p, weight, matrix, vector, slope)
    for _ in range(MAX_ITERATIONS):
        damped = matrix[:n_free, :n_free].copy()
        for m in range(n_free):
            damped[m, m] = damped[m, m] * (1.0 + damping) + 1e-300
        step = _solved(damped, vector)
        tried = p.copy()
        for m in range(n_free):
            tried[m] += step[m]
        tried[7] = min(max(tried[7], LEAST_BETA), MOST_BETA)
        if not (np.isfinite(step).all() and _is_ellipse(tried)):
            damping *= 10.0
            if damping > 1e12:
                return np.nan
            continue
        kept_matrix, kept_vector = matrix.copy(), vector.copy()
        new = _normal(model, image, usable, box, tried, weight, matrix, vector, slope)
        if new <= chi2:
            for m in range(p.size):
                p[m] = tried[m]
            is_settled = chi2 - new <= SETTLED * chi2
            chi2, damping = new, max(damping / 10.0, 1e-12)
            if is_settled:
                return chi2
        else:
            matrix, vector = kept_matrix, kept_vector
            damping *= 10.0
            if damping > 1e12:
                return chi2  # no step betters it: the minimum is reached
    return np.nan


@njit(cache=True, nogil=True)
def fit_profiles(model, image, bits, bad_bits, start, noise, gain, radius):  # noqa: PLR0917
    """Fit a profile and a constant sky to the pixels within a radius of each star.

    Parameters
    ----------
    model
        GAUSSIAN or MOFFAT.
    image, bits, bad_bits
        As in `circle_sums`.
    start
        First parameters of each star, shape (n, 8).
    noise
        Of a sky pixel, shape (n,), ADU.
    gain
        e-/ADU, for the noise of the light; inf: the sky's noise alone.
    radius
        Pixels whose centres are within it are fitted.

    Returns
    -------
    Parameters, shape (n, 8), nan where there is no convergence; chi-square, sum of squared
    residuals, and number of pixels, shape (n,).
    """
    n_y, n_x = image.shape
    has_bits = bits.size > 0
    n = start.shape[0]
    found, chi2 = np.full((n, N_PARAMETER), np.nan), np.full(n, np.nan)
    square, n_pixel = np.full(n, np.nan), np.zeros(n, dtype=np.int32)
    box = np.empty(4, dtype=np.int64)
    side = int(2 * radius) + 3
    usable, weight = np.empty((side, side), dtype=np.bool_), np.empty((side, side))
    for k in range(n):
        x, y = start[k, 1], start[k, 2]
        if not (np.isfinite(start[k]).all() and noise[k] > 0.0 and start[k, 0] > 0.0):
            continue
        box[0], box[1] = max(0, int(np.ceil(x - radius))), min(n_x, int(x + radius) + 1)
        box[2], box[3] = max(0, int(np.ceil(y - radius))), min(n_y, int(y + radius) + 1)
        for j in range(box[2], box[3]):
            for i in range(box[0], box[1]):
                value = image[j, i]
                is_good = (i - x) ** 2 + (j - y) ** 2 <= radius * radius and np.isfinite(value)
                if is_good and has_bits:
                    is_good = (bits[j, i] & bad_bits) == 0
                usable[j - box[2], i - box[0]] = is_good
                light = max(value - start[k, 3], 0.0)
                weight[j - box[2], i - box[0]] = 1.0 / (noise[k] * noise[k] + light / gain)
                n_pixel[k] += is_good
        if n_pixel[k] < MIN_PIXELS_PER_PARAMETER * N_PARAMETER:
            continue
        p = start[k].copy()
        chi2[k] = _fit_one(model, image, usable, box, p, weight)
        is_near = (p[1] - x) ** 2 + (p[2] - y) ** 2 < radius * radius and p[0] > 0.0
        if not (np.isfinite(chi2[k]) and is_near):
            chi2[k] = np.nan
            continue
        for m in range(N_PARAMETER):
            found[k, m] = p[m]
        square[k] = 0.0
        for j in range(box[2], box[3]):
            for i in range(box[0], box[1]):
                if usable[j - box[2], i - box[0]]:
                    light = p[0] * pixel_light(model, i - p[1], j - p[2], p[4:])
                    square[k] += (image[j, i] - p[3] - light) ** 2
    return found, chi2, square, n_pixel
