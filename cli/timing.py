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

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        found = timing(con, planet)
        versions = con.sql(
            "from planet where planet_key = $key order by imported_utc desc, planet_id desc",
            params={"key": found.planet["planet_key"]},
        ).pl()
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
    for name, value in (found.refined or {}).items():
        if name not in ("planet_key", "planet_name") and value is not None:
            SESSION.tell(f"{name:>24}  {_digits(name, value)}")
    if adopt:
        SESSION.tell("adopted as the newest version")
    SESSION.table(versions.select(VERSION_COLUMNS), title="versions before, the newest first")


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
