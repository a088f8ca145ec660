"""The step that puts fields on the sky: their reference frame is solved, their stars get places."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from astropy import units as u
from astropy.wcs import WCS
from cdshealpix.nested import lonlat_to_healpix

from ...errors import RegistrationError
from ...warehouse.runs import Run
from ..astrometry import carried_wcs, transferred_wcs, wcs_from_cards, wcs_row
from ..astrometry import sky_positions as places_on_sky
from ..plate import NothingToTryError, Plate, solve_plate
from ..registration import Registration
from ..solver import Solution
from .plate_tasks import FieldPlate, field_plates

HEALPIX_ORDER = 29

Say = Callable[[str], None]


def solve_fields(run: Run, *, jobs: int, say: Say, of_field: int | None = None) -> int:
    """Solve the reference frame of every field that has no confirmed place on the sky.

    What was tried and failed is tried again when there is something new to try: a solver, index
    files, a catalogue, more stars, a frame that is on the sky by itself, another reference frame.
    Nothing is measured anew: the stars of the field get sky positions, and the frames that lie on
    it a solution.

    Parameters
    ----------
    of_field
        Solve this field only, even if it has a solution.

    Returns
    -------
    Number of fields that got a place on the sky.
    """
    plates = field_plates(run.warehouse, of_field=of_field)
    if not plates:
        return 0
    n_solved = 0
    with ThreadPoolExecutor(jobs) as pool:  # the work is in processes of the solver's own
        for one, tried in zip(plates, pool.map(_tried, plates), strict=True):
            other = _by_other_frame(run, one) if isinstance(tried, RegistrationError) else None
            n_solved += _store(run, one, other or tried, say=say)
    return n_solved


def _tried(one: FieldPlate) -> Plate | RegistrationError:
    try:
        return solve_plate(one.task)
    except RegistrationError as error:
        return error


def _by_other_frame(run: Run, one: FieldPlate) -> Plate | None:
    """Take over the place of a frame that lies on the field and is on the sky by itself."""
    laid = _registered(run, one.field_id).filter(
        pl.col("method_of_wcs").is_not_null() & (pl.col("n_star") > 0)
    )
    for row in laid.sort("n_star", descending=True).to_dicts():
        try:
            wcs = transferred_wcs(wcs_from_cards(row["cards"]), _laid(row), *one.task.shape)
        except RegistrationError:
            continue
        told = (
            f"carried over from frame {row['frame_id']}, whose place is by {row['method_of_wcs']}"
        )
        is_header = row["method_of_wcs"] == "header"
        return Plate(Solution(wcs, None, None), "header" if is_header else "field", None, told)
    return None


def _store(run: Run, one: FieldPlate, found: Plate | RegistrationError, *, say: Say) -> int:
    """Store a solution with all that follows from it, or that there is none."""
    if isinstance(found, RegistrationError):
        if not isinstance(found, NothingToTryError):
            run.fail("solving", one.task.name, found, frame_id=one.task.frame_id)
        run.store("solving", {"product": _product(one, "failed")})
        say(f"field {one.field_id}: not on the sky: {found}")
        return 0
    wcs, row = found.solution.wcs, plate_row(found, one.task.frame_id, one.task.shape)
    with run.warehouse.reading() as con:
        of_field = f"field_id = {int(one.field_id)}"
        field = con.table("field").filter(of_field).pl()
        detected = con.table("detection").filter(of_field).project("source_id").pl()
        # the others get their places with their detections, by the step that settles who is who
        sources = con.table("source").filter(of_field).pl().join(detected, "source_id", "anti")
    laid = _registered(run, one.field_id).filter(
        pl.col("method_of_wcs").is_null() | (pl.col("method_of_wcs") == "field")
    )
    tables = {
        "wcs": pl.concat([row, *_carried(wcs, laid)], how="diagonal"),
        "field": field.with_columns(
            is_on_sky=pl.lit(value=True),
            scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
            scale_source=pl.lit("wcs"),
        ),
        "product": _product(one, "done"),
    }
    if sources.height:
        tables["source"] = placed(sources, wcs)
    if found.solution.residuals is not None:
        tables["wcs_residual"] = found.solution.residuals.with_columns(
            frame_id=pl.lit(one.task.frame_id)
        )
    run.store("solving", tables)
    say(f"field {one.field_id}: on the sky by {in_words(found)}")
    return 1


def plate_row(found: Plate, frame_id: int, shape: tuple[int, int]) -> pl.DataFrame:
    """Return the row of table `wcs` of a solved frame."""
    solution = found.solution
    return wcs_row(
        solution.wcs,
        *shape,
        method=found.method,
        n_star=solution.n_star,
        rms_arcsec=solution.rms_arcsec,
    ).with_columns(
        frame_id=pl.lit(frame_id, pl.Int32),
        catalogue_name=pl.lit(found.catalogue_name, pl.String),
        verdict=pl.lit(found.verdict),
    )


def in_words(found: Plate) -> str:
    """Say how a frame was solved, and how well."""
    solution = found.solution
    parts = [found.catalogue_name if found.method == "catalogue" else found.method]
    if solution.n_star is not None:
        parts.append(f"{solution.n_star} stars")
    if solution.rms_arcsec is not None:
        parts.append(f'rms {solution.rms_arcsec:.2f}"')
    return f"{', '.join(filter(None, parts))}; {found.verdict}"


def placed(sources: pl.DataFrame, wcs: WCS) -> pl.DataFrame:
    """Give sources (x_pix, y_pix on the field) the sky positions that a WCS tells."""
    ra_deg, dec_deg = places_on_sky(wcs, sources["x_pix"], sources["y_pix"])
    cell = lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg, HEALPIX_ORDER)
    return sources.with_columns(
        ra_deg=pl.Series(ra_deg).fill_nan(None),
        dec_deg=pl.Series(dec_deg).fill_nan(None),
        healpix=pl.Series(np.asarray(cell).astype(np.int64)),
    )


def _registered(run: Run, field_id: int) -> pl.DataFrame:
    """Return the registrations of a field's frames, the frames' sizes, and their solutions."""
    with run.warehouse.reading() as con:
        return con.table("registered_plate").filter(f"field_id = {int(field_id)}").pl()


def _laid(row: dict) -> Registration:
    x, y = tuple(row["x_coefficient"]), tuple(row["y_coefficient"])
    return Registration(row["degree"], x, y, row["n_star"], row["rms_pix"])


def _carried(wcs: WCS, laid: pl.DataFrame) -> list[pl.DataFrame]:
    """Carry the solution of a field to the frames that already lie on it by stars.

    Without stars are the reference frame itself, and places that only a header tells.
    """
    rows: list[pl.DataFrame] = []
    for row in laid.filter(pl.col("n_star") > 0).to_dicts():
        shape = row["n_x_pix"], row["n_y_pix"]
        try:
            carried = carried_wcs(wcs, _laid(row), *shape)
        except RegistrationError:
            continue  # its stars are known by the registration all the same
        found = wcs_row(carried, *shape, method="field", n_star=row["n_star"])
        rows.append(found.with_columns(frame_id=pl.lit(row["frame_id"], pl.Int32)))
    return rows


def _product(one: FieldPlate, state: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "frame_id": [one.task.frame_id],
            "step": ["solving"],
            "recipe": [one.recipe],
            "state": [state],
        },
        schema_overrides={"frame_id": pl.Int32},
    )
