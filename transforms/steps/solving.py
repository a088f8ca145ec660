"""The step that puts fields on the sky: their reference frame is solved, their stars get places."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from astropy import units as u
from astropy.wcs import WCS
from cdshealpix.nested import lonlat_to_healpix

from ...errors import RegistrationError
from ...warehouse.runs import Run
from ..astrometry import carried_wcs, sky_positions, wcs_row
from ..plate import Plate, PlateTask, solve_plate
from ..registration import Registration
from .paths import frame_paths

HEALPIX_ORDER = 29


@dataclass(frozen=True, slots=True)
class _Pending:
    """A field whose reference frame is to be solved."""

    field_id: int
    recipe: str
    task: PlateTask


def solve_fields(run: Run, *, jobs: int, say: Callable[[str], None]) -> int:
    """Solve the reference frame of every field that has no confirmed place on the sky.

    What was tried and failed is tried again when there is something new to try: a solver, index
    files, a catalogue, another reference frame. Nothing is measured anew: the stars of the field
    get sky positions, and the frames that lie on it a solution.

    Returns
    -------
    Number of fields that got a place on the sky.
    """
    pending = _pending(run)
    if not pending:
        return 0
    n_solved = 0
    with ThreadPoolExecutor(jobs) as pool:
        for one, found in zip(pending, pool.map(_tried, pending), strict=True):
            n_solved += _store(run, one, found, say=say)
    return n_solved


def _tried(one: _Pending) -> Plate | RegistrationError:
    try:
        return solve_plate(one.task)
    except RegistrationError as error:
        return error


def _pending(run: Run) -> list[_Pending]:
    settings = run.warehouse.config.registration
    with run.warehouse.reading() as con:
        rows = con.table("pending_solution").order("field_id").pl().to_dicts()
        paths = frame_paths(con, [row["frame_id"] for row in rows])
        stars = {
            row["field_id"]: con.table("field_star")
            .filter(f"field_id = {int(row['field_id'])}")
            .order("flux_adu desc, source_id")
            .pl()
            for row in rows
        }
    return [
        _Pending(
            row["field_id"],
            row["recipe"],
            PlateTask(
                name=str(paths[row["frame_id"]]),
                frame_id=row["frame_id"],
                n_x_pix=row["n_x_pix"],
                n_y_pix=row["n_y_pix"],
                stars=stars[row["field_id"]].select("x_pix", "y_pix", "flux_adu", "flags"),
                header=row["header"],
                scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
                ra_deg=row["ra_deg"],
                dec_deg=row["dec_deg"],
                timeout_s=settings.solve_timeout_s if settings.solve else None,
            ),
        )
        for row in rows
    ]


def _store(
    run: Run, one: _Pending, found: Plate | RegistrationError, *, say: Callable[[str], None]
) -> int:
    """Store a solution with all that follows from it, or that there is none."""
    if isinstance(found, RegistrationError):
        run.fail("solving", one.task.name, found, frame_id=one.task.frame_id)
        run.store("solving", {"product": _product(one, "failed")})
        say(f"field {one.field_id}: not on the sky: {found}")
        return 0
    solution = found.solution
    row = wcs_row(
        solution.wcs,
        *one.task.shape,
        method=found.method,
        n_star=solution.n_star,
        rms_arcsec=solution.rms_arcsec,
    ).with_columns(
        frame_id=pl.lit(one.task.frame_id),
        catalogue_name=pl.lit(found.catalogue_name, pl.String),
        verdict=pl.lit(found.verdict),
    )
    with run.warehouse.reading() as con:
        of_field = f"field_id = {int(one.field_id)}"
        field = con.table("field").filter(of_field).pl()
        sources = con.table("source").filter(of_field).pl()
        laid = con.sql("from registration join frame using (frame_id)").filter(of_field).pl()
    tables = {
        "wcs": pl.concat([row, *_carried(solution.wcs, laid)], how="diagonal"),
        "field": field.with_columns(
            is_on_sky=pl.lit(value=True),
            scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
            scale_source=pl.lit("wcs"),
        ),
        "source": placed(sources, solution.wcs),
        "product": _product(one, "done"),
    }
    if solution.residuals is not None:
        tables["wcs_residual"] = solution.residuals.with_columns(frame_id=pl.lit(one.task.frame_id))
    run.store("solving", tables)
    rms = "" if solution.rms_arcsec is None else f', rms {solution.rms_arcsec:.2f}"'
    stars = "" if solution.n_star is None else f", {solution.n_star} stars"
    say(f"field {one.field_id}: on the sky by {found.method}{stars}{rms}; {found.verdict}")
    return 1


def placed(sources: pl.DataFrame, wcs: WCS) -> pl.DataFrame:
    """Give sources (x_pix, y_pix on the field) the sky positions that a WCS tells."""
    ra_deg, dec_deg = sky_positions(wcs, sources["x_pix"], sources["y_pix"])
    cell = lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg, HEALPIX_ORDER)
    return sources.with_columns(
        ra_deg=pl.Series(ra_deg).fill_nan(None),
        dec_deg=pl.Series(dec_deg).fill_nan(None),
        healpix=pl.Series(np.asarray(cell).astype(np.int64)),
    )


def _carried(wcs: WCS, laid: pl.DataFrame) -> list[pl.DataFrame]:
    """Carry the solution of a field to the frames that already lie on it by stars.

    Without stars are the reference frame itself, and places that only a header tells.
    """
    rows: list[pl.DataFrame] = []
    for row in laid.filter(pl.col("n_star") > 0).to_dicts():
        x, y = tuple(row["x_coefficient"]), tuple(row["y_coefficient"])
        registration = Registration(row["degree"], x, y, row["n_star"], row["rms_pix"])
        shape = row["n_x_pix"], row["n_y_pix"]
        try:
            carried = carried_wcs(wcs, registration, *shape)
        except RegistrationError:
            continue  # its stars are known by the registration all the same
        found = wcs_row(carried, *shape, method="field", n_star=registration.n_star)
        rows.append(found.with_columns(frame_id=pl.lit(row["frame_id"], pl.Int32)))
    return rows


def _product(one: _Pending, state: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "frame_id": [one.task.frame_id],
            "step": ["solving"],
            "recipe": [one.recipe],
            "state": [state],
        },
        schema_overrides={"frame_id": pl.Int32},
    )
