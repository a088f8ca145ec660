"""Commands that look after the warehouse: init, status, sql, describe, check, rebuild, doctor."""

import difflib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ..errors import NotFoundError, QueryError, UsageError
from .session import SESSION, csv_text, plain_rows

if TYPE_CHECKING:
    import polars as pl


def register(app: App) -> None:
    """Add the commands of this module."""
    for command in (init, status, describe, check, rebuild):
        app.command(command)
    app.command(sql, name="sql")
    doctor_app = App(name="doctor", help="Look whether everything is in place.")
    doctor_app.default(doctor)
    doctor_app.command(header)
    app.command(doctor_app)


def init(folder: Path | None = None, /) -> None:
    """Make a warehouse; one that exists already is left as it is.

    Parameters
    ----------
    folder
        Folder to make it in; else the one chosen by --warehouse.
    """
    from ..warehouse.store import Warehouse, find_folder

    warehouse = Warehouse.create(folder or find_folder(SESSION.folder), wait_s=SESSION.wait_s)
    if SESSION.as_json:
        SESSION.answer({"warehouse": str(warehouse.folder)})
    SESSION.tell(
        f"warehouse at {warehouse.folder}; settings in {warehouse.folder.name}/starmuster.toml"
    )


def status() -> None:
    """Show nights, fields, frames by state, what is pending, rejected and what failed."""
    from ..warehouse.store import shipped

    names = (
        "totals",
        "nights",
        "frame_states",
        "pending",
        "incomplete",
        "rejected_frames",
        "failures",
    )
    with SESSION.warehouse().reading() as con:
        found = {name: shipped(con, name) for name in names}
        fields = con.sql("from field_summary").pl()
    if SESSION.as_json:
        document = {name: plain_rows(rows) for name, rows in found.items()}
        SESSION.answer(document["totals"][0] | document | {"fields": plain_rows(fields)})
        return
    SESSION.table(found["nights"], title="nights")
    SESSION.table(fields.drop("ra_deg", "dec_deg"), title="fields")
    SESSION.table(found["frame_states"], title="frames by state")
    SESSION.table(found["pending"], title="still to do (`starmuster run`)")
    titles = {
        "incomplete": "frames that lack stars found later (`starmuster run --complete`)",
        "rejected_frames": "rejected frames",
        "failures": "failures",
    }
    for name, title in titles.items():
        if not found[name].is_empty():
            SESSION.table(found[name], title=title)


def sql(
    query: str | None = None,
    /,
    *values: str,
    csv: Annotated[bool, Parameter(negative=())] = False,
    parquet: Path | None = None,
) -> None:
    """Ask the warehouse: a query, or the name of a shipped one. Read-only, no access to files.

    Parameters
    ----------
    query
        SQL, or a name; without one the shipped queries are listed.
    values
        Parameters of a shipped query, as name=value.
    csv
        Print CSV.
    parquet
        Write the rows to this Parquet file.
    """
    from ..sql import scripts
    from ..warehouse.query import user_query

    if query is None:
        _list_queries()
        return
    known = scripts("queries")
    if query in known:
        rows = user_query(SESSION.warehouse(), known[query].text, _bound(query, values))
    elif values:
        raise QueryError(
            f"no shipped query {query!r} that takes {' '.join(values)}; "
            f"there are: {', '.join(known)}."
        )
    else:
        rows = _asked(query)
    if parquet is not None:
        rows.write_parquet(parquet)
        SESSION.say(f"{rows.height} rows in {parquet}")
    elif csv:
        sys.stdout.write(csv_text(rows))
    else:
        SESSION.rows(rows)
    if rows.is_empty() and query in known:
        _tell_pending()


def describe(table: str | None = None, /) -> None:
    """Print the columns of a table or view with their units and meaning.

    Parameters
    ----------
    table
        Its name; without one all tables and views are listed.
    """
    warehouse = SESSION.warehouse()
    if table is None:
        SESSION.rows(warehouse.query("tables"))
        return
    rows = warehouse.query("describe", table_name=table)
    if rows.is_empty():
        known = warehouse.query("tables")["table_name"].to_list()
        raise NotFoundError(f"no table or view {table!r}; there are: {', '.join(known)}.")
    SESSION.rows(rows)


def check() -> int:
    """Prove that the rows are sound: every check is a query that must return no rows."""
    from ..warehouse.check import run_checks

    with SESSION.warehouse().reading() as con:
        found = run_checks(con)
    bad = {name: rows for name, rows in found.items() if not rows.is_empty()}
    if SESSION.as_json:
        SESSION.answer({name: rows.height for name, rows in found.items()})
    for name, rows in bad.items():
        SESSION.tell(f"{name}: {rows.height} rows, first {rows.row(0, named=True)}")
    SESSION.tell(f"{len(found) - len(bad)} of {len(found)} checks pass")
    return 1 if bad else 0


def rebuild() -> None:
    """Make the database anew from the packages; the old one stays until the new one is whole."""
    from ..warehouse.runs import rebuild as rebuild_database
    from ..warehouse.store import find_folder

    n_row = rebuild_database(find_folder(SESSION.folder), wait_s=SESSION.wait_s)
    if SESSION.as_json:
        SESSION.answer({"rows": n_row})
    SESSION.tell(f"{n_row} rows loaded from packages")


def doctor() -> int:
    """Check versions, disk, solver and index files, configuration and locks."""
    from .health import examine

    rows = examine(SESSION.folder, wait_s=SESSION.wait_s)
    SESSION.rows(rows)
    return 1 if rows["verdict"].eq("bad").any() else 0


def header(file: Path, /) -> None:
    """Show what each quantity of a frame was read from, and what is missing.

    Parameters
    ----------
    file
        A FITS file.
    """
    from ..ingest.headers import explain

    if not file.is_file():
        raise UsageError(f"{file}: no such file.")
    SESSION.rows(explain(file))


def _tell_pending() -> None:
    """Say what may fill an empty answer: what was not worked on yet, as after an upgrade."""
    left = [row for row in SESSION.warehouse().query("pending").iter_rows() if row[1]]
    if left:
        steps = ", ".join(f"{step} ({n} frames)" for step, n in left)
        SESSION.say(f"pending: {steps}; `starmuster run` works on it")


def _list_queries() -> None:
    import polars as pl

    from ..sql import scripts

    shipped = scripts("queries").values()
    SESSION.rows(
        pl.DataFrame(
            {
                "query": [script.name for script in shipped],
                "parameters": [", ".join(script.parameters) for script in shipped],
                "about": [script.about for script in shipped],
            }
        )
    )


def _asked(query: str) -> "pl.DataFrame":
    """Run a query of the user's own; where the name of a shipped one was meant, say so."""
    from ..sql import scripts
    from ..warehouse.query import user_query

    known = scripts("queries")
    if query.isidentifier():
        near = difflib.get_close_matches(query, known, n=3)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise QueryError(
            f"no shipped query {query!r}.{hint} `starmuster sql` lists them; a query of your own "
            f"begins with select or from."
        )
    try:
        return user_query(SESSION.warehouse(), query)
    except QueryError as error:
        missing = re.search(r"(?:Table|Function) with name (\w+) does not exist", str(error))
        if missing is None or missing[1].casefold() not in known:
            raise
        name = missing[1].casefold()
        raise QueryError(
            f"{name} is no table but a shipped query: ask it with `starmuster sql {name}`."
        ) from error


def _bound(query: str, values: tuple[str, ...]) -> dict[str, str | None]:
    from ..sql import scripts

    script = scripts("queries")[query]
    given = dict(value.split("=", 1) for value in values if "=" in value)
    stray = [value for value in values if "=" not in value]
    unknown = [*stray, *(name for name in given if name not in script.parameters)]
    if unknown:
        raise QueryError(
            f"query {query} does not take {', '.join(unknown)}; "
            f"give {', '.join(f'{name}=…' for name in script.parameters) or 'no parameters'}."
        )
    return {name: given.get(name) for name in script.parameters}
