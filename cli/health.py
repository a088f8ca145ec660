"""What `doctor` looks at: each finding is a row subject, seen, verdict, advice."""

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from .. import __version__
from ..errors import StarmusterError

if TYPE_CHECKING:
    from ..transforms.index_files import IndexFile
    from ..warehouse.store import Warehouse

PACKAGES = ("duckdb", "polars", "numpy", "astropy", "ccdproc", "photutils", "sep", "exoplanet-core")
LOW_DISK_GB = 5.0


def examine(folder: Path | None, *, wait_s: float) -> pl.DataFrame:
    """Look at the installation and, where there is one, the warehouse."""
    from ..transforms.index_files import index_files

    chosen = _index_folder(folder)
    files = index_files(chosen)
    findings = [*_versions(), *_solver(files), *_warehouse(folder, files, wait_s)]
    return pl.DataFrame(
        findings,
        schema={
            "subject": pl.String,
            "seen": pl.String,
            "verdict": pl.String,
            "advice": pl.String,
        },
        orient="row",
    )


def _index_folder(folder: Path | None) -> str | None:
    """Return the folder of index files that the settings name, if they can be read."""
    from ..warehouse.config import FILE_NAME, read_config
    from ..warehouse.store import find_folder

    path = find_folder(folder).expanduser() / FILE_NAME
    try:
        return read_config(path).registration.index_folder if path.is_file() else None
    except StarmusterError:
        return None  # said below, where the warehouse is opened


def _versions() -> list[tuple[str, str, str, str]]:
    python = ".".join(map(str, sys.version_info[:3]))
    found = [("starmuster", __version__, "good", ""), ("Python", python, "good", "")]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name), "good", ""))
        except metadata.PackageNotFoundError:
            found.append((name, "missing", "bad", f"pip install {name}"))
    return found


def _solver(files: "Sequence[IndexFile]") -> list[tuple[str, str, str, str]]:
    from ..transforms.index_files import reach_text, solver_program

    program = solver_program()
    found = [("solve-field", program, "good", "")] if program else []
    if program is None:
        advice = "optional: apt-get install astrometry.net; without it, stars are matched only"
        found = [("solve-field", "not installed", "optional", advice)]
    for file in files:
        if file.defect is not None:
            found.append(("index file", file.defect, "bad", "install it again, or remove it"))
    good = [file for file in files if file.defect is None]
    if not good:
        advice = "apt-get install astrometry-data-tycho2 (fields of 22 arcmin and more)"
        return [*found, ("index files", "none", "optional", advice)]
    seen = f"{len(good)} in {good[0].path.parent}: {reach_text(good)}"
    return [*found, ("index files", seen, "good", "")]


def _views(warehouse: "Warehouse", files: "Sequence[IndexFile]") -> list[tuple[str, str, str, str]]:
    """Compare the width of the stored frames with the scales of the index files."""
    from ..transforms.index_files import install_command

    found: list[tuple[str, str, str, str]] = []
    for row in warehouse.query("fields_of_view").to_dicts():
        width = row["width_arcmin"]
        subject = f"field {row['field_name']}"
        placed = f"{row['n_on_sky']} of {row['n_frame']} frames on the sky"
        if width is None:
            seen, advice = f"scale not known; {placed}", "scale_arcsec_per_pix in [camera] helps"
            found.append((subject, seen, "optional", advice))
            continue
        helpful = [file for file in files if file.helps(width)]
        seen = f"{width:.3g} arcmin wide, {len(helpful)} index files fit; {placed}"
        advice = "" if helpful else install_command(width)
        found.append((subject, seen, "good" if helpful else "optional", advice))
    return found


def _warehouse(
    folder: Path | None, files: "Sequence[IndexFile]", wait_s: float
) -> list[tuple[str, str, str, str]]:
    from ..warehouse.store import DATABASE_NAME, Warehouse, find_folder

    place = find_folder(folder).expanduser().resolve()
    free_gb = shutil.disk_usage(place if place.exists() else Path.cwd()).free / 1e9
    is_low = free_gb < LOW_DISK_GB
    found = [
        (
            "disk",
            f"{free_gb:.0f} GB free",
            "bad" if is_low else "good",
            "make room: a night of rows takes up to 1 GB" if is_low else "",
        )
    ]
    if not (place / DATABASE_NAME).exists():
        return [*found, ("warehouse", f"none in {place}", "optional", "starmuster init")]
    try:
        with Warehouse(place, wait_s=min(wait_s, 1.0)) as warehouse:
            size_mb = warehouse.database.stat().st_size / 1e6
            n_frame = warehouse.query("totals")["n_frames"][0]
            found.append(("warehouse", f"{place}, {size_mb:.0f} MB, {n_frame} frames", "good", ""))
            found += _views(warehouse, files)
            with warehouse.claimed():
                found.append(("lock", "free", "good", ""))
    except StarmusterError as error:
        found.append(("warehouse", str(error), "bad", "see the message"))
    if not os.access(place, os.W_OK):
        found.append(("warehouse folder", "not writable", "bad", f"chmod u+w {place}"))
    return found
