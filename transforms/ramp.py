"""What pairs of flats of a ramp tell: where the wells are full, and the pattern of the pixels.

Flats of many exposures, from faint to saturated. Pairs of similar level give the photon transfer
curve; where its variance collapses the wells are full. Level against exposure is `linearity_fit`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .flat_pairs import MIN_TILE, Array, Tiles, cut_tiles, tile_variance
from .gain import Bias

BIN_PER_E_FOLD = 40  # levels of the transfer curve: 2.5 % each
MIN_BIN_TILE = 5
COLLAPSED = 0.5  # photon noise of full wells is less than half of what it should be

POINT_SCHEMA: dict[str, Any] = {
    "pair": pl.Int32,
    "level_adu": pl.Float64,
    "signal_adu": pl.Float64,
    "variance_adu2": pl.Float64,
    "n_tile": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Saturation:
    """Raw level at which the wells are full, None if not seen; and why."""

    saturation_adu: float | None
    verdict: str


def transfer_points(
    flat_pairs: Iterable[tuple[NDArray[Any] | Tiles, NDArray[Any] | Tiles]], bias: Bias
) -> pl.DataFrame:
    """Measure the photon transfer curve, pair by pair in bins of level, full wells included.

    Parameters
    ----------
    flat_pairs
        Raw flats in pairs of similar level, each of shape (n_y, n_x), ADU, or their tiles.
    bias
        From `gain.measure_bias`, of frames of the same shape.

    Returns
    -------
    One row per pair and bin of level that has tiles enough: pair (0-based), level_adu (raw),
    signal_adu above the bias, variance_adu2 (of one frame without read noise; the median of the
    tiles), n_tile. What a lamp that shifted adds to the variance is not told apart: of several
    pairs at one level the least variance is nearest to that of the photons.
    """
    pedestal = bias.pedestal.values
    rows: list[tuple[Any, ...]] = []
    for number, (first, second) in enumerate(flat_pairs):
        rows += [
            (number, *point)
            for point in _pair_points(
                cut_tiles(first).values - pedestal,
                cut_tiles(second).values - pedestal,
                float(np.median(pedestal)),
                bias.read_noise_adu,
            )
        ]
    return pl.DataFrame(rows, schema=POINT_SCHEMA, orient="row")


def find_saturation(points: pl.DataFrame, inverse_gain_adu_per_e: float) -> Saturation:
    """Find the raw level from which on the variance has collapsed.

    Parameters
    ----------
    points
        From `transfer_points`.
    inverse_gain_adu_per_e
        Photon variance over signal below saturation.

    Returns
    -------
    The level at which the least photon variance of all pairs falls below half of what the gain
    says, and stays there; None if the flats do not reach it.

    References
    ----------
    Janesick 2007, Photon Transfer, SPIE Press, chapter 5 (full well).
    """
    if points.is_empty():
        return Saturation(None, "no pair of flats has tiles enough")
    envelope = (
        points.with_columns(
            (pl.col("level_adu").log() * BIN_PER_E_FOLD).floor().alias("bin"),
            (pl.col("variance_adu2") / pl.col("signal_adu") / inverse_gain_adu_per_e).alias("part"),
        )
        .group_by("bin")
        .agg(pl.col("level_adu", "part").get(pl.col("part").arg_min()))
        .sort("level_adu")
    )
    level, part = envelope["level_adu"].to_numpy(), envelope["part"].to_numpy()
    is_scattering = np.flatnonzero(part >= COLLAPSED)
    if is_scattering.size == 0:
        return Saturation(None, "no level shows the photon noise of the gain")
    last = int(is_scattering[-1])
    if last + 1 == len(level):
        return Saturation(None, f"variance does not collapse up to {level[-1]:.0f} ADU")
    share = (part[last] - COLLAPSED) / (part[last] - part[last + 1])
    found = float(level[last] + share * (level[last + 1] - level[last]))
    return Saturation(found, f"variance collapses at {found:.0f} ADU")


def fixed_pattern(
    first: NDArray[Any] | Tiles, second: NDArray[Any] | Tiles, bias: Bias
) -> float | None:
    """Measure how much the pixels differ in response, relative, from two flats.

    What two flats share within a tile, gradients left out, is pattern; noise is not shared, so
    the covariance needs no gain. None with less than ten tiles that have light.
    """
    a, b = (cut_tiles(frame).values - bias.pedestal.values for frame in (first, second))
    level = a.mean(axis=1) * b.mean(axis=1)
    is_lit = np.minimum(a.mean(axis=1), b.mean(axis=1)) > 0
    if is_lit.sum() < MIN_TILE:
        return None
    shared = (_detrended(a[is_lit]) * _detrended(b[is_lit])).mean(axis=1)
    return float(np.sqrt(max(float(np.median(shared / level[is_lit])), 0.0)))


def _pair_points(
    a: Array, b: Array, pedestal_adu: float, read_noise_adu: float
) -> Iterator[tuple[float, float, float, int]]:
    """Yield level, signal, photon variance of one frame, and tiles, for each bin of level."""
    is_lit = np.minimum(a.mean(axis=1), b.mean(axis=1)) > read_noise_adu  # false where nan
    if is_lit.sum() < MIN_BIN_TILE:
        return
    a, b = a[is_lit], b[is_lit]
    ratio, variance, _ = tile_variance(a, b)
    signal = (a.mean(axis=1) + ratio * b.mean(axis=1)) / 2
    photon = (variance - (1 + ratio**2) * read_noise_adu**2) / (1 + ratio)
    level = signal + pedestal_adu
    number = np.floor(np.log(np.maximum(level, 1.0)) * BIN_PER_E_FOLD)
    for which in np.unique(number):
        chosen = number == which
        if chosen.sum() >= MIN_BIN_TILE:
            yield (
                float(level[chosen].mean()),
                float(signal[chosen].mean()),
                float(np.median(photon[chosen])),
                int(chosen.sum()),
            )


def _detrended(tiles: Array) -> Array:
    """Take a parabola out of each tile, outliers cut to four robust sigma."""
    size = round(tiles.shape[1] ** 0.5)
    axis = (np.arange(size) - (size - 1) / 2) / size
    y, x = (part.ravel() for part in np.meshgrid(axis, axis, indexing="ij"))
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    rest = tiles - tiles @ basis @ np.linalg.pinv(basis.T @ basis) @ basis.T
    limit = 4 * 1.4826 * np.median(np.abs(rest), axis=1, keepdims=True)
    return np.clip(rest, -limit, limit)
