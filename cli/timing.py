"""Commands on the transits of planets over many nights: transits times, ephemeris ..."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from ..errors import UsageError
from .ingesting import open_run
from .session import SESSION, plain_rows

TIME_COLUMNS = (
    "epoch",
    "origin",
    "transit_name",
    "mid_bjd_tdb",
    "mid_err_d",
    "o_minus_c_min",
    "residual_min",
    "predicted_err_min",
)
VERSION_COLUMNS = ("mid_bjd_tdb", "mid_err_d", "period_d", "period_err_d", "source", "imported_utc")


def register(app: App) -> None:
    """Add the commands of this module."""
    group = App(name="transits", help="Transits of planets over all nights.")
    group.command(times)
    group.command(ephemeris)
    group.command(coverage)
    group.command(next_, name="next")
    app.command(group)


def times(planet: str, /, *, plot: Path | None = None) -> None:
    """List all known mid-transit times of a planet: observed less calculated.

    Parameters
    ----------
    planet
        Name of the planet.
    plot
        SVG or PNG file for the O-C diagram.
    """
    from ..analysis.timing import residual_times, timing

    with SESSION.warehouse().reading() as con:
        found = timing(con, planet)
    rows = residual_times(found)
    if plot is not None:
        from ..analysis.timing_figures import timing_figure

        write_figure(timing_figure(found), plot)
    SESSION.rows(rows.select(TIME_COLUMNS))
    SESSION.say(found.verdict)


def ephemeris(planet: str, /, *, adopt: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Show the ephemeris that all mid-transit times of a planet give, and its versions.

    Parameters
    ----------
    planet
        Name of the planet.
    adopt
        Store the refined ephemeris as the newest version: predictions use it from then on.
    """
    from ..analysis.timing import adopted, timing
    from ..warehouse.store import frame

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        found = timing(con, planet)
        versions = frame(
            con,
            "from planet where planet_key = $key order by imported_utc desc, planet_id desc",
            key=found.planet["planet_key"],
        )
    if adopt:
        _store_version(warehouse, adopted(found))
    document: dict[str, Any] = {
        "planet": found.planet["planet_name"],
        "verdict": found.verdict,
        "is_quadratic": found.is_quadratic,
        "quadratic_chance": found.quadratic_chance,
        "refined": found.refined,
        "versions": plain_rows(versions.select(VERSION_COLUMNS)),
        "is_adopted": adopt,
    }
    if SESSION.as_json:
        SESSION.answer(document)
        return
    SESSION.tell(f"{document['planet']}: {found.verdict}")
    for name, value in (found.line or {}).items():
        if name not in ("planet_key", "planet_name") and value is not None:
            SESSION.tell(f"{name:>24}  {_digits(name, value)}")
    if adopt:
        SESSION.tell("adopted as the newest version")
    SESSION.table(versions.select(VERSION_COLUMNS), title="versions before, the newest first")


def coverage(planet: str | None = None, /) -> None:
    """List every predicted transit that a stored night covers, and how much of it.

    Parameters
    ----------
    planet
        Only this planet; else all whose field was observed.
    """
    from ..analysis.coverage import transit_coverage

    with SESSION.warehouse().reading() as con:
        rows = transit_coverage(con, planet)
    SESSION.rows(rows.drop("field_id"))


def next_(
    planet: str,
    /,
    *,
    days: float = 30.0,
    start: str | None = None,
    min_altitude: float = 30.0,
    twilight: float = -12.0,
    site: str | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
) -> None:
    """List the coming transits of a planet that can be observed from a site.

    Parameters
    ----------
    planet
        Name of the planet.
    days
        How far to look ahead.
    start
        Begin, UTC, as 2024-03-08 or 2024-03-08T20:00; else now.
    min_altitude
        Degrees the star must stand above the horizon.
    twilight
        Degrees of the Sun below which the sky is dark enough: -6, -12, -18.
    site
        Name or number of a site in table `site`; else that of the settings, or the only one.
    all_
        Show those by day or below the horizon, too.
    """
    import polars as pl

    from ..analysis.orbits import Ephemeris
    from ..analysis.planets import find_planet
    from ..analysis.visibility import Place, coming_transits
    from .foreign import place_of

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        row = find_planet(con, planet)
        sites = con.table("site").order("site_id").pl()
    star = place_of(warehouse, row["planet_name"], None)
    if star is None:
        raise UsageError(
            f"{row['planet_name']}: its ephemeris has no position, so its altitude is not known. "
            f"Import one with ra and dec."
        )
    where = _site(sites, warehouse.config.site, site)
    rows = coming_transits(
        Ephemeris.from_row(row),
        *star,
        Place(*where, min_altitude_deg=min_altitude, twilight_deg=twilight),
        start_utc=_moment(start),
        days=days,
    )
    shown = rows if all_ else rows.filter(pl.col("observable") > 0)
    SESSION.rows(shown)
    SESSION.say(
        f"{rows.height} transits in {days:g} days, {shown.height} shown, seen from "
        f"{where[0]:.3f} {where[1]:+.3f}"
    )


def _site(sites, configured, wanted: str | None) -> tuple[float, float, float]:
    """Latitude, longitude and height of the site that is meant.

    Raises
    ------
    UsageError
        None is known, or several and none was named.
    """
    known = [
        (
            str(row["site_id"]),
            row["site_name"],
            row["latitude_deg"],
            row["longitude_deg"],
            row["elevation_m"] or 0.0,
        )
        for row in sites.iter_rows(named=True)
    ]
    if wanted is None and configured is not None:
        return configured.latitude_deg, configured.longitude_deg, configured.elevation_m or 0.0
    meant = [row for row in known if wanted is None or wanted in row[:2]]
    if len({row[2:4] for row in meant}) == 1:
        return meant[0][2:]
    names = ", ".join(f"{row[0]} ({row[1] or f'{row[2]:.2f} {row[3]:+.2f}'})" for row in known)
    raise UsageError(
        f"site: {wanted or f'{len(known)} are known'}; name one with --site: {names or 'none'}, or "
        f"set [site] in starmuster.toml."
    )


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(tzinfo=None)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--start {text}: {error}; expected as 2024-03-08T20:00, UTC.") from error
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def write_figure(figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the ending of the file.

    Raises
    ------
    UsageError
        Another ending.
    """
    from ..analysis.canvas import as_png, as_svg

    if path.suffix.lower() == ".svg":
        path.write_text(as_svg(figure, name=path.stem), encoding="utf-8")
    elif path.suffix.lower() == ".png":
        path.write_bytes(as_png(figure))
    else:
        raise UsageError(f"{path}: a name ending in .svg or .png expected.")
    SESSION.say(f"wrote {path}")


def _store_version(warehouse, row: dict[str, Any]) -> None:
    import polars as pl

    with open_run(warehouse) as current:
        number = {
            "planet_id": current.next_id("planet"),
            "imported_utc": datetime.now(UTC).replace(tzinfo=None),
        }
        rows = pl.DataFrame([row | number], infer_schema_length=None)
        current.store("ephemerides", {"planet": rows})


def _digits(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if name in ("mid_bjd_tdb", "period_d"):
        return f"{value:.8f}"
    return f"{value:.4g}"
