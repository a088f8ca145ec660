"""The step that makes masters: finds the groups that lack one, builds and keeps it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

from ...errors import CalibrationError, PixelError, StarmusterError
from ...warehouse.packages import file_checksum
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse
from ..linearity import make_linearity
from ..masters import SETTING, BuiltMaster, build_master, group_masters
from ..overscan import Sections, read_sections, whole_frame
from ..pixels import Image, open_rows
from ..samples import FlatLimits
from .defects import make_defect_maps
from .detectors import Detector, detectors
from .library import frame_key, retired_keys
from .master_files import corner_in, cut, is_whole, read_master, write_master
from .paths import frame_paths, lost_masters

KINDS = ("bias", "dark", "flat")
# Raise it when the pixels that a recipe gives change: every master is made anew.
MASTER_VERSION = 2


def make_masters(run: Run, *, say: Callable[[str], None]) -> int:
    """Build every master that is missing or whose frames or recipe changed; return their number.

    Bias before dark before flat, for each needs the ones before. A group that gives no master is a
    failure, and is tried again only when its frames or the recipe change.
    """
    damaged = damaged_masters(run.warehouse)
    n_made = 0
    for kind in KINDS:
        for group in pending_groups(run.warehouse, kind, damaged=damaged):
            subject = describe_group(group)
            is_lost = group["master_id"] in damaged
            try:
                is_new = _make(run, group)
            except StarmusterError as error:
                run.fail("masters", subject, error)
                say(f"no {subject}: {error}")
                if not is_lost:  # a lost file is looked for again: its frames may come back
                    failed = _products(group, "failed")
                    run.store("masters", {"product": failed}, night=group["night"])
                continue
            n_made += 1
            verb = "made" if is_new else "restored the file of"
            say(f"{verb} {subject} from {group['n_frame']} frames")
    n_made += make_defect_maps(run, damaged=damaged, say=say)
    _tell_of_lost_imports(run, damaged, say=say)
    return n_made


def _tell_of_lost_imports(run: Run, damaged: set[int], *, say: Callable[[str], None]) -> None:
    """Note imported masters whose files are damaged: there are no frames to make them from."""
    with run.warehouse.reading() as con:
        imported = con.sql("from imported_master join master using (master_id)")
        rows = imported.project("master_id, file_name, path").fetchall()
    for master_id, file_name, path in rows:
        if master_id in damaged:
            error = CalibrationError(
                f"{run.warehouse.masters / file_name}: the file of imported master {master_id} is "
                f"gone or altered. Retire it, and import {path} again."
            )
            run.fail("masters", str(file_name), error)
            say(str(error))


def damaged_masters(warehouse: Warehouse) -> set[int]:
    """Return the masters whose file is gone or was altered.

    Existence and size of all files are looked at; the bytes of those alone that frames wait for.
    """
    with warehouse.reading() as con:
        damaged = lost_masters(con, warehouse.masters)
        masters = con.table("master").project("master_id, file_name, checksum").fetchall()
        waiting = con.table("awaited_master").fetchall()
    awaited = {int(row[0]) for row in waiting} - damaged
    return damaged | {
        master_id
        for master_id, file_name, checksum in masters
        if master_id in awaited and not is_whole(warehouse.masters / file_name, checksum)
    }


def pending_groups(
    warehouse: Warehouse, kind: str, *, damaged: set[int] | None = None
) -> list[dict[str, Any]]:
    """Return the groups of frames of one kind whose master is missing, damaged or out of date.

    Each is a row of `group_masters` with its `recipe`, the calibration its frames get, and the
    `master_id` they made before. Frames whose master was retired are not combined again, unless
    others join or leave them.
    """
    with warehouse.reading() as con:
        frames = con.table("frame").filter("frame_type <> 'light'").pl()
        made = dict(
            con.table("product").filter("step = 'master'").project("frame_id, recipe").fetchall()
        )
        choice = con.table("calibration_choice").filter("frame_id is not null").pl()
        in_force = detectors(con, frames["frame_id"].to_list(), warehouse.config)
        retired = retired_keys(con)
        before = con.sql("from master_frame join master using (master_id)")
        held = dict(before.filter(f"kind = '{kind}'").project("frame_id, master_id").fetchall())
    content = dict(frames.select("frame_id", "content_hash").iter_rows())
    choices = {row["frame_id"]: row for row in choice.iter_rows(named=True)}
    pending: list[dict[str, Any]] = []
    for group in group_masters(frames).filter(pl.col("kind") == kind).iter_rows(named=True):
        if frame_key(content[frame_id] for frame_id in group["frame_ids"]) in retired:
            continue
        group["choice"] = choices[group["frame_ids"][0]]
        group["detector"] = in_force[group["frame_ids"][0]]
        group["recipe"] = _recipe(warehouse, group, content)
        group["master_id"] = held.get(group["frame_ids"][0])
        is_damaged = group["master_id"] is not None and group["master_id"] in (damaged or set())
        recipe = group["recipe"]
        group["is_made"] = all(made.get(frame_id) == recipe for frame_id in group["frame_ids"])
        if is_damaged or not group["is_made"]:
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


def _make(run: Run, group: dict[str, Any]) -> bool:
    """Build and keep a master; False if it is, to the byte, one that had lost its file."""
    built, trim = _build(run.warehouse, group)
    superseded = _superseded(run.warehouse, group)
    if _restored(run.warehouse, group, built, superseded):
        if not group["is_made"]:
            run.store("masters", {"product": _products(group, "done")}, night=group["night"])
        return False
    master_id = run.next_id("master")
    path = run.warehouse.masters / str(group["night"]) / _file_name(group, master_id)
    write_master(path, built, group["kind"])
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
        {
            "master": rows,
            "master_frame": uses,
            "master_file": file_row(master_id, path, trim=trim, has_variance=True),
            "product": _products(group, "done"),
        },
        night=group["night"],
        replaces={"master": gone, "master_frame": gone, "master_file": gone},
    )
    for name in superseded["file_name"]:
        (run.warehouse.masters / name).unlink(missing_ok=True)
    return True


def _restored(
    warehouse: Warehouse, group: dict[str, Any], built: BuiltMaster, superseded: pl.DataFrame
) -> bool:
    """Put back the file of a master of the same recipe; False if the bytes are others."""
    row = next((r for r in superseded.to_dicts() if r["master_id"] == group["master_id"]), None)
    if row is None or row["recipe"] != group["recipe"]:
        return False
    path = warehouse.masters / row["file_name"]
    write_master(path, built, group["kind"])
    return is_whole(path, row["checksum"])


def file_row(master_id: int, path: Path, *, trim: str | None, has_variance: bool) -> pl.DataFrame:
    """Return the row of table master_file."""
    row = {
        "master_id": master_id,
        "size_byte": path.stat().st_size,
        "trim": trim,
        "has_variance": has_variance,
    }
    return pl.DataFrame([row])


def _build(warehouse: Warehouse, group: dict[str, Any]) -> tuple[BuiltMaster, str | None]:
    """Combine the frames of a group; return the master and the part of the frames it holds."""
    config = warehouse.config.masters
    bias, _ = _chosen(warehouse, group["choice"]["bias_master_id"], group)
    dark, dark_row = _chosen(warehouse, group["choice"]["dark_master_id"], group)
    with warehouse.reading() as con:
        wanted = pl.DataFrame({"frame_id": group["frame_ids"]}, schema={"frame_id": pl.Int32})
        con.register("wanted", wanted)
        frames = (
            con.sql("from frame semi join wanted using (frame_id)")
            .order("frame_id")
            .project("frame_id, hdu_index, exposure_s, n_x_pix, n_y_pix, header")
            .fetchall()
        )
        paths = frame_paths(con, [row[0] for row in frames])
        camera = con.table("camera").filter(f"camera_id = {int(group['camera_id'])}").pl()
    sections = [
        frame_sections(row[5], (row[4], row[3]), is_wanted=warehouse.config.calibration.overscan)
        for row in frames
    ]
    trim = _common_trim([paths[row[0]] for row in frames], sections)
    with ExitStack() as stack:
        readers: list[Any] = []
        for frame_id, hdu_index, _, n_x_pix, n_y_pix, _ in frames:
            shape = (n_y_pix, n_x_pix)
            try:
                reader = open_rows(paths[frame_id], hdu_index, shape=shape)
                readers.append(stack.enter_context(reader))
            except PixelError as error:
                readers.append(Unreadable(f"frame {frame_id}", shape, error))
        built = build_master(
            group["kind"],
            readers,
            [row[2] for row in frames],
            bias=bias,
            dark=dark,
            dark_exposure_s=dark_row["exposure_s"] if dark_row else None,
            dark_is_bias_subtracted=bool(dark_row and dark_row["is_bias_subtracted"]),
            sections=sections,
            linearity=make_linearity(group["detector"].linearity),
            gain_e_per_adu=camera["gain_e_per_adu"][0],
            saturation_adu=group["detector"].saturation_adu,
            limits=FlatLimits(
                config.max_saturated_share, config.min_flat_snr, config.max_flat_departure
            ),
            method=None if config.method == "clipped mean" else config.method,
            min_frame=config.min_frame,
            low_sigma=config.low_sigma,
            high_sigma=config.high_sigma,
        )
    return built, trim


def frame_sections(header: str, shape: tuple[int, int], *, is_wanted: bool) -> Sections:
    """Return light and overscan of a frame, given column `header`; all light if not wanted."""
    return read_sections(json.loads(header), shape) if is_wanted else whole_frame(shape)


def _common_trim(paths: Sequence[Path], sections: Sequence[Sections]) -> str | None:
    """Return the part of the frames that is light, or refuse frames that differ in it."""
    for path, one in zip(paths, sections, strict=True):
        if one.trim != sections[0].trim:
            raise CalibrationError(
                f"{path}: its light is {one.trim or 'the whole frame'}, that of {paths[0]} is "
                f"{sections[0].trim or 'the whole frame'}. Put one right, or set `overscan = "
                "false` in [calibration]."
            )
    return sections[0].trim


class Unreadable:
    """Stands for a frame that could not be opened, so that its master names it as left out."""

    def __init__(self, name: str, shape: tuple[int, int], error: PixelError) -> None:
        self.name, self.shape, self._error = name, shape, error

    def rows(self, start: int, stop: int) -> Image:
        """Raise what went wrong when it was opened."""
        raise self._error


def _chosen(
    warehouse: Warehouse, master_id: int | None, group: dict[str, Any]
) -> tuple[Image | None, dict | None]:
    if master_id is None:
        return None, None
    with warehouse.reading() as con:
        row = con.table("master").filter(f"master_id = {int(master_id)}").pl().row(0, named=True)
    whole = read_master(warehouse.masters / row["file_name"], row["checksum"])
    return cut(whole, corner_in(row, group), (group["n_y_pix"], group["n_x_pix"])), row


def _recipe(warehouse: Warehouse, group: dict[str, Any], content: dict[int, str]) -> str:
    needed = (group["choice"]["bias_master_id"], group["choice"]["dark_master_id"])
    text = "/".join(
        [
            str(MASTER_VERSION),
            warehouse.config.masters.combination(),
            str(warehouse.config.calibration.overscan),
            _behaviour(group),
            group["kind"],
            *(str(master_id or 0) for master_id in needed),
            *sorted(content[frame_id] for frame_id in group["frame_ids"]),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _behaviour(group: dict[str, Any]) -> str:
    """Say what of the camera's high levels decides a flat; nothing where nothing is known."""
    detector = group["detector"]
    return "" if group["kind"] != "flat" or detector == Detector() else str(detector)


def _superseded(warehouse: Warehouse, group: dict[str, Any]) -> pl.DataFrame:
    members = pl.DataFrame({"frame_id": group["frame_ids"]}, schema={"frame_id": pl.Int32})
    with warehouse.reading() as con:
        con.register("members", members)
        sharing = con.sql(
            "from master semi join (from master_frame semi join members using (frame_id)) "
            "using (master_id)"
        )
        return sharing.filter(f"kind = '{group['kind']}'").pl()


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
    return {
        "master_id": master_id,
        "kind": group["kind"],
        "band": group["band"],
        "exposure_s": group["exposure_s"],
        "sensor_degc": group["sensor_degc"],
        **{name: group[name] for name in SETTING},  # the size is that of the frames it suits
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
