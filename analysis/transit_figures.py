"""Figures of how a fit came about: noise against bin size, comparison stars, posterior."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from scipy.ndimage import gaussian_filter

from .canvas import (
    BINNED,
    DATA,
    GREY,
    INK,
    MODEL,
    WIDE_IN,
    Array,
    Clock,
    figure_style,
    floats,
    label_time,
    legend_below,
    tidy,
)
from .transit_fit import TransitFit

MAX_STARS = 12
CORNER = {
    "mid_offset_d": ("T₀ − best (min)", 1440.0),
    "radius_ratio": ("Rp / R★", 1.0),
    "impact_parameter": ("b", 1.0),
    "a_over_r": ("a / R★", 1.0),
}
N_CELL = 32


def scatter_by_bin(fit: TransitFit) -> pl.DataFrame | None:
    """Scatter of means of residuals by their length: n_point, length_min, scatter, white.

    None for fewer than 20 residuals. Averages are of neighbours without overlap; at least four.
    """
    points = fit.points.filter(~pl.col("is_outlier") & pl.col("residual").is_not_null())
    residual, time = floats(points["residual"]), floats(points["bjd_tdb"])
    n = len(residual)
    if n < 20:
        return None
    cadence_min = 1440 * float(np.median(np.diff(time)))
    sizes = sorted({round(x) for x in np.geomspace(1, n // 4, 16)})
    rows = []
    for m in sizes:
        count = n // m
        means = residual[: m * count].reshape(count, m).mean(axis=1)
        white = float(np.std(residual)) / math.sqrt(m) * math.sqrt(count / max(count - 1, 1))
        rows.append((m, m * cadence_min, float(np.std(means, ddof=1)), white))
    return pl.DataFrame(rows, schema=["n_point", "length_min", "scatter", "white"], orient="row")


def noise_figure(table: pl.DataFrame, *, width_in: float = WIDE_IN) -> Figure:
    """Draw the scatter of means against their length, and that of white noise."""
    with figure_style():
        figure = Figure(figsize=(width_in, 0.5 * width_in + 0.4), layout="constrained")
        axes = figure.subplots()
        x = floats(table["length_min"])
        axes.loglog(x, 100 * floats(table["white"]), color=MODEL, lw=1.2, label="white noise")
        axes.loglog(
            x, 100 * floats(table["scatter"]), "o-", ms=4, lw=0.8, color=BINNED, label="residuals"
        )
        axes.set_xlabel("Length of the means (min)")
        axes.set_ylabel("Scatter (%)")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        legend_below(figure, axes, width_in)
    return figure


def stars_figure(
    own: pl.DataFrame, names: Sequence[tuple[int, str]], *, width_in: float = WIDE_IN
) -> Figure:
    """Draw the curves of comparison stars over the others, one below the other.

    Parameters
    ----------
    own
        source_id, mid_bjd_tdb, relative_flux.
    names
        Source number and label, in the order of drawing; at most `MAX_STARS` are drawn.
    """
    names = names[:MAX_STARS]
    chosen = own.filter(pl.col("source_id").is_in([source_id for source_id, _ in names]))
    spread = 100 * float(np.nanpercentile(np.abs(floats(chosen["relative_flux"]) - 1), 95)) or 1.0
    step = 2.4 * spread
    with figure_style():
        figure = Figure(figsize=(width_in, 0.6 + 0.42 * len(names)), layout="constrained")
        axes = figure.subplots()
        clock = Clock.of(own["mid_bjd_tdb"].drop_nulls(), None)
        for i, (source_id, label) in enumerate(names):
            rows = chosen.filter(source_id=source_id).drop_nulls("mid_bjd_tdb").sort("mid_bjd_tdb")
            x = clock.days(rows["mid_bjd_tdb"])
            axes.axhline(-i * step, color=GREY, lw=0.5)
            y = np.clip(100 * (floats(rows["relative_flux"]) - 1), -step, step)
            axes.plot(x, y - i * step, "o", ms=2, mew=0, color=DATA)
            axes.annotate(
                label,
                (1.01, -i * step),
                xycoords=("axes fraction", "data"),
                fontsize=7.5,
                va="center",
            )
        axes.set_ylabel("Relative flux (%), shifted")
        label_time(axes, clock)
        axes.set_ylim(-(len(names) - 0.3) * step, 0.8 * step)
        axes.tick_params(axis="y", labelsize=7)
    return figure


def corner_figure(samples: pl.DataFrame, *, width_in: float = WIDE_IN) -> Figure:
    """Draw the posterior of the transit's parameters, each alone and by pairs.

    Contours hold 39 % and 86 % of the samples: 1 and 2 sigma of a normal distribution in a plane.
    """
    columns = {}
    for name, (label, factor) in CORNER.items():
        values = factor * floats(samples[name])
        columns[label] = values - np.median(values) if name == "mid_offset_d" else values
    labels, n = list(columns), len(columns)
    with figure_style():
        figure = Figure(figsize=(width_in, width_in), layout="constrained")
        panels = figure.subplots(n, n, sharex="col", squeeze=False)
        for i, j in np.ndindex(n, n):
            axes: Axes = panels[i, j]  # pyright: ignore[reportAssignmentType]
            if j > i:
                axes.set_visible(False)
                continue
            x = columns[labels[j]]
            if i == j:
                axes.hist(x, bins=N_CELL, histtype="step", color=BINNED, lw=1)
                low, middle, high = np.percentile(x, [15.87, 50, 84.13])
                for value in (low, middle, high):
                    axes.axvline(value, color=MODEL, lw=0.8, ls=(0, (3, 2)))
            else:
                _contours(axes, x, columns[labels[i]])
            tidy(axes)
            if i == j:
                axes.set_yticks([])
            axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
            axes.tick_params(labelsize=7)
            axes.tick_params(axis="x", labelrotation=30)
            if i == n - 1:
                axes.set_xlabel(labels[j])
            if j == 0 and i > 0:
                axes.set_ylabel(labels[i])
            elif j > 0 and i != j:
                axes.set_yticklabels([])
    return figure


def _contours(axes: Axes, x: Array, y: Array) -> None:
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=N_CELL)
    smooth = gaussian_filter(counts, 1.0).T
    ordered = np.sort(smooth.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    levels = sorted({float(ordered[np.searchsorted(share, part)]) for part in (0.393, 0.865)})
    axes.contour(
        0.5 * (x_edges[1:] + x_edges[:-1]),
        0.5 * (y_edges[1:] + y_edges[:-1]),
        smooth,
        levels=levels,
        colors=[INK, BINNED][: len(levels)],
        linewidths=0.9,
    )
