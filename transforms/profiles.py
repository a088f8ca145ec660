"""Gaussian and Moffat profiles fitted to single stars, with the quality of each fit."""

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .background import float_image
from .profile_kernels import GAUSSIAN, MOFFAT, fit_profiles
from .shapes import SIGMA_PER_FWHM

Model = Literal["gaussian", "moffat"]
KERNEL_MODEL = {"gaussian": GAUSSIAN, "moffat": MOFFAT}
FIRST_BETA = 3.0
FIT_RADIUS_FWHM = 2.0
PROFILE_SCHEMA = {
    "source_id": pl.Int32,
    "model": pl.String,
    "x_pix": pl.Float64,
    "y_pix": pl.Float64,
    "flux_adu": pl.Float64,
    "sky_adu_per_pix": pl.Float64,
    "fwhm_pix": pl.Float64,
    "ellipticity": pl.Float64,
    "angle_deg": pl.Float64,
    "beta": pl.Float64,
    "rms_adu": pl.Float64,
    "reduced_chi2": pl.Float64,
    "n_pix": pl.Int32,
}


def fitted_parameters(
    model: Model,
    image: NDArray,
    bits: NDArray,
    bad_bits: int,
    stars: pl.DataFrame,
    *,
    fwhm_pix: float,
    gain_e_per_adu: float | None = None,
) -> tuple[NDArray[np.float64], pl.DataFrame]:
    """Fit a profile to each star.

    Parameters
    ----------
    image, bits, bad_bits
        As in `circle_sums`.
    stars
        source_id, x_pix, y_pix (first places), flux_adu (first guess), sky_adu_per_pix,
        sky_rms_adu; null or nan: no fit.
    fwhm_pix
        First width; pixels within two of it are fitted.
    gain_e_per_adu
        For the noise of the light; None: all pixels weigh the same, and there is no chi-square.

    Returns
    -------
    Parameters as of `fit_profiles`, shape (n, 8), and rows of table `profile_fit`, frame_id apart;
    a fit that did not converge has nulls.
    """
    start = np.empty((stars.height, 8))
    for column, name in enumerate(("flux_adu", "x_pix", "y_pix", "sky_adu_per_pix")):
        start[:, column] = numbers(stars, name)
    start[:, 4:7] = np.array([1.0, 0.0, 1.0]) / _scale2(model, fwhm_pix, FIRST_BETA)
    start[:, 7] = FIRST_BETA
    found, chi2, square, n_pix = fit_profiles(
        KERNEL_MODEL[model],
        float_image(image),
        bits,
        bad_bits,
        start,
        numbers(stars, "sky_rms_adu"),
        np.inf if gain_e_per_adu is None else float(gain_e_per_adu),
        max(FIT_RADIUS_FWHM * fwhm_pix, 3.0),
    )
    n_free = n_pix - (7 if model == "gaussian" else 8)
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = np.where(n_free > 0, chi2 / n_free, np.nan)
        rms = np.sqrt(np.where(n_free > 0, square / n_free, np.nan))
    fwhm, ellipticity, angle_deg = widths(model, found)
    no_beta = np.full(found.shape[0], np.nan)
    rows = pl.DataFrame(
        {
            "source_id": stars["source_id"],
            "model": [model] * stars.height,
            "x_pix": found[:, 1],
            "y_pix": found[:, 2],
            "flux_adu": found[:, 0],
            "sky_adu_per_pix": found[:, 3],
            "fwhm_pix": fwhm,
            "ellipticity": ellipticity,
            "angle_deg": angle_deg,
            "beta": found[:, 7] if model == "moffat" else no_beta,
            "rms_adu": rms,
            "reduced_chi2": no_beta if gain_e_per_adu is None else reduced,
            "n_pix": n_pix,
        },
        schema=PROFILE_SCHEMA,
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    return found, rows


def widths(model: Model, parameters: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Turn the inverse widths of fits, shape (n, 8), into FWHM, ellipticity and angle."""
    a, b, c, beta = parameters[:, 4:8].T
    # eigenvalues of the inverse widths: the larger belongs to the minor axis
    middle, half = 0.5 * (a + c), np.hypot(0.5 * (a - c), b)
    per_root = _scale2(model, 1.0, beta) ** -0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        minor, major = per_root / np.sqrt(middle + half), per_root / np.sqrt(middle - half)
    angle_deg = np.degrees(0.5 * np.arctan2(-2 * b, c - a))
    return 0.5 * (minor + major), 1 - minor / major, angle_deg


def _scale2(model: Model, fwhm_pix: float, beta):
    """Square of a profile's own unit of length: sigma of a Gaussian, alpha of a Moffat."""
    if model == "gaussian":
        return np.asarray((fwhm_pix * SIGMA_PER_FWHM) ** 2)
    return fwhm_pix**2 / (4 * (2 ** (1 / np.asarray(beta)) - 1))


def numbers(stars: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a column as kernels take it, null as nan; an array that may be written to.

    For one that may not, they would all be compiled once more.
    """
    return stars[name].cast(pl.Float64).fill_null(np.nan).to_numpy(writable=True)
