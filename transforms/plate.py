"""The place of a frame on the sky, from whatever can tell: known stars, a solver, its header."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from astropy.wcs import WCS

from ..errors import RegistrationError
from .astrometry import orientation, pixel_positions, sky_positions
from .catalogue_plate import solve_with_catalogue
from .header_wcs import Verdict, trusted_wcs
from .solver import Hints, Solution, is_solver_installed, solve_field

CATALOGUE_TIMEOUT_S = 60.0  # where the solver has none
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
    index_folder
        Folder of its index files; None: where it would look for them.
    catalogue, catalogue_name
        ra_deg, dec_deg, rank_mag of stars around its pointing at its epoch; None: none at hand.
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
    catalogue: pl.DataFrame | None = None
    catalogue_name: str | None = None

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


class NothingToTryError(RegistrationError):
    """No solver, no catalogue and no header: no fault of the frame."""


def solve_plate(task: PlateTask) -> Plate:
    """Find the place of a frame on the sky.

    A catalogue at hand comes first, then the solver; the header's own WCS is judged by what was
    found. Where nothing else tells, a plausible header is taken, and the verdict says that
    nothing confirmed it.

    Raises
    ------
    NothingToTryError
        There is neither catalogue nor solver nor header.
    RegistrationError
        With the reason of everything that was tried.
    """
    header = header_verdict(task)
    errors: list[RegistrationError] = []
    for method in ("catalogue", "solve-field"):
        try:
            found = _by_catalogue if method == "catalogue" else _by_solver
            solution = found(task, header.wcs)
        except RegistrationError as error:
            errors.append(error)
            continue
        told = [compared(header, solution.wcs, *task.shape), solution.remark]
        origin = task.catalogue_name if method == "catalogue" else "index files"
        return Plate(solution, method, origin, "; ".join(filter(None, told)))
    why = " ".join(map(str, errors))
    if header.wcs is None:
        is_idle = all(isinstance(error, NothingToTryError) for error in errors)
        kind = NothingToTryError if is_idle else RegistrationError
        raise kind(f"{task.name}: {why} Header: {header.reason}.")
    return Plate(Solution(header.wcs, None, None), "header", None, f"header not confirmed: {why}")


def header_verdict(task: PlateTask) -> Verdict:
    """Judge the WCS of the header by itself."""
    pointing = None if task.ra_deg is None or task.dec_deg is None else (task.ra_deg, task.dec_deg)
    return trusted_wcs(
        json.loads(task.header),
        *task.shape,
        scale_hint_arcsec_per_pix=task.scale_arcsec_per_pix,
        pointing_deg=pointing,
    )


def _by_catalogue(task: PlateTask, header: WCS | None) -> Solution:
    if task.catalogue is None:
        raise NothingToTryError("No catalogue of this place was imported.")
    return solve_with_catalogue(
        task.stars,
        task.catalogue,
        *task.shape,
        hints=hints_of(task, header),
        header=header,
        timeout_s=task.timeout_s or CATALOGUE_TIMEOUT_S,
    )


def _by_solver(task: PlateTask, header: WCS | None) -> Solution:
    if task.timeout_s is None:
        raise NothingToTryError("The solver is switched off (registration.solve).")
    if not is_solver_installed():
        raise NothingToTryError("The solver is not installed; `starmuster doctor` tells how.")
    return solve_field(
        task.stars,
        *task.shape,
        hints=hints_of(task, header),
        timeout_s=task.timeout_s,
        index_folder=task.index_folder,
    )


def hints_of(task: PlateTask, header: WCS | None) -> Hints:
    """Take what the telescope said; where it said nothing, a plausible header."""
    scale, ra, dec = task.scale_arcsec_per_pix, task.ra_deg, task.dec_deg
    if header is not None:
        if scale is None:
            scale = orientation(header, *task.shape).scale_arcsec_per_pix
        if ra is None or dec is None:
            x, y = (task.n_x_pix - 1) / 2, (task.n_y_pix - 1) / 2
            (ra,), (dec,) = (values.tolist() for values in sky_positions(header, [x], [y]))
    return Hints(scale, ra_deg=ra, dec_deg=dec)


def compared(header: Verdict, wcs: WCS, n_x_pix: int, n_y_pix: int) -> str:
    """Say what became of a header's WCS now that the truth is known."""
    if header.wcs is None:
        return f"header refused: {header.reason}"
    off_pix = _distance_pix(header.wcs, wcs, n_x_pix, n_y_pix)
    if off_pix is None:
        return "header replaced: it shows another piece of sky"
    if off_pix > AGREES_PIX:
        return f"header replaced: up to {off_pix:.3g} pix off"
    return f"header agrees within {off_pix:.2g} pix"


def _distance_pix(one: WCS, other: WCS, n_x_pix: int, n_y_pix: int) -> float | None:
    """Largest distance of two solutions over the corners and the centre of a frame."""
    right, top = n_x_pix - 1.0, n_y_pix - 1.0
    x, y = [0.0, right, 0.0, right, right / 2], [0.0, 0.0, top, top, top / 2]
    x_there, y_there = pixel_positions(one, *sky_positions(other, x, y))
    off_pix = float(np.hypot(x_there - x, y_there - y).max())
    return off_pix if np.isfinite(off_pix) else None
