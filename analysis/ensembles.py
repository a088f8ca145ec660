"""Comparison stars: which ones, with which weights, and a star's flux relative to them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import AnalysisError, NotFoundError
from .red_noise import robust_scatter

Array = NDArray[np.float64]

N_ROUND = 30  # turns of solving for levels and factors
N_JUDGE = 5  # turns of weighing; the next rejection starts from where the last one ended
N_CANDIDATE = 3  # stars judged for each one that is wanted
LEAST_SHARE = 0.1  # of the variance seen that stays a star's own, whatever its comparison explains
CHOICE_SCHEMA: dict[str, type[pl.DataType]] = {
    "source_id": pl.Int64,
    "is_used": pl.Boolean,
    "weight": pl.Float64,
    "scatter": pl.Float64,
    "reason": pl.String,
}


@dataclass(frozen=True, slots=True)
class _Table:
    """Clean fluxes of many stars, (n_star, n_frame) with nan where there is none, in time order."""

    source_id: NDArray[np.int64]
    n_frame: int
    flux: Array
    err: Array
    x_pix: Array
    y_pix: Array


def choose_comparison(
    rows: pl.DataFrame,
    target_id: int,
    *,
    out_of_transit: Iterable[int] | None = None,
    max_fainter_mag: float = 2.5,
    max_brighter_mag: float = 3.0,
    min_distance_pix: float = 10.0,
    min_frames_fraction: float = 0.9,
    max_n: int = 15,
    max_variability: float = 2.0,
    max_noise: float = 3.0,
    max_weight: float = 0.3,
) -> pl.DataFrame:
    """Judge every star of a field as a comparison for one target.

    The target's own light curve takes no part: it only says how bright the others should be.

    Parameters
    ----------
    rows
        One field, band and aperture; one row a frame and star with frame_id, source_id, flux_adu,
        x_pix, y_pix, and if there: mid_bjd (order of the frames, else frame_id), is_clean (else all
        are), flux_err_adu. The pixels are those of the field's reference frame or of each frame.
    out_of_transit
        Frames that may decide; None: all. Give those outside the target's predicted transit.
    max_fainter_mag, max_brighter_mag
        Range of instrumental brightness around the target's.
    min_distance_pix
        Nearer stars share light with the target.
    min_frames_fraction
        Of the frames on which the target is clean, so many must show the star clean.
    max_n
        So many stars are used at most, the steadiest, out of thrice as many nearest to the target.
    max_variability
        Largest total scatter over that from frame to frame, as a multiple of the field's median.
    max_noise
        Largest scatter, as a multiple of the least.
    max_weight
        Cap on the share of one star, as far as their number allows.

    Returns
    -------
    One row a star but the target: source_id, is_used, weight (sum 1; null if rejected), scatter
    (relative, of its curve against the others; null if it was never compared), reason.

    Raises
    ------
    NotFoundError
        The target has no clean flux on these frames.

    Notes
    -----
    Weights are 1 / scatter^2 of each star against the weighted mean of the others, iterated (Broeg
    et al. 2005, AN 326, 134), made robust: scatters are median absolute deviations, of the curve
    and of its differences from frame to frame, whichever is larger; what the others' noise adds is
    taken off; a cap keeps one star from becoming the ensemble. The worst variable is removed first,
    since it makes others look variable, and all are judged again.
    """
    frame_ids = _ordered_frames(rows)
    if out_of_transit is not None:
        frame_ids = frame_ids.filter(frame_ids.is_in(list(out_of_transit)))
    table = _tabulate(rows, frame_ids)
    i_target = np.flatnonzero(table.source_id == target_id)
    if not len(i_target) or not np.isfinite(table.flux[i_target[0]]).any():
        raise NotFoundError(
            f"source {target_id}: no clean flux above 0 on {table.n_frame} frames; look at "
            "its flags, and try another aperture."
        )
    target = int(i_target[0])
    reasons = _unsuitable(
        table,
        target,
        max_fainter_mag=max_fainter_mag,
        max_brighter_mag=max_brighter_mag,
        min_distance_pix=min_distance_pix,
        min_frames_fraction=min_frames_fraction,
    )
    used = np.flatnonzero(np.array([reason is None for reason in reasons]))
    used = _nearest(table, target, used, N_CANDIDATE * max_n, reasons)
    scatter, variance = np.full(len(reasons), np.nan), np.ones((2, len(reasons)))
    while len(used) > 1:
        variance[:, used] = _variances(table.flux[used], variance[:, used], cap=max_weight)
        scatter[used] = np.sqrt(variance[:, used].max(axis=0))
        worst = _worst(variance[:, used], max_variability=max_variability, max_noise=max_noise)
        if not worst:
            break
        for i, reason in worst.items():
            reasons[used[i]] = reason
        used = np.delete(used, list(worst))
    used = _steadiest(scatter, used, max_n, reasons)
    weight = np.full(len(reasons), np.nan)
    weight[used] = _capped(_inverse_variance(scatter[used]), max_weight)
    return _rows(table, target, weight, scatter, reasons)


def _ordered_frames(rows: pl.DataFrame) -> pl.Series:
    """Frames in time order, or in the order of their numbers where no time is given."""
    order = "mid_bjd" if "mid_bjd" in rows.columns else "frame_id"
    return rows.unique("frame_id").sort(order, "frame_id")["frame_id"]


def _err_column(rows: pl.DataFrame) -> pl.Series:
    if "flux_err_adu" in rows.columns:
        return rows["flux_err_adu"]
    return pl.repeat(None, rows.height, dtype=pl.Float64, eager=True)


def _tabulate(rows: pl.DataFrame, frame_ids: pl.Series) -> _Table:
    """Spread rows into stars by frames; unclean and non-positive fluxes become nan."""
    is_good = pl.col("flux_adu").is_finite() & (pl.col("flux_adu") > 0)
    if "is_clean" in rows.columns:
        is_good &= pl.col("is_clean")
    rows = rows.with_columns(_err_column(rows).alias("err"))
    stars = rows.group_by("source_id").agg(pl.col("x_pix", "y_pix").median()).sort("source_id")
    frames = pl.DataFrame({"frame_id": frame_ids}).with_row_index("j")
    good = (
        rows.filter(is_good)
        .join(stars.select("source_id").with_row_index("i"), on="source_id")
        .join(frames, on="frame_id")
    )
    flux = np.full((stars.height, frames.height), np.nan)
    err = np.full_like(flux, np.nan)
    place = good["i"].to_numpy(), good["j"].to_numpy()
    flux[place] = good["flux_adu"].to_numpy()
    err[place] = good["err"].cast(pl.Float64).to_numpy()
    return _Table(
        source_id=stars["source_id"].cast(pl.Int64).to_numpy(),
        n_frame=frames.height,
        flux=flux,
        err=err,
        x_pix=stars["x_pix"].cast(pl.Float64).to_numpy(),
        y_pix=stars["y_pix"].cast(pl.Float64).to_numpy(),
    )


def _unsuitable(
    table: _Table,
    target: int,
    *,
    max_fainter_mag: float,
    max_brighter_mag: float,
    min_distance_pix: float,
    min_frames_fraction: float,
) -> list[str | None]:
    """Reasons that need no comparison: frames, brightness, nearness. None: none."""
    on_target = np.isfinite(table.flux[target])
    seen = np.isfinite(table.flux[:, on_target]).mean(axis=1)
    fainter = -2.5 * np.log10(_levels(table.flux) / _levels(table.flux)[target])
    distance = _distance_pix(table, target)
    reasons: list[str | None] = []
    for i in range(len(seen)):
        if i == target:
            reasons.append("the target")
        elif seen[i] < min_frames_fraction:
            reasons.append(
                f"clean on {100 * seen[i]:.0f} % of the frames, "
                f"{100 * min_frames_fraction:.0f} % needed"
            )
        elif distance[i] < min_distance_pix:
            reasons.append(f"{distance[i]:.1f} pix from the target, {min_distance_pix:g} needed")
        elif fainter[i] > max_fainter_mag:
            reasons.append(
                f"{fainter[i]:.1f} mag fainter than the target, at most {max_fainter_mag:g}"
            )
        elif -fainter[i] > max_brighter_mag:
            reasons.append(
                f"{-fainter[i]:.1f} mag brighter than the target, at most {max_brighter_mag:g}"
            )
        else:
            reasons.append(None)
    return reasons


def _levels(flux: Array) -> Array:
    """Median of each star, nan where it has none."""
    levels = np.full(len(flux), np.nan)
    has_any = np.isfinite(flux).any(axis=1)
    levels[has_any] = np.nanmedian(flux[has_any], axis=1)
    return levels


def _distance_pix(table: _Table, target: int) -> Array:
    return np.hypot(table.x_pix - table.x_pix[target], table.y_pix - table.y_pix[target])


def _variances(flux: Array, start: Array, *, cap: float) -> Array:
    """Relative variance of each star against the others, (2, n_star): between frames, and total.

    What is left to the star itself after the noise of its comparison is taken off; iterated from
    a start, since the weights follow from it.
    """
    variance = start
    for _ in range(N_JUDGE):
        weight = _capped(_inverse_variance(np.sqrt(variance.max(axis=0))), cap)
        seen, comparison = _leave_one_out(flux, weight, variance)
        new = np.maximum(seen - comparison, LEAST_SHARE * seen)
        is_same = np.allclose(new, variance, rtol=0.02)
        variance = new
        if is_same:
            break
    return variance


def _leave_one_out(flux: Array, weight: Array, variance: Array) -> tuple[Array, Array]:
    """Variances, (2, n_star), of each star over the mean of the others, and those of that mean."""
    _, level = _common(flux, weight, accuracy=1e-4)
    present = np.where(np.isfinite(flux), weight[:, None], 0.0)
    share = np.where(present > 0, flux / level[:, None], 0.0) * present
    with np.errstate(invalid="ignore", divide="ignore"):  # a frame with one star has no others
        others = (share.sum(axis=0) - share) / (present.sum(axis=0) - present)
        ratio = flux / level[:, None] / others
    ratio[~np.isfinite(ratio)] = np.nan
    ratio /= _levels(ratio)[:, None]
    seen = np.array([_scatters(curve[np.isfinite(curve)]) for curve in ratio]).T ** 2
    noise = weight**2 * variance
    comparison = (noise.sum(axis=1, keepdims=True) - noise) / (weight.sum() - weight) ** 2
    return np.maximum(seen, np.finfo(float).eps), comparison


def _scatters(curve: Array) -> tuple[float, float]:
    """Robust scatter between neighbouring frames, as of one frame, and in total."""
    if len(curve) < 3:
        return 1.0, 1.0
    return robust_scatter(np.diff(curve)) / math.sqrt(2), robust_scatter(curve)


def _common(flux: Array, weight: Array, *, accuracy: float = 1e-7) -> tuple[Array, Array]:
    """What all stars do together: level of each star, and factor of each frame.

    The product of the two describes all fluxes, solved by turns, so that a star missing from some
    frames changes their noise and not their level. A frame without a star has nan.
    """
    has_flux = np.isfinite(flux)
    present = np.where(has_flux, weight[:, None], 0.0)
    total = present.sum(axis=0)
    total[total == 0] = np.nan
    level = _levels(flux)
    factor = np.ones(flux.shape[1])
    for _ in range(N_ROUND):
        factor = np.where(has_flux, flux / level[:, None] * present, 0.0).sum(axis=0) / total
        change = _levels(flux / factor) / level
        level = level * change
        if np.allclose(change, 1.0, rtol=accuracy):
            break
    return factor, level


def _inverse_variance(scatter: Array) -> Array:
    """Weights, sum 1; equal where nothing is known."""
    if not np.isfinite(scatter).all():
        return np.full(len(scatter), 1 / max(len(scatter), 1))
    weight = 1 / np.maximum(scatter, np.finfo(float).eps) ** 2
    return weight / weight.sum()


def _capped(weight: Array, cap: float) -> Array:
    """Lower weights above the cap and share what is over among the others, sum 1."""
    cap = max(cap, 1.0 / max(len(weight), 1))
    for _ in range(len(weight)):
        over = weight > cap * (1 + 1e-12)
        if not over.any():
            break
        free = weight < cap * (1 - 1e-12)
        excess = float((weight[over] - cap).sum())
        weight = np.where(over, cap, weight)
        if free.any():
            weight[free] *= 1 + excess / weight[free].sum()
    return weight


def _worst(variance: Array, *, max_variability: float, max_noise: float) -> dict[int, str]:
    """The stars to be removed next and why, none if all are fit; a tenth of them at most."""
    steady, total = np.sqrt(variance)
    slow = total / steady / max(float(np.median(total / steady)), 1.0)
    scatter = np.maximum(steady, total)
    noise = scatter / scatter.min()
    # Three stars are needed to tell which one varies.
    excess = np.maximum(slow / max_variability if len(slow) > 2 else 0.0, noise / max_noise)
    worst = np.argsort(-excess)[: max(1, len(excess) // 10)]
    return {
        i: (
            f"variable: its scatter of {100 * total[i]:.2f} % is {total[i] / steady[i]:.1f} times "
            "that from frame to frame"
            if slow[i] / max_variability >= noise[i] / max_noise
            else f"noisy: scatter {100 * scatter[i]:.2f} %, {noise[i]:.1f} times that of the best"
        )
        for i in worst.tolist()
        if excess[i] > 1
    }


def _nearest(
    table: _Table, target: int, used: NDArray[np.intp], n: int, reasons: list[str | None]
) -> NDArray[np.intp]:
    """Keep the n stars nearest to the target and write down why the others go."""
    order = np.argsort(_distance_pix(table, target)[used], kind="stable")
    for i in used[order[n:]]:
        reasons[i] = f"further than the {n} nearest"
    return np.sort(used[order[:n]])


def _steadiest(
    scatter: Array, used: NDArray[np.intp], n: int, reasons: list[str | None]
) -> NDArray[np.intp]:
    """Keep the n stars of the least scatter and write down why the others go."""
    order = np.argsort(scatter[used], kind="stable")
    for i in used[order[n:]]:
        reasons[i] = f"less steady than the {n} best: {100 * scatter[i]:.2f} %"
    return np.sort(used[order[:n]])


def _rows(
    table: _Table, target: int, weight: Array, scatter: Array, reasons: list[str | None]
) -> pl.DataFrame:
    rows = []
    for i, source_id in enumerate(table.source_id.tolist()):
        if i == target:
            continue
        is_used = math.isfinite(weight[i])
        known = float(scatter[i]) if math.isfinite(scatter[i]) else None
        reason = reasons[i] or (
            "the only star left" if known is None else f"steady to {100 * known:.2f} %"
        )
        rows.append((source_id, is_used, float(weight[i]) if is_used else None, known, reason))
    return pl.DataFrame(rows, schema=CHOICE_SCHEMA, orient="row")


def differential(rows: pl.DataFrame, target_id: int, comparison: pl.DataFrame) -> pl.DataFrame:
    """Divide a star's flux by that of its comparison stars.

    Parameters
    ----------
    rows
        As in `choose_comparison`, of all frames.
    comparison
        As `choose_comparison` returns it; only source_id, is_used, weight, scatter are read.

    Returns
    -------
    One row a frame on which the target has a flux, in time order:

    - frame_id
    - relative_flux: median 1; null if no comparison star is clean on the frame
    - relative_flux_err: the target's and the ensemble's, added in quadrature; null if the target's
      is not known. A comparison star without an error counts with its scatter.
    - ensemble_flux: what the frame let through, median 1: clouds are low
    - n_comparison: stars behind it

    Raises
    ------
    AnalysisError
        No comparison star is used.
    NotFoundError
        The target has no flux on these frames.
    """
    used = comparison.filter("is_used")
    if used.is_empty():
        raise AnalysisError(
            f"source {target_id}: none of {comparison.height} stars can serve as comparison; see "
            "the reasons, and widen the range of brightness or lower the share of frames."
        )
    target = rows.filter(pl.col("source_id") == target_id, pl.col("flux_adu").is_finite())
    if target.is_empty():
        raise NotFoundError(f"source {target_id}: no flux on these frames; try another aperture.")
    frame_ids = _ordered_frames(target)
    stars = rows.join(used.select("source_id"), on="source_id", how="semi")
    table = _tabulate(stars, frame_ids)
    known = pl.DataFrame({"source_id": table.source_id}).join(
        used, on="source_id", how="left", maintain_order="left"
    )
    weight = known["weight"].to_numpy()
    factor, level = _common(table.flux, weight)
    factor_err = _ensemble_error(table, weight, known["scatter"].to_numpy(), factor, level)
    target = pl.DataFrame({"frame_id": frame_ids}).join(
        target, on="frame_id", maintain_order="left"
    )
    flux = target["flux_adu"].to_numpy()
    err = _err_column(target).cast(pl.Float64).to_numpy()
    relative = flux / factor
    middle = np.nanmedian(relative) if np.isfinite(relative).any() else np.nan
    columns = {
        "relative_flux": relative / middle,
        "relative_flux_err": np.hypot(err / factor, relative * factor_err / factor) / abs(middle),
        "ensemble_flux": factor / _levels(factor[None])[0],
    }
    return pl.DataFrame({"frame_id": frame_ids} | columns).with_columns(
        pl.col(columns.keys()).fill_nan(None),
        n_comparison=pl.Series(np.isfinite(table.flux).sum(axis=0)).cast(pl.Int32),
    )


def _ensemble_error(
    table: _Table, weight: Array, scatter: Array, factor: Array, level: Array
) -> Array:
    """1-sigma error of the factor of each frame, from the errors of its stars, (n_frame,)."""
    own = table.err / level[:, None]
    own = np.where(np.isfinite(own), own, np.nan_to_num(scatter)[:, None] * factor)
    present = np.where(np.isfinite(table.flux), weight[:, None], 0.0)
    total = present.sum(axis=0)
    total[total == 0] = np.nan
    return np.sqrt((present**2 * own**2).sum(axis=0)) / total
