"""The check plot of a plate solution: how far each star is from where it should be."""

from itertools import pairwise

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .canvas import BINNED, DATA, GREY, MARK, MODEL, PALE, WIDE_IN, figure_style

ARROW_SHARE = 0.03  # of the frame's longer side: the length of a typical residual
LONGEST = 4.0  # typical residuals: a longer arrow is cut, and drawn in another colour
N_RING = 8
LEAST_IN_RING = 3


def residual_figure(residuals: pl.DataFrame, *, n_x_pix: int, n_y_pix: int, title: str) -> Figure:
    """Draw the residual vectors over the frame, and the residuals by distance from its centre.

    Parameters
    ----------
    residuals
        Rows of `wcs_residual` of one frame: x_pix, y_pix, dx_pix, dy_pix, is_used.
    """
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 3.7), layout="constrained")
        field, radius = figure.subplots(1, 2, width_ratios=(1.5, 1))
        _draw_field(field, residuals, n_x_pix, n_y_pix, title)
        _draw_radius(radius, residuals.filter("is_used"), n_x_pix, n_y_pix)
    return figure


def _draw_field(
    axes: Axes, residuals: pl.DataFrame, n_x_pix: int, n_y_pix: int, title: str
) -> None:
    used, left_out = residuals.filter("is_used"), residuals.filter(~pl.col("is_used"))
    length_pix = np.hypot(used["dx_pix"].to_numpy(), used["dy_pix"].to_numpy())
    typical_pix = float(np.median(length_pix)) if used.height else 1.0
    typical_pix = typical_pix or 1.0
    zoom = ARROW_SHARE * max(n_x_pix, n_y_pix) / typical_pix
    cut = np.maximum(length_pix / (LONGEST * typical_pix), 1.0)
    shown = used.with_columns(pl.col("dx_pix", "dy_pix") / pl.Series(cut))
    _draw_arrows(axes, shown.filter(pl.Series(cut == 1)), zoom, BINNED)
    _draw_arrows(axes, shown.filter(pl.Series(cut > 1)), zoom, MODEL)
    axes.plot(left_out["x_pix"], left_out["y_pix"], "x", color=MODEL, markersize=4)
    key = {
        "x_pix": [0.04 * n_x_pix],
        "y_pix": [-0.05 * n_y_pix],
        "dx_pix": typical_pix,
        "dy_pix": 0.0,
    }
    _draw_arrows(axes, pl.DataFrame(key), zoom, MARK)
    told = f"{typical_pix:.3f} pix, the median of {used.height}"
    axes.text((0.06 + ARROW_SHARE) * n_x_pix, -0.05 * n_y_pix, told, va="center", color=MARK)
    counts = f"rms {_rms(used):.3f} pix; cut short: {np.sum(cut > 1)}; left out: {left_out.height}"
    axes.set_title(f"{title}\n{counts}", fontsize=8, loc="left")
    axes.set_xlim(-0.02 * n_x_pix, 1.02 * n_x_pix)
    axes.set_ylim(-0.1 * n_y_pix, 1.02 * n_y_pix)
    axes.set_aspect("equal")
    axes.set_xlabel("x (pix)")
    axes.set_ylabel("y (pix)")


def _rms(used: pl.DataFrame) -> float:
    if used.is_empty():
        return 0.0
    square = used.select((pl.col("dx_pix") ** 2 + pl.col("dy_pix") ** 2).mean()).item()
    return float(np.sqrt(square))


def _draw_arrows(axes: Axes, rows: pl.DataFrame, zoom: float, colour: str) -> None:
    columns = ("x_pix", "y_pix", "dx_pix", "dy_pix")
    x, y, dx, dy = (rows[name].to_numpy() for name in columns)
    axes.quiver(
        x,
        y,
        zoom * dx,
        zoom * dy,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.003,
        color=colour,
    )


def _draw_radius(axes: Axes, used: pl.DataFrame, n_x_pix: int, n_y_pix: int) -> None:
    """Draw residuals along and across the radius; a wrong distortion bends the first."""
    u = used["x_pix"].to_numpy() - (n_x_pix - 1) / 2
    v = used["y_pix"].to_numpy() - (n_y_pix - 1) / 2
    r = np.maximum(np.hypot(u, v), 1e-9)
    dx, dy = used["dx_pix"].to_numpy(), used["dy_pix"].to_numpy()
    outward = (u * dx + v * dy) / r
    axes.axhline(0, color=PALE)
    across = (u * dy - v * dx) / r
    axes.plot(r, outward, ".", color=DATA, markersize=3, label="outward")
    axes.plot(r, across, ".", color=GREY, markersize=2, label="across")
    middle, height = _in_rings(r, outward)
    axes.plot(middle, height, "o-", color=MODEL, markersize=3, linewidth=1, label="median outward")
    axes.set_xlabel("distance from the centre (pix)")
    axes.set_ylabel("residual (pix)")
    typical_pix = float(np.median(np.hypot(outward, across))) if used.height else 0.0
    if typical_pix > 0:
        top = LONGEST * typical_pix
        n_beyond = int(np.sum(np.maximum(np.abs(outward), np.abs(across)) > top))
        axes.set_ylim(-top, top)
        axes.set_title(f"{n_beyond} stars beyond" if n_beyond else "", fontsize=8, loc="right")
    axes.legend(loc="lower left", fontsize=7, framealpha=0.8, frameon=True, edgecolor="none")


def _in_rings(r: NDArray, value: NDArray) -> tuple[list[float], list[float]]:
    edges = np.linspace(0, r.max() if r.size else 1.0, N_RING + 1)
    middle: list[float] = []
    height: list[float] = []
    for low, high in pairwise(edges):
        here = (r >= low) & (r <= high)
        if np.count_nonzero(here) >= LEAST_IN_RING:
            middle.append(float((low + high) / 2))
            height.append(float(np.median(value[here])))
    return middle, height
