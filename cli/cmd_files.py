"""Files of a colour-magnitude diagram: pictures, the page with sliders, and the stars."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .session import SESSION

if TYPE_CHECKING:
    from ..analysis.colour_magnitude import Diagram
    from ..analysis.isochrone_fit import IsochroneFit
    from ..warehouse.store import Warehouse

PICTURES = {".png", ".svg", ".pdf"}
TABLES = {".csv", ".ecsv", ".parquet", ".vot"}


def write_diagram(
    warehouse: "Warehouse",
    diagram: "Diagram",
    fit: "IsochroneFit | None",
    path: Path,
    colour_by: Any,
) -> None:
    """Write a picture, a page or the stars, as the suffix of the path says.

    Raises
    ------
    UsageError
        Nothing is written under that suffix.
    """
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        from ..analysis.canvas import as_png
        from ..analysis.cmd_figures import diagram_figure

        figure = diagram_figure(diagram, fit=fit, colour_by=colour_by)
        if suffix == ".png":
            path.write_bytes(as_png(figure, dpi=200))
        else:
            from ..analysis.canvas import figure_style

            with figure_style():
                figure.set_facecolor("white")
                figure.savefig(path, metadata={"Creator": None})
        return
    if suffix == ".html":
        path.write_text(_page(warehouse, diagram, fit), encoding="utf-8")
        return
    if suffix in TABLES:
        _write_stars(warehouse, diagram, path)
        return
    endings = ", ".join(sorted(PICTURES | TABLES))
    raise UsageError(f"{path}: a diagram is written as {endings} or .html, by the suffix.")


def _write_stars(warehouse: "Warehouse", diagram: "Diagram", path: Path) -> None:
    """Write the stars through the writers of all exports, with units, UCDs and meanings."""
    from ..analysis import table_files
    from ..warehouse.store import shipped

    with warehouse.reading() as con:
        meanings = shipped(con, "describe", table_name="colour_magnitude")
    meta = {
        "target": diagram.name,
        "colour": diagram.colour_name,
        "magnitude": diagram.mag_band,
        "photometric_system": diagram.system_name,
        "command": SESSION.command,
    }
    suffix = path.suffix.lower()
    if suffix == ".csv":
        path.write_text(table_files.csv_text(diagram.stars), encoding="utf-8")
    elif suffix == ".ecsv":
        text = table_files.ecsv_text(diagram.stars, meanings, meta)
        path.write_text(text, encoding="utf-8")
    elif suffix == ".vot":
        table_files.write_votable(path, diagram.stars, meanings, meta)
    else:
        table_files.write_parquet(path, diagram.stars, meanings, meta)


def _page(warehouse: "Warehouse", diagram: "Diagram", fit: "IsochroneFit | None") -> str:
    """Make the page with sliders; without isochrones at hand it has none."""
    from .. import __version__
    from ..analysis.cmd_isochrones import load_grids, what_limits
    from ..analysis.cmd_page import MOST_POINTS, Setting, render_diagram_page
    from ..analysis.colour_terms import seen_through
    from ..analysis.extinction import Extinction
    from ..warehouse.store import shipped

    setting, isochrones = None, []
    with warehouse.reading() as con:
        points = None
        if diagram.field_id is not None:
            points = shipped(
                con,
                "diagram_points",
                field_id=diagram.field_id,
                aperture_id=diagram.selection.aperture_id,
                bands=[diagram.blue, diagram.red, diagram.mag_band],
                n_most=MOST_POINTS + 1,
            )
        try:
            isochrones = load_grids(con, diagram)
        except UsageError as error:
            SESSION.say(f"no sliders: {error}")
    if fit is not None:
        grid, values = fit.problem.grid, fit.values
        isochrones = [one for one in isochrones if one.grid_name == grid.grid_name]
        setting = Setting(
            values["age"],
            values["feh"],
            grid.v_over_vcrit,
            values["dm"],
            values["av"],
            values["colour_offset"],
            values["mag_offset"],
        )
    elif isochrones:
        name = min(isochrones, key=lambda one: one.is_synthetic).grid_name
        isochrones = [one for one in isochrones if one.grid_name == name]
    return render_diagram_page(
        diagram,
        points=points,
        isochrones=isochrones,
        extinction=fit.problem.extinction if fit else seen_through(Extinction(), diagram.terms),
        setting=setting,
        version=__version__,
        command=SESSION.command,
        warnings=what_limits(diagram, fit) if fit else diagram.warnings,
    )
