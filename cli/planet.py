"""The command `report planet`: all transits of a planet on one page."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from .. import __version__
from ..errors import FitError, NotFoundError
from .joint import store_joint
from .reports import written
from .session import SESSION, plain

if TYPE_CHECKING:
    import duckdb

    from ..analysis.joint_curves import TransitCurve
    from ..analysis.joint_results import JointFit
    from ..analysis.planet_report import PlanetReport

SOFTWARE = ("astropy", "exoplanet-core", "numpy", "scipy", "duckdb", "polars")


def register(app: App) -> None:
    """Add the command to the group `report`."""
    app["report"].command(report_planet, name="planet")


def report_planet(
    planet: str,
    /,
    *,
    pdf: bool = True,
    anew: Annotated[bool, Parameter(negative=())] = False,
    output: Path | None = None,
) -> None:
    """Write a page of all transits of a planet: joint fit, mid-times, ephemeris, the literature.

    The joint fit is stored as that of `transits fit`. Nothing is fitted or written again while the
    rows it rests on stay.

    Parameters
    ----------
    planet
        Name of the planet.
    pdf
        Write a PDF beside the page.
    anew
        Write it again though nothing it rests on has changed.
    output
        HTML file to write; else one in the warehouse's folder `reports`.
    """
    from ..analysis.joint_curves import fingerprint, stored_transits
    from ..analysis.planets import find_planet

    warehouse = SESSION.warehouse()
    options = warehouse.config.ensemble
    with warehouse.reading() as con:
        row = find_planet(con, planet)
        curves, own, left_out = stored_transits(con, row, options=options)
        mark = f"{__version__} {pdf} {fingerprint(con, row, curves, left_out)}"
    name = re.sub(r"[^\w+-]+", "-", row["planet_name"])
    page = output or warehouse.reports / f"{name}.html"
    if not anew and (document := written(page, mark)) is not None:
        SESSION.say("nothing it rests on has changed: the report stays (--anew writes it again)")
        return _answer(document)
    joint = None
    if curves:
        try:
            joint = _fitted(row, curves)
            store_joint(warehouse, joint, row["planet_id"], own)
        except FitError as error:
            left_out = [*left_out, str(error)]
    with warehouse.reading() as con:
        report = _report(con, row, joint, curves, left_out)
    document = _write(report, page, mark, has_pdf=pdf)
    return _answer(document)


def _fitted(row: dict[str, Any], curves: "list[TransitCurve]") -> "JointFit":
    from ..analysis.joint_fit import fit_jointly
    from ..analysis.joint_model import joint_model
    from ..analysis.orbits import Ephemeris

    return fit_jointly(joint_model(Ephemeris.from_row(row), curves))


def _report(
    con: "duckdb.DuckDBPyConnection",
    row: dict[str, Any],
    joint: "JointFit | None",
    curves: "list[TransitCurve]",
    left_out: list[str],
) -> "PlanetReport":
    import polars as pl

    from ..analysis.planet_report import PlanetReport
    from ..analysis.timing import timing
    from ..warehouse.store import frame, shipped

    found, key = timing(con, row["planet_name"]), row["planet_key"]
    if joint is None and found.times.is_empty():
        why = f" Left out: {'; '.join(left_out)}." if left_out else ""
        raise NotFoundError(
            f"{row['planet_name']}: no stored light curve shows a transit of it, and no mid-time "
            f"is known.{why} See `starmuster transits coverage`, or import what others have: "
            f"`starmuster import light-curve`, `starmuster import transit-times`."
        )
    frames = [
        shipped(con, "provenance", source_id=curve.source_id, night=curve.night, band=curve.band)
        for curve in curves
        if curve.source_id is not None
    ]
    numbers = [curve.foreign_curve_id for curve in curves if curve.foreign_curve_id is not None]
    return PlanetReport(
        timing=found,
        joint=joint,
        results=frame(con, "from planet_result where planet_key = $key order by all", key=key),
        nights=shipped(con, "transit_summary", planet_name=row["planet_name"]),
        left_out=left_out,
        frames=pl.concat(frames) if frames else shipped(con, "provenance"),
        foreign=shipped(con, "planet_files", planet_key=key, curves=numbers),
        versions={"starmuster": __version__} | {each: metadata.version(each) for each in SOFTWARE},
        command=SESSION.command,
        version=__version__,
        generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
    )


def _write(report: "PlanetReport", page: Path, mark: str, *, has_pdf: bool) -> dict[str, Any]:
    """Write page, PDF and document; return the document."""
    from ..analysis.page import render_page
    from ..analysis.page_pdf import render_pdf
    from ..analysis.planet_report import document, planet_page

    content = planet_page(report)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(content), encoding="utf-8")
    files = [str(page)]
    if has_pdf:
        page.with_suffix(".pdf").write_bytes(render_pdf(content))
        files.append(str(page.with_suffix(".pdf")))
    told = plain(document(report, files))
    text = json.dumps({"mark": mark} | told, indent=1)
    page.with_suffix(".json").write_text(text, encoding="utf-8")
    return told


def _answer(document: dict[str, Any]) -> None:
    if SESSION.as_json:
        SESSION.answer(document)
        return
    SESSION.tell(f"{document['planet']}: {document['summary']}")
    for line in _lines(document["results"]):
        SESSION.tell(line)
    for path in document["files"]:
        SESSION.tell(f"{'wrote':>16}  {path}")


def _lines(results: list[dict[str, Any]]) -> Iterator[str]:
    from ..analysis.planet_tables import QUANTITIES
    from ..analysis.result_tables import measured

    for row in results:
        name = " ".join(filter(None, (row["quantity"], row["band"])))
        found = measured(row["found"], row["found_err"], QUANTITIES[row["quantity"]][2])
        away = row["difference_sigma"]
        beside = "" if away is None else f"  ({away:+.1f} sigma from {row['published_source']})"
        yield f"{name:>16}  {found}{beside}"
