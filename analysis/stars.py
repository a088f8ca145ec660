"""Which star is meant: by number, by name, or by a place on the sky."""

import difflib
import re
from dataclasses import dataclass

import duckdb

from ..errors import NotFoundError
from ..warehouse.store import shipped

RADIUS_ARCSEC = 5.0  # a header's WCS can be 3 arcsec off
RADIUS_PIX = 1.5  # and a coarse pixel holds more than that


@dataclass(frozen=True, slots=True)
class Star:
    """A source and the name it was asked for by."""

    source_id: int
    field_id: int
    name: str


def find_star(con: duckdb.DuckDBPyConnection, text: str) -> Star:
    """Find the star that a number, a name or "RA DEC" means.

    A name that was tied to a star by `identify` counts before any position; else the star
    nearest to the position of the planet's host, or to the place given, within 5 arcsec (1.5
    pixels where they are larger).

    Parameters
    ----------
    text
        Source number; name of a planet, host or tied target; RA and Dec in degrees or as
        "16:00:44.0 +43:08:42".

    Raises
    ------
    NotFoundError
        No such star; the nearest names or the nearest star are told.
    """
    text = text.strip()
    if text.isdigit():
        return _by_number(con, int(text))
    place = parse_position(text)
    if place is not None:
        return _by_position(con, *place, name=text)
    return _by_name(con, text)


def parse_position(text: str) -> tuple[float, float] | None:
    """Read "RA DEC" in degrees, or sexagesimal hours and degrees; None if it is neither."""
    parts = re.split(r"[\s,]+", text.strip())
    try:
        if len(parts) == 2 and not re.search(r"[:hd]", text):
            ra_deg, dec_deg = float(parts[0]), float(parts[1])
        elif re.fullmatch(r"[\d:hms.\s,+\-d'\"°]+", text):
            from astropy import units as u
            from astropy.coordinates import SkyCoord

            place = SkyCoord(text.replace(",", " "), unit=(u.hourangle, u.deg))
            ra_deg, dec_deg = float(place.ra.deg), float(place.dec.deg)  # pyright: ignore
        else:
            return None
    except ValueError:
        return None
    return (ra_deg, dec_deg) if 0 <= ra_deg < 360 and -90 <= dec_deg <= 90 else None


def _by_number(con: duckdb.DuckDBPyConnection, source_id: int) -> Star:
    row = con.table("source").filter(f"source_id = {source_id}").project("field_id").fetchone()
    if row is None:
        raise NotFoundError(f"no source {source_id}; `starmuster stars FIELD` lists them.")
    return Star(source_id, row[0], f"source {source_id}")


def _by_position(
    con: duckdb.DuckDBPyConnection, ra_deg: float, dec_deg: float, *, name: str
) -> Star:
    scale = con.table("field").max("scale_arcsec_per_pix").fetchone()
    wide = max(60.0, 20 * float(scale[0] or 0)) if scale else 60.0
    near = shipped(con, "nearest_sources", ra_deg=ra_deg, dec_deg=dec_deg, radius_arcsec=wide)
    for source_id, field_id, _, _, separation_arcsec in near.iter_rows():
        if separation_arcsec <= _radius_arcsec(con, field_id):
            return Star(source_id, field_id, name)
    nearest = f"none within {wide:.0f} arcsec"
    if not near.is_empty():
        source_id, separation = near.select("source_id", "separation_arcsec").row(0)
        nearest = f"the nearest, source {source_id}, is {separation:.1f} arcsec off"
    raise NotFoundError(
        f"{name}: no star at {ra_deg:.5f} {dec_deg:+.5f}; {nearest}. Was its field observed and "
        f"solved? Else tie it: starmuster identify NAME --field FIELD --xy X,Y --frame FILE."
    )


def _radius_arcsec(con: duckdb.DuckDBPyConnection, field_id: int) -> float:
    field = con.table("field").filter(f"field_id = {field_id}")
    scale = field.project("scale_arcsec_per_pix").fetchone()
    return max(RADIUS_ARCSEC, RADIUS_PIX * float(scale[0] or 0) if scale else 0.0)


def _by_name(con: duckdb.DuckDBPyConnection, name: str) -> Star:
    known = shipped(con, "named_positions", target_name=name)
    if known.is_empty():
        names = [
            str(row[0])
            for table, column in (("planet", "planet_name"), ("identity", "target_name"))
            for row in con.table(table).project(column).distinct().fetchall()
        ]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise NotFoundError(
            f"nothing is known of {name!r}.{hint} Import its ephemeris (`starmuster import "
            f"ephemerides FILE`), tie it to a star (`starmuster identify`), or give RA and Dec."
        )
    first = known.row(0, named=True)
    if first["source_id"] is not None:
        star = _by_number(con, first["source_id"])
        return Star(star.source_id, star.field_id, name)
    if first["ra_deg"] is None:
        raise NotFoundError(
            f"{name}: its ephemeris has no position. Tie it to a star with `starmuster identify`."
        )
    return _by_position(con, first["ra_deg"], first["dec_deg"], name=name)
