"""Apertures as people name them."""

import duckdb

from ..errors import NotFoundError


def find_aperture(con: duckdb.DuckDBPyConnection, text: str) -> tuple[int, str]:
    """Return number and name of an aperture given by either.

    Raises
    ------
    NotFoundError
        If there is none; those that are there are told.
    """
    rows = con.table("aperture").order("aperture_id").project("aperture_id, aperture_name")
    known: dict[int, str] = dict(rows.fetchall())
    for number, name in known.items():
        if text in (name, str(number)):
            return number, name
    raise NotFoundError(f"no aperture {text!r}; there are: {', '.join(known.values()) or 'none'}.")
