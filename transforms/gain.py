"""Gain and read noise of a camera: rows of table gain_fit.

Photon transfer compares pairs of flats of similar level. Lamps flicker, drift and shift, so one
flat of a pair is first scaled to the other by their local ratio, a plane in every tile; what is
left is photon and read noise. Where a camera has neither flats nor biases, the scatter of its
stars between frames gives the gain, less surely.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from .flat_pairs import Array, PairFit, Tiles, check_size, cut_tiles, fit_pair, robust_sigma
from .samples import clipped_scatter

Pair = tuple[NDArray[Any] | Tiles, NDArray[Any] | Tiles]

FULL_LEVEL = 100.0  # light of so many times the read noise scatters, or the wells are full


@dataclass(frozen=True, slots=True)
class GainFit:
    """A measured gain, or why there is none: columns of table gain_fit."""

    method: str
    gain_e_per_adu: float | None
    gain_err_e_per_adu: float | None
    read_noise_e: float | None
    n_pair: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Bias:
    """What biases say: the mean bias, in tiles, and the read noise of one frame."""

    pedestal: Tiles
    read_noise_adu: float


def photon_transfer(
    flat_pairs: Iterable[Pair],
    bias_pairs: Iterable[Pair] | Bias,
    *,
    saturation_adu: float | None = None,
    min_photon_fraction: float = 0.5,
    min_ratio: float = 0.7,
    max_pattern_share: float = 0.05,
    max_disagreement: float = 0.1,
) -> GainFit:
    """Measure gain and read noise from pairs of flats and pairs of biases.

    With a flat A, a flat B scaled by the local ratio r, signal S = (A + r B) / 2 above the bias
    and read noise s, the variance of A - r B is S (1 + r) / g + (1 + r^2) s^2.

    Parameters
    ----------
    flat_pairs
        Raw flats in pairs, each of shape (n_y, n_x), ADU, or their tiles; two are held at a time. A
        frame may be in more than one pair.
    bias_pairs
        Raw biases in pairs, of the same shape; their mean is the pedestal. Or what they were
        measured to say.
    saturation_adu
        Raw level from which a pixel is saturated; None: looked for in each pair, and where the
        variance of a tile collapses.
    min_photon_fraction
        A tile counts if photons make at least this part of its variance.
    min_ratio, max_pattern_share
        Pairs less similar in level than this, or lit so differently that the pattern, as far as
        the tiles show it, may add more than this part to the photon variance, are refused. What
        it may add enters the error of a pair, and so its weight.
    max_disagreement
        Relative scatter between pairs above which no gain is given.

    Returns
    -------
    The gain, with the larger of the errors that the pairs have and that their scatter shows, and
    the read noise; or none and a verdict that says why.

    Raises
    ------
    CalibrationError
        Frames of different shapes.

    References
    ----------
    Janesick 2007, Photon Transfer, SPIE Press, chapters 5 and 6.
    """
    bias = bias_pairs if isinstance(bias_pairs, Bias) else measure_bias(bias_pairs)
    if bias is None:
        return no_gain("no pair of biases: pedestal and read noise are unknown")
    fits: list[PairFit] = []
    refused: list[str] = []
    for first, second in flat_pairs:
        fit = fit_pair(
            cut_tiles(first),
            cut_tiles(second),
            bias.pedestal,
            bias.read_noise_adu,
            saturation_adu=saturation_adu,
            min_photon_fraction=min_photon_fraction,
        )
        fault = _pair_fault(fit, bias.read_noise_adu, min_ratio, max_pattern_share)
        if fault:
            refused.append(fault)
        else:
            fits.append(fit)
    if not fits:
        return no_gain(_condensed(refused) or "too few: no pair of flats")
    return _mean_gain(fits, bias.read_noise_adu, max_disagreement)


def similar_pairs(levels_adu: Sequence[float], *, min_ratio: float = 0.7) -> list[tuple[int, int]]:
    """Pair flats with their next brighter neighbour if that is similar enough.

    Parameters
    ----------
    levels_adu
        Signal of each flat above the bias.

    Returns
    -------
    Positions of the two flats of each pair, the fainter first.
    """
    order = sorted(range(len(levels_adu)), key=lambda i: levels_adu[i])
    return [
        (i, j)
        for i, j in pairwise(order)
        if levels_adu[i] > 0 and levels_adu[i] >= min_ratio * levels_adu[j]
    ]


def gain_from_star_scatter(
    stars: pl.DataFrame,
    *,
    min_star: int = 10,
    min_difference: int = 10,
    max_relative_err: float = 0.2,
    min_photon_share: float = 0.3,
) -> GainFit:
    """Measure the gain from how much stars scatter from frame to frame.

    The variance of a star's flux F is F / g + s^2 + (c F)^2: its photons, the sky of its aperture,
    and whatever scales with light (scintillation, flat field). 1/g and c are fitted to all stars
    in the logarithm, with a loss that variable stars cannot drag.

    Parameters
    ----------
    stars
        One row per star: variance_adu2 (half the mean square of the differences of successive,
        ensemble-corrected fluxes), n_difference (how many), flux_adu (mean), sky_variance_adu2
        (what the sky alone makes of it).
    min_star, min_difference
        Stars needed, and differences a star must have.
    max_relative_err, min_photon_share
        No gain is given if its relative error is larger, or if photons make less than this part
        of the variance of every star.

    Returns
    -------
    Gain and error, n_pair the number of stars; no read noise. None and a verdict where the stars
    do not tell, as when the sky alone explains their scatter.
    """
    method = "star scatter"
    good = stars.drop_nulls(
        ["variance_adu2", "n_difference", "flux_adu", "sky_variance_adu2"]
    ).filter(
        pl.col("variance_adu2") > 0,
        pl.col("flux_adu") > 0,
        pl.col("n_difference") >= min_difference,
    )
    if len(good) < min_star:
        verdict = f"too few: {len(good)} usable stars, at least {min_star} are needed"
        return no_gain(verdict, method, len(good))
    flux = good["flux_adu"].to_numpy().astype(np.float64)
    sky_variance = good["sky_variance_adu2"].to_numpy().astype(np.float64)
    terms, covariance = _fit_scatter(
        flux,
        sky_variance,
        good["variance_adu2"].to_numpy().astype(np.float64),
        good["n_difference"].to_numpy().astype(np.float64),
    )
    photon, proportional = np.exp(terms)
    relative_err = float(covariance[0, 0] ** 0.5)
    model = photon * flux + sky_variance + proportional * flux**2
    share = float((photon * flux / model).max())
    if relative_err > max_relative_err or share < min_photon_share:
        verdict = (
            f"the photon noise of {len(good)} stars does not stand out: it makes at most "
            f"{share:.0%} of the variance of a star ({min_photon_share:.0%} needed), and the gain "
            f"would be uncertain by {relative_err:.0%} ({max_relative_err:.0%} allowed)"
        )
        return no_gain(verdict, method, len(good))
    gain = float(1 / photon)
    return GainFit(method, gain, gain * relative_err, None, len(good), "ok")


def _fit_scatter(
    flux: Array, sky_variance: Array, variance: Array, n_difference: Array
) -> tuple[Array, Array]:
    """Fit log(1/g) and log(c^2) to the variances of stars, and their covariance."""
    # successive differences share a frame, which leaves 2/3 of their number; and the mean of the
    # logarithm of a measured variance is low by half the variance of that logarithm
    n_free = n_difference * 2 / 3
    log_variance = np.log(variance) + 1 / n_free
    log_err = np.sqrt(2 / n_free)

    def residuals(terms: Array) -> Array:
        photon, proportional = np.exp(terms)
        model = photon * flux + sky_variance + proportional * flux**2
        return (log_variance - np.log(model)) / log_err

    excess = np.maximum(variance - sky_variance, 0.01 * variance)
    start = np.log([np.median(excess / flux), np.median(excess / flux**2) / 10])
    bounds = (start - 25, start + 25)
    # 2.4: the Cauchy loss then loses 5 % on normal residuals
    fit: Any = least_squares(residuals, start, loss="cauchy", f_scale=2.4, bounds=bounds)
    # a term that is not needed has no gradient, and pinv gives it no covariance
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac) * max(1.0, robust_sigma(residuals(fit.x))) ** 2
    return fit.x, covariance


def measure_bias(bias_pairs: Iterable[Pair]) -> Bias | None:
    """Measure pedestal and read noise from biases in pairs; None without any.

    Raises
    ------
    CalibrationError
        Frames of different shapes.
    """
    total: Tiles | None = None
    scatter: list[float] = []
    for pair in bias_pairs:
        first, second = (cut_tiles(frame) for frame in pair)
        total = total or replace(first, values=np.zeros_like(first.values))
        check_size("bias", first, total)
        check_size("bias", second, total)
        total = replace(total, values=total.values + first.values + second.values)
        scatter.append(clipped_scatter(first.values - second.values) / 2**0.5)
    if total is None:
        return None
    pedestal = replace(total, values=total.values / (2 * len(scatter)))
    return Bias(pedestal, float(np.mean(scatter)))


def _pair_fault(
    fit: PairFit, read_noise_adu: float, min_ratio: float, max_pattern_share: float
) -> str | None:
    """Say why a pair of flats cannot be used."""
    if fit.saturated_fraction > 0.5:
        return f"flats saturated: {fit.saturated_fraction:.0%} of the frame"
    if not fit.inverse_gain_adu_per_e > 0:
        if fit.level_adu > FULL_LEVEL * read_noise_adu:
            return f"flats saturated: {fit.level_adu:.0f} ADU without photon noise"
        return "flats too faint: photon noise does not stand out from read noise"
    if not min_ratio <= fit.ratio <= 1 / min_ratio:
        return f"flats of different level: ratio {fit.ratio:.2f}, at least {min_ratio:g} is needed"
    if fit.pattern_share > max_pattern_share:
        return (
            f"flats lit differently: their ratio departs by {fit.unevenness:.2%} from a plane, "
            f"which may add {fit.pattern_share:.0%} to the variance, at most "
            f"{max_pattern_share:.0%} is allowed"
        )
    return None


def _condensed(faults: Sequence[str]) -> str:
    """Tell each kind of fault once, in the words of its first pair, with the number of pairs."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kinds.setdefault(fault.partition(":")[0], []).append(fault)
    return "; ".join(
        found[0] + (f" (and {len(found) - 1} more such pairs)" if len(found) > 1 else "")
        for found in kinds.values()
    )


def _mean_gain(fits: Sequence[PairFit], read_noise_adu: float, max_disagreement: float) -> GainFit:
    slope = np.array([fit.inverse_gain_adu_per_e for fit in fits])
    pattern = slope * [fit.pattern_share for fit in fits]
    error = np.hypot([fit.error_adu_per_e for fit in fits], pattern)
    weight = 1 / error**2
    mean = float((weight * slope).sum() / weight.sum())
    variance = float((weight * (slope - mean) ** 2).sum() / weight.sum())
    if variance**0.5 > max_disagreement * mean:
        return no_gain(
            f"{len(fits)} pairs of flats disagree by {variance**0.5 / mean:.0%}, at most "
            f"{max_disagreement:.0%} is allowed",
            n_pair=len(fits),
        )
    # pairs share frames: all of them together are trusted no more than the best one
    relative_err = max(float(error.min()), (variance / max(len(fits) - 1, 1)) ** 0.5) / mean
    return GainFit(
        method="photon transfer",
        gain_e_per_adu=1 / mean,
        gain_err_e_per_adu=relative_err / mean,
        read_noise_e=read_noise_adu / mean,
        n_pair=len(fits),
        verdict="ok",
    )


def no_gain(verdict: str, method: str = "photon transfer", n_pair: int = 0) -> GainFit:
    """Return the fit that says why there is none."""
    return GainFit(method, None, None, None, n_pair, verdict)
