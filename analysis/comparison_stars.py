"""Which stars of a field serve as comparison for one of them, and with which weights."""

import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import NotFoundError
from .star_tables import StarTable, common_factor, levels, ordered_frames, tabulate

Array = NDArray[np.float64]

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


def choose_comparison(
    rows: pl.DataFrame,
    target_id: int,
    *,
    out_of_transit: Iterable[int] | None = None,
    excluded: Mapping[int, str] | None = None,
    pins: Collection[int] = (),
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
    excluded
        Stars that are not to be used, with the reason: variable ones, those with a neighbour.
    pins
        Stars that are used whatever is known of them, if they have a clean flux at all.
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
    frame_ids = ordered_frames(rows)
    if out_of_transit is not None:
        frame_ids = frame_ids.filter(frame_ids.is_in(list(out_of_transit)))
    table = tabulate(rows, frame_ids)
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
        excluded=excluded or {},
        max_fainter_mag=max_fainter_mag,
        max_brighter_mag=max_brighter_mag,
        min_distance_pix=min_distance_pix,
        min_frames_fraction=min_frames_fraction,
    )
    for i in np.flatnonzero(np.isin(table.source_id, list(pins))):
        if i != target and np.isfinite(table.flux[i]).any():
            reasons[i] = None
    used = np.flatnonzero(np.array([reason is None for reason in reasons]))
    used = _nearest(table, target, used, N_CANDIDATE * max_n, reasons, pins=pins)
    pinned = np.isin(table.source_id, list(pins)) & (np.arange(len(reasons)) != target)
    scatter, used = _judge(
        table.flux,
        used,
        reasons,
        keep=pinned,
        max_variability=max_variability,
        max_noise=max_noise,
        max_weight=max_weight,
    )
    used = _steadiest(scatter, used, max_n, reasons, keep=pinned)
    weight = np.full(len(reasons), np.nan)
    weight[used] = _capped(_inverse_variance(scatter[used]), max_weight)
    for i in np.flatnonzero(pinned & np.isfinite(weight)):
        reasons[i] = "pinned by hand"
    return _rows(table, target, weight, scatter, reasons)


def steadiest(
    flux: Array, *, max_n: int, max_weight: float = 0.3
) -> tuple[NDArray[np.intp], Array]:
    """Judge stars by each other, without a target: which serve, and their weights.

    Parameters
    ----------
    flux
        (n_star, n_frame), nan where there is none.
    max_n
        So many are used at most.

    Returns
    -------
    Indices of the stars that serve, in order, and their weights, sum 1.
    """
    reasons: list[str | None] = [None] * len(flux)
    nobody = np.zeros(len(flux), bool)
    everyone = np.arange(len(flux))
    scatter, used = _judge(flux, everyone, reasons, keep=nobody, max_weight=max_weight)
    used = _steadiest(scatter, used, max_n, reasons, keep=nobody)
    return used, _capped(_inverse_variance(scatter[used]), max_weight)


def _judge(
    flux: Array,
    used: NDArray[np.intp],
    reasons: list[str | None],
    *,
    keep: NDArray[np.bool_],
    max_variability: float = 2.0,
    max_noise: float = 3.0,
    max_weight: float,
) -> tuple[Array, NDArray[np.intp]]:
    """Weigh stars by each other and remove the worst until all are fit; those to keep stay."""
    scatter, variance = np.full(len(reasons), np.nan), np.ones((2, len(reasons)))
    while len(used) > 1:
        own, seen = _variances(flux[used], variance[:, used], cap=max_weight)
        variance[:, used], scatter[used] = own, np.sqrt(own.max(axis=0))
        worst = _worst(own, seen, max_variability=max_variability, max_noise=max_noise)
        worst = {i: reason for i, reason in worst.items() if not keep[used[i]]}
        if not worst:
            break
        for i, reason in worst.items():
            reasons[used[i]] = reason
        used = np.delete(used, list(worst))
    return scatter, used


def _unsuitable(
    table: StarTable,
    target: int,
    *,
    excluded: Mapping[int, str],
    max_fainter_mag: float,
    max_brighter_mag: float,
    min_distance_pix: float,
    min_frames_fraction: float,
) -> list[str | None]:
    """Reasons that need no comparison: what is known, frames, brightness, nearness. None: none."""
    on_target = np.isfinite(table.flux[target])
    seen = np.isfinite(table.flux[:, on_target]).mean(axis=1)
    level = levels(table.flux)
    fainter = -2.5 * np.log10(level / level[target])
    distance = _distance_pix(table, target)
    reasons: list[str | None] = []
    for i in range(len(seen)):
        if i == target:
            reasons.append("the target")
        elif (source_id := int(table.source_id[i])) in excluded:
            reasons.append(excluded[source_id])
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


def _distance_pix(table: StarTable, target: int) -> Array:
    return np.hypot(table.x_pix - table.x_pix[target], table.y_pix - table.y_pix[target])


def _variances(flux: Array, start: Array, *, cap: float) -> tuple[Array, Array]:
    """Relative variances of each star, (2, n_star): between frames, and total.

    The first are the star's own: what is left of the second, those seen against the mean of the
    others, once the noise of that mean is taken off. Iterated, since the weights follow from them.
    """
    variance = seen = start
    for _ in range(N_JUDGE):
        weight = _capped(_inverse_variance(np.sqrt(variance.max(axis=0))), cap)
        seen, comparison = _leave_one_out(flux, weight, variance)
        new = np.maximum(seen - comparison, LEAST_SHARE * seen)
        is_same = np.allclose(new, variance, rtol=0.02)
        variance = new
        if is_same:
            break
    return variance, seen


def _leave_one_out(flux: Array, weight: Array, variance: Array) -> tuple[Array, Array]:
    """Variances, (2, n_star), of each star over the mean of the others, and those of that mean."""
    _, level = common_factor(flux, weight, accuracy=1e-4)
    present = np.where(np.isfinite(flux), weight[:, None], 0.0)
    share = np.where(present > 0, flux / level[:, None], 0.0) * present
    with np.errstate(invalid="ignore", divide="ignore"):  # a frame with one star has no others
        others = (share.sum(axis=0) - share) / (present.sum(axis=0) - present)
        ratio = flux / level[:, None] / others
    ratio[~np.isfinite(ratio)] = np.nan
    ratio /= levels(ratio)[:, None]
    seen = _scatters(ratio) ** 2
    noise = weight**2 * variance
    comparison = (noise.sum(axis=1, keepdims=True) - noise) / (weight.sum() - weight) ** 2
    return np.maximum(seen, np.finfo(float).eps), comparison


def _scatters(curves: Array) -> Array:
    """Robust scatter of each curve, (2, n_star): between frames that follow each other, and total.

    That between frames is as of one frame. A curve of fewer than 3 points scatters by all of it.
    """
    total = _deviation(curves)
    between = _deviation(np.diff(curves, axis=1)) / math.sqrt(2)
    between = np.where(np.isfinite(between), between, total)
    is_short = np.isfinite(curves).sum(axis=1) < 3
    return np.where(is_short, 1.0, [between, total])


def _deviation(values: Array) -> Array:
    """Median absolute deviation of each row, as the standard deviation of normal noise."""
    return 1.4826 * levels(np.abs(values - levels(values)[:, None]))


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


def _worst(own: Array, seen: Array, *, max_variability: float, max_noise: float) -> dict[int, str]:
    """The stars to be removed next and why, none if all are fit; a tenth of them at most."""
    # Variability is judged as seen: the difference of two small variances is no measure of it.
    steady, total = np.sqrt(seen)
    slow = total / steady / max(float(np.median(total / steady)), 1.0)
    scatter = np.sqrt(own.max(axis=0))
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
    table: StarTable,
    target: int,
    used: NDArray[np.intp],
    n: int,
    reasons: list[str | None],
    *,
    pins: Collection[int],
) -> NDArray[np.intp]:
    """Keep the n stars nearest to the target, and the pinned, and write down why others go."""
    distance = np.where(np.isin(table.source_id, list(pins)), -1, _distance_pix(table, target))
    order = np.argsort(distance[used], kind="stable")
    for i in used[order[n:]]:
        reasons[i] = f"further than the {n} nearest"
    return np.sort(used[order[:n]])


def _steadiest(
    scatter: Array,
    used: NDArray[np.intp],
    n: int,
    reasons: list[str | None],
    *,
    keep: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Keep the n stars of the least scatter, and those to keep, and write down why others go."""
    order = np.argsort(np.where(keep[used], -1.0, scatter[used]), kind="stable")
    for i in used[order[n:]]:
        reasons[i] = f"less steady than the {n} best: {100 * scatter[i]:.2f} %"
    return np.sort(used[order[:n]])


def _rows(
    table: StarTable, target: int, weight: Array, scatter: Array, reasons: list[str | None]
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
