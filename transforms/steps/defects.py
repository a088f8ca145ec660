"""The step that makes maps of a camera's defects from the masters of each night."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import polars as pl

from ...errors import StarmusterError
from ...warehouse.packages import file_checksum
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse
from ..badpixels import MIN_DARK, Defects, find_defects
from ..combine import variance_factor
from ..masters import SETTING
from .master_files import is_whole, read_master, write_defects

KIND = "badpixel"
# Raise it when the map that a recipe gives changes: every map is made anew.
DEFECT_VERSION = 1
TABLES = ("master", "master_file", "defect_map")


def make_defect_maps(run: Run, *, damaged: set[int], say: Callable[[str], None]) -> int:
    """Map the defects of each camera, setting and night that has darks or flats.

    A map whose masters or thresholds changed, or whose file is damaged, is made anew.
    """
    n_made = 0
    for group in pending_maps(run.warehouse, damaged=damaged):
        subject = f"map of defects {group['night']}"
        try:
            defects = _make(run, group)
        except StarmusterError as error:
            run.fail("masters", subject, error)
            say(f"no {subject}: {error}")
            continue
        n_made += 1
        say(
            f"made {subject}: {defects.n_hot_pix} hot, {defects.n_cold_pix} cold, "
            f"{defects.n_dead_pix} dead pixels"
        )
    return n_made


def pending_maps(warehouse: Warehouse, *, damaged: set[int]) -> list[dict[str, Any]]:
    """Return groups of masters whose map is missing, damaged or out of date.

    Each has the columns of the setting, `dark` (a row of table master: the one of the longest
    exposure of three frames or more, or None), `flats` (rows), `recipe` and `before` (map to be
    replaced, or None).
    """
    with warehouse.reading() as con:
        files = con.table("master_file").project("master_id, trim, size_byte").pl()
        masters = con.sql("from master anti join retired_master using (master_id)").pl()
        maps = con.table("master").filter(f"kind = '{KIND}'").pl().to_dicts()
    offered = masters.join(files, on="master_id").filter(pl.col("kind").is_in(["dark", "flat"]))
    held = {_key(row): row for row in maps}
    pending: list[dict[str, Any]] = []
    for setting, group in offered.group_by(*SETTING, "trim", maintain_order=True):
        found = dict(zip((*SETTING, "trim"), setting, strict=True)) | _inputs(group)
        if found["dark"] is None and not found["flats"]:
            continue
        found["recipe"] = _recipe(warehouse, found)
        found["before"] = held.get(_key(found))
        before = found["before"]
        if before and before["recipe"] == found["recipe"] and before["master_id"] not in damaged:
            continue
        pending.append(found)
    return pending


def _inputs(group: pl.DataFrame) -> dict[str, Any]:
    ordered = group.sort("exposure_s", "master_id", nulls_last=False).to_dicts()
    darks = [row for row in ordered if row["kind"] == "dark" and row["n_frame"] >= MIN_DARK]
    flats = [row for row in ordered if row["kind"] == "flat"]
    return {"dark": darks[-1] if darks else None, "flats": flats}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in SETTING)


def _recipe(warehouse: Warehouse, group: dict[str, Any]) -> str:
    limits = warehouse.config.calibration
    inputs = [group["dark"], *group["flats"]]
    parts = [
        DEFECT_VERSION,
        [limits.hot_sigma, limits.cold_response, limits.dead_response],
        sorted(row["checksum"] for row in inputs if row is not None),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _make(run: Run, group: dict[str, Any]) -> Defects:
    warehouse, before = run.warehouse, group["before"]
    defects = _find(warehouse, group)
    if before is not None and before["recipe"] == group["recipe"]:
        path = warehouse.masters / before["file_name"]
        write_defects(path, defects)
        if is_whole(path, before["checksum"]):
            return defects
    master_id = run.next_id("master")
    path = warehouse.masters / str(group["night"]) / f"{KIND}-{master_id}.fits"
    write_defects(path, defects)
    tables = {
        "master": _master_row(warehouse, group, master_id, path),
        "master_file": {
            "master_id": master_id,
            "size_byte": path.stat().st_size,
            "trim": group["trim"],
            "has_variance": False,
        },
        "defect_map": _map_row(warehouse, group, master_id, defects),
    }
    gone = [] if before is None else [before["master_id"]]
    run.store(
        "masters",
        {name: pl.DataFrame([row], infer_schema_length=None) for name, row in tables.items()},
        night=group["night"],
        replaces=dict.fromkeys(TABLES, gone),
    )
    if before is not None and before["file_name"] != str(path.relative_to(warehouse.masters)):
        (warehouse.masters / before["file_name"]).unlink(missing_ok=True)
    return defects


def _find(warehouse: Warehouse, group: dict[str, Any]) -> Defects:
    limits, dark = warehouse.config.calibration, group["dark"]

    def read(row: dict[str, Any]):
        return read_master(warehouse.masters / row["file_name"], row["checksum"])

    frame_noise_adu = None
    if dark is not None and dark["noise_adu"] is not None:
        frame_noise_adu = (
            dark["noise_adu"] / variance_factor(dark["method"], dark["n_frame"]) ** 0.5
        )
    return find_defects(
        None if dark is None else read(dark),
        [read(row) for row in group["flats"]],
        frame_noise_adu=frame_noise_adu,
        hot_sigma=limits.hot_sigma,
        cold_response=limits.cold_response,
        dead_response=limits.dead_response,
    )


def _master_row(
    warehouse: Warehouse, group: dict[str, Any], master_id: int, path: Any
) -> dict[str, Any]:
    dark, flats = group["dark"], group["flats"]
    first = dark or flats[0]
    parts = [*(["dark"] if dark else []), *(["flats"] if flats else [])]
    return {
        "master_id": master_id,
        "kind": KIND,
        **{name: group[name] for name in SETTING},
        "exposure_s": dark["exposure_s"] if dark else None,
        "sensor_degc": first["sensor_degc"],
        "n_frame": len(flats) + (dark is not None),
        "method": " and ".join(parts),
        "is_bias_subtracted": False,
        "level_adu": first["level_adu"],
        "file_name": str(path.relative_to(warehouse.masters)),
        "checksum": file_checksum(path),
        "recipe": group["recipe"],
    }


def _map_row(
    warehouse: Warehouse, group: dict[str, Any], master_id: int, defects: Defects
) -> dict[str, Any]:
    limits, dark, flats = warehouse.config.calibration, group["dark"], group["flats"]
    return {
        "master_id": master_id,
        "dark_master_id": dark["master_id"] if dark else None,
        "flat_master_ids": [row["master_id"] for row in flats],
        "hot_adu": defects.hot_adu,
        "cold_response": limits.cold_response if flats else None,
        "dead_response": limits.dead_response if flats else None,
        "n_hot_pix": defects.n_hot_pix,
        "n_cold_pix": defects.n_cold_pix,
        "n_dead_pix": defects.n_dead_pix,
    }
