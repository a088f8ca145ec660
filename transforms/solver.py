"""Plate solution by the external program solve-field: the one transform that runs a process."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ..errors import RegistrationError
from .astrometry import separation_deg, sky_positions
from .header_wcs import trusted_wcs
from .plate_fit import fit_plate

N_STAR = 300
REMARKS = ("COMMENT", "HISTORY", "")
INSTALL = "Install it (Debian: apt install astrometry.net astrometry-data-tycho2), or go without."


@dataclass(frozen=True, slots=True)
class Solution:
    """A plate solution.

    Attributes
    ----------
    wcs
        Celestial WCS, TAN, with SIP distortion where the stars show one.
    n_star
        Stars of the index that agree with it; None if the program did not list them.
    rms_arcsec
        Their root mean square distance, arcsec; None likewise.
    """

    wcs: WCS
    n_star: int | None
    rms_arcsec: float | None


def is_solver_installed() -> bool:
    """Tell whether solve-field is on the path."""
    return shutil.which("solve-field") is not None


def solve_field(
    stars: pl.DataFrame,
    n_x_pix: int,
    n_y_pix: int,
    *,
    scale_arcsec_per_pix: float | None = None,
    scale_tolerance: float = 0.1,
    ra_deg: float | None = None,
    dec_deg: float | None = None,
    radius_deg: float = 3.0,
    sip_order: int = 2,
    timeout_s: float = 60.0,
    index_folder: str | os.PathLike[str] | None = None,
) -> Solution:
    """Solve a frame from the positions of its stars, in a temporary folder, within a time limit.

    Parameters
    ----------
    stars
        Columns x_pix, y_pix (0-based), flux_adu; the 300 brightest are used.
    n_x_pix, n_y_pix
        Size of the frame, pixels.
    scale_arcsec_per_pix, scale_tolerance
        Hint, and by what fraction it may be off; None searches all scales.
    ra_deg, dec_deg, radius_deg
        Hint of the centre, and how far off it may be; None searches the whole sky.
    sip_order
        Highest order of the distortion polynomial.
    timeout_s
        After this the program and all its children are killed.
    index_folder
        Folder of index files; None leaves that to the program's own configuration.

    Raises
    ------
    RegistrationError
        Not installed, too few stars, no solution, out of time, or a solution that contradicts
        the hints.

    References
    ----------
    Lang et al. 2010, AJ 139, 1782.
    """
    program = shutil.which("solve-field")
    if program is None:
        raise RegistrationError(f"solve-field is not installed. {INSTALL}")
    bright = stars.drop_nulls(["x_pix", "y_pix", "flux_adu"]).top_k(N_STAR, by="flux_adu")
    if bright.height < 4:
        raise RegistrationError(f"plate solution: {bright.height} stars seen, at least 4 needed.")
    options = [
        *("--width", str(n_x_pix), "--height", str(n_y_pix)),
        *("--tweak-order", str(sip_order), "--cpulimit", str(max(1, round(timeout_s)))),
        *_hints(scale_arcsec_per_pix, scale_tolerance, ra_deg, dec_deg, radius_deg),
    ]
    with tempfile.TemporaryDirectory(prefix="starmuster-solve-") as name:
        folder = Path(name)
        _write_stars(bright, folder / "stars.xyls")
        log = _run([program, *options], folder, timeout_s, index_folder)
        if not (folder / "stars.wcs").is_file():
            raise RegistrationError(_refusal(log, bright.height, timeout_s, options))
        cards = _read_cards(folder / "stars.wcs")
        pairs = _read_pairs(folder / "stars.corr")
    wcs = _believed(cards, n_x_pix, n_y_pix, scale_arcsec_per_pix, ra_deg, dec_deg, radius_deg)
    return _refined(wcs, pairs, n_x_pix, n_y_pix, sip_order=sip_order)


def _hints(scale, tolerance, ra_deg, dec_deg, radius_deg) -> list[str]:
    hints = []
    if scale is not None:
        low, high = scale / (1 + tolerance), scale * (1 + tolerance)
        hints += ["--scale-units", "arcsecperpix"]
        hints += ["--scale-low", f"{low:.6g}", "--scale-high", f"{high:.6g}"]
    if ra_deg is not None and dec_deg is not None:
        hints += ["--ra", f"{ra_deg:.6f}", f"--dec={dec_deg:.6f}", "--radius", f"{radius_deg:g}"]
    return hints


def _write_stars(stars: pl.DataFrame, path: Path) -> None:
    """Write the table of positions the program reads; FITS pixels begin at 1."""
    columns = [
        fits.Column(name="X", format="D", array=stars["x_pix"].to_numpy() + 1),
        fits.Column(name="Y", format="D", array=stars["y_pix"].to_numpy() + 1),
        fits.Column(name="FLUX", format="D", array=stars["flux_adu"].to_numpy()),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)


def _run(command: list[str], folder: Path, timeout_s: float, index_folder) -> str:
    """Run the program as a process group of its own and give back what it printed."""
    if index_folder is not None:
        config = folder / "engine.cfg"
        config.write_text(f"add_path {Path(index_folder).resolve()}\nautoindex\n")
        command += ["--config", str(config)]
    command += ["--x-column", "X", "--y-column", "Y", "--sort-column", "FLUX"]
    command += ["--no-plots", "--overwrite", "--crpix-center", "--dir", str(folder)]
    command += ["--temp-dir", str(folder), "--corr", str(folder / "stars.corr")]
    for unwanted in ("--new-fits", "--rdls", "--match", "--solved", "--index-xyls"):
        command += [unwanted, "none"]
    process = subprocess.Popen(
        [*command, str(folder / "stars.xyls")],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=timeout_s)[0]
    except subprocess.TimeoutExpired as error:
        raise RegistrationError(
            f"solve-field: no solution within {timeout_s:g} s, stopped. Give a scale and a "
            "position hint, or more time."
        ) from error
    finally:
        # also on Ctrl-C: the program leaves children behind
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _refusal(log: str, n_star: int, timeout_s: float, options: list[str]) -> str:
    hints = " ".join(options[8:]) or "no hints"
    if "You must list at least one index" in log or "No index files" in log.title():
        return f"solve-field found no index files. {INSTALL}"
    if "did not solve" in log or "Did not solve" in log:
        return (
            f"solve-field: {n_star} stars match no part of the sky ({hints}). Index files may not "
            "reach down to this field of view (they help from about twice their scale), or the "
            "hints are off."
        )
    last = " | ".join(line for line in log.strip().splitlines()[-3:])
    return f"solve-field gave no solution for {n_star} stars within {timeout_s:g} s: {last}"


def _read_cards(path: Path) -> list[list]:
    try:
        header = fits.getheader(path)
    except OSError as error:
        raise RegistrationError(f"solve-field: its solution cannot be read ({error}).") from error
    return [[card.keyword, card.value] for card in header.cards if card.keyword not in REMARKS]


def _read_pairs(path: Path) -> NDArray | None:
    """Read the stars the solution rests on, beside those of the index."""
    return np.asarray(fits.getdata(path, 1)) if path.is_file() else None


def _refined(
    wcs: WCS, pairs: NDArray | None, n_x_pix: int, n_y_pix: int, *, sip_order: int
) -> Solution:
    """Fit the pairs again without the wrong ones among them, which the program keeps."""
    if pairs is None or pairs.size == 0:
        return Solution(wcs, None if pairs is None else 0, None)
    pixels = pairs["field_x"] - 1, pairs["field_y"] - 1  # FITS pixels begin at 1
    sky_deg = pairs["index_ra"], pairs["index_dec"]
    plate = fit_plate(wcs, pixels, sky_deg, n_x_pix, n_y_pix, max_sip_order=sip_order)
    if plate is not None:
        return Solution(plate.wcs, plate.n_star, plate.rms_arcsec)
    distance_deg = separation_deg(*sky_positions(wcs, *pixels), *sky_deg)
    return Solution(wcs, len(pairs), float(3600 * np.sqrt(np.mean(distance_deg**2))))


def _believed(cards, n_x_pix, n_y_pix, scale, ra_deg, dec_deg, radius_deg) -> WCS:  # noqa: PLR0917
    pointing = None if ra_deg is None or dec_deg is None else (ra_deg, dec_deg)
    verdict = trusted_wcs(
        cards,
        n_x_pix,
        n_y_pix,
        scale_hint_arcsec_per_pix=scale,
        pointing_deg=pointing,
        pointing_tolerance_deg=2 * radius_deg,
    )
    if verdict.wcs is None:
        raise RegistrationError(f"solve-field: solution refused: {verdict.reason}.")
    return verdict.wcs
