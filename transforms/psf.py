"""Photometry by fitting the frame's profile to all its stars at once, for crowded fields."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .apertures import annulus_skies
from .profiles import KERNEL_MODEL, Model, fitted_parameters, widths
from .psf_error import profile_error
from .psf_kernels import absolute_residuals, add_stars, star_stamps
from .psf_system import System, near_pairs
from .psf_table import Bright, Table, empty_table, improved_table
from .psf_table_kernels import add_table

MIN_STAR = 3
REACH_FWHM = 4.0  # of a star's light that neighbours are freed of
# A flux comes from the pixels of the core: farther out are stars that no one knows, and a few bad
# pixels of the profile's wings outweigh in bright stars
CORE_FWHM, MIN_CORE_PIX = 1.2, 1.5
N_TABLE_TURN = 3
NO_BITS = np.zeros((0, 0), dtype=np.uint8)
N_TURN = 6  # sky, fluxes, sky without the stars, ... until neither moves
MIN_SHARE = 0.5  # of the squared profile on good pixels: a fit with less is none
POINT_SPREAD_SCHEMA = {
    "model": pl.String,
    "fwhm_pix": pl.Float64,
    "beta": pl.Float64,
    "noise_pix": pl.Float64,
    "residual_fraction": pl.Float64,
    "n_star": pl.Int32,
    "n_table_star": pl.Int32,
    "n_table_term": pl.Int32,
    "profile_err": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class PointSpread:
    """The profile of a frame's stars.

    Attributes
    ----------
    model
        gaussian or moffat.
    shape
        Inverse widths a, b, c and exponent beta, as in `profile_kernels`.
    fwhm_pix
        Mean of the axes, pixels.
    n_star
        Stars it comes from.
    """

    model: Model
    shape: NDArray[np.float64]
    fwhm_pix: float
    n_star: int


@dataclass(frozen=True, slots=True)
class FittedFluxes:
    """Fluxes by fit of n stars, each array of shape (n,).

    Attributes
    ----------
    flux_adu
        nan where too little of the star is on good pixels.
    sky_adu_per_pix
        Taken off: the annulus's, in the frame without its stars.
    noise_pix
        Pixels whose sky noise the flux has beside the noise of its own photons: by the core's
        pixels, their weights, and the stars it shares them with.
    missing_fraction
        Of the squared profile on pixels without a value; the fit does without them.
    residual_fraction
        Sum of absolute residuals within one FWHM over the flux.
    neighbour_adu
        Light of neighbours that the fit took off, each one's in quadrature.
    table
        What was added to the analytic profile.
    profile_err
        Relative error of a flux by what the profile misses; None: not measured.
    """

    flux_adu: NDArray[np.float64]
    sky_adu_per_pix: NDArray[np.float64]
    noise_pix: NDArray[np.float64]
    missing_fraction: NDArray[np.float64]
    residual_fraction: NDArray[np.float64]
    neighbour_adu: NDArray[np.float64]
    table: Table
    profile_err: float | None = None


def point_spread(
    model: Model, image: NDArray, bits: NDArray, bad_bits: int, stars: pl.DataFrame, *, fwhm_pix
) -> PointSpread | None:
    """Take the profile of a frame from its bright lonely stars: the median of their fits.

    Parameters
    ----------
    stars
        As in `fitted_parameters`.

    Returns
    -------
    None if fewer than three fits converge.
    """
    found, _ = fitted_parameters(model, image, bits, bad_bits, stars, fwhm_pix=fwhm_pix)
    found = found[np.isfinite(found).all(axis=1)]
    if len(found) < MIN_STAR:
        return None
    middle = np.median(found, axis=0, keepdims=True)
    return PointSpread(model, middle[0, 4:8], float(widths(model, middle)[0][0]), len(found))


def fitted_fluxes(  # noqa: PLR0917
    image: NDArray,
    bits: NDArray,
    bad_bits: int,
    x: NDArray,
    y: NDArray,
    spread: PointSpread,
    *,
    annulus_pix: tuple[float, float],
    gain_e_per_adu: float | None = None,
    bright: NDArray[np.intp] | None = None,
    with_table: bool = False,
) -> FittedFluxes:
    """Fit the fluxes of all stars together, at their places, by weighted least squares.

    With places and profile given the fluxes are linear: one sparse system holds every star, by the
    pixels of its core, and the light that every other star puts there, whatever the size of a
    group. The sky of each star is that of its annulus in the frame without its stars, so sky and
    fluxes are found by turns; and so is the table of what the analytic profile misses.

    Parameters
    ----------
    image, bits, bad_bits
        As in `circle_sums`; saturated pixels belong among the bad.
    x, y
        Places, shape (n,), pixels.
    annulus_pix
        Radii of the sky annulus.
    gain_e_per_adu
        Weighs bright pixels by the noise of their light, as the fit has it; None: all alike, and
        what the profile misses cannot be told from noise.
    bright
        Stars that show what the profile misses; None: it is not measured.
    with_table
        Let them correct the profile, too, where they are enough.

    References
    ----------
    Stetson 1987, PASP 99, 191; Heyer & Biretta 2004, on the noise of a fit.
    """
    chosen = np.empty(0, dtype=np.intp) if bright is None else bright
    system, analytic, table = _drawn(image, bits, bad_bits, x, y, spread)
    data = np.where(system.is_good > 0, image, np.nan).astype(np.float64)
    residual, noise2 = data, 1.0
    flux, sky = np.zeros(x.size), np.full(x.size, np.nan)
    for turn in range(N_TURN):
        level, scatter, _, _ = annulus_skies(residual, NO_BITS, 0, x, y, *annulus_pix)
        sky = np.where(np.isfinite(level), level, sky)
        noisy = scatter[scatter > 0]  # a sky of one whole number has no scatter
        noise2 = float(np.median(noisy) ** 2) if noisy.size else noise2
        if turn and gain_e_per_adu is not None:
            system = system.weighed(flux, noise2, gain_e_per_adu)
        flux = system.solve(image, sky, flux)
        residual = _without(data, system, flux)
        if with_table and turn < N_TABLE_TURN:
            serving = chosen[(flux[chosen] > 0) & np.isfinite(sky[chosen])]
            known = Bright(x, y, sky, flux, _places(image, x, y)).some(serving)
            table = improved_table(
                table, residual, known, noise2, fwhm_pix=spread.fwhm_pix, gain=gain_e_per_adu
            )
            system = replace(system, stamps=_corrected(analytic, system, table, image))
    told = _told(system, flux, sky, noise2, table, gain_e_per_adu)
    left = absolute_residuals(residual, system.is_good, x, y, sky, spread.fwhm_pix)
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(told.flux_adu > 0, left / told.flux_adu, np.nan)
    missed = None
    if gain_e_per_adu is not None:
        variance = noise2 * told.noise_pix + np.maximum(flux, 0.0) / gain_e_per_adu
        missed = profile_error(
            system, table, residual, sky, told.flux_adu, variance, noise2, chosen
        )
    return replace(told, residual_fraction=fraction, profile_err=missed)


def _drawn(image, bits, bad_bits, x, y, spread) -> tuple[System, NDArray, Table]:  # noqa: PLR0917
    """Draw all stars by the analytic profile, and begin an empty table."""
    reach = int(np.ceil(REACH_FWHM * spread.fwhm_pix))
    core_pix = max(CORE_FWHM * spread.fwhm_pix, MIN_CORE_PIX)
    kernel = KERNEL_MODEL[spread.model]
    stamps, corner = star_stamps(kernel, spread.shape, x, y, reach)
    good = np.isfinite(image)
    if bits.size:
        good &= (bits & np.uint8(bad_bits)) == 0
    weight = good.astype(np.float64)
    pairs = near_pairs(x, y, reach + core_pix)
    system = System(stamps, corner, x, y, core_pix, pairs, weight, weight)
    table = empty_table(kernel, spread.shape, fwhm_pix=spread.fwhm_pix, reach_pix=reach)
    return system, stamps, table


def _places(image: NDArray, x: NDArray, y: NDArray) -> NDArray[np.float64]:
    """Return u and v of places, from -1 to 1 over the frame, shape (n, 2)."""
    n_y, n_x = image.shape
    return np.column_stack([2 * (x + 0.5) / n_x - 1, 2 * (y + 0.5) / n_y - 1])


def _corrected(analytic: NDArray, system: System, table: Table, image: NDArray) -> NDArray:
    """Add the table to the analytic stamps."""
    if not table.n_star:
        return analytic
    stamps = analytic.copy()
    ones = np.ones((system.x.size, 1))
    terms = np.hstack([ones, _places(image, system.x, system.y)])[:, : table.n_term].copy()
    add_table(stamps, system.corner, system.x, system.y, table.values, terms, table.per_pix)
    return stamps


def _without(data: NDArray, system: System, flux: NDArray) -> NDArray[np.float64]:
    residual = data.copy()
    add_stars(residual, system.stamps, system.corner, -flux)
    return residual


def _told(system: System, flux, sky, noise2: float, table: Table, gain) -> FittedFluxes:  # noqa: PLR0917
    """Say of the fluxes what noise they have; what is left of the stars is for others."""
    _, own, good2, all2, _, square = system.core_sums(system.is_good)
    neighbour, growth = system.neighbours(flux)
    share = np.divide(good2, all2, out=np.zeros_like(good2), where=all2 > 0)
    is_known = (share >= MIN_SHARE) & np.isfinite(sky)
    photons = 0.0 if gain is None else np.maximum(flux, 0.0) / gain / noise2
    with np.errstate(invalid="ignore", divide="ignore"):
        noise_pix = np.maximum(growth * square / own**2 - photons, 0.0)
    return FittedFluxes(
        np.where(is_known, flux, np.nan),
        sky,
        np.where(is_known, noise_pix, np.nan),
        1 - share,
        np.full(flux.size, np.nan),
        neighbour,
        table,
    )


def point_spread_row(spread: PointSpread, fluxes: FittedFluxes, is_bright: NDArray) -> pl.DataFrame:
    """Give the row of table `point_spread`, frame_id apart."""
    left = fluxes.residual_fraction[is_bright & np.isfinite(fluxes.residual_fraction)]
    noise = fluxes.noise_pix[np.isfinite(fluxes.noise_pix)]
    return pl.DataFrame(
        {
            "model": ["epsf" if fluxes.table.n_star else spread.model],
            "fwhm_pix": [spread.fwhm_pix],
            "beta": [float(spread.shape[3]) if spread.model == "moffat" else None],
            "noise_pix": [float(np.median(noise))],
            "residual_fraction": [float(np.median(left)) if left.size else None],
            "n_star": [spread.n_star],
            "n_table_star": [fluxes.table.n_star],
            "n_table_term": [fluxes.table.n_term if fluxes.table.n_star else 0],
            "profile_err": [fluxes.profile_err],
        },
        schema=POINT_SPREAD_SCHEMA,
    )
