"""Commands that bring in what others measured: import light-curve, import transit-times."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ..errors import NotFoundError, UsageError
from .ingesting import open_run
from .session import SESSION

if TYPE_CHECKING:
    from ..warehouse.store import Warehouse


def register(app: App) -> None:
    """Add the commands of this module below `import`."""
    app["import"].command(import_light_curve, name="light-curve")
    app["import"].command(import_times, name="transit-times")


def import_light_curve(
    file: Path,
    /,
    *,
    target: str | None = None,
    format_: Annotated[str | None, Parameter(name="--format")] = None,
    time_system: str | None = None,
    position: str | None = None,
    magnitudes: Annotated[bool | None, Parameter(negative="--fluxes")] = None,
    band: str | None = None,
    observer: str | None = None,
    exposure: float | None = None,
) -> None:
    """Import a light curve that was made elsewhere; it stands beside ours, marked as foreign.

    Parameters
    ----------
    file
        A table of AstroImageJ, EXOTIC's JSON, LEMON's text, a report in AAVSO's exoplanet format,
        or columns of time, flux and error.
    target
        Name of the star or planet; else the one in the file.
    format_
        astroimagej, exotic, lemon, aavso-exoplanet or columns; else recognised.
    time_system
        BJD_TDB, BJD_TT, BJD_UTC, HJD_UTC, HJD_TDB or JD_UTC, where the file does not say it. It is
        never guessed.
    position
        "RA DEC" of the star in degrees or as "16:00:44.0 +43:08:42", for HJD and JD; else that of
        the planet's host.
    magnitudes
        The values are magnitudes, or with --fluxes they are not.
    band
        Filter, where the file does not say it.
    observer
        Who or what observed.
    exposure
        Exposure time in seconds.
    """
    from ..ingest.foreign_store import import_curve

    warehouse = SESSION.warehouse()
    place = place_of(warehouse, target, position)
    with open_run(warehouse) as current:
        found = import_curve(
            current,
            file,
            target,
            place,
            file_format=format_,
            time_system=time_system,
            is_magnitude=magnitudes,
            band=band,
            observer=observer,
            exposure_s=exposure,
        )
    curve = {name: value for name, value in found.curve.items() if name != "imported_utc"}
    first, last = found.points["mid_bjd_tdb"][0], found.points["mid_bjd_tdb"][-1]
    document: dict[str, Any] = {
        **curve,
        "n_point": found.points.height,
        "first_bjd_tdb": first,
        "last_bjd_tdb": last,
        "is_new": found.is_new,
    }
    if SESSION.as_json:
        SESSION.answer(document)
    left_out = f", {curve['n_left_out']} without a value left out" * (curve["n_left_out"] > 0)
    SESSION.tell(
        f"{curve['target_name']}: {found.points.height} points from {first:.5f} to {last:.5f} "
        f"BJD_TDB, given as {curve['time_system']} by {curve['file_format']}{left_out}"
        + ("" if found.is_new else "; imported before, nothing is new")
    )


def import_times(
    file: Path,
    /,
    *,
    planet: str,
    time_system: str,
    position: str | None = None,
) -> None:
    """Import mid-transit times that others published, for the ephemeris of a planet.

    Parameters
    ----------
    file
        A table with a line of names: time, error, epoch, reference.
    planet
        Whose transits they are. Where no ephemeris of it was imported, the numbers of the transits
        in the file give a first one.
    time_system
        BJD_TDB, BJD_TT, BJD_UTC, HJD_UTC, HJD_TDB or JD_UTC: what the times are in.
    position
        "RA DEC" of the star, for HJD and JD; else that of the planet's host.
    """
    from ..analysis.planets import find_planet
    from ..ingest.foreign_store import import_transit_times

    warehouse = SESSION.warehouse()
    place = place_of(warehouse, planet, position)
    try:
        with warehouse.reading() as con:
            planet = find_planet(con, planet)["planet_name"]
        is_known = True
    except NotFoundError:
        is_known = False
    with open_run(warehouse) as current:
        rows = import_transit_times(current, file, planet, place, time_system=time_system)
        made = None if is_known else _first_ephemeris(current, planet, rows, file, place)
    n_error = rows["mid_err_d"].count()
    document = {"planet": planet, "n_time": rows.height, "n_error": n_error, "ephemeris": made}
    if SESSION.as_json:
        SESSION.answer(document)
    SESSION.tell(f"{planet}: {rows.height} mid-transit times, {n_error} of them with an error")
    if made:
        SESSION.tell(f"first ephemeris from their numbers: {made}")
    elif not is_known:
        SESSION.say(
            f"{planet} has no ephemeris yet, so its transits cannot be numbered: import one with "
            f"`starmuster import ephemerides`."
        )


def _first_ephemeris(current, planet: str, rows, file: Path, place) -> str | None:
    """Store an ephemeris from the transits' own numbers, if there are any; return it as text."""
    from datetime import UTC, datetime

    import polars as pl

    from ..ingest.foreign_store import line_through

    line = line_through(
        *(rows[name].to_list() for name in ("epoch_given", "mid_bjd_tdb", "mid_err_d"))
    )
    if line is None:
        return None
    mid, mid_err, period, period_err = line
    row = {
        "planet_id": current.next_id("planet"),
        "planet_name": planet,
        "planet_key": rows["planet_key"][0],
        "ra_deg": place[0] if place else None,
        "dec_deg": place[1] if place else None,
        "period_d": period,
        "period_err_d": period_err,
        "mid_bjd_tdb": mid,
        "mid_err_d": mid_err,
        "time_system": "BJD_TDB",
        "source": f"numbered mid-transit times in {file.name}",
        "imported_utc": datetime.now(UTC).replace(tzinfo=None),
    }
    current.store("ephemerides", {"planet": pl.DataFrame([row], infer_schema_length=None)})
    return f"{mid:.6f} +- {mid_err:.6f} BJD_TDB, period {period:.8f} +- {period_err:.8f} d"


def place_of(
    warehouse: "Warehouse", target: str | None, position: str | None
) -> tuple[float, float] | None:
    """Position of a target in degrees: as given, else of the planet's host; None if not known.

    Raises
    ------
    UsageError
        What was given is no position.
    """
    from ..analysis.stars import parse_position

    if position is not None:
        place = parse_position(position)
        if place is None:
            raise UsageError(
                f"--position {position}: RA and Dec expected, in degrees or as "
                f"16:00:44.0 +43:08:42."
            )
        return place
    if target is None:
        return None
    for row in warehouse.query("named_positions", target_name=target).iter_rows(named=True):
        if row["ra_deg"] is not None:
            return row["ra_deg"], row["dec_deg"]
    return None
