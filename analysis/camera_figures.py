"""Figures of a camera: photon transfer, linearity, and how it changes over the nights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .canvas import (
    BINNED,
    DATA,
    GREY,
    MARK,
    MODEL,
    WIDE_IN,
    figure_style,
    floats,
    legend_below,
)

GRID = 14  # places a side at which a distortion is drawn
COLOURS = (BINNED, MODEL, MARK, "#5f7f3b", "#7a5195", DATA, GREY)


def transfer_figure(points: pl.DataFrame, *, full_adu: float | None = None) -> Figure:
    """Draw variance against signal, and below it their ratio over what the gain says.

    Parameters
    ----------
    points
        Rows of the query `transfer_curve`; of one gain setting.
    full_adu
        Signal above the bias at which the variance collapses, if known.
    """
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 0.85 * WIDE_IN), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2, 1]})
        for colour, ((night, band), rows) in zip(_cycle(), _groups(points), strict=False):
            signal, variance = floats(rows["signal_adu"]), floats(rows["variance_adu2"])
            gain = rows["gain_e_per_adu"].drop_nulls()
            label = " ".join(str(part) for part in (night, band) if part is not None)
            is_drawn = (signal > 0) & (variance > 0)
            x, y = signal[is_drawn], variance[is_drawn]
            above.plot(x, y, ".", ms=4, color=colour, label=label)
            if len(gain) and x.size:
                span = np.array([x.min(), x.max()])
                above.plot(span, span / gain[0], "-", lw=0.8, color=colour)
                below.plot(x, np.clip(y / x * gain[0], 0, 3), ".", ms=4, color=colour)
        below.axhline(1, lw=0.8, color=GREY)
        if full_adu is not None:
            for axes in (above, below):
                axes.axvline(full_adu, lw=0.9, ls="--", color=MODEL)
        above.set_ylabel("Variance of a frame without read noise (ADU²)")
        below.set_ylabel("over that of the gain")
        below.set_ylim(0, 3.05)
        below.set_xlabel("Signal above the bias (ADU)")
        for axis in (above.xaxis, above.yaxis, below.xaxis):
            _suit_scale(axis)
        legend_below(figure, above, WIDE_IN)
    return figure


def linearity_figure(levels: pl.DataFrame) -> Figure:
    """Draw level against exposure, and below it the rate over its median, against level.

    Parameters
    ----------
    levels
        Rows of the query `ramp_levels`.
    """
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 0.42 * WIDE_IN), layout="constrained")
        left, right = figure.subplots(1, 2)
        usable = levels.filter((pl.col("exposure_s") > 0) & (pl.col("signal_adu") > 0))
        for colour, ((night, band), rows) in zip(_cycle(), _groups(usable), strict=False):
            exposure, signal = floats(rows["exposure_s"]), floats(rows["signal_adu"])
            rate = signal / exposure
            label = " ".join(str(part) for part in (night, band) if part is not None)
            left.plot(exposure, signal, ".", ms=5, color=colour, label=label)
            right.plot(signal, rate / np.median(rate), ".", ms=5, color=colour)
        right.axhline(1, lw=0.8, color=GREY)
        left.set_xlabel("Exposure (s)")
        left.set_ylabel("Level above the bias (ADU)")
        right.set_xlabel("Level above the bias (ADU)")
        right.set_ylabel("Rate over its median")
        for axis in (left.xaxis, left.yaxis, right.xaxis):
            _suit_scale(axis)
        legend_below(figure, left, WIDE_IN)
    return figure


def history_figure(fits: pl.DataFrame, biases: pl.DataFrame) -> Figure:
    """Draw gain, read noise and bias level over the nights.

    Parameters
    ----------
    fits, biases
        Rows of the queries `cameras` and `bias_history`.
    """
    measured = fits.filter(pl.col("gain_e_per_adu").is_not_null())
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 0.8 * WIDE_IN), layout="constrained")
        gain, noise, level = figure.subplots(3, 1, sharex=True)
        for colour, ((band,), rows) in zip(
            _cycle(), measured.group_by("band", maintain_order=True), strict=False
        ):
            nights = rows["night"].to_list()
            gain.errorbar(
                nights,
                floats(rows["gain_e_per_adu"]),
                floats(rows["gain_err_e_per_adu"]),
                fmt="o",
                ms=3.5,
                lw=0.8,
                color=colour,
                label=str(band) if band is not None else "no band",
            )
            noise.plot(nights, floats(rows["read_noise_e"]), "o", ms=3.5, color=colour)
        if biases.height:
            level.plot(
                biases["night"].to_list(), floats(biases["level_adu"]), "o", ms=3.5, c=BINNED
            )
        gain.set_ylabel("Gain (e⁻/ADU)")
        noise.set_ylabel("Read noise (e⁻)")
        level.set_ylabel("Bias level (ADU)")
        _label_nights(level, [*measured["night"].to_list(), *biases["night"].to_list()])
        legend_below(figure, gain, WIDE_IN)
    return figure


def distortion_figure(wcs: WCS, shape: tuple[int, int]) -> tuple[Figure, float]:
    """Draw how a sky solution departs from a flat and even one, and return the largest, arcsec.

    What shift, turn, stretch and shear can make up for is taken out: distortion is what is left.

    Parameters
    ----------
    wcs
        Celestial solution of a frame.
    shape
        (n_y, n_x) of the frame.
    """
    x, y, dx, dy, scale = _distortion(wcs, shape)
    length = np.hypot(dx, dy) * scale
    largest = float(length.max())
    with figure_style():
        width = 0.6 * WIDE_IN
        height = min(width * shape[0] / shape[1] + 0.4, WIDE_IN)
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        # the longest arrow spans a cell of the grid
        cell = shape[1] / GRID
        arrows = axes.quiver(
            *(x, y, dx, dy), color=BINNED, angles="xy", scale_units="xy",
            scale=max(largest / scale, 1e-12) / cell, width=0.003,
        )  # fmt: skip
        axes.quiverkey(arrows, 0.85, 1.03, largest / scale, f"{largest:.2g} arcsec", labelpos="W")
        axes.set_xlim(0, shape[1])
        axes.set_ylim(0, shape[0])
        axes.set_aspect("equal")
        axes.set_xlabel("x (pix)")
        axes.set_ylabel("y (pix)")
    return figure, largest


def _distortion(wcs: WCS, shape: tuple[int, int]) -> tuple[Any, ...]:
    """Return a grid of pixels, how far they are from an affine solution, and arcsec a pixel."""
    axes = (np.linspace(0, n - 1, GRID) for n in (shape[1], shape[0]))
    x, y = (part.ravel() for part in np.meshgrid(*axes))
    tangent = WCS(naxis=2)
    tangent.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    tangent.wcs.crval = wcs.all_pix2world([[shape[1] / 2, shape[0] / 2]], 0)[0]
    tangent.wcs.cdelt = np.full(2, 1 / 3600)  # standard coordinates in arcsec
    plane = tangent.all_world2pix(wcs.all_pix2world(np.column_stack([x, y]), 0), 0)
    basis = np.column_stack([np.ones_like(x), x, y])
    terms, *_ = np.linalg.lstsq(basis, plane, rcond=None)
    # the rest of the plane, back in pixels of the frame
    rest = (plane - basis @ terms) @ np.linalg.inv(terms[1:])
    scale = float(np.sqrt(abs(np.linalg.det(terms[1:]))))
    return x, y, rest[:, 0], rest[:, 1], scale


def dark_figure(darks: pl.DataFrame, levels: pl.DataFrame) -> Figure:
    """Draw the level of darks against exposure, and dark current against temperature.

    Parameters
    ----------
    darks
        Rows of the view `dark_current`.
    levels
        Rows of the query `dark_levels`.
    """
    in_electrons = darks["dark_e_rate"].is_not_null().all()
    values = floats(darks["dark_e_rate" if in_electrons else "dark_adu_rate"])
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 0.42 * WIDE_IN), layout="constrained")
        left, right = figure.subplots(1, 2)
        keys = ("night", "temperature_degc", "is_bias_subtracted")
        for colour, (key, rows) in zip(
            _cycle(), levels.group_by(keys, maintain_order=True), strict=False
        ):
            night, degc, is_bare = key
            where = "unknown" if degc is None else f"{degc:.0f} °C"
            label = f"{night} {where}" + ("" if is_bare else ", with its bias")
            exposure, level = floats(rows["exposure_s"]), floats(rows["level_adu"])
            left.plot(exposure, level, "o-", ms=3.5, lw=0.8, color=colour, label=label)
        right.plot(floats(darks["temperature_degc"]), values, "o", ms=4, color=BINNED)
        doubling = doubling_kelvin(darks)
        if doubling is not None:
            degc = floats(darks["temperature_degc"])
            span = np.array([degc.min(), degc.max()])
            middle = np.exp(np.mean(np.log(values[values > 0])))
            centre = np.mean(degc[values > 0])
            right.plot(span, middle * 2 ** ((span - centre) / doubling), lw=0.8, color=MODEL)
        _suit_scale(right.yaxis)
        left.set_xlabel("Exposure (s)")
        left.set_ylabel("Level of the dark (ADU)")
        right.set_xlabel("Sensor (°C)")
        right.set_ylabel(f"Dark current ({'e⁻' if in_electrons else 'ADU'}/s)")
        legend_below(figure, left, WIDE_IN)
    return figure


def doubling_kelvin(darks: pl.DataFrame) -> float | None:
    """Return by how many kelvin the dark current doubles; None unless it rises over three.

    Parameters
    ----------
    darks
        Rows of the view `dark_current`.
    """
    known = darks.drop_nulls(["temperature_degc", "dark_adu_rate"]).filter(
        pl.col("dark_adu_rate") > 0
    )
    if known["temperature_degc"].n_unique() < 3:
        return None
    slope = np.polyfit(
        floats(known["temperature_degc"]), np.log2(floats(known["dark_adu_rate"])), 1
    )
    return float(1 / slope[0]) if slope[0] > 0 else None


def _groups(points: pl.DataFrame):
    return points.group_by("night", "band", maintain_order=True)


def _cycle() -> Sequence[str]:
    return COLOURS * 50


def _suit_scale(axis: Axis) -> None:
    """Make an axis logarithmic where its data span a factor of four; ticks are plain numbers."""
    low, high = axis.get_data_interval()
    if not (low > 0 and high > 4 * low):
        return
    if axis is axis.axes.xaxis:
        axis.axes.set_xscale("log")
    else:
        axis.axes.set_yscale("log")
    steps = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _label_nights(axes: Axes, nights: Sequence[object]) -> None:
    """Write whole nights below; matplotlib would give a single night ticks of microseconds."""
    known = sorted({night for night in nights if night is not None}, key=str)
    if len(known) <= 6:
        axes.set_xticks(known, [str(night) for night in known])  # pyright: ignore
