"""The step that makes masters: finds the groups that lack one, builds and keeps it."""

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits

from ...errors import CalibrationError, PixelError, StarmusterError
from ...warehouse.packages import file_checksum
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse
from ..masters import SETTING, BuiltMaster, build_master, group_masters
from ..pixels import Image, open_rows
from .paths import frame_paths

KINDS = ("bias", "dark", "flat")
CACHED_MASTERS = 4  # of 245 MB each at camera scale


def make_masters(run: Run, *, say: Callable[[str], None]) -> int:
    """Build every master that is missing or whose frames or recipe changed; return their number.

    Bias before dark before flat, for each needs the ones before. A group that gives no master is a
    failure, and is tried again only when its frames or the recipe change.
    """
    n_made = 0
    for kind in KINDS:
        for group in pending_groups(run.warehouse, kind):
            subject = describe_group(group)
            try:
                _make(run, group)
            except StarmusterError as error:
                run.fail("masters", subject, error)
                run.store("masters", {"product": _products(group, "failed")}, night=group["night"])
                say(f"no {subject}: {error}")
                continue
            n_made += 1
            say(f"made {subject} from {group['n_frame']} frames")
    return n_made


def pending_groups(warehouse: Warehouse, kind: str) -> list[dict[str, Any]]:
    """Return the groups of frames of one kind whose master is missing or out of date.

    Each is a row of `group_masters` with its `recipe`, and the calibration its frames get.
    """
    with warehouse.reading() as con:
        frames = con.table("frame").filter("frame_type <> 'light'").pl()
        made = dict(
            con.table("product").filter("step = 'master'").project("frame_id, recipe").fetchall()
        )
        choice = con.table("calibration_choice").filter("frame_id is not null").pl()
    content = dict(frames.select("frame_id", "content_hash").iter_rows())
    choices = {row["frame_id"]: row for row in choice.iter_rows(named=True)}
    pending: list[dict[str, Any]] = []
    for group in group_masters(frames).filter(pl.col("kind") == kind).iter_rows(named=True):
        group["choice"] = choices[group["frame_ids"][0]]
        group["recipe"] = _recipe(warehouse, group, content)
        if any(made.get(frame_id) != group["recipe"] for frame_id in group["frame_ids"]):
            pending.append(group)
    return pending


def describe_group(group: dict[str, Any]) -> str:
    """Name a group of calibration frames for people."""
    parts = [f"master {group['kind']}", str(group["night"])]
    if group["band"]:
        parts.append(str(group["band"]))
    if group["kind"] == "dark" and group["exposure_s"] is not None:
        parts.append(f"{group['exposure_s']:g} s")
    if group["sensor_degc"] is not None:
        parts.append(f"{group['sensor_degc']:.1f} degC")
    return " ".join(parts)


@lru_cache(maxsize=CACHED_MASTERS)
def read_master(path: Path, checksum: str) -> Image:
    """Read a master frame, shape (n_y, n_x), float32.

    Raises
    ------
    CalibrationError
        If the file is gone or was altered since it was made.
    """
    if not path.is_file():
        raise CalibrationError(
            f"{path}: master file is gone. Restore it, or delete its frames' rows."
        )
    if file_checksum(path) != checksum:
        raise CalibrationError(f"{path}: master file was altered since it was made. Restore it.")
    data = fits.getdata(path, memmap=False)
    return np.ascontiguousarray(data, dtype=np.float32)


def _make(run: Run, group: dict[str, Any]) -> None:
    built = _build(run.warehouse, group)
    master_id = run.next_id("master")
    path = run.warehouse.masters / str(group["night"]) / _file_name(group, master_id)
    _write_master(path, built, group)
    superseded = _superseded(run.warehouse, group)
    rows = pl.DataFrame([_master_row(run.warehouse, group, built, master_id, path)])
    uses = pl.DataFrame(
        [
            {"master_id": master_id, "frame_id": frame_id, "is_used": is_used, "reason": reason}
            for frame_id, (is_used, reason) in zip(group["frame_ids"], built.used, strict=True)
        ],
        infer_schema_length=None,
    )
    gone = superseded["master_id"].to_list()
    run.store(
        "masters",
        {"master": rows, "master_frame": uses, "product": _products(group, "done")},
        night=group["night"],
        replaces={"master": gone, "master_frame": gone},
    )
    for name in superseded["file_name"]:
        (run.warehouse.masters / name).unlink(missing_ok=True)


def _build(warehouse: Warehouse, group: dict[str, Any]) -> BuiltMaster:
    config = warehouse.config.masters
    bias, _ = _chosen(warehouse, group["choice"]["bias_master_id"])
    dark, dark_row = _chosen(warehouse, group["choice"]["dark_master_id"])
    with warehouse.reading() as con:
        wanted = pl.DataFrame({"frame_id": group["frame_ids"]}, schema={"frame_id": pl.Int32})
        con.register("wanted", wanted)
        frames = (
            con.sql("from frame semi join wanted using (frame_id)")
            .order("frame_id")
            .project("frame_id, hdu_index, exposure_s, n_x_pix, n_y_pix")
            .fetchall()
        )
        paths = frame_paths(con, [row[0] for row in frames])
        camera = con.table("camera").filter(f"camera_id = {int(group['camera_id'])}").pl()
    with ExitStack() as stack:
        readers: list[Any] = []
        for frame_id, hdu_index, _, n_x_pix, n_y_pix in frames:
            shape = (n_y_pix, n_x_pix)
            try:
                reader = open_rows(paths[frame_id], hdu_index, shape=shape)
                readers.append(stack.enter_context(reader))
            except PixelError as error:
                readers.append(Unreadable(f"frame {frame_id}", shape, error))
        return build_master(
            group["kind"],
            readers,
            [row[2] for row in frames],
            bias=bias,
            dark=dark,
            dark_exposure_s=dark_row["exposure_s"] if dark_row else None,
            dark_is_bias_subtracted=bool(dark_row and dark_row["is_bias_subtracted"]),
            gain_e_per_adu=camera["gain_e_per_adu"][0],
            saturation_adu=camera["saturation_adu"][0],
            low_sigma=config.low_sigma,
            high_sigma=config.high_sigma,
        )


class Unreadable:
    """Stands for a frame that could not be opened, so that its master names it as left out."""

    def __init__(self, name: str, shape: tuple[int, int], error: PixelError) -> None:
        self.name, self.shape, self._error = name, shape, error

    def rows(self, start: int, stop: int) -> Image:
        """Raise what went wrong when it was opened."""
        raise self._error


def _chosen(warehouse: Warehouse, master_id: int | None) -> tuple[Image | None, dict | None]:
    if master_id is None:
        return None, None
    with warehouse.reading() as con:
        row = con.table("master").filter(f"master_id = {int(master_id)}").pl().row(0, named=True)
    return read_master(warehouse.masters / row["file_name"], row["checksum"]), row


def _recipe(warehouse: Warehouse, group: dict[str, Any], content: dict[int, str]) -> str:
    needed = (group["choice"]["bias_master_id"], group["choice"]["dark_master_id"])
    text = "/".join(
        [
            warehouse.config.masters.fingerprint(),
            group["kind"],
            *(str(master_id or 0) for master_id in needed),
            *sorted(content[frame_id] for frame_id in group["frame_ids"]),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _superseded(warehouse: Warehouse, group: dict[str, Any]) -> pl.DataFrame:
    members = pl.DataFrame({"frame_id": group["frame_ids"]}, schema={"frame_id": pl.Int32})
    with warehouse.reading() as con:
        con.register("members", members)
        return con.sql(
            "from master semi join (from master_frame semi join members using (frame_id)) "
            "using (master_id)"
        ).pl()


def _products(group: dict[str, Any], state: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "frame_id": group["frame_ids"],
            "step": "master",
            "recipe": group["recipe"],
            "state": state,
        }
    )


def _master_row(
    warehouse: Warehouse, group: dict[str, Any], built: BuiltMaster, master_id: int, path: Path
) -> dict[str, Any]:
    n_y_pix, n_x_pix = built.data_adu.shape
    return {
        "master_id": master_id,
        "kind": group["kind"],
        "band": group["band"],
        "exposure_s": group["exposure_s"],
        "sensor_degc": group["sensor_degc"],
        **{name: group[name] for name in SETTING},
        "n_x_pix": n_x_pix,
        "n_y_pix": n_y_pix,
        "n_frame": built.n_frame,
        "method": built.method,
        "is_bias_subtracted": built.is_bias_subtracted,
        "level_adu": built.level_adu,
        "noise_adu": built.noise_adu,
        "file_name": str(path.relative_to(warehouse.masters)),
        "checksum": file_checksum(path),
        "recipe": group["recipe"],
    }


def _file_name(group: dict[str, Any], master_id: int) -> str:
    parts = [group["kind"], group["band"]]
    if group["kind"] == "dark" and group["exposure_s"] is not None:
        parts.append(f"{group['exposure_s']:g}s")
    return "-".join(str(part) for part in [*parts, master_id] if part is not None) + ".fits"


def _write_master(path: Path, built: BuiltMaster, group: dict[str, Any]) -> None:
    header = fits.Header()
    header["IMAGETYP"] = f"MASTER {group['kind'].upper()}"
    header["NCOMBINE"] = (built.n_frame, "frames that went in")
    header["COMBINE"] = (built.method, "how they were combined")
    header["LEVEL"] = (built.level_adu, "[adu] median, of a flat before normalisation")
    header["NOISE"] = (built.noise_adu, "[adu] noise of one pixel, at that level")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        fits.PrimaryHDU(built.data_adu.astype(np.float32), header).writeto(file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
