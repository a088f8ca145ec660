"""The step that measures what a camera's ADU are worth; `gain` holds the methods."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

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
from ..linearity import Linearity, linearised, make_linearity
from ..overscan import Sections, level_light, overscan_zero
from ..pixels import read_pixels
from ..ramp import transfer_points
from ..saturation import estimate_saturation_adu
from .detectors import detectors
from .masters import frame_sections
from .paths import frame_paths

GAIN_VERSION = "3"  # raise it when the numbers change: all gains are measured again
MAX_PAIR = 12  # of a night and band; every pair more adds little and costs a frame's reading
MAX_BIAS = 4

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
    """Measure gain and read noise of each night that has flats."""
    for group in pending_gains(run.warehouse):
        with run.warehouse.reading() as con:
            frames = Frames(
                con,
                group,
                overscan=run.warehouse.config.calibration.overscan,
                linearity=make_linearity(group["linearity"]),
            )
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


class Frames:
    """Flats and biases of one group, read when they are wanted; the last few are kept.

    The overscan of each, where there is one, is taken off and its level in the first bias put
    back, so that a bias that drifts between frames does no harm and levels stay raw ones. Where
    the bend of the camera is known it is taken out, for it squeezes the noise of bright flats.
    """

    def __init__(
        self, con, group: dict[str, Any], *, overscan: bool, linearity: Linearity | None = None
    ) -> None:
        wanted = [*group["frame_ids"], *group["bias_ids"]]
        paths = frame_paths(con, wanted)
        con.register("wanted", pl.DataFrame({"frame_id": wanted}, schema={"frame_id": pl.Int32}))
        rows = con.sql("from frame semi join wanted using (frame_id)").project(
            "frame_id, hdu_index, n_y_pix, n_x_pix, header"
        )
        known = {row[0]: row[1:] for row in rows.fetchall()}
        camera = con.table("camera").filter(f"camera_id = {int(group['camera_id'])}").pl()
        self.saturation_adu: float | None = camera["saturation_adu"][0]
        self._linearity = linearity
        self._pedestal_adu = 0.0
        self._zero_adu: float | None = None

        def levelled(frame_id: int) -> NDArray[Any]:
            hdu_index, n_y_pix, n_x_pix, header = known[frame_id]
            raw = read_pixels(paths[frame_id], hdu_index)
            sections = frame_sections(header, (n_y_pix, n_x_pix), is_wanted=overscan)
            return self._levelled(raw, sections)

        @lru_cache(maxsize=3)
        def tiles(frame_id: int) -> Tiles:
            cut = cut_tiles(levelled(frame_id))
            return cut if linearity is None else replace(cut, values=self._straight(cut.values))

        self.tiles = tiles
        self.bias = cache(lambda: measure_bias(self.pairs(pairwise(group["bias_ids"]))))
        if linearity is not None and group["bias_ids"]:
            self._pedestal_adu = float(np.median(levelled(group["bias_ids"][0])))
            if self.saturation_adu is not None:
                self.saturation_adu = float(self._straight(np.array([self.saturation_adu]))[0])

    def _levelled(self, raw: NDArray[Any], sections: Sections) -> NDArray[Any]:
        """Return the light of a frame; what is saturated keeps the one level it is known by."""
        if sections.overscan is None:
            return raw[sections.light.slices]
        if self._zero_adu is None:
            self._zero_adu = overscan_zero(raw, sections)
        light = raw[sections.light.slices]
        levelled = level_light(raw, sections, zero_adu=self._zero_adu)
        top_adu = self.saturation_adu or estimate_saturation_adu(light)
        if top_adu is not None:
            levelled[light >= top_adu] = top_adu
        return levelled

    def _straight(self, level_adu: NDArray[Any]) -> NDArray[Any]:
        """Return raw levels as a linear camera would have counted them."""
        light = np.subtract(level_adu, self._pedestal_adu, dtype=np.float32)
        return linearised(light, self._linearity) + np.float32(self._pedestal_adu)

    def pairs(self, frame_ids: Iterable[tuple[int, int]]) -> Iterator[tuple[Tiles, Tiles]]:
        """Yield the tiles of pairs of frames."""
        for first, second in frame_ids:
            yield self.tiles(first), self.tiles(second)


def pending_gains(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the flats of each night, band and setting whose gain has not been measured.

    Each group has its frame_ids and levels_adu, bias_ids (of the nearest night that has two), the
    linearity in force and a recipe.
    """
    frames = gain_frames(warehouse)
    biases = biases_of(frames)
    groups = (
        frames.filter(pl.col("frame_type") == "flat")
        .group_by("night", *DETECTOR, "band", maintain_order=True)
        .agg("frame_id", "exposure_s", "level_adu", "gain_recipe")
    )
    with warehouse.reading() as con:
        first = [frame_ids[0] for frame_ids in groups["frame_id"]]
        known = detectors(con, first, warehouse.config)
    found = []
    for row in groups.iter_rows(named=True):
        linearity = known[row["frame_id"][0]].linearity
        group = described(row | {"linearity": linearity}, biases, warehouse.config.masters.max_days)
        if any(made != group["recipe"] for made in row["gain_recipe"]):
            found.append(group)
    return found


def measure_star_scatter(run: Run, *, say: Callable[[str], None]) -> None:
    """Estimate the gain from the scatter of stars for nights that have no better one."""
    with run.warehouse.reading() as con:
        groups = con.table("pending_star_scatter").pl().to_dicts()
    for group in groups:
        with run.warehouse.reading() as con:
            fit = gain_of_stars(con, group)
        _store(run, group, fit, pl.DataFrame(), step="star scatter")
        value = "none" if fit.gain_e_per_adu is None else f"{fit.gain_e_per_adu:.2f} e/ADU"
        say(f"gain from the scatter of stars, {group['night']} {group['band']}: {value}")


def gain_of_stars(con: duckdb.DuckDBPyConnection, night: dict[str, Any]) -> GainFit:
    """Return the largest gain that the scatter of stars gives in any aperture of a night.

    Whatever an aperture adds to the noise of photons, as light of neighbours that comes and goes
    with the seeing, makes the gain too small, and differs from aperture to aperture. So the largest
    is the nearest, if by part of its error too large.

    Parameters
    ----------
    night
        camera_id, night and band.
    """
    where = {name: night[name] for name in ("camera_id", "night", "band")}
    apertures = shipped(con, "scatter_apertures", **where)["aperture_id"]
    fits = [
        gain_from_star_scatter(shipped(con, "star_scatter", aperture_id=one, **where))
        for one in apertures
    ]
    return max(
        fits or [no_gain("no star was measured", "star scatter")],
        key=lambda fit: fit.gain_e_per_adu or 0.0,
    )


def gain_frames(warehouse: Warehouse) -> pl.DataFrame:
    with warehouse.reading() as con:
        return shipped(con, "gain_frames")


def biases_of(frames: pl.DataFrame) -> dict[tuple, dict[Any, list[int]]]:
    """Return the biases by detector and night, of nights that have two."""
    found: dict[tuple, dict[Any, list[int]]] = {}
    biases = frames.filter(pl.col("frame_type") == "bias")
    for (*detector, night), rows in biases.group_by(*DETECTOR, "night", maintain_order=True):
        if rows.height > 1:
            found.setdefault(tuple(detector), {})[night] = rows["frame_id"].to_list()
    return found


def described(row: dict[str, Any], biases: dict, max_days: float) -> dict[str, Any]:
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
    if row.get("linearity"):
        members += f"/{row['linearity']}"
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
    pairs = chosen_pairs(group, float(np.median(bias.pedestal.values)), MAX_PAIR)
    fit = photon_transfer(frames.pairs(pairs), bias, saturation_adu=frames.saturation_adu)
    return fit, transfer_rows(group, pairs, transfer_points(frames.pairs(pairs), bias))


def chosen_pairs(
    group: dict[str, Any], pedestal_adu: float, max_pair: int
) -> list[tuple[int, int]]:
    """Pair flats of similar level; of many pairs take some, evenly spaced in level."""
    pairs = similar_pairs([level - pedestal_adu for level in group["level_adu"]])
    if len(pairs) > max_pair:
        pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, max_pair).round().astype(int)]
    return [(group["frame_ids"][i], group["frame_ids"][j]) for i, j in pairs]


def transfer_rows(
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
    tables = {"gain_fit": pl.DataFrame([row]), "product": gain_products(group, step)}
    if not points.is_empty():
        tables["transfer_point"] = points
    run.store(step.replace(" ", "-"), tables, night=group["night"])


def gain_products(group: dict[str, Any], step: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"frame_id": group["frame_ids"], "step": step, "recipe": group["recipe"], "state": "done"}
    )
