"""Columns of ephemerides as ExoClock names them, in the names of the NASA Exoplanet Archive.

ExoClock gives two documents, both one JSON object of planets: its catalogue (`ephem_mid_time`,
`ephem_period`, `rp_over_rs` ...) and its list for observers (`t0_bjd_tdb`, `period_days` ...).
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UsageError

ALIASES = {
    "pl_name": ("name",),
    "hostname": ("star",),
    "ra": ("ra_j2000",),
    "dec": ("dec_j2000",),
    "pl_tranmid": ("ephem_mid_time", "t0_bjd_tdb"),
    "pl_tranmiderr1": ("ephem_mid_time_e1", "t0_unc"),
    "pl_tranmiderr2": ("ephem_mid_time_e2",),
    "pl_tsystemref": ("ephem_mid_time_format",),
    "pl_orbper": ("ephem_period", "period_days"),
    "pl_orbpererr1": ("ephem_period_e1", "period_unc"),
    "pl_orbpererr2": ("ephem_period_e2",),
    "pl_ratror": ("rp_over_rs",),
    "pl_ratrorerr1": ("rp_over_rs_e1",),
    "pl_ratrorerr2": ("rp_over_rs_e2",),
    "pl_ratdor": ("sma_over_rs",),
    "pl_ratdorerr1": ("sma_over_rs_e1",),
    "pl_ratdorerr2": ("sma_over_rs_e2",),
    "pl_orbincl": ("inclination",),
    "pl_orbinclerr1": ("inclination_e1",),
    "pl_orbinclerr2": ("inclination_e2",),
    "pl_orbeccen": ("eccentricity",),
    "pl_orblper": ("periastron",),
    "pl_trandur": ("duration_hours",),
    "st_teff": ("teff",),
    "st_logg": ("logg",),
    "st_met": ("meta",),
    "pl_refname": ("ephem_parameters_ref",),
}
DEPTH_MMAG = ("depth_r_mmag", "depth_mmag")

Row = Mapping[str, str]


def archive_row(row: Row) -> dict[str, str]:
    """Return a row in the archive's names; what it calls so already stays."""
    found = dict(row)
    for name, others in ALIASES.items():
        given = next((row[other] for other in others if row.get(other)), None)
        if given is not None and not found.get(name):
            found[name] = given
    if row.get("t0_bjd_tdb") and not row.get("ephem_mid_time"):
        found.setdefault("pl_tsystemref", "BJD-TDB")
    depth = next((row[name] for name in DEPTH_MMAG if row.get(name)), None)
    if depth is not None and not found.get("pl_trandep"):
        found["pl_trandep"] = _percent(depth)
    return found


def json_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the row, as texts, of every planet of a JSON document.

    Raises
    ------
    UsageError
        It is no JSON, or holds something else than planets.
    """
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"no JSON document: {error}") from error
    if isinstance(document, dict):
        document = [{"name": name} | row for name, row in document.items() if _is_row(row)]
    if not isinstance(document, list) or not document or not all(map(_is_row, document)):
        raise UsageError("holds no planets: expected one object a planet")
    for n, row in enumerate(document, 1):
        yield n, {str(key): "" if value is None else str(value) for key, value in row.items()}


def _is_row(value: object) -> bool:
    return isinstance(value, dict)


def _percent(depth_mmag: str) -> str:
    try:
        return repr(100 * (1 - math.pow(10, -0.0004 * float(depth_mmag))))
    except ValueError:
        return ""
