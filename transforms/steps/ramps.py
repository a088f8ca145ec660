"""The step that measures ramps of flats: full wells, linearity, the pattern of the pixels."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from ...errors import StarmusterError
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse
from ..flat_pairs import Tiles
from ..gain import photon_transfer
from ..linearity_fit import LinearityLimits, find_linearity
from ..ramp import find_saturation, fixed_pattern, transfer_points
from .gain import (
    DETECTOR,
    SETTING,
    Frames,
    biases_of,
    chosen_pairs,
    described,
    gain_frames,
    gain_products,
    transfer_rows,
)

RAMP_VERSION = "1"  # raise it when the numbers change: all ramps are measured again
MAX_RAMP_PAIR = 40
RAMP_EXPOSURES, RAMP_RANGE, RAMP_LEVEL_RANGE = 5, 8.0, 4.0
RAMP_DAYS = 7  # a ramp may be finished some nights later
PATTERN_TOP = 0.7  # of saturation: the pattern is measured on flats not brighter than this


def measure_ramps(run: Run, *, say: Callable[[str], None]) -> None:
    """Measure what the ramps of each night tell."""
    for group in pending_ramps(run.warehouse):
        with run.warehouse.reading() as con:
            frames = Frames(con, group, overscan=run.warehouse.config.calibration.overscan)
        try:
            tables = _ramp(frames, group)
        except StarmusterError as error:
            run.fail("ramp", f"ramp of {group['night']} {group['band'] or ''}".strip(), error)
            tables = {}
        run.store("ramp", tables | {"product": gain_products(group, "ramp")}, night=group["night"])
        if "ramp_fit" in tables:
            fit = tables["ramp_fit"].row(0, named=True)
            say(
                f"ramp of {fit['n_flat']} flats, {group['night']}: {fit['saturation_verdict']}; "
                f"{fit['linearity_verdict']}"
            )


def pending_ramps(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the ramps that have not been measured, each like a group of `pending_gains`.

    A ramp is five or more exposures of one night over a factor of eight, whose levels differ by
    four; brighter flats of the nights after it belong to it.
    """
    frames = gain_frames(warehouse)
    biases = biases_of(frames)
    limit = warehouse.config.calibration.max_nonlinearity
    flats = frames.filter((pl.col("frame_type") == "flat") & (pl.col("exposure_s") > 0))
    pending: list[dict[str, Any]] = []
    for _, band in flats.group_by(*DETECTOR, "band", maintain_order=True):
        seeds = {
            night: rows
            for (night,), rows in band.group_by("night", maintain_order=True)
            if _is_ramp(rows)
        }
        for night, seed in seeds.items():
            later = band.filter(
                ~pl.col("night").is_in(list(seeds))
                & pl.col("night").is_between(night, pl.lit(night) + pl.duration(days=RAMP_DAYS))
                & (pl.col("exposure_s") >= 0.5 * float(seed["exposure_s"].to_numpy().max()))
            )
            rows = pl.concat([seed, later])
            first = seed.row(0, named=True)
            columns = ("frame_id", "exposure_s", "level_adu", "mid_utc", "ramp_recipe")
            row = first | {name: rows[name].to_list() for name in columns}
            group = described(row, biases, warehouse.config.masters.max_days)
            group["n_seed"] = seed.height
            group["max_nonlinearity"] = limit
            members = f"{RAMP_VERSION}/{group['recipe']}/{limit}"
            group["recipe"] = hashlib.sha256(members.encode()).hexdigest()[:16]
            if group["bias_ids"] and any(r != group["recipe"] for r in row["ramp_recipe"]):
                pending.append(group)
    return pending


def _is_ramp(flats: pl.DataFrame) -> bool:
    exposure_s, level_adu = flats["exposure_s"].to_numpy(), flats["level_adu"].to_numpy()
    return bool(
        flats["exposure_s"].n_unique() >= RAMP_EXPOSURES
        and exposure_s.max() >= RAMP_RANGE * exposure_s.min()
        and level_adu.max() >= RAMP_LEVEL_RANGE * max(level_adu.min(), 1.0)
    )


def _ramp(frames: Frames, group: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Measure a ramp: rows of ramp_fit, transfer_point and linearity_point."""
    bias = frames.bias()
    if bias is None:
        return {}
    pedestal_adu = float(np.median(bias.pedestal.values))
    pairs = chosen_pairs(group, pedestal_adu, MAX_RAMP_PAIR)
    fit = photon_transfer(frames.pairs(pairs), bias, saturation_adu=frames.saturation_adu)
    points = transfer_points(frames.pairs(pairs), bias)
    gain = fit.gain_e_per_adu
    found, verdict = None, f"no gain to judge the variance by: {fit.verdict}"
    if gain is not None:
        saturation = find_saturation(points, 1 / gain)
        found, verdict = saturation.saturation_adu, saturation.verdict
    well_adu = None if found is None else found - pedestal_adu
    linearity = find_linearity(
        _seed_levels(frames, group, bias.pedestal),
        top_adu=well_adu,
        limits=LinearityLimits(max_departure=group["max_nonlinearity"]),
    )
    bent_adu = linearity.nonlinear_adu
    row = {
        **{name: group[name] for name in (*SETTING, "band")},
        "n_flat": len(group["frame_ids"]),
        "saturation_adu": found,
        "saturation_verdict": verdict,
        "full_well_e": well_adu * gain if well_adu and gain else None,
        "pattern": _pattern(frames, group, pairs, found),
        "linearity": linearity.departure,
        "lamp_scatter": linearity.lamp_scatter,
        "linearity_verdict": linearity.verdict,
        "nonlinear_adu": None if bent_adu is None else bent_adu + pedestal_adu,
        "is_linearity_correctable": linearity.is_correctable,
    }
    tables = {"ramp_fit": pl.DataFrame([row])}
    if not points.is_empty():
        tables["transfer_point"] = transfer_rows(group, pairs, points)
    if not linearity.points.is_empty():
        setting = {name: pl.lit(group[name]) for name in (*SETTING, "band")}
        tables["linearity_point"] = linearity.points.with_columns(**setting)
    return tables


def _seed_levels(frames: Frames, group: dict[str, Any], pedestal: Tiles) -> pl.DataFrame:
    """Return exposure, level above the bias and time of the flats of the first night."""
    seed = slice(0, group["n_seed"])
    levels = [
        float((frames.tiles(frame_id).values - pedestal.values).mean())
        for frame_id in group["frame_ids"][seed]
    ]
    times = pl.Series(group["mid_utc"][seed], dtype=pl.Datetime("us"))
    return pl.DataFrame(
        {
            "exposure_s": group["exposure_s"][seed],
            "level_adu": levels,
            "mid_s": (times - times.min()).dt.total_milliseconds() / 1000,
        }
    )


def _pattern(
    frames: Frames, group: dict[str, Any], pairs: list[tuple[int, int]], top_adu: float | None
) -> float | None:
    """Measure the fixed pattern on the brightest pair that is well below saturation."""
    level = dict(zip(group["frame_ids"], group["level_adu"], strict=True))
    bias = frames.bias()
    usable = [pair for pair in pairs if level[pair[1]] <= PATTERN_TOP * (top_adu or np.inf)]
    if bias is None or not usable:
        return None
    first, second = usable[-1]
    return fixed_pattern(frames.tiles(first), frames.tiles(second), bias)
