"""The command that draws finding charts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from ..errors import NotFoundError, StarmusterError
from .answering import find_field
from .pictures import read_stack
from .session import SESSION

if TYPE_CHECKING:
    from ..warehouse.store import Warehouse

N_LABEL = 40  # stars of a finding chart with their numbers


def register(app: App) -> None:
    """Add the command of this module."""
    app.command(chart)


def chart(
    field: str,
    /,
    *,
    target: str | None = None,
    label: int = N_LABEL,
    output: Path | None = None,
) -> None:
    """Draw a finding chart: the field with the numbers of its stars, north and east.

    Parameters
    ----------
    field
        Number or name of the field.
    target
        Star to be marked, as for `light-curve`; its comparison stars are marked, too.
    label
        How many of the brightest stars show their numbers.
    output
        PNG file; else one in the folder `reports`.
    """
    import polars as pl

    from ..analysis.canvas import as_png
    from ..analysis.field_charts import field_chart
    from ..analysis.stars import find_star
    from ..warehouse.store import shipped

    warehouse = SESSION.warehouse()
    field_id, field_name = find_field(warehouse, field)
    with warehouse.reading() as con:
        star = None if target is None else find_star(con, target)
        number = None if star is None else star.source_id
        stars = shipped(con, "chart_stars", field_id=field_id, target_source_id=number)
        reference = con.table("field_reference").filter(f"field_id = {field_id}").pl()
    if stars.is_empty():
        raise NotFoundError(
            f"field {field}: no stars are known yet. `starmuster run` finds them; table failure "
            "tells why it could not."
        )
    if star is not None and number not in stars["source_id"]:
        raise NotFoundError(
            f"{target} is source {number} of field {star.field_id}, not of {field}: "
            f"ask for `starmuster chart {star.field_id}`."
        )
    own = stars.filter(pl.col("source_id").eq_missing(number))
    drawn = stars.filter(pl.col("source_id").ne_missing(number)).with_row_index("rank")
    drawn = drawn.filter(pl.col("is_used").fill_null(value=False) | (pl.col("rank") < label))
    drawn = drawn.with_columns(label=pl.col("source_id").cast(pl.String))
    row = reference.row(0, named=True)
    figure = field_chart(
        drawn,
        own.select("x_pix", "y_pix").row(0) if own.height else None,
        image=_field_image(warehouse, field_id, row),
        scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
        width_in=9.0,
        title=field_name if star is None else f"{field_name}: {target}, source {number}",
        **_attitude(warehouse, row["reference_frame_id"]),
    )
    path = output or warehouse.reports / f"chart-{field_id}{f'-{number}' if number else ''}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_png(figure, dpi=200))
    if SESSION.as_json:
        SESSION.answer({"files": [path], "field": field_name, "target_source_id": number})
    SESSION.tell(f"{'wrote':>20}  {path}")


def _field_image(warehouse: "Warehouse", field_id: int, reference: dict[str, Any]):
    """Return the newest stack of a field, else its reference frame, else nothing to draw on."""
    from ..transforms.pixels import read_pixels
    from ..transforms.steps.paths import frame_paths
    from ..transforms.steps.stacks import stack_path

    with warehouse.reading() as con:
        stacks = con.table("stack").filter(f"field_id = {field_id}").order("made_utc desc").pl()
        frame_id = reference["reference_frame_id"]
        path = frame_paths(con, [frame_id])[frame_id]
    for row in stacks.to_dicts():
        file = stack_path(warehouse, row)
        if file.is_file():
            return read_stack(file)[0]
    try:
        return read_pixels(path, reference["hdu_index"])
    except StarmusterError as error:
        SESSION.say(f"no picture of the field, stars are drawn as discs: {error}")
        return None


def _attitude(warehouse: "Warehouse", frame_id: int) -> dict[str, Any]:
    with warehouse.reading() as con:
        rows = con.table("wcs").filter(f"frame_id = {int(frame_id)}")
        found = rows.project("rotation_deg, is_mirrored").pl()
    return found.row(0, named=True) if found.height else {}
