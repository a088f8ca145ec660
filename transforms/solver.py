"""Plate solution by the external program solve-field, in two passes."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ..errors import RegistrationError
from .astrometry import orientation, separation_deg, sky_positions
from .header_wcs import trusted_wcs
from .index_files import INSTALL, IndexFile, index_files, reach_text, solver_program
from .plate_fit import fit_plate, plate_residuals
from .solver_process import Answer, UnsolvedError, call_solver

N_BRIGHT = 300  # stars of the first pass
FIRST_SIP_ORDER, SIP_ORDER = 2, 3
SCALE_ERROR = 1.25  # by which a scale may be off before the index files are looked at for it
MIN_STAR = 4  # of which a quad is made


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a frame before it is solved; None: nothing.

    Attributes
    ----------
    scale_arcsec_per_pix, scale_tolerance
        Scale, and by what fraction it may be off.
    ra_deg, dec_deg, radius_deg
        Centre, and how far off it may be.
    """

    scale_arcsec_per_pix: float | None = None
    scale_tolerance: float = 0.1
    ra_deg: float | None = None
    dec_deg: float | None = None
    radius_deg: float = 3.0

    @property
    def pointing_deg(self) -> tuple[float, float] | None:
        """RA and Dec of the centre."""
        if self.ra_deg is None or self.dec_deg is None:
            return None
        return self.ra_deg, self.dec_deg

    @property
    def options(self) -> list[str]:
        """The hints as the program wants them."""
        options: list[str] = []
        if self.scale_arcsec_per_pix is not None:
            ratio = 1 + self.scale_tolerance
            low, high = self.scale_arcsec_per_pix / ratio, self.scale_arcsec_per_pix * ratio
            options += ["--scale-units", "arcsecperpix"]
            options += ["--scale-low", f"{low:.6g}", "--scale-high", f"{high:.6g}"]
        if self.pointing_deg is not None:
            ra, dec = self.pointing_deg
            options += ["--ra", f"{ra:.6f}", f"--dec={dec:.6f}", "--radius", f"{self.radius_deg:g}"]
        return options


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Solution:
    """A plate solution.

    Attributes
    ----------
    wcs
        Celestial WCS, TAN, with SIP distortion where the stars show one.
    n_star
        Stars of known place that agree with it; None if the program did not list them.
    rms_arcsec
        Their root mean square distance, arcsec; None likewise.
    residuals
        Rows of `wcs_residual`, the frame's number apart; None likewise.
    remark
        What else is to be told: hints that were wrong, a second pass that failed.
    """

    wcs: WCS
    n_star: int | None
    rms_arcsec: float | None
    residuals: pl.DataFrame | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class _Job:
    """What all calls of the program for one frame have in common."""

    program: str
    shape: tuple[int, int]
    files: tuple[IndexFile, ...]
    deadline_s: float
    folder: Path

    def call(self, name: str, stars: pl.DataFrame, options: Sequence[str]) -> Answer:
        place = self.folder / name
        place.mkdir(exist_ok=True)
        size = ["--width", str(self.shape[0]), "--height", str(self.shape[1])]
        return call_solver(
            self.program,
            stars,
            [*size, *options],
            files=self.files,
            folder=place,
            timeout_s=max(self.left_s, 0.1),
        )

    @property
    def left_s(self) -> float:
        return self.deadline_s - time.monotonic()


def is_solver_installed() -> bool:
    """Tell whether solve-field is on the path."""
    return solver_program() is not None


def solve_field(
    stars: pl.DataFrame,
    n_x_pix: int,
    n_y_pix: int,
    *,
    hints: Hints = NO_HINTS,
    timeout_s: float = 60.0,
    index_folder: str | os.PathLike[str] | None = None,
) -> Solution:
    """Solve a frame from the positions of its stars, in two passes and within a time limit.

    The first pass searches with the bright stars and the hints, and once more without the hints if
    they lead nowhere; the second verifies what was found with all stars and a distortion of
    third order. The pairs of stars it tells are then fitted again without the wrong ones.

    Parameters
    ----------
    stars
        Columns x_pix, y_pix (0-based), flux_adu.
    n_x_pix, n_y_pix
        Size of the frame, pixels.
    timeout_s
        For all passes together; after this the program and all its children are killed.
    index_folder
        Folder of index files; None: those the program would look for. Damaged ones, and those
        whose quads do not fit into the frame, are not given to the program.

    Raises
    ------
    RegistrationError
        Not installed, too few stars, no index files for this field of view, no solution, out of
        time, or a solution that contradicts the hints it was found with.

    References
    ----------
    Lang et al. 2010, AJ 139, 1782.
    """
    program = solver_program()
    if program is None:
        raise RegistrationError(f"solve-field is not installed. {INSTALL}")
    stars = stars.drop_nulls(["x_pix", "y_pix", "flux_adu"]).sort("flux_adu", descending=True)
    if stars.height < MIN_STAR:
        raise RegistrationError(
            f"plate solution: {stars.height} stars seen, at least {MIN_STAR} needed."
        )
    files = _helpful(index_files(index_folder), n_x_pix, n_y_pix, hints)
    with tempfile.TemporaryDirectory(prefix="starmuster-solve-") as name:
        deadline_s = time.monotonic() + timeout_s
        job = _Job(program, (n_x_pix, n_y_pix), files, deadline_s, Path(name))
        answer, wcs, remark = _first_pass(job, stars.head(N_BRIGHT), hints)
        return _second_pass(job, stars, answer, wcs, remark)


def _helpful(
    files: Sequence[IndexFile], n_x_pix: int, n_y_pix: int, hints: Hints
) -> tuple[IndexFile, ...]:
    """Choose the index files that can solve a frame of this size; raise where none can."""
    good = [file for file in files if file.defect is None]
    defects = "; ".join(file.defect for file in files if file.defect is not None)
    if not good:
        raise RegistrationError(f"solve-field found no index files. {defects or INSTALL}")
    if hints.scale_arcsec_per_pix is None:
        return tuple(good)
    width_arcmin = hints.scale_arcsec_per_pix * max(n_x_pix, n_y_pix) / 60
    widths = (width_arcmin / SCALE_ERROR, width_arcmin, width_arcmin * SCALE_ERROR)
    helpful = tuple(file for file in good if any(file.helps(width) for width in widths))
    if not helpful:
        raise RegistrationError(
            f"solve-field: the frame is {width_arcmin:.3g} arcmin wide, and there are "
            f"{reach_text(good)}. {defects + '; ' if defects else ''}"
            "`starmuster doctor` tells which to install."
        )
    return helpful


def _first_pass(job: _Job, stars: pl.DataFrame, hints: Hints) -> tuple[Answer, WCS, str]:
    """Find the frame on the sky; tell what was wrong with the hints."""
    options = ["--no-verify", "--tweak-order", str(FIRST_SIP_ORDER)]
    try:
        answer = job.call("hinted", stars, [*options, *hints.options])
    except UnsolvedError:
        if not hints.options or job.left_s < 1:
            raise
        answer = job.call("blind", stars, options)
        wcs = _believed(answer, job.shape, NO_HINTS)
        return answer, wcs, f"the hints were wrong: {_contradiction(wcs, job.shape, hints)}"
    return answer, _believed(answer, job.shape, hints), ""


def _second_pass(job: _Job, stars: pl.DataFrame, answer: Answer, wcs: WCS, remark: str) -> Solution:
    """Verify a solution with all stars; keep the first one where that does not succeed."""
    first = job.folder / "first.wcs"
    fits.PrimaryHDU(header=wcs.to_header(relax=True)).writeto(first)
    near = _seen_hints(wcs, job.shape)
    options = ["--verify", str(first), "--tweak-order", str(SIP_ORDER), *near.options]
    try:
        verified = job.call("verified", stars, options)
        wcs, answer = _believed(verified, job.shape, near), verified
    except RegistrationError as error:
        remark = "; ".join(filter(None, [remark, f"not verified by all stars ({error})"]))
    return replace(_refined(wcs, answer.pairs, job.shape), remark=remark)


def _seen_hints(wcs: WCS, shape: tuple[int, int]) -> Hints:
    """Make hints of a solution, for whoever looks there again."""
    ra, dec = sky_positions(wcs, [(shape[0] - 1) / 2], [(shape[1] - 1) / 2])
    scale = orientation(wcs, *shape).scale_arcsec_per_pix
    return Hints(scale, 0.02, float(ra[0]), float(dec[0]), radius_deg=0.5)


def _contradiction(wcs: WCS, shape: tuple[int, int], hints: Hints) -> str:
    seen = _seen_hints(wcs, shape)
    found: list[str] = []
    if hints.scale_arcsec_per_pix is not None:
        found.append(
            f"scale {hints.scale_arcsec_per_pix:.4g} arcsec/pix given, "
            f"{seen.scale_arcsec_per_pix:.4g} found"
        )
    if hints.pointing_deg is not None and seen.pointing_deg is not None:
        off_deg = float(separation_deg(*hints.pointing_deg, *seen.pointing_deg))
        found.append(f"centre {off_deg:.3g} degrees off")
    return ", ".join(found)


def _refined(wcs: WCS, pairs: NDArray | None, shape: tuple[int, int]) -> Solution:
    """Fit the pairs again without the wrong ones among them, which the program keeps."""
    if pairs is None or pairs.size == 0:
        return Solution(wcs, None if pairs is None else 0, None)
    pixels = pairs["field_x"] - 1, pairs["field_y"] - 1  # FITS pixels begin at 1
    sky_deg = pairs["index_ra"], pairs["index_dec"]
    plate = fit_plate(wcs, pixels, sky_deg, *shape, max_sip_order=SIP_ORDER)
    if plate is not None:
        residuals = plate_residuals(plate.wcs, pixels, sky_deg, plate.used)
        return Solution(plate.wcs, plate.n_star, plate.rms_arcsec, residuals)
    distance_deg = separation_deg(*sky_positions(wcs, *pixels), *sky_deg)
    rms_arcsec = float(3600 * np.sqrt(np.mean(distance_deg**2)))
    residuals = plate_residuals(wcs, pixels, sky_deg, np.ones(len(pairs), dtype=bool))
    return Solution(wcs, len(pairs), rms_arcsec, residuals)


def _believed(answer: Answer, shape: tuple[int, int], hints: Hints) -> WCS:
    verdict = trusted_wcs(
        answer.cards,
        *shape,
        scale_hint_arcsec_per_pix=hints.scale_arcsec_per_pix,
        pointing_deg=hints.pointing_deg,
        pointing_tolerance_deg=2 * hints.radius_deg,
    )
    if verdict.wcs is None:
        raise RegistrationError(f"solve-field: solution refused: {verdict.reason}.")
    return verdict.wcs
