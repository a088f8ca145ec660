"""Trends that many stars of a field share: SysRem, and principal components."""

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import AnalysisError
from .star_tables import StarTable, common_factor, levels

Array = NDArray[np.float64]

MIN_STAR = 10  # fewer cannot tell a shared trend from their own noise
MAX_STAR = 200
N_ROUND = 50


def sysrem(residual: Array, err: Array, n_trend: int) -> Array:
    """Find effects that are linear in something unknown, each star with its own coefficient.

    Parameters
    ----------
    residual, err
        Relative residuals and 1-sigma errors, (n_star, n_frame); nan where not measured.
    n_trend
        Effects sought, one after the other, each taken out before the next.

    Returns
    -------
    Effects, (n_trend, n_frame), mean 0 and scatter 1.

    References
    ----------
    Tamuz, Mazeh & Zucker 2005, MNRAS 356, 1466.
    """
    weight = np.where(np.isfinite(residual), 1 / np.maximum(err, 1e-9) ** 2, 0.0)
    weight = np.where(np.isfinite(weight), weight, 0.0)
    left = np.where(weight > 0, residual, 0.0)
    found = []
    for _ in range(n_trend):
        # the start decides the sign only: the frame means of the largest pattern
        effect = _first_component(left * np.sqrt(weight)) / np.sqrt(_mean_weight(weight))
        for _ in range(N_ROUND):
            star = _ratio((weight * left) @ effect, weight @ effect**2)
            new = _ratio(star @ (weight * left), star**2 @ weight)
            new /= max(float(np.std(new)), 1e-300)
            is_same = np.allclose(new, effect, atol=1e-6)
            effect = new
            if is_same:
                break
        star = _ratio((weight * left) @ effect, weight @ effect**2)
        left = np.where(weight > 0, left - star[:, None] * effect, 0.0)
        found.append(_standard(effect))
    return np.array(found)


def principal_components(residual: Array, err: Array, n_trend: int) -> Array:
    """Find the patterns that most of the variance of stars over their errors has in common.

    As `sysrem`, by one singular value decomposition; what was not measured counts as 0.
    """
    scaled = np.where(np.isfinite(residual) & np.isfinite(err), residual / err, 0.0)
    scaled = scaled - scaled.mean(axis=1, keepdims=True)
    _, _, right = np.linalg.svd(scaled, full_matrices=False)
    return np.array([_standard(each) for each in right[:n_trend]])


METHODS = {"sysrem": sysrem, "pca": principal_components}


def shared_trends(
    table: StarTable,
    target_id: int,
    n_trend: int,
    *,
    method: Literal["sysrem", "pca"] = "sysrem",
) -> pl.DataFrame:
    """Trends of a field without the target: frame_id, trend_1, trend_2 ...

    Raises
    ------
    AnalysisError
        Fewer than 10 other stars are clean on 90 % of the frames.
    """
    share = np.isfinite(table.flux).mean(axis=1)
    fit = np.flatnonzero((share >= 0.9) & (table.source_id != target_id))
    if len(fit) < MIN_STAR:
        raise AnalysisError(
            f"{len(fit)} stars are clean on nearly all frames; shared trends need {MIN_STAR}. "
            "Widen the range of brightness, or fit without trends."
        )
    bright = fit[np.argsort(-levels(table.flux[fit]), kind="stable")[:MAX_STAR]]
    flux = table.flux[bright]
    factor, level = common_factor(flux, np.full(len(flux), 1 / len(flux)), accuracy=1e-5)
    residual = flux / factor / level[:, None] - 1
    err = table.err[bright] / factor / level[:, None]
    own = 1.4826 * levels(np.abs(residual))[:, None]
    err = np.where(np.isfinite(err), np.maximum(err, own), own)
    trends = METHODS[method](residual, err, n_trend)
    columns = {f"trend_{i + 1}": trend for i, trend in enumerate(trends)}
    return pl.DataFrame({"frame_id": table.frame_id} | columns)


def _first_component(matrix: Array) -> Array:
    _, _, right = np.linalg.svd(matrix, full_matrices=False)
    return right[0]


def _mean_weight(weight: Array) -> Array:
    mean = weight.mean(axis=0)
    return np.where(mean > 0, mean, 1.0)


def _ratio(above: Array, below: Array) -> Array:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def _standard(effect: Array) -> Array:
    effect = effect - effect.mean()
    return effect / max(float(effect.std()), 1e-300)
