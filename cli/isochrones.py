"""The command `import isochrones`."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    from ..ingest.isochrone_store import Stored


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
