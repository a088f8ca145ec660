"""Pictures of colour-magnitude diagrams: stars, their errors, isochrones, posteriors."""

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .canvas import BINNED, DATA, GREY, INK, MARK, MODEL, WIDE_IN, figure_style, floats
from .colour_magnitude import Diagram
from .isochrone_fit import IsochroneFit
from .isochrone_problem import Track

Array = NDArray[np.float64]
ColourBy = Literal["separation", "density", "none"]

N_DRAW = 60  # curves of the posterior that make its band
BIN_MAG = 1.0
LABELS = {
    "age": "Age (Gyr)",
    "feh": "[Fe/H]",
    "dm": "m − M (mag)",
    "av": "A(V) (mag)",
    "colour_offset": "Colour offset",
    "mag_offset": "Mag. offset",
    "binaries": "Pairs",
    "field": "Field stars",
    "jitter": "Jitter (mag)",
}


def diagram_figure(
    diagram: Diagram,
    *,
    fit: IsochroneFit | None = None,
    colour_by: ColourBy = "separation",
    width_in: float = 5.2,
    height_in: float = 6.3,
    title: str | None = None,
) -> Figure:
    """Draw a diagram, bright stars up, with error bars by magnitude at its side.

    Parameters
    ----------
    fit
        An isochrone and, where it has one, the band of its posterior.
    colour_by
        Colour of the stars: separation from the centre, how many are near in the diagram, or one
        for all. Without separations density is taken.
    """
    with figure_style(**{"ytick.right": True}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.subplots()
        _draw_stars(figure, axes, diagram, colour_by)
        box = _box(diagram)
        _draw_errors(axes, diagram, box)
        if fit is not None:
            _draw_fit(axes, fit)
            axes.legend(loc="upper left", fontsize=7.5)
        axes.set_xlim(box[0], box[1])
        axes.set_ylim(box[3], box[2])
        axes.set_xlabel(axis_label(diagram, diagram.colour_name))
        axes.set_ylabel(axis_label(diagram, diagram.mag_band))
        axes.xaxis.set_tick_params(top=True)
        axes.set_title(title or _title(diagram), fontsize=9, loc="left")
    return figure


def axis_label(diagram: Diagram, quantity: str) -> str:
    """Return what an axis shows and on which system."""
    return f"{quantity} ({diagram.system_name}, mag)"


def corner_figure(fit: IsochroneFit, *, width_in: float = WIDE_IN) -> Figure:
    """Draw the posterior of every pair of parameters, and of each alone.

    Levels hold 39 and 86 %: one and two sigmas in two dimensions.
    """
    names, samples = fit.problem.free, fit.samples
    with figure_style(**{"font.size": 7, "ytick.right": False}):
        figure = Figure(figsize=(width_in, width_in), layout="constrained")
        panels = np.atleast_2d(figure.subplots(len(names), len(names), squeeze=False))
        for i, below in enumerate(names):
            for j, beside in enumerate(names):
                axes = panels[i, j]
                if j > i:
                    axes.set_axis_off()
                    continue
                if i == j:
                    _draw_alone(axes, samples[:, i])
                else:
                    _draw_pair(axes, samples[:, j], samples[:, i])
                if i == len(names) - 1:
                    axes.set_xlabel(LABELS[beside])
                else:
                    axes.set_xticklabels([])
                if j == 0 and i > 0:
                    axes.set_ylabel(LABELS[below])
                elif j > 0:
                    axes.set_yticklabels([])
                axes.tick_params(labelsize=6)
    return figure


def residual_figure(diagram: Diagram, fit: IsochroneFit, *, width_in: float = WIDE_IN) -> Figure:
    """Draw colours less those of the isochrone against magnitude, members dark."""
    stars = diagram.stars
    colour, mag = floats(stars["colour"]), floats(stars["mag"])
    off = colour - _nearest_colour(fit.track, mag, colour, fit.problem.max_phase)
    with figure_style():
        figure = Figure(figsize=(width_in, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(mag, off, ".", ms=2.5, color=DATA)
        axes.axhline(0, color=MODEL, lw=0.9)
        axes.set_ylim(-0.5, 0.5)
        axes.set_xlabel(axis_label(diagram, diagram.mag_band))
        axes.set_ylabel(f"{diagram.colour_name} less isochrone")
    return figure


def _draw_stars(figure: Figure, axes: Axes, diagram: Diagram, colour_by: ColourBy) -> None:
    stars = diagram.stars
    colour, mag = floats(stars["colour"]), floats(stars["mag"])
    size = 2.5 if len(mag) > 3000 else 5.0
    separation = floats(stars["separation_arcsec"]) / 60
    style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": len(mag) > 20_000}
    if colour_by == "none":
        axes.scatter(colour, mag, color=BINNED, **style)
        return
    by_separation = colour_by == "separation" and np.isfinite(separation).any()
    shade = separation if by_separation else local_density(colour, mag)
    order = np.argsort(-shade if by_separation else shade)
    drawn = axes.scatter(
        colour[order],
        mag[order],
        c=shade[order],
        cmap="viridis_r" if by_separation else "viridis",
        **style,
    )
    bar = figure.colorbar(drawn, ax=axes, pad=0.01, aspect=45)
    bar.set_label("Separation from the centre (arcmin)" if by_separation else "Stars per mag²")
    bar.outline.set_linewidth(0.4)  # pyright: ignore[reportCallIssue]


def local_density(colour: Array, mag: Array) -> Array:
    """Stars per square magnitude around each, from a smoothed histogram."""
    from scipy.ndimage import gaussian_filter

    x, y = np.nan_to_num(colour), np.nan_to_num(mag)
    counts, at_x, at_y = np.histogram2d(x, y, bins=(120, 160))
    cell = (at_x[1] - at_x[0]) * (at_y[1] - at_y[0])
    smooth = gaussian_filter(counts, 1.5) / cell
    i = np.clip(np.searchsorted(at_x, x, side="right") - 1, 0, 119)
    j = np.clip(np.searchsorted(at_y, y, side="right") - 1, 0, 159)
    return smooth[i, j]


def _draw_errors(axes: Axes, diagram: Diagram, box: tuple[float, float, float, float]) -> None:
    """Draw the median errors of each magnitude at the right side."""
    mag, mag_err = floats(diagram.stars["mag"]), floats(diagram.stars["mag_err"])
    colour_err = floats(diagram.stars["colour_err"])
    known = np.isfinite(mag_err) & np.isfinite(colour_err)
    if not known.any():
        return
    place = box[1] - 0.07 * (box[1] - box[0])
    for low in np.arange(np.floor(box[2]), box[3], BIN_MAG):
        here = known & (mag >= low) & (mag < low + BIN_MAG)
        if here.sum() >= 3:
            axes.errorbar(
                place,
                low + BIN_MAG / 2,
                xerr=np.median(colour_err[here]),
                yerr=np.median(mag_err[here]),
                color=GREY,
                lw=0.9,
                capsize=1.5,
            )


def _draw_fit(axes: Axes, fit: IsochroneFit) -> None:
    problem = fit.problem
    if len(fit.samples):
        chosen = np.linspace(0, len(fit.samples) - 1, N_DRAW).astype(int)
        for i in chosen:
            track = problem.track(problem.named(fit.samples[i]))
            _draw_track(axes, track, problem.max_phase, color=MARK, lw=0.6, alpha=0.15)
        axes.plot([], [], color=MARK, lw=3, alpha=0.4, label="posterior")
    name = "synthetic isochrone" if problem.grid.is_synthetic else problem.grid.grid_name
    label = f"{name}, {fit.values['age']:.4g} Gyr, [Fe/H] {fit.values['feh']:.3g}"
    _draw_track(axes, fit.track, problem.max_phase, color=MODEL, lw=1.2, label=label)
    later = (fit.track.phase > problem.max_phase) & (fit.track.phase <= 5)
    if later.any():
        colour = np.where(later, fit.track.colour, np.nan)
        axes.plot(
            colour, fit.track.mag, color=MODEL, lw=0.8, ls=":", label="later phases, not fitted"
        )


def _draw_track(axes: Axes, track: Track, max_phase: int, **style: Any) -> None:
    kept = track.phase <= max_phase
    axes.plot(track.colour[kept], track.mag[kept], **style)


def _box(diagram: Diagram) -> tuple[float, float, float, float]:
    """Leave out the wildest half per cent, with some room around the rest."""
    colour, mag = floats(diagram.stars["colour"]), floats(diagram.stars["mag"])
    low, high = np.nanpercentile(colour, [0.7, 99.3])
    room = 0.08 * (high - low) + 0.05
    return (
        float(low - room),
        float(high + 2 * room),
        float(np.nanmin(mag) - 0.4),
        float(np.nanpercentile(mag, 99.9) + 0.3),
    )


def _title(diagram: Diagram) -> str:
    where = "catalogue" if diagram.field_id is None else f"{diagram.aperture_name} aperture"
    state = "calibrated" if diagram.is_calibrated else "instrumental, not calibrated"
    return f"{diagram.name}: {diagram.stars.height} stars, {where}, {state}"


def _draw_alone(axes: Axes, values: Array) -> None:
    axes.hist(values, bins=30, color=BINNED, histtype="stepfilled", alpha=0.75)
    for level in np.percentile(values, [15.87, 50, 84.13]):
        axes.axvline(level, color=MODEL, lw=0.7)
    axes.set_yticks([])


def _draw_pair(axes: Axes, x: Array, y: Array) -> None:
    from scipy.ndimage import gaussian_filter

    axes.plot(x[:: max(1, len(x) // 2000)], y[:: max(1, len(x) // 2000)], ",", color=DATA)
    counts, at_x, at_y = np.histogram2d(x, y, bins=32)
    smooth = gaussian_filter(counts, 1.2)
    ordered = np.sort(smooth.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    levels = sorted({float(ordered[np.searchsorted(share, level)]) for level in (0.865, 0.393)})
    middle = (at_x[1:] + at_x[:-1]) / 2, (at_y[1:] + at_y[:-1]) / 2
    axes.contour(*middle, smooth.T, levels=levels, colors=INK, linewidths=0.7)


def _nearest_colour(track: Track, mag: Array, colour: Array, max_phase: int) -> Array:
    """Colour of the isochrone at a magnitude, of the branch nearest in colour."""
    kept = track.phase <= max_phase
    at_colour, at_mag = track.colour[kept], track.mag[kept]
    best = np.full(len(mag), np.nan)
    for k in range(len(at_mag) - 1):
        low, high = sorted((at_mag[k], at_mag[k + 1]))
        here = (mag >= low) & (mag <= high)
        if not here.any() or high == low:
            continue
        share = (mag[here] - at_mag[k]) / (at_mag[k + 1] - at_mag[k])
        found = at_colour[k] + share * (at_colour[k + 1] - at_colour[k])
        now = best[here]
        nearer = ~np.isfinite(now) | (np.abs(found - colour[here]) < np.abs(now - colour[here]))
        best[here] = np.where(nearer, found, now)
    return best
