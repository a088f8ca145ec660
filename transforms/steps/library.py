"""The library of masters by hand: retire a bad one, restore it, bring one in from elsewhere."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from astropy.io import fits

from ...errors import CalibrationError, NotFoundError
from ...warehouse.disk import room_for, write_whole
from ...warehouse.packages import file_checksum
from ...warehouse.runs import Run
from ..pixels import Image, read_pixels
from ..samples import local_noise

FOLDER = "imported"
NOISE_ROWS = 512  # in the middle of an imported master: enough for its noise


def frame_key(contents: Iterable[str]) -> str:
    """Return the fingerprint of a group of frames, given their content hashes."""
    return hashlib.sha256("/".join(sorted(contents)).encode()).hexdigest()[:16]


def retired_keys(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the fingerprints of groups of frames that are not to be combined again."""
    return {str(row[0]) for row in con.table("retired_master").project("frame_key").fetchall()}


def retire_master(run: Run, master_id: int, reason: str) -> tuple[str, int]:
    """Take a master out of use; what was made with it becomes pending, and nothing else.

    Returns
    -------
    Its name, and how many light frames used it.

    Raises
    ------
    NotFoundError
        If there is no such master, or it is retired already.
    """
    with run.warehouse.reading() as con:
        name = _name(con, master_id)
        if con.table("retired_master").filter(f"master_id = {master_id}").fetchone():
            raise NotFoundError(f"{name} is retired already.")
        contents = con.sql("from master_frame join frame using (frame_id)")
        hashes = contents.filter(f"master_id = {master_id}").project("content_hash").fetchall()
        users = _users(con, master_id)
        n_light = users.filter(pl.col("frame_type") == "light").height
        products = _products_without(con, users, step="master")
    row = {
        "master_id": master_id,
        "frame_key": frame_key(str(row[0]) for row in hashes) if hashes else f"master {master_id}",
        "reason": reason,
        "retired_utc": _now(),
    }
    run.store(
        "retire",
        {"retired_master": pl.DataFrame([row]), "product": products},
        replaces={"product": _rebuilt(users)},
    )
    return name, n_light


def restore_master(run: Run, master_id: int) -> str:
    """Put a retired master back into use; return its name.

    Raises
    ------
    NotFoundError
        If there is no such retired master.
    """
    with run.warehouse.reading() as con:
        name = _name(con, master_id)
        if not con.table("retired_master").filter(f"master_id = {master_id}").fetchone():
            raise NotFoundError(f"{name} is not retired.")
    run.store("restore", {}, replaces={"retired_master": [master_id]})
    with run.warehouse.reading() as con:
        users = _users(con, master_id)
        products = _products_without(con, users, step="master")
    run.store("restore", {"product": products}, replaces={"product": _rebuilt(users)})
    return name


def import_master(
    run: Run,
    path: Path,
    kind: str,
    header: Mapping[str, Any],
    *,
    is_bias_subtracted: bool,
) -> dict[str, Any]:
    """Copy a master made elsewhere into the library; return its row.

    Parameters
    ----------
    path
        FITS file; of a flat the copy is divided by its median.
    kind
        bias, dark or flat.
    header
        Columns of table `master` as its header or the caller gives them, camera_id, night and
        n_frame among them; and hdu_index.
    is_bias_subtracted
        A dark without its bias, which can be scaled.

    Raises
    ------
    CalibrationError
        If the pixels are of no use, or the same file was imported before.
    """
    checksum = file_checksum(path)
    with run.warehouse.reading() as con:
        known = con.table("imported_master").filter("checksum is not null").pl()
    for row in known.filter(pl.col("checksum") == checksum).iter_rows(named=True):
        raise CalibrationError(
            f"{path}: imported already, as master {row['master_id']}. Retire that one to be rid "
            f"of it."
        )
    data, level_adu, noise_adu = _measured(path, read_pixels(path, header["hdu_index"]), kind)
    master_id = run.next_id("master")
    name = "-".join(str(part) for part in (kind, header["band"], master_id) if part is not None)
    file_name = f"{FOLDER}/{name}.fits"
    _write(run.warehouse.masters / file_name, data, kind, path)
    row = {name: value for name, value in header.items() if name != "hdu_index"} | {
        "master_id": master_id,
        "kind": kind,
        "band": header["band"] if kind == "flat" else None,
        "n_y_pix": data.shape[0],
        "n_x_pix": data.shape[1],
        "method": "imported",
        "is_bias_subtracted": kind == "dark" and is_bias_subtracted,
        "level_adu": level_adu,
        "noise_adu": noise_adu,
        "file_name": file_name,
        "checksum": file_checksum(run.warehouse.masters / file_name),
        "recipe": f"imported {checksum}",
    }
    imported = {
        "master_id": master_id,
        "path": str(path),
        "checksum": checksum,
        "imported_utc": _now(),
    }
    tables = {"master": pl.DataFrame([row]), "imported_master": pl.DataFrame([imported])}
    run.store("import-master", tables, night=header["night"])
    with run.warehouse.reading() as con:
        users = _users(con, master_id)
        products = _products_without(con, users, step="master")
    if products.height or _rebuilt(users):
        run.store("import-master", {"product": products}, replaces={"product": _rebuilt(users)})
    return row


def _measured(path: Path, raw: Image, kind: str) -> tuple[Image, float, float]:
    """Return the pixels as the library keeps them, their level, and the noise of one pixel."""
    data = np.ascontiguousarray(raw, dtype=np.float32)
    finite = data[np.isfinite(data)]
    level = float(np.median(finite)) if finite.size else float("nan")
    if not np.isfinite(level) or (kind == "flat" and level <= 0):
        raise CalibrationError(
            f"{path}: its median is {level:g}, a number{' above 0' if kind == 'flat' else ''} is "
            f"expected. Choose another file."
        )
    middle = max(0, (data.shape[0] - NOISE_ROWS) // 2)
    noise = local_noise(data[middle : middle + NOISE_ROWS])
    noise = noise if np.isfinite(noise) else 0.0
    if kind == "flat":
        data = data / np.float32(level)
        data[~(data > 0)] = np.nan
    return data, level, noise


def _write(path: Path, data: Image, kind: str, origin: Path) -> None:
    header = fits.Header()
    header["IMAGETYP"] = f"MASTER {kind.upper()}"
    header["COMBINE"] = ("imported", "made elsewhere")
    header.add_history(f"imported from {origin.name.encode('ascii', 'replace').decode()}")
    content = fits.HDUList([fits.PrimaryHDU(data, header)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with room_for(path, data.nbytes):
        write_whole(path, _bytes(content))


def _bytes(content: fits.HDUList) -> bytes:
    buffer = io.BytesIO()
    content.writeto(buffer)
    return buffer.getvalue()


def _name(con: duckdb.DuckDBPyConnection, master_id: int) -> str:
    found = con.table("master").filter(f"master_id = {int(master_id)}").pl()
    if found.is_empty():
        raise NotFoundError(
            f"no master {master_id}. `starmuster masters` lists what there is with its numbers."
        )
    row = found.row(0, named=True)
    parts = ("master", row["kind"], master_id, row["band"], row["night"])
    return " ".join(str(part) for part in parts if part is not None)


def _users(con: duckdb.DuckDBPyConnection, master_id: int) -> pl.DataFrame:
    """Return the frames that would get a master now, with their type."""
    chosen = con.sql("from calibration_choice join frame using (frame_id)").filter(
        f"{master_id} in (bias_master_id, dark_master_id, flat_master_id)"
    )
    chosen = chosen.project("frame_id, frame_type")
    mapped = con.sql("from defect_choice join frame using (frame_id)").filter(
        f"master_id = {master_id}"
    )
    return chosen.union(mapped.project("frame_id, frame_type")).pl()


def _rebuilt(users: pl.DataFrame) -> Sequence[int]:
    """Return those of the frames that make masters themselves."""
    return users.filter(pl.col("frame_type") != "light")["frame_id"].to_list()


def _products_without(
    con: duckdb.DuckDBPyConnection, users: pl.DataFrame, *, step: str
) -> pl.DataFrame:
    """Return the products of frames that make masters, all but those of one step."""
    products = con.table("product").filter(f"step <> '{step}'").pl()
    return products.filter(pl.col("frame_id").is_in(_rebuilt(users)))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
