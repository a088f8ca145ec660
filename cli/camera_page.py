"""What the page of a camera needs from the warehouse, and the writing of it."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from .session import SESSION

if TYPE_CHECKING:
    from ..analysis.camera_report import FlatImage, Plate
    from ..warehouse.store import Warehouse

NEWEST_FLATS = 24  # pictures of a camera's page
FLAT_PIX = 640
PIER_FLATS = 6  # of each side of the pier that are averaged


def page_name(camera_name: str) -> str:
    """Return the name of the page of a camera."""
    return f"camera-{re.sub(r'[^A-Za-z0-9+-]+', '-', camera_name).strip('-')}.html"


def write_page(warehouse: "Warehouse", name: str, rows, page: Path) -> None:
    """Write the page of a camera, given its rows of the query `cameras`."""
    import polars as pl

    from ..analysis.camera_report import CameraReport, camera_page
    from ..analysis.page import render_page
    from ..warehouse.store import shipped

    queries = (
        *("transfer_curve", "ramp_levels", "bias_history", "dark_history", "dark_levels"),
        *("flat_masters", "pier_flats", "camera_solutions"),
    )
    with warehouse.reading() as con:
        found = {query: shipped(con, query, camera=name) for query in queries}
        cameras = con.table("camera").pl().filter(pl.col("camera_name") == name)
        ramps = con.table("ramp_fit").order("night, band").pl()
    report = CameraReport(
        camera_name=name,
        cameras=rows,
        ramp_fit=ramps.filter(pl.col("camera_id").is_in(cameras["camera_id"].to_list())),
        flats=_flats(warehouse, found.pop("flat_masters").tail(NEWEST_FLATS).to_dicts()),
        pier_flats=_pier_flats(warehouse, found.pop("pier_flats")),
        plate=_plate(found.pop("camera_solutions")),
        command=SESSION.command,
        version=__version__,
        generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        **found,
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(camera_page(report)), encoding="utf-8")


def _flats(warehouse: "Warehouse", rows: list[dict[str, Any]]) -> "tuple[FlatImage, ...]":
    """Read master flats, each made small at once: at camera scale they are 245 MB each."""
    from ..analysis.camera_report import FlatImage
    from ..analysis.thumbnails import block_mean
    from ..errors import StarmusterError
    from ..transforms.steps.master_files import read_master

    flats: list[FlatImage] = []
    for row in rows:
        try:
            data = read_master(warehouse.masters / row["file_name"], row["checksum"])
        except StarmusterError as error:
            SESSION.say(f"no picture: {error}")
            continue
        small = block_mean(data, FLAT_PIX)
        kept = {name: row[name] for name in ("night", "band", "n_frame", "level_adu")}
        flats.append(FlatImage(data=small, **kept))
    return tuple(flats)


def _pier_flats(warehouse: "Warehouse", rows) -> "tuple[FlatImage, ...]":
    """Average some flats of each side of the pier, each made small at once."""
    import numpy as np

    from ..analysis.camera_report import FlatImage
    from ..analysis.thumbnails import block_mean
    from ..errors import StarmusterError
    from ..transforms.pixels import read_pixels
    from ..transforms.steps.paths import frame_paths

    flats: list[FlatImage] = []
    with warehouse.reading() as con:
        paths = frame_paths(con, rows["frame_id"].to_list())
    sides = rows.group_by("band", "night", "pier_side", maintain_order=True)
    for (band, night, pier_side), frames in sides:
        images, levels = [], []
        for row in frames.head(PIER_FLATS).iter_rows(named=True):
            try:
                raw = read_pixels(paths[row["frame_id"]], row["hdu_index"])
            except StarmusterError as error:
                SESSION.say(f"no picture: {error}")
                continue
            light = block_mean(raw, FLAT_PIX) - row["bias_adu"]
            level = float(np.nanmedian(light))
            if level > 0:
                images.append(light / level)
                levels.append(level)
        if images:
            flats.append(
                FlatImage(
                    night=night,
                    band=band,
                    pier_side=pier_side,
                    n_frame=len(images),
                    level_adu=float(np.mean(levels)),
                    data=np.mean(images, axis=0),
                )
            )
    return tuple(flats)


def _plate(rows) -> "Plate | None":
    from ..analysis.camera_report import Plate
    from ..transforms.astrometry import wcs_from_cards

    for row in rows.head(1).iter_rows(named=True):
        kept = {name: row[name] for name in ("night", "method", "n_star")}
        shape = (row["n_y_pix"], row["n_x_pix"])
        return Plate(wcs=wcs_from_cards(row["cards"]), shape=shape, **kept)
    return None
