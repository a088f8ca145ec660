"""Catalogue 5,000 frame headers, whole header kept, from files in the page cache.

Headers as a common program writes them and, where the real frames are at hand (STARMUSTER_DATA),
5,000 files with the headers of the 172 plain ones among them in turn, traps included.
"""

import os
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits
from measure import Row, measured, show

N_FILE = 5000
SHARE = 1 / 10  # of the files, for ccdproc
N_FILLER = 30  # cards beside those that are understood: real headers have 60 to 100


def real_headers() -> list[fits.Header]:
    """Return the headers of real frames, none where there are none at hand."""
    data = Path(os.environ.get("STARMUSTER_DATA", "../shared/data"))
    paths = sorted([*data.glob("hatp32/*.FITS"), *data.glob("st7_ramp/*.FIT")])
    return [fits.getheader(path) for path in paths]


def write_real_files(folder: Path, headers: list[fits.Header]) -> None:
    """Write small frames with real headers in turn, each with a number of its own."""
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8)
    for number in range(N_FILE):
        header = headers[number % len(headers)].copy()
        header["FRAMENO"] = number
        path = folder / f"frame_{number:05d}.fits"
        fits.PrimaryHDU(pixels, header).writeto(path, output_verify="ignore")


def write_files(folder: Path) -> None:
    """Write frames as a common program does, with 70 cards each."""
    header = fits.Header()
    header.update(
        {
            "IMAGETYP": ("LIGHT", "Type of exposure"),
            "EXPTIME": (60.0, "[s] Exposure duration"),
            "DATE-OBS": ("2024-03-08T20:00:00.123", "Time of observation (UTC)"),
            "DATE-AVG": ("2024-03-08T20:00:30.123", "Averaged midpoint time (UTC)"),
            "XBINNING": (1, "X axis binning factor"),
            "YBINNING": (1, "Y axis binning factor"),
            "GAIN": (56, "Sensor gain"),
            "OFFSET": (20, "Sensor gain offset"),
            "EGAIN": (0.77, "[e-/ADU] Electrons per A/D unit"),
            "XPIXSZ": (3.76, "[um] Pixel X axis size"),
            "YPIXSZ": (3.76, "[um] Pixel Y axis size"),
            "INSTRUME": ("QHY600M", "Imaging instrument name"),
            "SET-TEMP": (-10.0, "[degC] CCD temperature setpoint"),
            "CCD-TEMP": (-9.9, "[degC] CCD temperature"),
            "READOUTM": ("High Gain Mode", "Sensor readout mode"),
            "TELESCOP": ("C14", "Name of telescope"),
            "FOCALLEN": (2563.0, "[mm] Focal length"),
            "RA": (31.0427, "[deg] RA of telescope"),
            "DEC": (46.6879, "[deg] Declination of telescope"),
            "SITEELEV": (60.0, "[m] Observation site elevation"),
            "SITELAT": (50.7, "[deg] Observation site latitude"),
            "SITELONG": (7.1, "[deg] Observation site longitude"),
            "FWHEEL": ("Filter Wheel", "Filter Wheel name"),
            "FILTER": ("r", "Active filter name"),
            "OBJECT": ("HAT-P-32", "Name of the object of interest"),
            "OBJCTRA": ("02 04 10", "[H M S] RA of imaged object"),
            "OBJCTDEC": ("+46 41 16", "[D M S] Declination of imaged object"),
            "AIRMASS": (1.2, "Airmass at frame center"),
            "PIERSIDE": ("West", "Telescope pointing state"),
            "SWCREATE": ("N.I.N.A. 3.1", "Software that created this file"),
        }
    )
    for number in range(N_FILLER):
        header[f"WEATHER{number % 10}" if number < 10 else f"KEY{number:05d}"] = (
            number / 7,
            "a quantity that is kept and not asked for",
        )
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8)
    for number in range(N_FILE):
        header["FRAMENO"] = number
        fits.PrimaryHDU(pixels, header).writeto(folder / f"frame_{number:05d}.fits")


def prepare_ours(folder: Path) -> Path:
    work_ours(folder, n_file=2)  # the table of synonyms is read once
    return folder


def work_ours(folder: Path, n_file: int | None = None) -> None:
    import polars as pl

    from starmuster.ingest.folders import list_folders
    from starmuster.ingest.intake import scan

    nothing = pl.DataFrame(schema={"path": pl.String, "size_byte": pl.Int64, "mtime_ns": pl.Int64})
    pending = list_folders([folder], nothing).pending[:n_file]
    batches = list(scan(pending, seen_utc=datetime.now(UTC).replace(tzinfo=None)))
    n_new = sum(batch.n_new for batch in batches)
    assert n_new == len(pending), f"{n_new} of {len(pending)} headers were read"


def prepare_theirs(folder: Path) -> list[str]:
    import ccdproc  # noqa: F401

    names = sorted(path.name for path in folder.glob("*.fits"))
    return [str(folder), *names[: round(N_FILE * SHARE)]]


def work_theirs(given: list[str]) -> None:
    from ccdproc import ImageFileCollection

    folder, *names = given
    assert len(ImageFileCollection(folder, filenames=names, keywords="*").summary) == len(names)


def rows() -> list[Row]:
    """Measure, and return the lines of the table; ms a file stand in the first column."""
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name))
        found = [_row(f"catalogue {N_FILE} headers of 70 cards", Path(name))]
    headers = real_headers()
    if headers:
        with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what astropy says of real headers
            write_real_files(Path(name), headers)
            n_card = round(np.mean([len(header) for header in headers]))
            found.append(_row(f"the same, real headers of {n_card} cards", Path(name)))
    return found


def _row(what: str, folder: Path) -> Row:
    theirs = measured(prepare_theirs, work_theirs, folder)
    ours = measured(prepare_ours, work_ours, folder, n_run=2)
    each_ms = 1e3 * ours.cpu_s / N_FILE
    target = f"{0.2e-3 * N_FILE:.1f} s (0.2 ms a file)"
    return Row(f"{what}: {each_ms:.3f} ms", "ImageFileCollection", theirs, ours, target, SHARE)


if __name__ == "__main__":
    show("Headers, hashed, whole header kept", rows())
