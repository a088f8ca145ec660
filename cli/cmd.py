"""The command `cmd`: a colour-magnitude diagram as rows, picture, page and isochrone fit."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ..errors import UsageError
from .answering import find_field
from .cmd_files import write_diagram
from .cmd_options import NO_CURVE, NO_LIMITS, Curve, Limits, selection_of
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    from ..analysis.colour_magnitude import Diagram
    from ..analysis.isochrone_fit import IsochroneFit
    from ..warehouse.store import Warehouse


def register(app: App) -> None:
    """Add the command of this module."""
    app.command(cmd)


def cmd(
    field: str | None = None,
    /,
    *,
    colour: str,
    mag: str,
    limits: Limits = NO_LIMITS,
    curve: Curve = NO_CURVE,
    colour_by: Literal["separation", "density", "none"] = "separation",
    output: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
) -> int:
    """Draw the colour-magnitude diagram of a field or a catalogue, with or without an isochrone.

    Parameters
    ----------
    field
        Number or name of the field; with --catalogue none is needed.
    colour
        Two bands, the bluer first, as g-i.
    mag
        Band of the magnitude.
    colour_by
        What the colour of a star shows.
    output
        Files to write, by suffix: .png .svg .pdf pictures, .html an interactive page; .csv
        .parquet .vot the stars. Else a picture in the warehouse's folder `reports`.
    """
    warehouse, diagram, fit = find_all(field, colour, mag, limits, curve)
    paths = list(output) or [warehouse.reports / f"{file_stem(diagram)}.png"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_diagram(warehouse, diagram, fit, path, colour_by)
    if SESSION.as_json:
        SESSION.answer(plain_rows(diagram.rows()))
    tell_diagram(diagram, fit)
    for path in paths:
        SESSION.tell(f"{'wrote':>16}  {path}")
    return 0


def find_all(
    field: str | None, colour: str, mag: str, limits: Limits, curve: Curve
) -> tuple["Warehouse", "Diagram", "IsochroneFit | None"]:
    """Return the warehouse, the diagram and, where one is wanted, the isochrone."""
    warehouse = SESSION.warehouse()
    diagram = find_diagram(warehouse, field, colour, mag, limits)
    return warehouse, diagram, find_curve(warehouse, diagram, curve) if curve.is_wanted else None


def find_diagram(
    warehouse: "Warehouse", field: str | None, colour: str, mag: str, limits: Limits
) -> "Diagram":
    """Ask the warehouse for a diagram."""
    from ..analysis.colour_magnitude import catalogue_diagram, field_diagram

    with warehouse.reading() as con:
        selection = selection_of(con, limits)
        wanted: dict[str, Any] = {"colour": colour, "mag_band": mag, "selection": selection}
        if limits.catalogue is not None:
            if field is not None:
                raise UsageError("a field or --catalogue, not both; limit a catalogue by --centre.")
            return catalogue_diagram(con, limits.catalogue, **wanted)
    if field is None:
        raise UsageError("cmd: no field given; name one, or a catalogue with --catalogue.")
    field_id, field_name = find_field(warehouse, field)
    with warehouse.reading() as con:
        return field_diagram(con, field_id, field_name, **wanted)


def find_curve(warehouse: "Warehouse", diagram: "Diagram", curve: Curve) -> "IsochroneFit":
    """Lay an isochrone over a diagram or fit one, and store it."""
    from ..analysis.cmd_isochrones import Wanted, load_grids, make_problem
    from ..analysis.extinction import find_law
    from ..analysis.isochrone_fit import by_hand, fit_least_squares, fit_posterior
    from ..analysis.isochrone_parameters import parse_prior
    from .isochrones import store_fit
    from .session import progress

    wanted = Wanted(
        curve.age,
        curve.feh,
        curve.v_vcrit,
        curve.distance,
        curve.av,
        curve.grid,
        find_law(curve.extinction, curve.r_v),
        tuple(curve.hold),
        tuple(parse_prior(text) for text in curve.prior),
        curve.max_phase,
        seed=curve.seed,
    )
    with warehouse.reading() as con:
        found = load_grids(con, diagram)
    # an instrumental diagram has zero points to be found even for an overlay
    is_fit = curve.fit != "no" or not diagram.is_calibrated
    problem = make_problem(diagram, found, wanted, fit=is_fit)
    if curve.fit == "posterior":
        with progress(curve.steps, "sampling") as advance:
            fit = fit_posterior(problem, n_step=curve.steps, seed=curve.seed, progress=advance)
    elif is_fit:
        fit = fit_least_squares(problem, seed=curve.seed)
    else:
        fit = by_hand(problem)
    store_fit(warehouse, diagram, fit)
    return fit


def tell_diagram(diagram: "Diagram", fit: "IsochroneFit | None") -> None:
    """Say what is shown, and what limits it."""
    from ..analysis.cmd_isochrones import what_limits

    state = diagram.system_name if diagram.is_calibrated else "instrumental, not calibrated"
    SESSION.tell(
        f"{diagram.name}: {diagram.stars.height} of {diagram.n_before} stars with "
        f"{diagram.colour_name} and {diagram.mag_band}, {state}"
        + (f", aperture {diagram.aperture_name}" if diagram.aperture_name else "")
    )
    if fit is not None:
        grid = fit.problem.grid
        SESSION.tell(f"{'isochrone':>16}  {grid.grid_name}, {fit.method}")
        for name in dict.fromkeys(("age", "feh", "dm", "av", *fit.problem.free)):
            error = fit.errors.get(name)
            shown = f" +- {error:.4f}" if error is not None else "  held"
            SESSION.tell(f"{name:>16}  {fit.values[name]:.4f}{shown}")
    for text in what_limits(diagram, fit) if fit else diagram.warnings:
        SESSION.say(f"  {text}")


def file_stem(diagram: "Diagram") -> str:
    """Return the name of a diagram's files, without suffix."""
    name = re.sub(r"[^\w+-]+", "-", diagram.name).strip("-") or "field"
    return f"cmd-{name}-{diagram.colour_name}-{diagram.mag_band}"
