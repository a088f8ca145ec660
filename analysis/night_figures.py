"""Figures of a night: sky, seeing, transparency and where the field lay, against time."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

from .camera_figures import COLOURS
from .canvas import WIDE_IN, figure_style, floats, legend_below

PANELS = {
    "sky_rate": "Sky (ADU/s)",
    "fwhm_pix": "FWHM (pix)",
    "ellipticity": "Ellipticity",
    "transparency": "Transparency",
    "zero_point_mag": "Zero point",
    "n_star": "Stars",
}
BLUE_FIRST = "uUBgVGrRiIzyJHK"  # by the first letter of names as short as g, sr or Bp
LONGEST_BAND = 2


def night_figure(lights: pl.DataFrame) -> Figure:
    """Draw what was measured of the light frames of a night against time, a colour a band.

    Parameters
    ----------
    lights
        mid_utc, band, is_rejected, and the columns of `PANELS`, null where not measured.
    """
    names = [name for name in PANELS if lights[name].is_not_null().any()]
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 0.5 + 1.35 * len(names)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
        for axes, name in zip(panels, names, strict=True):
            _draw_bands(axes, lights, name)
            axes.set_ylabel(PANELS[name])
        _label_time(panels[-1])
        legend_below(figure, panels[0], WIDE_IN)
    return figure


def shift_figure(lights: pl.DataFrame) -> Figure:
    """Draw how the frames lie on their fields: shifts in x and y against time.

    Parameters
    ----------
    lights
        mid_utc, field_name, x_shift_pix, y_shift_pix.
    """
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 3.0), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True)
        groups = lights.group_by("field_name", maintain_order=True)
        for colour, ((name,), rows) in zip(COLOURS * 20, groups, strict=False):
            times = rows["mid_utc"].to_list()
            for axes, column in zip(panels, ("x_shift_pix", "y_shift_pix"), strict=True):
                axes.plot(
                    times, floats(rows[column]), "o", ms=3, color=colour, label=str(name or "")
                )
        panels[0].set_ylabel("Shift in x (pix)")
        panels[1].set_ylabel("Shift in y (pix)")
        _label_time(panels[1])
        legend_below(figure, panels[0], WIDE_IN)
    return figure


def _draw_bands(axes: Axes, lights: pl.DataFrame, name: str) -> None:
    bands = sorted(lights["band"].unique().to_list(), key=_blue_first)
    for colour, band in zip(COLOURS * 20, bands, strict=False):
        rows = lights.filter(pl.col("band").eq_missing(pl.lit(band, pl.String)))
        label = "no band" if band is None else str(band)
        bad = rows["is_rejected"].fill_null(value=False)
        for shown, mark in ((rows.filter(~bad), "o"), (rows.filter(bad), "x")):
            times = shown["mid_utc"].to_list()
            axes.plot(times, floats(shown[name]), mark, ms=3, color=colour, label=label)
            label = ""


def _blue_first(band: str | None) -> tuple[int, str]:
    """Order bands by wavelength, those of other names after them."""
    name = band or ""
    place = BLUE_FIRST.find(name[:1]) if len(name) <= LONGEST_BAND else -1
    return (len(BLUE_FIRST) if place < 0 or not name else place, name)


def _label_time(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.set_xlabel("UTC, middle of the exposure")
