"""What every figure shares: one style, and bytes that depend on nothing but the figure.

Figures are drawn without pyplot and without its state. Matplotlib keeps its style in one global
table, so drawing is serialised; two threads may call anything here at the same time.
"""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import AutoMinorLocator, MaxNLocator
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDE_IN = 7.2  # a printed page
NARROW_IN = 3.7  # a phone

INK, GREY, PALE = "#22252b", "#8a8f98", "#eceae4"
DATA, BINNED, MODEL, MARK = "#7d9bb5", "#1d3f5e", "#c1442e", "#b8860b"
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same layout on every machine
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": "#55595f",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "ytick.right": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "path.simplify": False,
}
_LOCK = RLock()


@contextmanager
def figure_style(**changes: Any) -> Iterator[None]:
    """Hold the style from the defaults, whatever the user's matplotlibrc says."""
    with _LOCK, mpl.rc_context({**mpl.rcParamsDefault, **_STYLE, **changes}):  # pyright: ignore[reportArgumentType]
        yield


def as_svg(figure: Figure, *, name: str) -> str:
    """Return a figure as an `<svg>` element, the same bytes for the same figure.

    Parameters
    ----------
    figure
        Of one of the functions below.
    name
        Distinguishes the ids inside from those of other figures on one page.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with figure_style(**{"svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    svg = buffer.getvalue()
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg[svg.index("<svg") :])  # never referred to
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return _shortened(svg).replace("'DejaVu Sans'", FONTS)


def _shortened(svg: str) -> str:
    """Say what a row of equal marks has in common once, and places to a hundredth of a point."""
    marks = re.compile(r"<g([^>]*)>((?:\s*<use [^>]*? style=\"([^\"]*)\"/>)+)\s*</g>")
    places = re.compile(r"(?<=\s)(?:d|x|y)=\"[^\"]*\"")

    def hoisted(found: re.Match[str]) -> str:
        attributes, uses, css = found.groups()
        style = f' style="{css}"'
        if set(re.findall(r" style=\"[^\"]*\"", uses)) != {style} or "style=" in attributes:
            return found[0]
        return f"<g{attributes}{style}>{uses.replace(style, '')}\n</g>"

    def rounded(found: re.Match[str]) -> str:
        return re.sub(r"(\.\d\d)\d+", r"\1", found[0])

    return places.sub(rounded, marks.sub(hoisted, svg))


def as_png(figure: Figure, *, dpi: float = 160) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with figure_style():
        figure.set_dpi(dpi)
        figure.set_facecolor("white")
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def floats(column: pl.Series) -> Array:
    """Return a column as numbers, nan where it is null."""
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


@dataclass(frozen=True, slots=True)
class Clock:
    """Times as short numbers: days since a whole day, and hours from the predicted middle."""

    zero_bjd: int
    mid_bjd: float | None

    @classmethod
    def of(cls, times: pl.Series, mid_bjd: float | None) -> "Clock":
        """Count from the whole day before the first of some times."""
        return cls(math.floor(float(np.min(times.to_numpy()))), mid_bjd)

    def days(self, times: Sequence[float] | pl.Series | Array) -> Array:
        """Return BJD as days since the whole day."""
        return np.asarray(times, dtype=float) - self.zero_bjd


def tidy(axes: Axes) -> None:
    """Choose round ticks, and leave a little room at both ends."""
    axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_minor_locator(AutoMinorLocator())
    axes.margins(x=0.02)


def label_time(axes: Axes, clock: Clock) -> None:
    """Write below what the days are counted from."""
    tidy(axes)
    axes.set_xlabel(f"BJD (TDB) − {clock.zero_bjd}")


def label_hours(axes: Axes, clock: Clock) -> None:
    """Add hours from the predicted middle along the top."""
    if clock.mid_bjd is None:
        axes.xaxis.set_tick_params(top=True, which="both")
        return
    mid = clock.mid_bjd - clock.zero_bjd
    top = axes.secondary_xaxis(
        "top",
        functions=(
            lambda day: (np.asarray(day) - mid) * 24,
            lambda hour: np.asarray(hour) / 24 + mid,
        ),
    )
    top.set_xlabel("Hours from the predicted mid-transit")
    top.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))


def legend_below(figure: Figure, axes: Axes, width_in: float) -> None:
    """Explain the marks of one panel below the figure, where they hide nothing."""
    if axes.get_legend_handles_labels()[1]:
        n_column = 2 if width_in < 5 else 6
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=n_column)
