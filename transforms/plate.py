"""The place of a frame on the sky, from whatever can tell: known stars, a solver, its header."""

import json
from dataclasses import dataclass

import polars as pl
from astropy.wcs import WCS

from ..errors import RegistrationError
from .astrometry import orientation, pixel_positions, sky_positions
from .header_wcs import Verdict, trusted_wcs
from .solver import Hints, Solution, is_solver_installed, solve_field

AGREES_PIX = 2.0  # a header's WCS that is no farther off than this is right


@dataclass(frozen=True, slots=True)
class PlateTask:
    """A frame to be solved.

    Attributes
    ----------
    stars
        x_pix, y_pix, flux_adu of the stars seen on it.
    header
        Its cards as JSON.
    timeout_s
        Time limit of the solver; None: it is not to be asked.
    """

    name: str
    frame_id: int
    n_x_pix: int
    n_y_pix: int
    stars: pl.DataFrame
    header: str
    scale_arcsec_per_pix: float | None
    ra_deg: float | None
    dec_deg: float | None
    timeout_s: float | None
    index_folder: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels in x and y."""
        return self.n_x_pix, self.n_y_pix


@dataclass(frozen=True, slots=True)
class Plate:
    """Where a frame is on the sky, how that was found, and what became of its header's WCS."""

    solution: Solution
    method: str
    catalogue_name: str | None
    verdict: str


def solve_plate(task: PlateTask) -> Plate:
    """Find the place of a frame on the sky.

    The solver comes first; the header's own WCS is then judged by what was found. Where nothing
    else tells, a plausible header is taken, and the verdict says that nothing confirmed it.

    Raises
    ------
    RegistrationError
        With the reason of everything that was tried.
    """
    header = header_verdict(task)
    try:
        solution = _by_solver(task, header.wcs)
    except RegistrationError as error:
        if header.wcs is None:
            raise RegistrationError(f"{task.name}: {error} Header: {header.reason}.") from error
        verdict = f"header not confirmed: {error}"
        return Plate(Solution(header.wcs, None, None), "header", None, verdict)
    verdict = "; ".join(filter(None, [_compared(header, solution.wcs, task), solution.remark]))
    return Plate(solution, "solve-field", "index files", verdict)


def header_verdict(task: PlateTask) -> Verdict:
    """Judge the WCS of the header by itself."""
    pointing = None if task.ra_deg is None or task.dec_deg is None else (task.ra_deg, task.dec_deg)
    return trusted_wcs(
        json.loads(task.header),
        *task.shape,
        scale_hint_arcsec_per_pix=task.scale_arcsec_per_pix,
        pointing_deg=pointing,
    )


def _by_solver(task: PlateTask, header: WCS | None) -> Solution:
    if task.timeout_s is None:
        raise RegistrationError("the solver is switched off (registration.solve).")
    if not is_solver_installed():
        raise RegistrationError("solve-field is not installed; `starmuster doctor` tells how.")
    return solve_field(
        task.stars,
        *task.shape,
        hints=_hints(task, header),
        timeout_s=task.timeout_s,
        index_folder=task.index_folder,
    )


def _hints(task: PlateTask, header: WCS | None) -> Hints:
    """Take what the telescope said; where it said nothing, a plausible header."""
    scale, ra, dec = task.scale_arcsec_per_pix, task.ra_deg, task.dec_deg
    if header is not None:
        if scale is None:
            scale = orientation(header, *task.shape).scale_arcsec_per_pix
        if ra is None or dec is None:
            x, y = (task.n_x_pix - 1) / 2, (task.n_y_pix - 1) / 2
            (ra,), (dec,) = (values.tolist() for values in sky_positions(header, [x], [y]))
    return Hints(scale, ra_deg=ra, dec_deg=dec)


def _compared(header: Verdict, wcs: WCS, task: PlateTask) -> str:
    """Say what became of the header's WCS now that the truth is known."""
    if header.wcs is None:
        return f"header refused: {header.reason}"
    off_pix = _distance_pix(header.wcs, wcs, task)
    if off_pix is None:
        return "header replaced: it shows another piece of sky"
    if off_pix > AGREES_PIX:
        return f"header replaced: {off_pix:.3g} pix off"
    return f"header agrees within {off_pix:.2g} pix"


def _distance_pix(one: WCS, other: WCS, task: PlateTask) -> float | None:
    """Largest distance of two solutions over the corners and the centre of a frame."""
    right, top = task.n_x_pix - 1.0, task.n_y_pix - 1.0
    x = [0.0, right, 0.0, right, right / 2]
    y = [0.0, 0.0, top, top, top / 2]
    x_there, y_there = pixel_positions(one, *sky_positions(other, x, y))
    off_pix = float(((x_there - x) ** 2 + (y_there - y) ** 2).max() ** 0.5)
    return off_pix if off_pix == off_pix else None  # noqa: PLR0124 nan: no place there
