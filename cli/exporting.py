"""The command `export`: files that other people and programs read, all from the same rows."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from .. import __version__
from ..errors import NotFoundError, UsageError
from .answering import store_comparison
from .session import SESSION

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.exported_curves import ExportedCurve

SOFTWARE = f"starmuster {__version__}"
CurveFormat = Literal[
    "aavso-extended",
    "aavso-exoplanet",
    "exoclock",
    "exofast",
    "astroimagej",
    "csv",
    "ecsv",
    "votable",
    "parquet",
    "lightkurve",
]
TableFormat = Literal["csv", "ecsv", "votable", "parquet"]
ENDING = {
    "csv": ".csv",
    "ecsv": ".ecsv",
    "votable": ".vot",
    "parquet": ".parquet",
    "lightkurve": ".fits",
    "astroimagej": ".tbl",
}


def register(app: App) -> None:
    """Add the commands of this module."""
    exporting = App(name="export", help="Write files that other people and programs read.")
    exporting.command(light_curve, name="light-curve")
    exporting.command(table)
    app.command(exporting)


def light_curve(
    star: str,
    /,
    *,
    format_: Annotated[CurveFormat, Parameter(name="--format")],
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
    output: Path | None = None,
    observer_code: str = "na",
    secondary_codes: str = "",
    chart: str | None = None,
    notes: str = "",
) -> None:
    """Write the light curve of a star or planet in a format that others take.

    Parameters
    ----------
    star
        Number, name or "RA DEC" of a star, or the name of a planet.
    format_
        aavso-extended, aavso-exoplanet, exoclock, exofast, astroimagej, csv, ecsv, votable,
        parquet or lightkurve.
    night
        Only this night, as YYYY-MM-DD.
    band
        Only this band.
    aperture
        Name or number of an aperture; else the one with the least scatter.
    output
        File to write; else one in the warehouse's folder `reports`.
    observer_code
        Your code at the AAVSO.
    secondary_codes
        Codes of others who took part.
    chart
        Number of the AAVSO's chart.
    notes
        A remark for the AAVSO's exoplanet format.
    """
    from ..analysis.exported_curves import chosen_curves, exported_curve

    warehouse = SESSION.warehouse()
    chosen = {"night": night, "band": band, "aperture": aperture}
    with warehouse.reading() as con:
        found, planet, curves = chosen_curves(
            con, star, **chosen, options=warehouse.config.ensemble
        )
    store_comparison(warehouse, [curve.comparison for curve in curves])
    with warehouse.reading() as con:
        curve = exported_curve(con, star, found, planet, curves)
    nights = sorted({str(each.night) for each in curves})
    bands = sorted({each.band or "no-band" for each in curves})
    stem = "_".join([curve.name, *nights[:1], *nights[1:][-1:], *bands, format_])
    path = output or warehouse.reports / (re.sub(r"[^\w+.-]+", "-", stem) + _ending(format_))
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "software": SOFTWARE,
        "observer_code": observer_code,
        "secondary_codes": secondary_codes,
        "chart": chart,
        "notes": notes,
    }
    files = _write_curve(curve, format_, path, told)
    n_point = (curve.points if format_ in ENDING else curve.sound).height
    document = {
        "target": curve.name,
        "source_id": found.source_id,
        "format": format_,
        "nights": nights,
        "bands": bands,
        "n_point": n_point,
        "files": [str(file) for file in files],
    }
    if SESSION.as_json:
        SESSION.answer(document)
    for file in files:
        SESSION.tell(f"wrote {file}")
    SESSION.say(f"{curve.name}: {n_point} points of {len(nights)} nights in {', '.join(bands)}")


def table(
    name: str,
    /,
    *,
    format_: Annotated[TableFormat, Parameter(name="--format")],
    output: Path,
) -> None:
    """Write a table or view of the warehouse with its units and meanings.

    Parameters
    ----------
    name
        A table or view, as `starmuster describe` lists them.
    format_
        csv, ecsv, votable or parquet.
    output
        File to write.
    """
    from ..warehouse.store import shipped

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        known = shipped(con, "tables").get_column("table_name").to_list()
        if name not in known:
            raise NotFoundError(f"no table or view {name!r}; `starmuster describe` lists them.")
        rows = con.table(name).pl()
        meanings = shipped(con, "describe", table_name=name)
    _write_rows(rows, meanings, format_, output, {"table": name, "software": SOFTWARE})
    if SESSION.as_json:
        SESSION.answer({"table": name, "n_row": rows.height, "file": str(output)})
    SESSION.tell(f"wrote {output}")


def _ending(format_: str) -> str:
    return ENDING.get(format_, ".txt")


def _write_curve(
    curve: "ExportedCurve", format_: CurveFormat, path: Path, told: dict[str, Any]
) -> list[Path]:
    from ..analysis import aavso, astroimagej, table_files, three_columns

    software = told["software"]
    if format_ == "aavso-extended":
        code, chart = told["observer_code"], told["chart"]
        text = aavso.extended_text(curve, software=software, observer_code=code, chart=chart)
    elif format_ == "aavso-exoplanet":
        asked = {name: told[name] for name in ("observer_code", "secondary_codes", "notes")}
        text = aavso.exoplanet_text(curve, software=software, **asked)
    elif format_ == "exoclock":
        info = path.with_name(f"{path.stem}_info.txt")
        about = three_columns.exoclock_info(curve, data_name=path.name, software=software)
        text = three_columns.exoclock_text(curve)
        info.write_text(about, encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        return [path, info]
    elif format_ == "exofast":
        text = three_columns.exofast_text(curve)
    elif format_ == "astroimagej":
        text = astroimagej.astroimagej_text(curve)
    elif format_ == "lightkurve":
        table_files.write_lightkurve(path, curve, software=software)
        return [path]
    else:
        meta = {"target": curve.name, "software": software}
        _write_rows(curve.points, curve.meanings, format_, path, meta)
        return [path]
    path.write_text(text, encoding="utf-8")
    return [path]


def _write_rows(
    rows: "pl.DataFrame",
    meanings: "pl.DataFrame",
    format_: TableFormat,
    path: Path,
    meta: dict[str, str],
) -> None:
    from ..analysis import table_files

    if not path.parent.is_dir():
        raise UsageError(f"{path}: no such folder; make it first.")
    if format_ == "csv":
        path.write_text(table_files.csv_text(rows), encoding="utf-8")
    elif format_ == "ecsv":
        path.write_text(table_files.ecsv_text(rows, meanings, meta), encoding="utf-8")
    elif format_ == "votable":
        table_files.write_votable(path, rows, meanings, meta)
    else:
        table_files.write_parquet(path, rows, meanings, meta)
