"""What fits of profiles add to the rows of a frame: an aperture of kind psf, and single fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .background import float_image
from .flags import Flag
from .growth import lonely_stars
from .mask import UNUSABLE, PixelMask, mask_bits
from .photometry import Photometry
from .photometry_rows import aperture_rows
from .profiles import Model, fitted_parameters, numbers
from .psf import FittedFluxes, fitted_fluxes, point_spread, point_spread_row

GUESS_FWHM = 1.5  # radius of the aperture that the first fluxes are taken from
MIN_SIGNAL_TO_NOISE = 10.0  # of a star that a profile is fitted to
MIN_SIGNAL_TO_NOISE_FOR_SPREAD = 100.0
LONELY_FWHM = 3.0  # no light of others within it: profiles are fitted to two
CLEAR_FWHM, CLEAR_SHARE = 2.0, 0.3  # neighbours of a star that shows what the profile misses
MAX_CLEAR = 200
CLOSE_FWHM = 0.7  # nearer stars share their light as the noise has it
NOT_FITTED = UNUSABLE | PixelMask.SATURATED | PixelMask.NONLINEAR
# a fit does without missing pixels and takes neighbours off: what circles say of them is void
OF_CIRCLES = Flag.BAD_PIXEL | Flag.COSMIC_RAY | Flag.OFF_FRAME | Flag.PARTLY_MASKED | Flag.BLENDED

Choice = Literal["none", "gaussian", "moffat"]
SpreadChoice = Literal["none", "gaussian", "moffat", "epsf"]


@dataclass(frozen=True, slots=True)
class ProfilePhotometry:
    """Rows of the tables of these names, without frame_id; empty where nothing was asked for."""

    aperture_flux: pl.DataFrame | None
    point_spread: pl.DataFrame | None
    profile_fit: pl.DataFrame | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What circles told of the stars: places, sky, first fluxes, light of neighbours.

    A profile is fitted to the lonely ones; of the clear ones neighbours are taken off first.
    """

    stars: pl.DataFrame
    is_bright: NDArray[np.bool_]
    lonely: NDArray[np.intp]
    clear: NDArray[np.intp]


def profile_photometry(
    image: NDArray,
    mask: NDArray | None,
    photometry: Photometry,
    sources: pl.DataFrame,
    *,
    apertures: Mapping[int, float],
    psf_aperture_id: int | None,
    psf_model: SpreadChoice,
    fit_model: Choice,
    annulus_pix: tuple[float, float],
    fwhm_pix: float,
    gain_e_per_adu: float | None = None,
) -> ProfilePhotometry:
    """Fit profiles to the stars that `forced_photometry` measured.

    Parameters
    ----------
    image, mask, sources, apertures, fwhm_pix
        As in `forced_photometry`, whose rows `photometry` holds.
    psf_aperture_id
        Number of the aperture of kind psf; None: none is asked for.
    psf_model
        Profile of that; its fluxes are of all stars at once. `epsf` is a Moffat with a table of
        what it misses, where stars are enough for one.
    fit_model
        Profile that is fitted to each bright star by itself.
    annulus_pix
        Radii of the sky annulus.
    gain_e_per_adu
        For the noise of light; None or not positive: not known.

    Returns
    -------
    `ProfilePhotometry`. Where the profile of the frame is not known the psf fluxes are null.
    """
    is_wanted = fit_model != "none" or (psf_model != "none" and psf_aperture_id is not None)
    if photometry.measurement.is_empty() or not is_wanted:
        return ProfilePhotometry(None, None, None)
    gain = gain_e_per_adu if gain_e_per_adu and gain_e_per_adu > 0 else None
    pixels, bits = float_image(image), mask_bits(mask)
    known = _known(photometry, sources, apertures, fwhm_pix)
    fits = fluxes = spread_row = None
    if fit_model != "none":
        bright = known.stars.filter(pl.Series(known.is_bright))
        _, fits = fitted_parameters(
            fit_model,
            pixels,
            bits,
            NOT_FITTED.value,
            bright,
            fwhm_pix=fwhm_pix,
            gain_e_per_adu=gain,
        )
    if psf_model != "none" and psf_aperture_id is not None:
        fluxes, spread_row = _psf_rows(
            pixels, bits, known, psf_aperture_id, psf_model, annulus_pix, fwhm_pix, gain
        )
    return ProfilePhotometry(fluxes, spread_row, fits)


def _known(photometry: Photometry, sources, apertures, fwhm_pix: float) -> _Known:
    radius = np.array(list(apertures.values()))
    guess = list(apertures)[int(np.argmin(np.abs(radius - GUESS_FWHM * fwhm_pix)))]
    first = photometry.aperture_flux.filter(aperture_id=guess).select(
        "source_id", "flux_adu", "n_pix", aperture_flags="flags"
    )
    light = sources.select("source_id", common_flux="flux_adu")
    is_moved = pl.col("is_recentred").fill_null(value=False)
    stars = (
        photometry.measurement.join(first, on="source_id", how="left", maintain_order="left")
        .join(light, on="source_id", how="left", maintain_order="left")
        .with_columns(
            x_pix=pl.col("x_pix") + pl.when(is_moved).then("x_offset_pix").otherwise(0.0),
            y_pix=pl.col("y_pix") + pl.when(is_moved).then("y_offset_pix").otherwise(0.0),
            signal_to_noise=pl.col("flux_adu") / (pl.col("n_pix").sqrt() * pl.col("sky_rms_adu")),
        )
    )
    signal_to_noise = np.nan_to_num(numbers(stars, "signal_to_noise"))
    blocked = int(~(Flag.BLENDED | Flag.SKY_GRADIENT | Flag.EXTRAPOLATED) & 0x7FFFFFFF)
    flags = (stars["flags"] | stars["aperture_flags"]).to_numpy() & blocked
    lonely = lonely_stars(
        numbers(stars, "x_pix"),
        numbers(stars, "y_pix"),
        numbers(stars, "common_flux"),
        (flags == 0) & (signal_to_noise > MIN_SIGNAL_TO_NOISE_FOR_SPREAD),
        brightness=signal_to_noise,
        reach_pix=LONELY_FWHM * fwhm_pix,
    )
    void = int(Flag.CROWDED_SKY | Flag.CLOSE_PAIR)
    clear = _clear_stars(stars, (flags & ~void) == 0, signal_to_noise, fwhm_pix)
    return _Known(stars, signal_to_noise > MIN_SIGNAL_TO_NOISE, lonely, clear)


def _clear_stars(stars, is_sound, signal_to_noise, fwhm_pix: float) -> NDArray[np.intp]:
    """Choose the brightest stars that outshine their neighbours."""
    light = np.nan_to_num(numbers(stars, "common_flux"))
    bright = np.flatnonzero(is_sound & (signal_to_noise > MIN_SIGNAL_TO_NOISE_FOR_SPREAD))
    bright = bright[np.argsort(-signal_to_noise[bright], kind="stable")]
    places = stars.select("x_pix", "y_pix").to_numpy()
    near = KDTree(places).query_ball_point(places[bright], CLEAR_FWHM * fwhm_pix)
    foreign = np.array([light[found].sum() for found in near]) - light[bright]
    return bright[foreign <= CLEAR_SHARE * light[bright]][:MAX_CLEAR]


def _psf_rows(  # noqa: PLR0917
    pixels, bits, known: _Known, aperture_id: int, choice: SpreadChoice, annulus_pix, fwhm_pix, gain
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    stars = known.stars
    model: Model = "gaussian" if choice == "gaussian" else "moffat"
    spread = point_spread(
        model, pixels, bits, NOT_FITTED.value, stars[known.lonely], fwhm_pix=fwhm_pix
    )
    if spread is None:
        return _no_rows(stars, aperture_id), None
    x, y = (numbers(stars, name) for name in ("x_pix", "y_pix"))
    fluxes = fitted_fluxes(
        pixels,
        bits,
        NOT_FITTED.value,
        x,
        y,
        spread,
        annulus_pix=annulus_pix,
        gain_e_per_adu=gain,
        bright=known.clear,
        with_table=choice == "epsf",
    )
    rows = aperture_rows(
        stars["source_id"],
        [aperture_id],
        flux_adu=fluxes.flux_adu,
        n_pix=np.nan_to_num(fluxes.noise_pix, posinf=0.0),
        missing_fraction=fluxes.missing_fraction,
        flags=_flags(stars, fluxes, fwhm_pix),
        sky_adu_per_pix=fluxes.sky_adu_per_pix,
        residual_fraction=fluxes.residual_fraction,
        neighbour_adu=fluxes.neighbour_adu,
    )
    return rows, point_spread_row(spread, fluxes, known.is_bright)


def _no_rows(stars: pl.DataFrame, aperture_id: int) -> pl.DataFrame:
    """Say of all stars that there is no profile to fit them with."""
    nothing = np.full(stars.height, np.nan)
    flags = stars["aperture_flags"].to_numpy().astype(np.int64) & ~int(OF_CIRCLES)
    return aperture_rows(
        stars["source_id"],
        [aperture_id],
        flux_adu=nothing,
        n_pix=np.zeros(stars.height),
        missing_fraction=nothing,
        flags=flags | Flag.BAD_PIXEL.value,
    )


def _flags(stars: pl.DataFrame, fluxes: FittedFluxes, fwhm_pix: float) -> NDArray[np.int64]:
    flags = stars["aperture_flags"].to_numpy().astype(np.int64) & ~int(OF_CIRCLES)
    flags |= np.where(fluxes.missing_fraction > 1e-3, Flag.PARTLY_MASKED.value, 0)
    flags |= np.where(np.isnan(fluxes.flux_adu), Flag.BAD_PIXEL.value, 0)
    places = stars.select("x_pix", "y_pix").to_numpy()
    close = KDTree(places).query_pairs(CLOSE_FWHM * fwhm_pix, output_type="ndarray")
    flags[np.unique(close)] |= Flag.BLENDED.value
    return flags
