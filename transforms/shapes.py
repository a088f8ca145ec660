"""Position, flux and width of stars from moments under a Gaussian window."""

from dataclasses import dataclass
from math import atan2, exp, hypot, log, pi, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .background import float_image

SIGMA_PER_FWHM = 1 / (2 * sqrt(2 * log(2)))
FWHM_PER_SIGMA = 1 / SIGMA_PER_FWHM
MIN_WINDOW_SIGMA_PIX = 0.7
WINDOW_REACH_SIGMA = 3.5
MAX_ITERATIONS = 20
CONVERGED_PIX = 1e-4
DEG_PER_RAD = 180 / pi


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the windowed moments say of n stars; every array has shape (n,).

    Attributes
    ----------
    x_pix, y_pix
        Centroid, 0-based at pixel centres; the start where it did not converge.
    flux_adu
        Flux of a Gaussian star of the window's width that gives the same windowed sum.
    fwhm_pix, elongation, angle_deg
        Width (of the star as the pixels show it), axis ratio, and angle of the major axis from
        the x to the y axis, -90 to 90; nan where not measurable.
    is_converged
        The centroid settled within its leash.
    """

    x_pix: NDArray[np.float64]
    y_pix: NDArray[np.float64]
    flux_adu: NDArray[np.float64]
    fwhm_pix: NDArray[np.float64]
    elongation: NDArray[np.float64]
    angle_deg: NDArray[np.float64]
    is_converged: NDArray[np.bool_]


def centred_shapes(
    image: NDArray,
    x_pix,
    y_pix,
    *,
    fwhm_pix: float,
    leash_pix: float,
    sky_adu: NDArray | None = None,
) -> Shapes:
    """Find centroid, flux and width of stars under a window that follows their light.

    The window is a round Gaussian as wide as the stars of the frame, for which the centroid
    comes near the photon limit. The width is that of the star alone, the window taken out:
    1/s_measured^2 = 1/s_star^2 + 1/s_window^2, exact for a Gaussian star.

    Parameters
    ----------
    image
        Frame, shape (n_y, n_x); nan is skipped.
    x_pix, y_pix
        First positions, shape (n,).
    fwhm_pix
        FWHM of the window, pixels.
    leash_pix
        A centroid that wanders farther from its start is not believed.
    sky_adu
        Sky under each star, shape (n,), that is still in the image; None: it was subtracted.

    References
    ----------
    Bertin & Arnouts 1996 (XWIN_IMAGE); Bernstein & Jarvis 2002, AJ 123, 583.
    """
    x, y, sigma = _start(x_pix, y_pix, fwhm_pix)
    sky = np.zeros(x.size) if sky_adu is None else np.asarray(sky_adu, dtype=np.float64)
    return Shapes(
        *_windowed_moments(float_image(image), sky, x, y, sigma, float(leash_pix), MAX_ITERATIONS)
    )


def _start(x_pix, y_pix, fwhm_pix: float) -> tuple[NDArray, NDArray, float]:
    x = np.array(x_pix, dtype=np.float64, ndmin=1)
    y = np.array(y_pix, dtype=np.float64, ndmin=1)
    return x, y, max(fwhm_pix * SIGMA_PER_FWHM, MIN_WINDOW_SIGMA_PIX)


@njit(cache=True, nogil=True)
def _window_sums(image, sky, x, y, sigma, weight_x):  # noqa: PLR0917
    """Sum light, its first and its second moments about (x, y) under the window.

    `weight_x` is room for the window of a row.
    """
    n_y, n_x = image.shape
    reach = WINDOW_REACH_SIGMA * sigma
    first, last = max(0, int(np.ceil(x - reach))), min(n_x - 1, int(np.floor(x + reach)))
    for i in range(first, last + 1):
        weight_x[i - first] = exp(-0.5 * ((i - x) / sigma) ** 2)
    s = sx = sy = sxx = syy = sxy = 0.0
    for j in range(max(0, int(np.ceil(y - reach))), min(n_y, int(np.floor(y + reach)) + 1)):
        dy = j - y
        weight_y = exp(-0.5 * (dy / sigma) ** 2)
        for i in range(first, last + 1):
            value = image[j, i] - sky
            if not np.isfinite(value):
                continue
            dx = i - x
            light = value * weight_y * weight_x[i - first]
            s += light
            sx += light * dx
            sy += light * dy
            sxx += light * dx * dx
            syy += light * dy * dy
            sxy += light * dx * dy
    return s, sx, sy, sxx, syy, sxy


@njit(cache=True, nogil=True)
def _star_widths(s, sx, sy, sxx, syy, sxy, sigma):  # noqa: PLR0917
    """Turn windowed sums into sigma, axis ratio and angle of the star, nan where there is none."""
    if not s > 0.0:
        return np.nan, np.nan, np.nan
    mx, my = sx / s, sy / s
    vxx, vyy, vxy = sxx / s - mx * mx, syy / s - my * my, sxy / s - mx * my
    half_sum, half_diff = 0.5 * (vxx + vyy), hypot(0.5 * (vxx - vyy), vxy)
    window = sigma * sigma
    v_major, v_minor = half_sum + half_diff, half_sum - half_diff
    if v_minor <= 0.0 or v_major >= 0.99 * window:
        return np.nan, np.nan, np.nan
    major = v_major * window / (window - v_major)
    minor = v_minor * window / (window - v_minor)
    angle_deg = 0.5 * atan2(2 * vxy, vxx - vyy) * DEG_PER_RAD
    return sqrt(0.5 * (major + minor)), sqrt(major / minor), angle_deg


@njit(cache=True, nogil=True)
def _windowed_moments(image, sky, x, y, sigma, leash, n_iteration):  # noqa: PLR0917
    n = x.size
    x_out, y_out, flux = np.empty(n), np.empty(n), np.empty(n)
    fwhm, elongation, angle = np.empty(n), np.empty(n), np.empty(n)
    room = np.empty(2 * int(WINDOW_REACH_SIGMA * sigma) + 3)
    settled = np.zeros(n, dtype=np.bool_)
    for k in range(n):
        xc, yc = x[k], y[k]
        is_settled = False
        for _ in range(n_iteration):
            sums = _window_sums(image, sky[k], xc, yc, sigma, room)
            if not sums[0] > 0.0:
                break
            # a window of the star's own width halves every offset
            step_x, step_y = 2 * sums[1] / sums[0], 2 * sums[2] / sums[0]
            xc, yc = xc + step_x, yc + step_y
            if hypot(xc - x[k], yc - y[k]) > leash:
                break
            if hypot(step_x, step_y) < CONVERGED_PIX:
                is_settled = True
                break
        if not is_settled:
            xc, yc = x[k], y[k]
        s, sx, sy, sxx, syy, sxy = _window_sums(image, sky[k], xc, yc, sigma, room)
        width, elongation[k], angle[k] = _star_widths(s, sx, sy, sxx, syy, sxy, sigma)
        x_out[k], y_out[k], settled[k] = xc, yc, is_settled
        flux[k], fwhm[k] = 2 * s, width * FWHM_PER_SIGMA
    return x_out, y_out, flux, fwhm, elongation, angle, settled
