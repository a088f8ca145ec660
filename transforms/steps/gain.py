"""The step that measures what a camera's ADU are worth; `gain` and `ramp` hold the methods."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from ...errors import StarmusterError
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse, shipped
from ..flat_pairs import Tiles, cut_tiles
from ..gain import (
    GainFit,
    gain_from_star_scatter,
    measure_bias,
    no_gain,
    photon_transfer,
    similar_pairs,
)
from ..pixels import read_pixels
from ..ramp import find_linearity, find_saturation, fixed_pattern, transfer_points
from .paths import frame_paths

GAIN_VERSION = "2"  # raise it when the numbers change: all gains are measured again
MAX_PAIR = 12  # of a night and band; every pair more adds little and costs a frame's reading
MAX_RAMP_PAIR = 40
MAX_BIAS = 4
RAMP_EXPOSURES, RAMP_RANGE, RAMP_LEVEL_RANGE = 5, 8.0, 4.0
RAMP_DAYS = 7  # a ramp may be finished some nights later
PATTERN_TOP = 0.7  # of saturation: the pattern is measured on flats not brighter than this

SETTING = ["camera_id", "night", "gain_setting", "x_binning", "readout_mode"]
DETECTOR = [
    "camera_id",
    "gain_setting",
    "offset_setting",
    "readout_mode",
    "x_binning",
    "y_binning",
    "n_x_pix",
    "n_y_pix",
]


def measure_gains(run: Run, *, say: Callable[[str], None]) -> None:
    """Measure gain and read noise of each night that has flats, and what its ramps tell."""
    for group in pending_gains(run.warehouse):
        with run.warehouse.reading() as con:
            frames = Frames(con, group)
        try:
            fit, points = _photon_transfer(frames, group)
        except StarmusterError as error:
            run.fail("gain", f"gain of {group['night']} {group['band'] or ''}".strip(), error)
            fit, points = no_gain(str(error)), pl.DataFrame()
        _store(run, group, fit, points, step="gain")
        if fit.gain_e_per_adu is not None:
            say(
                f"gain {fit.gain_e_per_adu:.3f} e/ADU, read noise {fit.read_noise_e:.1f} e "
                f"({group['night']}, {group['band'] or 'no band'}, {fit.n_pair} pairs)"
            )
    for group in pending_ramps(run.warehouse):
        with run.warehouse.reading() as con:
            frames = Frames(con, group)
        try:
            tables = _ramp(frames, group)
        except StarmusterError as error:
            run.fail("ramp", f"ramp of {group['night']} {group['band'] or ''}".strip(), error)
            tables = {}
        run.store("ramp", tables | {"product": _products(group, "ramp")}, night=group["night"])
        if "ramp_fit" in tables:
            fit = tables["ramp_fit"].row(0, named=True)
            say(
                f"ramp of {fit['n_flat']} flats, {group['night']}: {fit['saturation_verdict']}; "
                f"{fit['linearity_verdict']}"
            )


class Frames:
    """Flats and biases of one group, read when they are wanted; the last few are kept."""

    def __init__(self, con, group: dict[str, Any]) -> None:
        paths = frame_paths(con, [*group["frame_ids"], *group["bias_ids"]])
        hdu_index = dict(con.table("frame").project("frame_id, hdu_index").fetchall())
        camera = con.table("camera").filter(f"camera_id = {int(group['camera_id'])}").pl()
        self.saturation_adu: float | None = camera["saturation_adu"][0]

        @lru_cache(maxsize=3)
        def tiles(frame_id: int) -> Tiles:
            return cut_tiles(read_pixels(paths[frame_id], hdu_index[frame_id]))

        self.tiles = tiles
        self.bias = cache(lambda: measure_bias(self.pairs(pairwise(group["bias_ids"]))))

    def pairs(self, frame_ids: Iterable[tuple[int, int]]) -> Iterator[tuple[Tiles, Tiles]]:
        """Yield the tiles of pairs of frames."""
        for first, second in frame_ids:
            yield self.tiles(first), self.tiles(second)


def pending_gains(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the flats of each night, band and setting whose gain has not been measured.

    Each group has its frame_ids and levels_adu, bias_ids (of the nearest night that has two) and
    a recipe.
    """
    frames = _gain_frames(warehouse)
    biases = _biases(frames)
    groups = (
        frames.filter(pl.col("frame_type") == "flat")
        .group_by("night", *DETECTOR, "band", maintain_order=True)
        .agg("frame_id", "exposure_s", "level_adu", "gain_recipe")
    )
    return [
        group
        for row in groups.iter_rows(named=True)
        for group in [_described(row, biases, warehouse.config.masters.max_days)]
        if any(made != group["recipe"] for made in row["gain_recipe"])
    ]


def pending_ramps(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the ramps that have not been measured, each like a group of `pending_gains`.

    A ramp is five or more exposures of one night over a factor of eight, whose levels differ by
    four; brighter flats of the nights after it belong to it.
    """
    frames = _gain_frames(warehouse)
    biases = _biases(frames)
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
            columns = ("frame_id", "exposure_s", "level_adu", "ramp_recipe")
            row = first | {name: rows[name].to_list() for name in columns}
            group = _described(row, biases, warehouse.config.masters.max_days)
            group["n_seed"] = seed.height
            if group["bias_ids"] and any(r != group["recipe"] for r in row["ramp_recipe"]):
                pending.append(group)
    return pending


def measure_star_scatter(run: Run, *, say: Callable[[str], None]) -> None:
    """Estimate the gain from the scatter of stars for nights that have no better one."""
    with run.warehouse.reading() as con:
        groups = con.table("pending_star_scatter").pl().to_dicts()
        aperture = con.table("aperture").filter("kind = 'fwhm'").order("abs(radius - 2)").fetchone()
    if aperture is None:
        return
    for group in groups:
        with run.warehouse.reading() as con:
            stars = shipped(
                con,
                "star_scatter",
                camera_id=group["camera_id"],
                night=group["night"],
                band=group["band"],
                aperture_id=aperture[0],
            )
        fit = gain_from_star_scatter(stars)
        _store(run, group | {"recipe": "1"}, fit, pl.DataFrame(), step="star scatter")
        value = "none" if fit.gain_e_per_adu is None else f"{fit.gain_e_per_adu:.2f} e/ADU"
        say(f"gain from the scatter of stars, {group['night']} {group['band']}: {value}")


def _gain_frames(warehouse: Warehouse) -> pl.DataFrame:
    with warehouse.reading() as con:
        return shipped(con, "gain_frames")


def _biases(frames: pl.DataFrame) -> dict[tuple, dict[Any, list[int]]]:
    """Return the biases by detector and night, of nights that have two."""
    found: dict[tuple, dict[Any, list[int]]] = {}
    biases = frames.filter(pl.col("frame_type") == "bias")
    for (*detector, night), rows in biases.group_by(*DETECTOR, "night", maintain_order=True):
        if rows.height > 1:
            found.setdefault(tuple(detector), {})[night] = rows["frame_id"].to_list()
    return found


def _is_ramp(flats: pl.DataFrame) -> bool:
    exposure_s, level_adu = flats["exposure_s"].to_numpy(), flats["level_adu"].to_numpy()
    return bool(
        flats["exposure_s"].n_unique() >= RAMP_EXPOSURES
        and exposure_s.max() >= RAMP_RANGE * exposure_s.min()
        and level_adu.max() >= RAMP_LEVEL_RANGE * max(level_adu.min(), 1.0)
    )


def _described(row: dict[str, Any], biases: dict, max_days: float) -> dict[str, Any]:
    """Give flats their biases and a recipe."""
    nights = biases.get(tuple(row[name] for name in DETECTOR), {})
    near = min(nights, key=lambda night: (abs(night - row["night"]), night), default=None)
    if near is not None and abs(near - row["night"]).days > max_days:
        near = None
    group = row | {
        "frame_ids": row["frame_id"],
        "bias_ids": [] if near is None else nights[near][:MAX_BIAS],
    }
    members = f"{GAIN_VERSION}/{group['frame_ids']}/{group['bias_ids']}"
    return group | {"recipe": hashlib.sha256(members.encode()).hexdigest()[:16]}


def _photon_transfer(frames: Frames, group: dict[str, Any]) -> tuple[GainFit, pl.DataFrame]:
    """Measure the gain of the flats of one night and band, and points of the transfer curve."""
    if len(group["frame_ids"]) < 2:
        return no_gain("too few: 1 flat, at least 2 are needed"), pl.DataFrame()
    bias = frames.bias()
    if bias is None:
        n_flat = len(group["frame_ids"])
        verdict = f"{n_flat} flats, but no pair of biases: pedestal and read noise are unknown"
        return no_gain(verdict), pl.DataFrame()
    pairs = _chosen_pairs(group, float(np.median(bias.pedestal.values)), MAX_PAIR)
    fit = photon_transfer(frames.pairs(pairs), bias, saturation_adu=frames.saturation_adu)
    return fit, _points(group, pairs, transfer_points(frames.pairs(pairs), bias))


def _ramp(frames: Frames, group: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Measure a ramp: rows of ramp_fit and transfer_point."""
    bias = frames.bias()
    if bias is None:
        return {}
    pedestal_adu = float(np.median(bias.pedestal.values))
    pairs = _chosen_pairs(group, pedestal_adu, MAX_RAMP_PAIR)
    fit = photon_transfer(frames.pairs(pairs), bias, saturation_adu=frames.saturation_adu)
    points = transfer_points(frames.pairs(pairs), bias)
    gain = fit.gain_e_per_adu
    found, verdict = None, f"no gain to judge the variance by: {fit.verdict}"
    if gain is not None:
        saturation = find_saturation(points, 1 / gain)
        found, verdict = saturation.saturation_adu, saturation.verdict
    well_adu = None if found is None else found - pedestal_adu
    seed = slice(0, group["n_seed"])
    linearity = find_linearity(
        pl.DataFrame(
            {
                "exposure_s": group["exposure_s"][seed],
                "level_adu": [level - pedestal_adu for level in group["level_adu"][seed]],
            }
        ),
        top_adu=well_adu,
    )
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
    }
    tables = {"ramp_fit": pl.DataFrame([row])}
    if not points.is_empty():
        tables["transfer_point"] = _points(group, pairs, points)
    return tables


def _chosen_pairs(
    group: dict[str, Any], pedestal_adu: float, max_pair: int
) -> list[tuple[int, int]]:
    """Pair flats of similar level; of many pairs take some, evenly spaced in level."""
    pairs = similar_pairs([level - pedestal_adu for level in group["level_adu"]])
    if len(pairs) > max_pair:
        pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, max_pair).round().astype(int)]
    return [(group["frame_ids"][i], group["frame_ids"][j]) for i, j in pairs]


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


def _points(
    group: dict[str, Any], pairs: list[tuple[int, int]], points: pl.DataFrame
) -> pl.DataFrame:
    """Bring points of a transfer curve into the columns of table transfer_point."""
    members = pl.DataFrame(
        [(number, *pair) for number, pair in enumerate(pairs)],
        schema={"pair": pl.Int32, "first_frame_id": pl.Int32, "second_frame_id": pl.Int32},
        orient="row",
    )
    setting = {name: pl.lit(group[name]) for name in (*SETTING, "band")}
    return points.join(members, on="pair").drop("pair").with_columns(**setting)


def _store(
    run: Run, group: dict[str, Any], fit: GainFit, points: pl.DataFrame, *, step: str
) -> None:
    row = {
        **{name: group[name] for name in SETTING},
        "band": group["band"],
        "method": fit.method,
        "gain_e_per_adu": fit.gain_e_per_adu,
        "gain_err_e_per_adu": fit.gain_err_e_per_adu,
        "read_noise_e": fit.read_noise_e,
        "n_pair": fit.n_pair,
        "verdict": fit.verdict,
    }
    tables = {"gain_fit": pl.DataFrame([row]), "product": _products(group, step)}
    if not points.is_empty():
        tables["transfer_point"] = points
    run.store(step.replace(" ", "-"), tables, night=group["night"])


def _products(group: dict[str, Any], step: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"frame_id": group["frame_ids"], "step": step, "recipe": group["recipe"], "state": "done"}
    )
