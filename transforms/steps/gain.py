"""The step that measures what a camera's ADU are worth; `gain` holds the method."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from ...errors import PixelError, StarmusterError
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse, shipped
from ..gain import GainFit, gain_from_star_scatter, photon_transfer, similar_pairs
from ..pixels import read_pixels
from .paths import frame_paths

MAX_FLAT = 6  # of a night and band; every pair more adds little and costs two frames' reading
MAX_BIAS = 4
SETTING = ["camera_id", "night", "gain_setting", "x_binning", "readout_mode"]
MATCHING = [*SETTING, "y_binning", "offset_setting", "n_x_pix", "n_y_pix"]


def measure_gains(run: Run, *, say: Callable[[str], None]) -> None:
    """Measure gain and read noise of each night that has flats and biases of one setting."""
    for group in pending_gains(run.warehouse):
        try:
            fit = _photon_transfer(run.warehouse, group)
        except StarmusterError as error:
            run.fail("gain", f"gain of {group['night']} {group['band'] or ''}".strip(), error)
            fit = GainFit("photon transfer", None, None, None, 0, str(error))
        _store(run, group, fit, group["frame_ids"], step="gain", recipe=group["recipe"])
        if fit.gain_e_per_adu is not None:
            say(
                f"gain {fit.gain_e_per_adu:.3f} e/ADU, read noise {fit.read_noise_e:.1f} e "
                f"({group['night']}, {group['band']}, {fit.n_pair} pairs)"
            )


def pending_gains(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return groups of flats, each with its biases, whose gain has not been measured."""
    with warehouse.reading() as con:
        frames = (
            con.table("frame")
            .filter("frame_type in ('flat', 'bias') and night is not null")
            .order("frame_id")
            .pl()
        )
        made = dict(
            con.table("product").filter("step = 'gain'").project("frame_id, recipe").fetchall()
        )
    biases = (
        frames.filter(pl.col("frame_type") == "bias")
        .group_by(MATCHING)
        .agg(pl.col("frame_id").alias("bias_ids"))
    )
    flats = (
        frames.filter(pl.col("frame_type") == "flat")
        .group_by(*MATCHING, "band", maintain_order=True)
        .agg(pl.col("frame_id").alias("frame_ids"))
        .filter(pl.col("frame_ids").list.len() >= 2)
    )
    groups = flats.join(biases, on=MATCHING, nulls_equal=True).filter(
        pl.col("bias_ids").list.len() >= 2
    )
    pending: list[dict[str, Any]] = []
    for group in groups.iter_rows(named=True):
        members = f"{group['frame_ids']}/{group['bias_ids']}"
        group["recipe"] = hashlib.sha256(members.encode()).hexdigest()[:16]
        if any(made.get(frame_id) != group["recipe"] for frame_id in group["frame_ids"]):
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
        _store(run, group, fit, group["frame_ids"], step="star scatter", recipe="1")
        value = "none" if fit.gain_e_per_adu is None else f"{fit.gain_e_per_adu:.2f} e/ADU"
        say(f"gain from the scatter of stars, {group['night']} {group['band']}: {value}")


def _photon_transfer(warehouse: Warehouse, group: dict[str, Any]) -> GainFit:
    flat_ids = group["frame_ids"][:MAX_FLAT]
    bias_ids = group["bias_ids"][:MAX_BIAS]
    with warehouse.reading() as con:
        paths = frame_paths(con, [*flat_ids, *bias_ids])
        hdu_index = dict(con.table("frame").project("frame_id, hdu_index").fetchall())
        camera = con.table("camera").filter(f"camera_id = {int(group['camera_id'])}").pl()

    def read(frame_id: int):
        return read_pixels(paths[frame_id], hdu_index[frame_id])

    def levels() -> Iterator[tuple[int, float]]:
        for frame_id in flat_ids:
            try:
                yield frame_id, float(np.nanmedian(read(frame_id)))
            except PixelError:
                continue  # its master names it as left out

    pedestal_adu = float(np.nanmedian(read(bias_ids[0])))
    level = dict(levels())
    readable = list(level)
    pairs = similar_pairs([level[frame_id] - pedestal_adu for frame_id in readable])
    return photon_transfer(
        ((read(readable[i]), read(readable[j])) for i, j in pairs),
        ((read(i), read(j)) for i, j in pairwise(bias_ids)),
        saturation_adu=camera["saturation_adu"][0],
    )


def _store(
    run: Run,
    group: dict[str, Any],
    fit: GainFit,
    frame_ids: list[int],
    *,
    step: str,
    recipe: str,
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
    products = pl.DataFrame(
        {"frame_id": frame_ids, "step": step, "recipe": recipe, "state": "done"}
    )
    run.store(
        step.replace(" ", "-"),
        {"gain_fit": pl.DataFrame([row]), "product": products},
        night=group["night"],
    )
