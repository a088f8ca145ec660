"""The command `report cmd`: a diagram with all it rests on, as HTML and PDF."""

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cyclopts import App

from .. import __version__
from .cmd import file_stem, find_all, tell_diagram
from .cmd_options import NO_CURVE, NO_LIMITS, Curve, Limits
from .session import SESSION

SOFTWARE = ("astropy", "numpy", "scipy", "emcee", "dust-extinction", "duckdb", "polars")


def register(app: App) -> None:
    """Add the command to the group `report`."""
    app["report"].command(report_cmd, name="cmd")


def report_cmd(
    field: str | None = None,
    /,
    *,
    colour: str,
    mag: str,
    limits: Limits = NO_LIMITS,
    curve: Curve = NO_CURVE,
    output: Path | None = None,
) -> int:
    """Write a report of a colour-magnitude diagram: zero points, selection, isochrone, provenance.

    Parameters
    ----------
    field
        Number or name of the field; with --catalogue none is needed.
    colour
        Two bands, the bluer first, as g-i.
    mag
        Band of the magnitude.
    output
        HTML file to write, the PDF beside it; else in the warehouse's folder `reports`.
    """
    import polars as pl

    from ..analysis.cmd_isochrones import what_limits
    from ..analysis.cmd_report import CmdReport, cmd_page
    from ..analysis.page import render_page
    from ..analysis.page_pdf import render_pdf
    from ..warehouse.store import shipped

    warehouse, diagram, fit = find_all(field, colour, mag, limits, curve)
    where = {
        "field_id": diagram.field_id,
        "aperture_id": diagram.selection.aperture_id,
        "bands": [diagram.blue, diagram.red, diagram.mag_band],
    }
    with warehouse.reading() as con:
        frames = shipped(con, "diagram_frames", **where)
        residuals = shipped(con, "zero_point_residuals", **where)
    if not diagram.is_calibrated:
        residuals = residuals.filter(pl.lit(value=False))
    page = cmd_page(
        CmdReport(
            diagram=diagram,
            fit=fit,
            warnings=what_limits(diagram, fit) if fit else diagram.warnings,
            frames=frames,
            residuals=residuals,
            versions={"starmuster": __version__}
            | {package: metadata.version(package) for package in SOFTWARE},
            command=SESSION.command,
            version=__version__,
            generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        )
    )
    path = output or warehouse.reports / f"{file_stem(diagram)}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(page), encoding="utf-8")
    pdf = path.with_suffix(".pdf")
    pdf.write_bytes(render_pdf(page))
    if SESSION.as_json:
        SESSION.answer(
            {
                "field": diagram.name,
                "files": [str(path), str(pdf)],
                "n_star": diagram.stars.height,
                "calibrated": diagram.is_calibrated,
                "photometric_system": diagram.photometric_system,
                "method": fit.method if fit else None,
                "values": fit.values if fit else None,
                "errors": fit.errors if fit else None,
                "warnings": list(page.warnings),
            }
        )
    tell_diagram(diagram, fit)
    for written in (path, pdf):
        SESSION.tell(f"{'wrote':>16}  {written}")
    return 0
