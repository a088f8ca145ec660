"""Commands for reference catalogues: import catalogue, fetch catalogue."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ..errors import NotFoundError, UsageError
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    from ..ingest.reference_store import Imported
    from ..warehouse.runs import Run
    from ..warehouse.store import Warehouse

MARGIN = 1.2  # fetched beyond the stars of a field, in its radius: frames drift


def register(app: App) -> None:
    """Add the commands of this module that are not below `import`."""
    fetching = App(name="fetch", help="Get what others published over the network, and store it.")
    fetching.command(fetch_catalogue, name="catalogue")
    app.command(fetching)


def import_catalogue(
    file: Path,
    /,
    *,
    as_: Annotated[str, Parameter(name="--as")],
    mapping: Path | None = None,
) -> int:
    """Import a reference catalogue and match it with the stars of all fields.

    CSV, ECSV, VOTable, FITS and Parquet are read. The same file again changes nothing.

    Parameters
    ----------
    file
        The table.
    as_
        Which catalogue it is: atlas-refcat2, gaia-dr3, gaia-dr2, apass, panstarrs, sdss, 2mass,
        tycho-2, vsx; with --mapping any name.
    mapping
        TOML file that says what the columns are; see docs/catalogues.md.
    """
    from ..ingest.reference_store import import_file
    from .ingesting import open_run

    warehouse = SESSION.warehouse()
    with open_run(warehouse) as current:
        imported = import_file(current, file, as_, mapping=mapping)
        _match(current)
    _tell(warehouse, imported)
    return 0


def fetch_catalogue(
    name: str,
    /,
    *,
    field: str,
    radius: float | None = None,
) -> int:
    """Fetch the stars of a catalogue around a field from VizieR and store them.

    What was asked and when is kept, so that no analysis ever needs the network.

    Parameters
    ----------
    name
        atlas-refcat2, gaia-dr3, gaia-dr2, apass, panstarrs, sdss, 2mass, tycho-2 or vsx.
    field
        Number or name of a field.
    radius
        Radius in degrees; else that of the field's stars and a fifth more.
    """
    from ..ingest.reference_store import import_table
    from ..ingest.vizier import cone_of, fetch_cone
    from .ingesting import open_run

    warehouse = SESSION.warehouse()
    ra_deg, dec_deg, radius_deg = _circle(warehouse, field)
    cone = cone_of(name, ra_deg, dec_deg, radius or radius_deg * MARGIN)
    SESSION.say(f"asking VizieR for {cone.table} within {cone.radius_deg:.3f} deg")
    raw, asked = fetch_cone(cone)
    with open_run(warehouse) as current:
        imported = import_table(current, raw, name, origin=asked)
        _match(current)
    _tell(warehouse, imported)
    return 0


def _circle(warehouse: "Warehouse", field: str) -> tuple[float, float, float]:
    """Centre and radius of a field in degrees: of its stars, else as it was pointed."""
    named = warehouse.query("field_named", field_name=field)
    if named.is_empty():
        raise NotFoundError(f"no field {field!r}; `starmuster fields` lists them.")
    field_id, field_name = named.row(0)
    extent = warehouse.query("field_extent", field_id=field_id).row(0, named=True)
    if extent["ra_deg"] is None:
        raise UsageError(
            f"field {field_name}: its place on the sky is not known, so nothing can be asked. "
            f"Was it solved? See `starmuster fields`."
        )
    return extent["ra_deg"], extent["dec_deg"], extent["radius_deg"]


def _match(run: "Run") -> None:
    from ..transforms.steps.crossmatch import match_catalogues

    match_catalogues(run, say=SESSION.say)


def _tell(warehouse: "Warehouse", imported: "Imported") -> None:
    import polars as pl

    covered = warehouse.query("field_catalogues").filter(pl.col("catalogue_name") == imported.name)
    read = imported.catalogue
    if read is None:
        summary: dict[str, Any] = {"catalogue": imported.name, "is_new": False}
        SESSION.tell(f"{imported.name}: imported before, nothing is new")
    else:
        bands = (
            read.magnitudes.group_by("band", "photometric_system", "is_derived")
            .agg(n_star=pl.len(), n_error=pl.col("mag_err").count())
            .sort("photometric_system", "band")
        )
        summary = {
            "catalogue": imported.name,
            "is_new": True,
            "rows": read.n_row,
            "stars": read.stars.height,
            "stars_known": imported.n_known,
            "duplicates": read.n_duplicate,
            "variables": read.variables.height,
            "has_position": read.has_position,
            "bands": plain_rows(bands),
            "columns": read.columns,
            "notes": read.notes,
        }
        SESSION.tell(
            f"{imported.name}: {read.stars.height} stars of {read.n_row} rows, "
            f"{imported.n_known} of them known before"
        )
        for note in read.notes:
            SESSION.tell(f"  {note}")
        if not SESSION.as_json and not bands.is_empty():
            SESSION.table(bands, title="bands")
    if SESSION.as_json:
        SESSION.answer(summary | {"fields": plain_rows(covered)})
        return
    if covered.is_empty():
        SESSION.tell("none of its stars lie in a field that is on the sky")
    else:
        SESSION.table(covered.drop("catalogue_name"), title=f"fields with stars of {imported.name}")
