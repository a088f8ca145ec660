"""Other planets of the same star: do they transit in the same night?"""

from typing import Any

import duckdb

from ..warehouse.store import frame
from .orbits import Ephemeris, predict


def other_transits(
    con: duckdb.DuckDBPyConnection,
    planet_row: dict[str, Any],
    first_bjd_tdb: float,
    last_bjd_tdb: float,
) -> list[str]:
    """Say which other known planets of a host are predicted to transit between two times.

    A fit of one planet knows nothing of the others: their dips would be taken for its own, or for
    a slope of the night.
    """
    rows = frame(
        con,
        "from newest_ephemeris where name_key(host_name) = name_key($host) "
        "and planet_key <> $key order by planet_key",
        host=planet_row["host_name"],
        key=planet_row["planet_key"],
    )
    found = []
    for row in rows.iter_rows(named=True):
        covered = predict(Ephemeris.from_row(row), first_bjd_tdb, last_bjd_tdb)
        found += [
            f"{row['planet_name']} of the same star is predicted to transit in this night, too, "
            f"around BJD {mid:.4f}: the fit knows nothing of it."
            for mid in covered["mid_bjd_tdb"]
        ]
    return found
