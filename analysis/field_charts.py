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
WIDTH_IN = 5.6  # for which the sizes of circles and letters are made
SHARE_OF_WIDTH = 0.92  # of the figure, that the chart has
LETTER_WIDTH = 0.7  # of its height
SIDES = ((1, 1), (-1, 1), (1, -1), (-1, -1))
ROUND_ARCSEC = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
Box = tuple[float, float, float, float]  # left, low, right, high
COMPASS_BOX: Box = (0.88, 0.0, 1.0, 0.12)  # parts of the chart where no label goes
SCALE_BOX: Box = (0.03, 0.03, 0.3, 0.11)
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
    title: str | None = None,
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
    title
        What is shown, above it.
    """
    with figure_style(**{"ytick.right": False}):
        box = _chart_box(stars, target_xy_pix, image)
        aspect = min(1.3, max(0.5, (box[3] - box[2]) / (box[1] - box[0])))
        height_in = width_in * aspect + (0.35 if title is None else 0.65)
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.subplots()
        if image is None:
            _draw_discs(axes, stars)
        else:
            _draw_image(axes, image)
        axes.set_xlim(box[0], box[1])
        axes.set_ylim(box[2], box[3])
        axes.set_aspect("equal")
        if title is not None:
            axes.set_title(title)
        has_compass = rotation_deg is not None and is_mirrored is not None
        taken = [COMPASS_BOX] if has_compass else []
        taken += [SCALE_BOX] if scale_arcsec_per_pix else []
        _draw_stars(axes, stars, target_xy_pix, width_in=width_in, taken=taken)
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
        low_x, high_x = _stretched(n_x, stars.filter("is_used")["x_pix"].to_list())
        low_y, high_y = _stretched(n_y, stars.filter("is_used")["y_pix"].to_list())
        return low_x, high_x, low_y, high_y
    xs, ys = stars["x_pix"].to_list(), stars["y_pix"].to_list()
    if target_xy_pix is not None:
        xs, ys = [*xs, target_xy_pix[0]], [*ys, target_xy_pix[1]]
    pad = 0.08 * max(max(xs) - min(xs), max(ys) - min(ys), 20.0)
    return min(xs) - pad, max(xs) + pad, min(ys) - pad, max(ys) + pad


def _stretched(n_pix: int, places: list[float]) -> tuple[float, float]:
    """Ends of a picture, or beyond: a drifting field brings comparison stars in later."""
    edge = 0.03 * n_pix
    low = min((place - edge for place in places if place < 0), default=-0.5)
    return low, max((place + edge for place in places if place > n_pix - 1), default=n_pix - 0.5)


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


def _draw_stars(
    axes: Axes,
    stars: pl.DataFrame,
    target_xy_pix: tuple[float, float] | None,
    *,
    width_in: float,
    taken: list[Box],
) -> None:
    kinds = ((None, GREY, "star"), (False, GREY, "rejected"), (True, BINNED, "comparison star"))
    for is_used, color, label in kinds:
        some = stars.filter(pl.col("is_used").eq_missing(pl.lit(is_used, pl.Boolean)))
        size, width = (70, 1.1) if is_used else (30, 0.8)
        if some.height:
            place = some.select("x_pix", "y_pix").to_numpy()
            _draw_rings(axes, place, size, width, color, label, width_in=width_in)
    if target_xy_pix is not None:
        _draw_rings(axes, np.array([target_xy_pix]), 150, 1.6, MODEL, "target", width_in=width_in)
    _draw_labels(axes, stars, target_xy_pix, width_in=width_in, taken=taken)


def _draw_rings(  # noqa: PLR0917
    axes: Axes, place: Array, size: float, width: float, color: str, label: str, *, width_in: float
) -> None:
    """Draw circles that lie around their stars, not on them, also on a wide chart."""
    larger = max(1.0, width_in / WIDTH_IN)
    ring: dict[str, Any] = {"fc": "none", "ec": color, "zorder": 4 if label == "target" else 3}
    drawn = axes.scatter(*place.T, s=size * larger**2, lw=width * larger, **ring)
    drawn.set_path_effects([withStroke(linewidth=width * larger + 1.2, foreground="white")])
    axes.scatter([], [], s=size, lw=width, label=label, **ring)


def _draw_labels(
    axes: Axes,
    stars: pl.DataFrame,
    target_xy_pix: tuple[float, float] | None,
    *,
    width_in: float,
    taken: list[Box],
) -> None:
    """Write each label beside its star; where no side is free, brighter stars come first."""
    labelled = stars.filter(pl.col("label").is_not_null())
    labels = [(x, y, t, BINNED) for x, y, t in labelled.select("x_pix", "y_pix", "label").rows()]
    if target_xy_pix is not None:
        labels.insert(0, (*target_xy_pix, "T", MODEL))
    (low_x, high_x), (low_y, high_y) = axes.get_xlim(), axes.get_ylim()
    point_pix = (high_x - low_x) / (72 * SHARE_OF_WIDTH * width_in)
    span = np.array([high_x - low_x, high_y - low_y])
    corner = np.array([low_x, low_y])
    used = [
        (*(corner + np.array(box[:2]) * span), *(corner + np.array(box[2:]) * span))
        for box in taken
    ]
    for x, y, text, color in labels:
        size_pt, distance_pt = (8, 4.0) if color == BINNED else (10, 5.5)
        distance_pt *= max(1.0, width_in / WIDTH_IN)
        for right, up in SIDES:
            box = _label_box(x, y, text, right, up, size_pt * point_pix, distance_pt * point_pix)
            is_inside = low_x <= box[0] and box[2] <= high_x and low_y <= box[1] <= box[3] <= high_y
            if is_inside and not any(_overlap(box, other) for other in used):
                break
        else:
            continue
        used.append(box)
        axes.annotate(
            text,
            (x, y),
            (distance_pt * right, distance_pt * up),
            textcoords="offset points",
            ha="left" if right > 0 else "right",
            va="bottom" if up > 0 else "top",
            color=color,
            fontsize=size_pt,
            fontweight="bold",
            path_effects=HALO,
            zorder=5,
        )


def _label_box(  # noqa: PLR0917
    x: float, y: float, text: str, right: int, up: int, size: float, distance: float
) -> Box:
    """Return where a label lies on the chart, pixels."""
    width, height = LETTER_WIDTH * size * len(text), size
    left = x + distance if right > 0 else x - distance - width
    low = y + distance if up > 0 else y - distance - height
    return left, low, left + width, low + height


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
