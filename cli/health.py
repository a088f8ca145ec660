"""What `doctor` looks at: each finding is a row subject, seen, verdict, advice."""

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import polars as pl

from .. import __version__
from ..errors import StarmusterError

PACKAGES = ("duckdb", "polars", "numpy", "astropy", "ccdproc", "photutils", "sep", "exoplanet-core")
LOW_DISK_GB = 5.0
INDEX_FOLDERS = (Path("/usr/share/astrometry"), Path("/usr/local/astrometry/data"))


def examine(folder: Path | None, *, wait_s: float) -> pl.DataFrame:
    """Look at the installation and, where there is one, the warehouse."""
    findings = [*_versions(), *_solver(), *_warehouse(folder, wait_s)]
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


def _versions() -> list[tuple[str, str, str, str]]:
    python = ".".join(map(str, sys.version_info[:3]))
    found = [("starmuster", __version__, "good", ""), ("Python", python, "good", "")]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name), "good", ""))
        except metadata.PackageNotFoundError:
            found.append((name, "missing", "bad", f"pip install {name}"))
    return found


def _solver() -> list[tuple[str, str, str, str]]:
    program = shutil.which("solve-field")
    if program is None:
        advice = "optional: apt-get install astrometry.net; without it, stars are matched only"
        return [("solve-field", "not installed", "optional", advice)]
    found = [("solve-field", program, "good", "")]
    files = sorted(path for folder in INDEX_FOLDERS for path in folder.glob("index-*.fits"))
    if files:
        seen = f"{len(files)} index files in {files[0].parent}"
        return [*found, ("index files", seen, "good", "")]
    advice = "apt-get install astrometry-data-tycho2 (fields of 22 arcmin and more)"
    return [*found, ("index files", "none", "optional", advice)]


def _warehouse(folder: Path | None, wait_s: float) -> list[tuple[str, str, str, str]]:
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
            with warehouse.claimed():
                found.append(("lock", "free", "good", ""))
    except StarmusterError as error:
        found.append(("warehouse", str(error), "bad", "see the message"))
    if not os.access(place, os.W_OK):
        found.append(("warehouse folder", "not writable", "bad", f"chmod u+w {place}"))
    return found
