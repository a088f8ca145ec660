"""Which frames a stack is made of, and how each is scaled."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import duckdb
import polars as pl

from ...errors import NotFoundError, RegistrationError
from ...warehouse.store import shipped
from ..reproject import Kernel
from ..stack import Rule
from ..transparency import flux_factors

# Raise it when the numbers a recipe gives change: stacks made before are then made anew.
STACK_VERSION = 1

Sky = Literal["mesh", "plane"]


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What a stack will be made of.

    `frames` has the rows of the query `stack_frames` with flux_factor, flux_factor_scatter, n_star
    and reason: why a frame is left out, null if it is not.
    """

    field: dict[str, Any]
    band: str | None
    night: date | None
    sky: Sky
    rule: Rule
    kernel: Kernel
    reference_frame_id: int
    frames: pl.DataFrame
    recipe: str


def plan_stack(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    band: str | None,
    *,
    night: date | None = None,
    sky: Sky = "mesh",
    rule: Rule = "clipped mean",
    kernel: Kernel = "bilinear",
) -> StackPlan:
    """Choose the frames of a stack and the light they are scaled to.

    Parameters
    ----------
    sky
        What is taken off each frame: its mesh, or a plane, which leaves extended objects whole.

    Raises
    ------
    NotFoundError
        The field has no frames of that band or night; those it has are told.
    RegistrationError
        No frame of these lies on the field.
    """
    offered = shipped(con, "stack_frames", field_id=field_id, band=band, night=night)
    if offered.is_empty():
        raise NotFoundError(_no_frames(con, field_id, band, night))
    known = con.table("field_reference").filter(f"field_id = {int(field_id)}").pl()
    usable = offered.filter(pl.col("method").is_not_null() & pl.col("is_calibrated"))
    if known.is_empty() or usable.is_empty():
        raise RegistrationError(
            f"field {field_id}, band {band}: none of {offered.height} frames was laid on the "
            "field, so none can be stacked. `starmuster run` tries again; table failure tells why."
        )
    fluxes = shipped(con, "stack_fluxes", field_id=field_id, band=band, night=night)
    field = known.row(0, named=True) | _named(con, field_id)
    reference = _reference_frame(usable, fluxes, field["reference_frame_id"])
    factors = _alone(reference) if usable.height == 1 else flux_factors(fluxes, reference)
    frames = offered.join(factors, on="frame_id", how="left").with_columns(reason=_reason())
    recipe = _recipe(field, frames, (sky, rule, kernel))
    return StackPlan(field, band, night, sky, rule, kernel, reference, frames, recipe)


def stored_stack(con: duckdb.DuckDBPyConnection, plan: StackPlan) -> dict[str, Any] | None:
    """Return the row of the stack of the same field, band, night and sky, if there is one."""
    rows = con.table("stack").filter(f"field_id = {int(plan.field['field_id'])}").pl()
    same = rows.filter(
        pl.col("band").eq_missing(pl.lit(plan.band, pl.String)),
        pl.col("night").eq_missing(pl.lit(plan.night, pl.Date)),
        pl.col("sky") == plan.sky,
    )
    return same.row(0, named=True) if same.height else None


def _reason() -> pl.Expr:
    """Say why a frame is left out; null where nothing speaks against it."""
    return (
        pl.when(pl.col("method").is_null())
        .then(pl.lit("it was not laid on its field"))
        .when(~pl.col("is_calibrated"))
        .then(pl.lit("it was not measured"))
        .when(pl.col("method") == "wcs")
        .then(pl.lit("its place is the header's, which no stars confirmed"))
        .when(pl.col("flux_factor").is_null())
        .then(pl.lit("too few clean bright stars in common with the other frames"))
        .when(pl.col("fwhm_pix").is_null() | (pl.col("sky_rms_adu") <= 0).fill_null(value=True))
        .then(pl.lit("its seeing or its sky could not be measured"))
    )


def _alone(frame_id: int) -> pl.DataFrame:
    """Give the factor of a frame that is compared with none."""
    return pl.DataFrame(
        {"frame_id": [frame_id], "flux_factor": [1.0], "flux_factor_scatter": None, "n_star": 0},
        schema={
            "frame_id": pl.Int32,
            "flux_factor": pl.Float64,
            "flux_factor_scatter": pl.Float64,
            "n_star": pl.Int32,
        },
    )


def _reference_frame(usable: pl.DataFrame, fluxes: pl.DataFrame, field_reference: int) -> int:
    """Choose whose light counts: the field's reference frame, else the one with most stars."""
    ids = usable["frame_id"].to_list()
    if field_reference in ids:
        return field_reference
    counts = dict(fluxes.group_by("frame_id").len().iter_rows())
    return max(ids, key=lambda frame_id: (counts.get(frame_id, 0), -frame_id))


def _named(con: duckdb.DuckDBPyConnection, field_id: int) -> dict[str, Any]:
    row = con.table("field").filter(f"field_id = {int(field_id)}").project("field_name").fetchone()
    return {"field_name": row[0] if row else None}


def _no_frames(
    con: duckdb.DuckDBPyConnection, field_id: int, band: str | None, night: date | None
) -> str:
    visits = con.sql("from field_frame join frame using (frame_id)")
    rows = visits.filter(f"field_id = {int(field_id)}").project("band, night").distinct()
    seen = ", ".join(f"{row[0]} on {row[1]}" for row in rows.order("night, band").fetchall())
    when = f" on {night}" if night else ""
    return f"field {field_id} has no frames in band {band}{when}; there are: {seen or 'none'}."


def _recipe(field: dict[str, Any], frames: pl.DataFrame, options: tuple[str, ...]) -> str:
    """Return the fingerprint of all that decides the pixels of a stack."""
    columns = (
        *("content_hash", "reason", "x_coefficient", "y_coefficient", "flux_factor"),
        *("bias_master_id", "dark_master_id", "flat_master_id", "gain_e_per_adu"),
        *("sky_rms_adu", "fwhm_pix"),
    )
    rows = frames.select(columns).rows()
    shape = field["n_x_pix"], field["n_y_pix"]
    text = json.dumps([STACK_VERSION, options, shape, field["cards"], rows])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
