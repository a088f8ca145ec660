"""Pixels of a made-up camera: stars, detector, noise and digitisation, from arrays to arrays.

Everything is in electrons until `digitise`; images have shape (n_y_pix, n_x_pix); pixels are
0-based at their centres.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

ADC_MAX_ADU = 65535
MOFFAT_BETA = 4.0
LOST_LIGHT_E = 0.2  # a stamp ends where the wings outside hold less than this ...
LOST_FRACTION = 2e-5  # ... or less than this fraction of the star


@dataclass(frozen=True, slots=True)
class Detector:
    """The fixed pattern of a camera and its telescope, each map of shape (n_y_pix, n_x_pix)."""

    bias_adu: Array
    dark_e_per_s: Array
    response: Array
    """Relative response to light (vignetting, pixels, dust), 1 on the optical axis."""


def moffat_core_pix(fwhm_pix: float, *, beta: float = MOFFAT_BETA) -> float:
    """Return the core radius alpha of a Moffat profile in pixels (Moffat 1969, A&A 3, 455)."""
    return fwhm_pix / (2 * np.sqrt(2 ** (1 / beta) - 1))


def moffat_enclosed(radius_pix: float, fwhm_pix: float, *, beta: float = MOFFAT_BETA) -> float:
    """Return the fraction of a star's light within a radius: the truth of an aperture sum."""
    alpha_pix = moffat_core_pix(fwhm_pix, beta=beta)
    return float(1 - (1 + (radius_pix / alpha_pix) ** 2) ** (1 - beta))


def moffat_stamp(
    x_pix: Array, y_pix: Array, *, fwhm_pix: float, beta: float = MOFFAT_BETA
) -> Array:
    """Integrate a unit Moffat profile over pixels.

    Parameters
    ----------
    x_pix, y_pix
        Pixel centres relative to the star, shapes (n_x,) and (n_y,).

    Returns
    -------
    Fraction of the star's light in each pixel, shape (n_y, n_x), by 3-point Gauss-Legendre
    quadrature along each axis.
    """
    alpha_pix = moffat_core_pix(fwhm_pix, beta=beta)
    node, weight = np.polynomial.legendre.leggauss(3)
    stamp = np.zeros((y_pix.size, x_pix.size))
    for node_y, weight_y in zip(node / 2, weight / 2, strict=True):
        for node_x, weight_x in zip(node / 2, weight / 2, strict=True):
            r2 = (x_pix + node_x)[None, :] ** 2 + (y_pix + node_y)[:, None] ** 2
            stamp += weight_y * weight_x * (1 + r2 / alpha_pix**2) ** -beta
    return stamp * (beta - 1) / (np.pi * alpha_pix**2)


def render_stars(
    x_pix: Array,
    y_pix: Array,
    flux_e: Array,
    *,
    shape: tuple[int, int],
    fwhm_pix: float,
    beta: float = MOFFAT_BETA,
) -> Array:
    """Draw stars as Moffat profiles integrated over pixels.

    Parameters
    ----------
    x_pix, y_pix, flux_e
        Position and total light of each star, shape (n_star,); stars may lie off the frame.

    Returns
    -------
    Expected electrons, without noise, of the given shape (n_y_pix, n_x_pix).
    """
    image = np.zeros(shape)
    alpha_pix = moffat_core_pix(fwhm_pix, beta=beta)
    for x, y, flux in zip(x_pix, y_pix, flux_e, strict=True):
        lost = min(max(LOST_FRACTION, LOST_LIGHT_E / max(flux, 1.0)), 0.5)
        radius_pix = alpha_pix * np.sqrt(lost ** (1 / (1 - beta)) - 1) + 1
        x_range = _overlap(x, radius_pix, shape[1])
        y_range = _overlap(y, radius_pix, shape[0])
        if x_range.size and y_range.size:
            stamp = moffat_stamp(x_range - x, y_range - y, fwhm_pix=fwhm_pix, beta=beta)
            image[y_range[0] : y_range[-1] + 1, x_range[0] : x_range[-1] + 1] += flux * stamp
    return image


def _overlap(centre_pix: float, radius_pix: float, n_pix: int) -> NDArray[np.int64]:
    first = max(0, int(np.ceil(centre_pix - radius_pix)))
    last = min(n_pix - 1, int(np.floor(centre_pix + radius_pix)))
    return np.arange(first, last + 1)


def make_detector(
    shape: tuple[int, int],
    rng: Generator,
    *,
    bias_adu: float,
    dark_e_per_s: float,
    n_hot_pixel: int,
    vignetting: float,
    pixel_response_rms: float,
) -> Detector:
    """Make a detector: column pattern in the bias, hot pixels, vignetting, dust and pixel response.

    Parameters
    ----------
    vignetting
        Fraction of the light lost in the corners.
    """
    n_y, n_x = shape
    bias = np.broadcast_to(bias_adu + rng.normal(0, 1.5, n_x), shape).copy()
    dark = rng.gamma(4.0, dark_e_per_s / 4.0, shape)
    hot = rng.choice(n_y * n_x, n_hot_pixel, replace=False)
    dark.flat[hot] = 10 ** rng.uniform(0.7, 1.8, n_hot_pixel)
    y, x = np.mgrid[:n_y, :n_x]
    centre_x, centre_y = (n_x - 1) / 2, (n_y - 1) / 2
    r2 = ((x - centre_x) ** 2 + (y - centre_y) ** 2) / (centre_x**2 + centre_y**2)
    response = 1 - vignetting * r2
    for _ in range(3):
        distance_pix = np.hypot(x - rng.uniform(0, n_x), y - rng.uniform(0, n_y))
        response *= 1 - 0.02 * np.exp(-(((distance_pix - 14) / 4) ** 2))
    response *= rng.normal(1, pixel_response_rms, shape)
    return Detector(bias_adu=bias, dark_e_per_s=dark, response=response)


def cosmic_rays(shape: tuple[int, int], n_ray: int, rng: Generator) -> Array:
    """Return the electrons of short straight particle tracks, shape (n_y_pix, n_x_pix)."""
    image = np.zeros(shape)
    for _ in range(n_ray):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        angle, length_pix = rng.uniform(0, 2 * np.pi), int(rng.integers(1, 7))
        step = np.arange(length_pix)
        column = np.clip((x + step * np.cos(angle)).astype(int), 0, shape[1] - 1)
        row = np.clip((y + step * np.sin(angle)).astype(int), 0, shape[0] - 1)
        np.add.at(image, (row, column), rng.uniform(400, 4000, length_pix))
    return image


def expose(
    light_e: Array, detector: Detector, *, exposure_s: float, extra_e: Array | None = None
) -> Array:
    """Return the expected electrons of an exposure.

    Parameters
    ----------
    light_e
        Expected electrons from the sky for a response of 1.
    extra_e
        Electrons that did not come through the optics, such as cosmic rays.
    """
    expected_e = light_e * detector.response + detector.dark_e_per_s * exposure_s
    return expected_e if extra_e is None else expected_e + extra_e


def digitise(
    expected_e: Array,
    rng: Generator,
    *,
    bias_adu: Array | float,
    gain_e_per_adu: float,
    read_noise_e: float,
) -> NDArray[np.uint16]:
    """Draw photon and read noise, divide by the gain, add the bias and round to 16 bits.

    What exceeds the converter reads 65535, what falls below zero reads 0.
    """
    electrons = rng.poisson(expected_e) + rng.normal(0, read_noise_e, expected_e.shape)
    adu = np.rint(electrons / gain_e_per_adu + bias_adu)
    return np.clip(adu, 0, ADC_MAX_ADU).astype(np.uint16)
