"""Planets whose ephemerides were imported."""

import difflib
from typing import Any

import duckdb

from ..errors import NotFoundError
from ..warehouse.store import shipped


def find_planet(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """Return the newest ephemeris of a planet.

    Raises
    ------
    NotFoundError
        If none was imported, or the name is a host of several planets.
    """
    found = shipped(con, "newest_planet", planet_name=name)
    if found.height == 1:
        return found.row(0, named=True)
    if found.height > 1:
        names = ", ".join(found["planet_name"])
        raise NotFoundError(f"{name} is the host of {names}: name the planet.")
    names = [str(row[0]) for row in con.table("planet").project("planet_name").fetchall()]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise NotFoundError(
        f"no ephemeris of {name!r}.{hint} Import one: starmuster import ephemerides FILE."
    )
