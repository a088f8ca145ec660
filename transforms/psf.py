"""Photometry by fitting the frame's profile to all its stars at once, for crowded fields."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import cg
from scipy.spatial import KDTree

from .apertures import annulus_skies
from .profiles import KERNEL_MODEL, Model, fitted_parameters, widths
from .psf_kernels import absolute_residuals, add_stars, pair_sums, stamp_sums, star_stamps

MIN_STAR = 3
REACH_FWHM = 4.0  # of a star's light that neighbours are freed of
N_TURN = 6  # sky, fluxes, sky without the stars, ... until neither moves
MIN_SHARE = 0.5  # of the squared profile on good pixels: a fit with less is none
POINT_SPREAD_SCHEMA = {
    "model": pl.String,
    "fwhm_pix": pl.Float64,
    "beta": pl.Float64,
    "noise_pix": pl.Float64,
    "residual_fraction": pl.Float64,
    "n_star": pl.Int32,
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
        Pixels of sky noise in the flux: 1 / sum of the squared profile on good pixels.
    missing_fraction
        Of the squared profile on pixels without a value; the fit does without them.
    residual_fraction
        Sum of absolute residuals within one FWHM over the flux.
    """

    flux_adu: NDArray[np.float64]
    sky_adu_per_pix: NDArray[np.float64]
    noise_pix: NDArray[np.float64]
    missing_fraction: NDArray[np.float64]
    residual_fraction: NDArray[np.float64]


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
) -> FittedFluxes:
    """Fit the fluxes of all stars together, at their places, by weighted least squares.

    With places and profile given the fluxes are linear: one sparse system holds every star and
    every pair that shares pixels, whatever the size of a group. The sky of each star is that of
    its annulus in the frame without its stars, so sky and fluxes are found by turns.

    Parameters
    ----------
    image, bits, bad_bits
        As in `circle_sums`; saturated pixels belong among the bad.
    x, y
        Places, shape (n,), pixels.
    annulus_pix
        Radii of the sky annulus.
    gain_e_per_adu
        Weighs bright pixels by the noise of their light, as the fit has it; None: all alike.

    References
    ----------
    Stetson 1987, PASP 99, 191; Heyer & Biretta 2004, on the noise of a fit.
    """
    system = _System.of(image, bits, bad_bits, x, y, spread)
    residual = np.where(system.weight > 0, image, np.nan).astype(np.float64)
    noise2 = 1.0
    flux, sky = np.zeros(x.size), np.zeros(x.size)
    none = np.zeros((0, 0), dtype=np.uint8)
    for turn in range(N_TURN):
        level, scatter, _, _ = annulus_skies(residual, none, 0, x, y, *annulus_pix)
        sky = np.where(np.isfinite(level), level, sky if turn else np.nan)
        noise2 = float(np.nanmedian(scatter) ** 2) if np.isfinite(scatter).any() else noise2
        if turn and gain_e_per_adu is not None:
            system = system.weighed(flux, noise2, gain_e_per_adu)
        flux = system.solve(image, sky)
        residual = np.where(system.weight > 0, image, np.nan).astype(np.float64)
        add_stars(residual, system.stamps, system.corner, -flux)
    _, _, good2, all2, _ = stamp_sums(system.stamps, system.corner, image, system.is_good)
    share = np.divide(good2, all2, out=np.zeros_like(good2), where=all2 > 0)
    flux = np.where((share >= MIN_SHARE) & np.isfinite(sky), flux, np.nan)
    left = absolute_residuals(residual, system.is_good, x, y, sky, spread.fwhm_pix)
    with np.errstate(invalid="ignore", divide="ignore"):
        return FittedFluxes(
            flux,
            sky,
            1 / good2,
            1 - share,
            np.where(flux > 0, left / flux, np.nan),
        )


def point_spread_row(spread: PointSpread, fluxes: FittedFluxes, is_bright: NDArray) -> pl.DataFrame:
    """Give the row of table `point_spread`, frame_id apart."""
    left = fluxes.residual_fraction[is_bright & np.isfinite(fluxes.residual_fraction)]
    noise = fluxes.noise_pix[np.isfinite(fluxes.noise_pix)]
    return pl.DataFrame(
        {
            "model": [spread.model],
            "fwhm_pix": [spread.fwhm_pix],
            "beta": [float(spread.shape[3]) if spread.model == "moffat" else None],
            "noise_pix": [float(np.median(noise))],
            "residual_fraction": [float(np.median(left)) if left.size else None],
            "n_star": [spread.n_star],
        },
        schema=POINT_SPREAD_SCHEMA,
    )


@dataclass(frozen=True, slots=True)
class _System:
    """The linear system of all fluxes: stamps of unit stars, pairs that overlap, weights."""

    stamps: NDArray[np.float64]
    corner: NDArray[np.int64]
    pairs: NDArray[np.intp]
    is_good: NDArray[np.float64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, image, bits, bad_bits, x, y, spread: PointSpread) -> "_System":  # noqa: PLR0917
        reach = int(np.ceil(REACH_FWHM * spread.fwhm_pix))
        stamps, corner = star_stamps(KERNEL_MODEL[spread.model], spread.shape, x, y, reach)
        # squares overlap where both steps are less than a side: Chebyshev's distance
        near = KDTree(corner.astype(float)).query_pairs(2 * reach, p=np.inf, output_type="ndarray")
        good = np.isfinite(image)
        if bits.size:
            good &= (bits & np.uint8(bad_bits)) == 0
        is_good = good.astype(np.float64)
        return cls(stamps, corner, near, is_good, is_good)

    def weighed(self, flux: NDArray, noise2: float, gain_e_per_adu: float) -> "_System":
        """Weigh each pixel by its noise: that of the sky and of the light the fit puts there."""
        light = np.zeros(self.is_good.shape)
        add_stars(light, self.stamps, self.corner, np.maximum(flux, 0.0))
        weight = self.is_good * noise2 / (noise2 + light / gain_e_per_adu)
        return _System(self.stamps, self.corner, self.pairs, self.is_good, weight)

    def solve(self, image: NDArray, sky: NDArray) -> NDArray[np.float64]:
        """Solve for all fluxes; a star without good pixels or sky gets 0."""
        data = np.where(self.is_good > 0, image, 0.0).astype(np.float64)
        light, own, _, _, sky_light = stamp_sums(self.stamps, self.corner, data, self.weight)
        right = light - np.nan_to_num(sky) * sky_light
        first, second = self.pairs[:, 0], self.pairs[:, 1]
        shared = pair_sums(self.stamps, self.corner, first, second, self.weight)
        right[own <= 0] = 0.0
        own = np.where(own > 0, own, 1.0)
        n = own.size
        rows = np.concatenate([first, second, np.arange(n)])
        columns = np.concatenate([second, first, np.arange(n)])
        values = np.concatenate([shared, shared, own])
        matrix = csr_array(coo_array((values, (rows, columns)), shape=(n, n)))
        flux, _ = cg(matrix, right, x0=right / own, rtol=1e-8, M=diags_array(1 / own))
        return flux
