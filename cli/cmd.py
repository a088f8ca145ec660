"""The command `cmd`: a colour-magnitude diagram as rows, picture, page and isochrone fit."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ..errors import NotFoundError, UsageError
from .answering import find_field
from .cmd_files import write_diagram
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    from ..analysis.colour_magnitude import Diagram, Selection
    from ..analysis.isochrone_fit import IsochroneFit
    from ..warehouse.store import Warehouse


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Limits:
    """Which stars are shown.

    Parameters
    ----------
    aperture
        Name or number; else that whose radius is nearest to the FWHM.
    catalogue
        Draw the stars of this catalogue instead of measured ones.
    system
        Photometric system, where there are several.
    take
        How the frames of a star are averaged.
    min_frames
        Frames in each band.
    max_err
        Largest error that a single measurement of a star has, mag.
    max_blended
        Largest share of a star's measurements with a neighbour's light, 0 to 1.
    unclean
        Take measurements with severe flags, too.
    centre
        "RA DEC" in degrees or sexagesimal; else the middle of the stars.
    inner, outer
        Separation from the centre, arcmin.
    parallax
        LOW:HIGH in mas, of the catalogue.
    proper_motion
        RA,DEC,REACH in mas/yr, of the catalogue; RA times cos(dec).
    natural
        Leave colour terms out; isochrones are brought to the instrument's passbands.
    """

    aperture: str | None = None
    catalogue: str | None = None
    system: str | None = None
    take: Literal["weighted", "median"] = "weighted"
    min_frames: int = 1
    max_err: float | None = None
    max_blended: float | None = None
    unclean: Annotated[bool, Parameter(negative=())] = False
    centre: str | None = None
    inner: float | None = None
    outer: float | None = None
    parallax: str | None = None
    proper_motion: str | None = None
    natural: Annotated[bool, Parameter(negative=())] = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Curve:
    """The isochrone: laid over by hand, or fitted from there on.

    Parameters
    ----------
    isochrone
        Lay an isochrone over; so does any of the following.
    age
        Gyr.
    feh
        [Fe/H], dex.
    v_vcrit
        Rotation, of those imported.
    distance
        Parsec.
    av
        Extinction in V, mag.
    grid
        Name of the isochrones; else a published one.
    extinction
        Law: G23, F99, CCM89 ... with --r-v, or wang-chen-2019 (SDSS g r i).
    r_v
        A_V over E(B-V); 3.1.
    fit
        no, least-squares, or posterior.
    prior
        NAME=MEAN,SIGMA or NAME=LOW:HIGH of age, feh, distance, dm, av, binaries, field.
    hold
        Parameter that is not fitted.
    max_phase
        Last phase fitted: 2 giant branch, 3 with the horizontal branch.
    steps
        Of each walker of the posterior.
    seed
        Of the random numbers.
    """

    isochrone: Annotated[bool, Parameter(negative=())] = False
    age: float | None = None
    feh: float | None = None
    v_vcrit: float | None = None
    distance: float | None = None
    av: float | None = None
    grid: str | None = None
    extinction: str = "G23"
    r_v: float | None = None
    fit: Literal["no", "least-squares", "posterior"] = "no"
    prior: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    hold: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    max_phase: int = 2
    steps: int = 600
    seed: int = 1

    @property
    def is_wanted(self) -> bool:
        """Whether any curve was asked for."""
        given = (self.age, self.feh, self.v_vcrit, self.distance, self.av, self.grid)
        return self.isochrone or self.fit != "no" or any(value is not None for value in given)


NO_LIMITS, NO_CURVE = Limits(), Curve()


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
    warehouse = SESSION.warehouse()
    diagram = find_diagram(warehouse, field, colour, mag, limits)
    fit = find_curve(warehouse, diagram, curve) if curve.is_wanted else None
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


def find_diagram(
    warehouse: "Warehouse", field: str | None, colour: str, mag: str, limits: Limits
) -> "Diagram":
    """Ask the warehouse for a diagram."""
    from ..analysis.colour_magnitude import catalogue_diagram, field_diagram

    with warehouse.reading() as con:
        selection = _selection(con, limits)
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


def _selection(con: Any, limits: Limits) -> "Selection":
    from ..analysis.colour_magnitude import Selection
    from ..analysis.stars import parse_position

    place = None if limits.centre is None else parse_position(limits.centre)
    if limits.centre is not None and place is None:
        raise UsageError(f'--centre {limits.centre}: expected "RA DEC" in degrees or sexagesimal.')
    low, high = _numbers("--parallax", limits.parallax, ":", 2) or (None, None)
    motion = _numbers("--proper-motion", limits.proper_motion, ",", 3) or (None, None, None)
    return Selection(
        aperture_id=None if limits.aperture is None else _aperture(con, limits.aperture),
        take=limits.take,
        photometric_system=limits.system,
        min_frame=limits.min_frames,
        max_err_mag=limits.max_err,
        max_blended=limits.max_blended,
        with_unclean=limits.unclean,
        ra_deg=place[0] if place else None,
        dec_deg=place[1] if place else None,
        inner_arcsec=None if limits.inner is None else 60 * limits.inner,
        outer_arcsec=None if limits.outer is None else 60 * limits.outer,
        min_parallax_mas=low,
        max_parallax_mas=high,
        pm_ra_mas_per_yr=motion[0],
        pm_dec_mas_per_yr=motion[1],
        pm_reach_mas_per_yr=motion[2],
        is_natural=limits.natural,
    )


def _numbers(option: str, text: str | None, separator: str, n: int) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        found = tuple(float(part) for part in text.split(separator))
    except ValueError:
        found = ()
    if len(found) != n:
        example = separator.join(("1.0", "1.4", "0.5")[:n])
        raise UsageError(f"{option} {text}: expected {n} numbers, as {example}.")
    return found


def _aperture(con: Any, text: str) -> int:
    known = con.table("aperture").project("aperture_id, aperture_name").fetchall()
    for aperture_id, name in known:
        if text in (name, str(aperture_id)):
            return int(aperture_id)
    names = ", ".join(name for _, name in known) or "none"
    raise NotFoundError(f"no aperture {text!r}; there are: {names}.")
