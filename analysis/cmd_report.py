"""The report of a colour-magnitude diagram: all it rests on, on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from .canvas import BINNED, DATA, MODEL, WIDE_IN, figure_style, floats
from .cmd_figures import LABELS, corner_figure, diagram_figure, residual_figure
from .colour_magnitude import Diagram
from .isochrone_fit import IsochroneFit
from .isochrone_parameters import distance_pc
from .page import Page, Plot, Section, Table, plot, table

MOST_SHOWN = 20_000  # marks of a figure
N_LISTED = 40
FRAME_HEADS = {
    "file_name": "frame",
    "band": "band",
    "mid_utc": "middle, UTC",
    "exposure_s": "exposure (s)",
    "fwhm_pix": "FWHM (pix)",
    "zero_point_mag": "zero point",
    "zero_point_err_mag": "error",
    "colour": "colour",
    "colour_term": "colour term",
    "scatter_mag": "scatter",
    "n_star": "stars",
    "method": "method",
    "dimming_mag": "dimming",
}
STAR_HEADS = {
    "source_id": "source",
    "ra_deg": "RA (deg)",
    "dec_deg": "Dec (deg)",
    "mag": "mag",
    "mag_err": "error",
    "colour": "colour",
    "colour_err": "error of colour",
    "n_frame": "measurements",
    "flags": "flags",
}


@dataclass(frozen=True, slots=True)
class CmdReport:
    """What a report is made from; frames and residuals are rows of the queries of these names."""

    diagram: Diagram
    fit: IsochroneFit | None
    warnings: Sequence[str]
    frames: pl.DataFrame
    residuals: pl.DataFrame
    versions: Mapping[str, str]
    command: str
    version: str
    generated_utc: datetime


def cmd_page(report: CmdReport) -> Page:
    """Lay out the page of a diagram."""
    diagram = report.diagram
    state = diagram.system_name if diagram.is_calibrated else "instrumental, not calibrated"
    head = [
        ("Stars", f"{diagram.stars.height} of {diagram.n_before}"),
        ("Colour, magnitude", f"{diagram.colour_name}, {diagram.mag_band}"),
        ("Photometric system", state),
        ("Catalogue", diagram.catalogue_name or "none"),
        ("Aperture", diagram.aperture_name or "none: a catalogue"),
        ("Frames", str(report.frames.height)),
    ]
    return Page(
        kicker="Colour-magnitude diagram",
        title=diagram.name,
        summary=_summary(report),
        head=head,
        sections=[
            Section("The diagram", plots=[_diagram(report)]),
            _isochrone(report),
            _zero_points(report),
            _matches(report),
            _selection(report),
            _stars(report),
        ],
        warnings=list(report.warnings),
        command=report.command,
        version=report.version,
        generated_utc=report.generated_utc,
        notes=_notes(report),
    )


def _summary(report: CmdReport) -> str:
    diagram, fit = report.diagram, report.fit
    n_night = report.frames["night"].n_unique()
    text = (
        f"{diagram.stars.height} stars in {diagram.colour_name} and {diagram.mag_band}, from "
        f"{report.frames.height} frames of {n_night} night{'' if n_night == 1 else 's'}."
        if diagram.field_id is not None
        else f"{diagram.stars.height} stars of the catalogue {diagram.name}; no frame was used."
    )
    if fit is None:
        return text
    values, errors = fit.values, fit.errors
    told = (
        f" An isochrone of {values['age']:.4g} Gyr and [Fe/H] {values['feh']:.3g} lies at "
        f"{distance_pc(values['dm']):.0f} pc behind A(V) = {values['av']:.3f} mag ({fit.method}"
    )
    if "dm" in errors and "av" in errors:
        told += f"; m − M = {values['dm']:.3f} ± {errors['dm']:.3f}, A(V) ± {errors['av']:.3f}"
    return text + told + ")."


def _diagram(report: CmdReport) -> Plot:
    diagram = report.diagram
    figure = diagram_figure(_thinned(diagram), fit=report.fit, width_in=WIDE_IN, height_in=5.6)
    caption = (
        f"Bright stars are up. Bars at the right: median errors by magnitude. "
        f"{'Calibrated' if diagram.is_calibrated else 'Instrumental'} magnitudes."
    )
    return plot(figure, name="diagram", alt=f"Diagram of {diagram.name}", caption=caption)


def _thinned(diagram: Diagram) -> Diagram:
    from dataclasses import replace

    if diagram.stars.height <= MOST_SHOWN:
        return diagram
    return replace(diagram, stars=diagram.stars.sample(MOST_SHOWN, seed=1).sort("mag"))


def _isochrone(report: CmdReport) -> Section:
    fit = report.fit
    if fit is None:
        return Section("The isochrone")
    plots: list[Plot | None] = [
        plot(
            residual_figure(_thinned(report.diagram), fit),
            name="off",
            alt="Colours less isochrone",
            caption="Colour of each star less that of the isochrone at its magnitude.",
        )
    ]
    if len(fit.samples):
        caption = "Posterior: contours hold 39 and 86 %; lines 16, 50 and 84 %."
        plots.append(
            plot(corner_figure(fit), name="corner", alt="Posterior of all pairs", caption=caption)
        )
    problem = fit.problem
    law = problem.extinction
    text = (
        f"{problem.grid.grid_name}, v/vcrit {problem.grid.v_over_vcrit:g}, on "
        f"{problem.grid.photometric_system}; extinction {law.law}"
        + (f" with R(V) = {law.r_v:g}" if law.r_v else ", fixed coefficients")
        + "".join(
            f", A({band})/A(V) = {law.coefficient(problem.grid.photometric_system, band):.3f}"
            for band in dict.fromkeys(problem.grid.bands)
        )
        + f"; {len(problem.stars.mag)} stars fitted, phases up to {problem.max_phase}."
    )
    return Section("The isochrone", text, plots=plots, tables=[_parameters(fit)])


def _parameters(fit: IsochroneFit) -> Table | None:
    names = dict.fromkeys(("age", "feh", "dm", "av", *fit.problem.free))
    priors = {prior.parameter: prior.described() for prior in fit.problem.priors}
    rows = pl.DataFrame(
        {
            "parameter": [LABELS[name] for name in names],
            "value": [fit.values[name] for name in names],
            "error": [fit.errors.get(name) for name in names],
            "prior": [priors.get(name, "even") if name in fit.errors else "held" for name in names],
        },
        schema_overrides={"error": pl.Float64},
    )
    heads = {name: name for name in rows.columns}
    return table(rows, f"Parameters, {fit.method}; errors are 1 sigma.", heads)


def _zero_points(report: CmdReport) -> Section:
    frames = report.frames
    if frames.is_empty():
        return Section("Zero points")
    known = [name for name in FRAME_HEADS if frames[name].is_not_null().any()]
    text = (
        ""
        if frames["zero_point_mag"].is_not_null().any()
        else "No frame has a zero point: no catalogue of this field is matched. Magnitudes are "
        "instrumental, frames levelled by what they lost against each other (dimming)."
    )
    plots: list[Plot | None] = []
    if not report.residuals.is_empty():
        caption = "Calibrated magnitude less catalogue, of every frame and matched star."
        plots.append(
            plot(residuals_figure(report.residuals), name="zp", alt="Residuals", caption=caption)
        )
    heads = {name: FRAME_HEADS[name] for name in known}
    return Section(
        "Zero points and colour terms",
        text,
        plots=plots,
        tables=[table(frames, "Frames behind the diagram.", heads)],
    )


def residuals_figure(residuals: pl.DataFrame) -> Figure:
    """Draw residuals of zero points by magnitude, colour, and place in x and y."""
    panels = {
        "catalogue_mag": "Catalogue magnitude",
        "colour_mag": "Colour (mag)",
        "x_pix": "x (pix)",
        "y_pix": "y (pix)",
    }
    rows = residuals.sample(min(residuals.height, MOST_SHOWN), seed=1)
    off = floats(rows["residual_mag"])
    reach = max(0.05, 1.3 * float(np.nanpercentile(np.abs(off), 97)))
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 4.6), layout="constrained")
        for axes, (name, label) in zip(
            figure.subplots(2, 2, sharey=True).ravel(), panels.items(), strict=True
        ):
            x = floats(rows[name])
            axes.plot(x, off, ".", ms=1.5, color=DATA, rasterized=len(x) > 5000)
            axes.axhline(0, color=MODEL, lw=0.8)
            _draw_medians(axes, x, off)
            axes.set_ylim(-reach, reach)
            axes.set_xlabel(label)
        figure.supylabel("Calibrated less catalogue (mag)", fontsize=8.5)
    return figure


def _draw_medians(axes, x: np.ndarray, off: np.ndarray) -> None:
    known = np.isfinite(x) & np.isfinite(off)
    if known.sum() < 20:
        return
    edges = np.unique(np.percentile(x[known], np.linspace(0, 100, 11)))
    for low, high in pairwise(edges):
        here = known & (x >= low) & (x <= high)
        if here.any():
            axes.plot((low + high) / 2, np.median(off[here]), "o", ms=4, color=BINNED)


def _matches(report: CmdReport) -> Section:
    separations = report.residuals["separation_arcsec"].drop_nulls()
    if separations.is_empty():
        return Section("Matches with the catalogue")
    stars = report.residuals.unique("source_id")
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 2.2), layout="constrained")
        axes = figure.subplots()
        axes.hist(floats(stars["separation_arcsec"]), bins=40, color=BINNED)
        axes.set_xlabel("Separation from the catalogue's star (arcsec)")
        axes.set_ylabel("Stars")
    middle = stars["separation_arcsec"].median()
    text = f"{stars.height} stars are matched without doubt, {middle:.2f} arcsec apart (median)."
    caption = "Separations of the matches."
    return Section(
        "Matches with the catalogue",
        text,
        plots=[plot(figure, name="matches", alt="Separations", caption=caption)],
    )


def _selection(report: CmdReport) -> Section:
    diagram = report.diagram
    limits = diagram.selection.described()
    rows = pl.DataFrame(
        {"limit": list(limits), "value": [str(value) for value in limits.values()]},
        schema={"limit": pl.String, "value": pl.String},
    )
    text = (
        f"{diagram.n_before} stars have both bands; the limits below leave {diagram.stars.height}."
    )
    heads = {"limit": "limit", "value": "value"}
    return Section("Selection", text, tables=[table(rows, "Limits that were set.", heads)])


def _stars(report: CmdReport) -> Section:
    places = pl.col("ra_deg", "dec_deg").round(5).cast(pl.String)
    stars = report.diagram.stars.head(N_LISTED).with_columns(places)
    caption = f"The {stars.height} brightest stars; all of them: the same command with --json."
    return Section("Stars", tables=[table(stars, caption, STAR_HEADS)])


def _notes(report: CmdReport) -> list[str]:
    notes = [
        "Fluxes of a star are averaged with the weights of their errors, or by the median; errors "
        "are raised to the scatter of three or more frames where that is larger. Stars without a "
        "colour in the catalogue get the colour term of their own colour, solved with both bands.",
    ]
    if report.fit is not None:
        notes.append(
            "The likelihood of an isochrone is that of each star's colour at its magnitude, of a "
            "mixture of single stars, unresolved pairs and field stars, blurred with the star's "
            "errors; isochrones are interpolated at equal evolutionary points. Least squares finds "
            "where the sampling begins; emcee samples the posterior."
        )
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    notes.append(f"Made with {versions}.")
    return notes
