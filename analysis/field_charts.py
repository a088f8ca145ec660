"""A chart of the field: the target, its comparison stars and the rejected ones."""

import math
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from .canvas import BINNED, GREY, INK, MODEL, Array, figure_style, floats, legend_below

CHART_PIX = 640  # longer side of the picture of the field
CHART_GREYS = 63  # more cannot be told apart beside the circles, and cost bytes
COMPASS_IN = 0.36
LABEL_REACH = 0.035  # of the chart's width, from a star to the middle of its label
SIDES = ((1, 1), (-1, 1), (1, -1), (-1, -1))
ROUND_ARCSEC = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.2, foreground="white")]
_LETTER: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "path_effects": HALO, "zorder": 6}


def field_chart(
    stars: pl.DataFrame,
    target_xy_pix: tuple[float, float] | None,
    *,
    image: Array | None = None,
    rotation_deg: float | None = None,
    is_mirrored: bool | None = None,
    scale_arcsec_per_pix: float | None = None,
    width_in: float = 5.6,
) -> Figure:
    """Draw the field with the target, its comparison stars and the rejected ones.

    Parameters
    ----------
    stars
        x_pix, y_pix, flux_adu, is_used (null: neither used nor rejected) and label (drawn beside
        it; null for none).
    target_xy_pix
        The target in the same pixels, 0-based.
    image
        Picture of the field, shape (n_y, n_x), first row at the bottom; without one the stars are
        drawn as discs, larger if brighter.
    rotation_deg, is_mirrored
        Position angle of the y axis, east of north, and whether east is clockwise from north, as
        in table `wcs`; arrows to north and east are drawn if both are known.
    scale_arcsec_per_pix
        Adds a bar of arcminutes.
    width_in
        Width in inches.
    """
    with figure_style(**{"ytick.right": False}):
        box = _chart_box(stars, target_xy_pix, image)
        aspect = min(1.3, max(0.5, (box[3] - box[2]) / (box[1] - box[0])))
        figure = Figure(figsize=(width_in, width_in * aspect + 0.35), layout="constrained")
        axes = figure.subplots()
        if image is None:
            _draw_discs(axes, stars)
        else:
            _draw_image(axes, image)
        axes.set_xlim(box[0], box[1])
        axes.set_ylim(box[2], box[3])
        axes.set_aspect("equal")
        _draw_stars(axes, stars, target_xy_pix)
        axes.set_xlabel("x (pix)")
        axes.set_ylabel("y (pix)")
        if rotation_deg is not None and is_mirrored is not None:
            _draw_compass(axes, rotation_deg, is_mirrored)
        if scale_arcsec_per_pix:
            _draw_scale_bar(axes, scale_arcsec_per_pix)
        legend_below(figure, axes, width_in)
    return figure


def compass(rotation_deg: float, is_mirrored: bool) -> tuple[Array, Array]:
    """Return unit vectors (x, y) on the image that point north and east.

    The y axis lies `rotation_deg` east of north; east is anticlockwise from north on the sky as
    we see it, clockwise on a mirrored image.
    """
    angle = math.radians(rotation_deg)
    hand = -1.0 if is_mirrored else 1.0
    north = np.array([hand * math.sin(angle), math.cos(angle)])
    east = hand * np.array([-north[1], north[0]])
    return north, east


def _chart_box(
    stars: pl.DataFrame, target_xy_pix: tuple[float, float] | None, image: Array | None
) -> tuple[float, float, float, float]:
    if image is not None:
        n_y, n_x = image.shape
        return -0.5, n_x - 0.5, -0.5, n_y - 0.5
    xs, ys = stars["x_pix"].to_list(), stars["y_pix"].to_list()
    if target_xy_pix is not None:
        xs, ys = [*xs, target_xy_pix[0]], [*ys, target_xy_pix[1]]
    pad = 0.08 * max(max(xs) - min(xs), max(ys) - min(ys), 20.0)
    return min(xs) - pad, max(xs) + pad, min(ys) - pad, max(ys) + pad


def _draw_image(axes: Axes, image: Array) -> None:
    """Show the picture dark on white, averaged down, with a stretch that keeps faint stars."""
    n_y, n_x = image.shape
    step = math.ceil(max(n_x, n_y) / CHART_PIX)
    part = image[: n_y - n_y % step, : n_x - n_x % step].astype(float)
    small = part.reshape(part.shape[0] // step, step, part.shape[1] // step, step).mean(axis=(1, 3))
    middle = np.nanmedian(small)
    noise = 1.4826 * np.nanmedian(np.abs(small - middle)) or 1.0
    height = np.nan_to_num((small - middle) / noise, nan=0.0)
    top = max(float(np.percentile(height, 99.8)), 10.0)
    grey = np.clip(np.arcsinh((height + 1) / 3) / np.arcsinh((top + 1) / 3), 0, 1)
    axes.imshow(
        np.round(grey * CHART_GREYS) / CHART_GREYS,
        cmap="gray_r",
        vmin=0,
        vmax=1.15,
        origin="lower",
        interpolation="none",
        extent=(-0.5, part.shape[1] - 0.5, -0.5, part.shape[0] - 0.5),
    )


def _draw_discs(axes: Axes, stars: pl.DataFrame) -> None:
    flux = np.clip(np.nan_to_num(floats(stars["flux_adu"]), nan=0.0), 0, None)
    size = 3 + 60 * np.sqrt(flux / max(float(flux.max(initial=0.0)), 1e-30))
    axes.scatter(stars["x_pix"], stars["y_pix"], s=size, color="#b9bdc4", lw=0, zorder=1)


def _draw_stars(axes: Axes, stars: pl.DataFrame, target_xy_pix: tuple[float, float] | None) -> None:
    kinds = ((None, GREY, "star"), (False, GREY, "rejected"), (True, BINNED, "comparison star"))
    for is_used, color, label in kinds:
        some = stars.filter(pl.col("is_used").eq_missing(pl.lit(is_used, pl.Boolean)))
        if some.height:
            size, width = (70, 1.1) if is_used else (30, 0.8)
            axes.scatter(
                some["x_pix"], some["y_pix"], s=size, fc="none", ec=color, lw=width, label=label
            )
    if target_xy_pix is not None:
        x, y = target_xy_pix
        axes.scatter([x], [y], s=150, fc="none", ec=MODEL, lw=1.6, label="target", zorder=4)
    _draw_labels(axes, stars, target_xy_pix)


def _draw_labels(
    axes: Axes, stars: pl.DataFrame, target_xy_pix: tuple[float, float] | None
) -> None:
    """Write each label to the side of its star where the next labelled star is furthest."""
    labelled = stars.filter(pl.col("label").is_not_null())
    labels = [(x, y, t, BINNED) for x, y, t in labelled.select("x_pix", "y_pix", "label").rows()]
    if target_xy_pix is not None:
        labels.append((*target_xy_pix, "T", MODEL))
    places = np.array([(x, y) for x, y, *_ in labels])
    reach = LABEL_REACH * float(np.diff(axes.get_xlim())[0])
    for i, (x, y, text, color) in enumerate(labels):
        others = np.delete(places, i, axis=0)

        def room(side: tuple[int, int], own: Array = places[i], others: Array = others) -> float:
            away = np.hypot(*(others - own - reach * np.array(side)).T)
            return min(float(away.min(initial=np.inf)), 3 * reach)

        right, up = max(SIDES, key=room)  # of equals the first: upper right
        distance = 5.5 if color == MODEL else 4
        axes.annotate(
            text,
            (x, y),
            (distance * right, distance * up),
            textcoords="offset points",
            ha="left" if right > 0 else "right",
            va="bottom" if up > 0 else "top",
            color=color,
            fontsize=8 if color == BINNED else 10,
            fontweight="bold",
            path_effects=HALO,
            zorder=5,
        )


def _draw_compass(axes: Axes, rotation_deg: float, is_mirrored: bool) -> None:
    """Put arrows to north and east into the lower right corner, letters beyond their tips."""
    north, east = compass(rotation_deg, is_mirrored)
    corner = ScaledTranslation(1, 0, axes.transAxes)  # pyright: ignore[reportArgumentType]
    inches = axes.figure.dpi_scale_trans + corner  # pyright: ignore[reportOptionalMemberAccess]
    origin = np.array([-0.42, 0.42]) - (north + east) * COMPASS_IN / 2
    for vector, letter in ((north, "N"), (east, "E")):
        arrow = FancyArrowPatch(
            tuple(origin),
            tuple(origin + vector * COMPASS_IN),
            transform=inches,
            arrowstyle="-|>",
            mutation_scale=9,
            color=INK,
            lw=1.1,
            shrinkA=0,
            shrinkB=0,
            zorder=6,
        )
        arrow.set_path_effects(HALO)
        axes.add_patch(arrow)
        x, y = origin + vector * 1.32 * COMPASS_IN
        axes.text(x, y, letter, transform=inches, ha="center", va="center", **_LETTER)


def _draw_scale_bar(axes: Axes, scale_arcsec_per_pix: float) -> None:
    """Put a bar of a round length, about a fifth of the width, into the lower left corner."""
    low, high = axes.get_xlim()
    target_arcsec = 0.2 * (high - low) * scale_arcsec_per_pix
    length_arcsec = max((n for n in ROUND_ARCSEC if n <= target_arcsec), default=ROUND_ARCSEC[0])
    text = f"{length_arcsec}″" if length_arcsec < 60 else f"{length_arcsec // 60}′"
    start, length = low + 0.05 * (high - low), length_arcsec / scale_arcsec_per_pix
    place = blended_transform_factory(axes.transData, axes.transAxes)
    ends = [start, start + length]
    axes.plot(ends, [0.05, 0.05], color=INK, lw=2, transform=place, path_effects=HALO, zorder=6)
    axes.text(start + length / 2, 0.065, text, transform=place, ha="center", va="bottom", **_LETTER)
