"""Isochrones: the command `import isochrones`, and what is stored of their fits."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LockedError, UsageError
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    from ..analysis.colour_magnitude import Diagram
    from ..analysis.isochrone_fit import IsochroneFit
    from ..ingest.isochrone_store import Stored
    from ..warehouse.store import Warehouse


def import_isochrones(*files: Path) -> int:
    """Import isochrones of MIST from text as published, in any photometric system.

    A file may hold several ages; several files of other metallicities, rotations and systems make
    a grid. The same file again changes nothing; one bad file stores nothing.

    Parameters
    ----------
    files
        Files `.iso.cmd` (with magnitudes) or `.iso` (without).
    """
    from ..ingest.isochrone_store import store_isochrones
    from .ingesting import open_run

    if not files:
        raise UsageError("import isochrones: no file given; name a .iso.cmd of MIST.")
    warehouse = SESSION.warehouse()
    with open_run(warehouse) as current:
        stored = store_isochrones(current, list(files))
    grids = warehouse.query("isochrone_grids")
    if SESSION.as_json:
        SESSION.answer({"files": [_document(one) for one in stored], "grids": plain_rows(grids)})
        return 0
    for one in stored:
        SESSION.tell(_line(one))
    SESSION.table(grids, title="isochrones at hand")
    return 0


def _document(stored: "Stored") -> dict[str, object]:
    return {
        "file": str(stored.path),
        "is_new": stored.grid_id is not None,
        "grid": stored.found.grid_name,
        "is_synthetic": stored.found.is_synthetic,
        "isochrones": stored.found.n_isochrone,
        "points": stored.found.points.height,
        "bands": plain_rows(stored.found.bands),
    }


def _line(stored: "Stored") -> str:
    found = stored.found
    if stored.grid_id is None:
        return f"{stored.path.name}: imported before, nothing is new"
    kind = "synthetic, no model of stars" if found.is_synthetic else found.grid_name
    bands = ", ".join(f"{band} ({system})" for _, _, band, system in found.bands.iter_rows())
    return (
        f"{stored.path.name}: {kind}, {found.n_isochrone} isochrones, {found.points.height} "
        f"points; {bands or 'no magnitudes: it cannot be drawn, import the .iso.cmd, too'}"
    )


def store_fit(warehouse: "Warehouse", diagram: "Diagram", fit: "IsochroneFit") -> None:
    """Store a fit, unless the same one is stored."""
    from datetime import UTC, datetime

    import polars as pl

    from ..analysis.cmd_isochrones import fit_row, what_limits
    from ..warehouse.packages import conform
    from .ingesting import open_run

    now = datetime.now(UTC).replace(tzinfo=None)
    numbers = {"isochrone_fit_id": 0, "fitted_utc": now}
    rows = pl.DataFrame([fit_row(diagram, fit, what_limits(diagram, fit)) | numbers])
    row = conform("isochrone_fit", rows)
    same = [name for name in row.columns if name not in numbers]
    with warehouse.reading() as con:
        stored = con.table("isochrone_fit").pl()
    if row.join(stored, on=same, how="anti", nulls_equal=True).is_empty():
        return
    try:
        with open_run(warehouse) as current:
            number = pl.lit(current.next_id("isochrone_fit"))
            current.store(
                "isochrone-fit", {"isochrone_fit": row.with_columns(isochrone_fit_id=number)}
            )
    except LockedError as error:
        SESSION.say(f"the fit was not stored: {error}")
