"""What is to be solved: frames with their stars, and the catalogue around them."""

from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import polars as pl

from ...warehouse.config import Registration as Settings
from ...warehouse.store import Warehouse, shipped
from ..plate import PlateTask, header_verdict, hints_of
from .paths import frame_paths

POINTING_ERROR_DEG = 0.5
RADIUS_OF_UNKNOWN_SCALE_DEG = 1.5
LEAST_CATALOGUE = 8


@dataclass(frozen=True, slots=True)
class FieldPlate:
    """A field whose reference frame is to be solved, and what it is tried with."""

    field_id: int
    recipe: str
    task: PlateTask


def field_plates(warehouse: Warehouse, *, of_field: int | None = None) -> list[FieldPlate]:
    """Prepare the fields that are pending, or one of them, pending or not."""
    view = "pending_solution" if of_field is None else "field_solution"
    with warehouse.reading() as con:
        wanted = con.table(view)
        if of_field is not None:
            wanted = wanted.filter(f"field_id = {int(of_field)}")
        rows = wanted.order("field_id").pl().to_dicts()
        paths = frame_paths(con, [row["frame_id"] for row in rows])
        return [
            FieldPlate(
                row["field_id"],
                row["recipe"],
                plate_task(
                    con,
                    row | {"path": paths[row["frame_id"]]},
                    con.table("field_star").filter(f"field_id = {int(row['field_id'])}").pl(),
                    warehouse.config.registration,
                ),
            )
            for row in rows
        ]


def plate_task(
    con: duckdb.DuckDBPyConnection, row: dict[str, Any], stars: pl.DataFrame, settings: Settings
) -> PlateTask:
    """Prepare one frame.

    Parameters
    ----------
    row
        Of table `frame`, and its path.
    stars
        x_pix, y_pix, flux_adu, flags of the stars seen on it.
    """
    inside = pl.col("x_pix").is_between(0, row["n_x_pix"] - 1) & pl.col("y_pix").is_between(
        0, row["n_y_pix"] - 1
    )  # a field has stars beyond its reference frame, too
    task = PlateTask(
        name=str(row["path"]),
        frame_id=row["frame_id"],
        n_x_pix=row["n_x_pix"],
        n_y_pix=row["n_y_pix"],
        stars=stars.filter(inside)
        .select("x_pix", "y_pix", "flux_adu", "flags")
        .sort("flux_adu", "x_pix", descending=True),
        header=row["header"],
        scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
        ra_deg=row["ra_deg"],
        dec_deg=row["dec_deg"],
        timeout_s=settings.solve_timeout_s if settings.solve else None,
        index_folder=settings.index_folder,
    )
    return _with_catalogue(con, task, row)


def _with_catalogue(
    con: duckdb.DuckDBPyConnection, task: PlateTask, row: dict[str, Any]
) -> PlateTask:
    """Add the stars of the best catalogue around the pointing, where there are enough."""
    hints = hints_of(task, header_verdict(task).wcs)
    if hints.pointing_deg is None:
        return task
    scale = hints.scale_arcsec_per_pix
    half_diagonal_deg = 0.5 * float(np.hypot(*task.shape)) * (scale or 0) / 3600
    stars = shipped(
        con,
        "field_catalogue_stars",
        ra_deg=hints.ra_deg,
        dec_deg=hints.dec_deg,
        radius_deg=half_diagonal_deg + POINTING_ERROR_DEG if scale else RADIUS_OF_UNKNOWN_SCALE_DEG,
        mid_utc=row["mid_utc"],
    )
    if stars.height < LEAST_CATALOGUE:
        return task
    return replace(task, catalogue=stars, catalogue_name=stars["catalogue_name"][0])
