"""Figures of one light curve: with its model, as measured, and beside what may move it."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from .canvas import (
    BINNED,
    DATA,
    GREY,
    INK,
    MARK,
    MODEL,
    PALE,
    WIDE_IN,
    Array,
    Clock,
    figure_style,
    floats,
    label_hours,
    label_time,
    legend_below,
    tidy,
)
from .transits import TransitFit


@dataclass(frozen=True, slots=True)
class Span:
    """First contact, middle and fourth contact of a transit, BJD_TDB."""

    first: float
    mid: float
    fourth: float


def predicted_span(fit: TransitFit, duration_h: float | None) -> Span | None:
    """Return when the ephemeris puts the transit; of the fitted length if none was published."""
    length_h = duration_h or fit.duration_h
    if fit.predicted_mid_bjd_tdb is None or length_h is None:
        return None
    half_d, mid = length_h / 48, fit.predicted_mid_bjd_tdb
    return Span(mid - half_d, mid, mid + half_d)


def fitted_span(fit: TransitFit) -> Span | None:
    """Return when the fit puts the transit; None if there was none to fit."""
    first, mid, fourth = fit.first_contact_bjd_tdb, fit.mid_bjd_tdb, fit.fourth_contact_bjd_tdb
    return None if first is None or mid is None or fourth is None else Span(first, mid, fourth)


def transit_figure(
    fit: TransitFit,
    *,
    duration_h: float | None = None,
    title: str | None = None,
    width_in: float = WIDE_IN,
) -> Figure:
    """Draw the light curve without its baseline, the model, and the residuals below.

    Parameters
    ----------
    fit
        With at least one point. Without a model the points are shown as measured, alone.
    duration_h
        Published duration, first to fourth contact, of the predicted transit.
    title, width_in
        Line above the figure; width in inches, of which `NARROW_IN` suits a phone.
    """
    has_model = _has_model(fit)
    with figure_style():
        is_narrow = width_in < 5
        height_in = (0.66 if has_model else 0.5) * width_in + (1.7 if is_narrow else 0.3)
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        if has_model:
            axes = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1.15]})
        else:
            axes = np.array([figure.subplots()])
        clock = Clock.of(fit.points["bjd_tdb"], fit.predicted_mid_bjd_tdb)
        for panel in axes:
            _mark_spans(panel, clock, predicted_span(fit, duration_h), fitted_span(fit))
        _draw_curve(axes[0], fit, clock)
        if has_model:
            _draw_residuals(axes[1], fit, clock)
        label_time(axes[-1], clock)
        label_hours(axes[0], clock)
        legend_below(figure, axes[0], width_in)
        if title:
            figure.suptitle(title, fontsize=10.5, fontweight="bold")
    return figure


def raw_figure(fit: TransitFit, light_curve: pl.DataFrame, *, width_in: float = WIDE_IN) -> Figure:
    """Draw the differential flux as measured, with the baseline and the baseline times the model.

    Parameters
    ----------
    fit
        As for `transit_figure`.
    light_curve
        Rows of `differential_light_curve`; those that were not fitted are drawn hollow.
    width_in
        Width in inches.
    """
    points = fit.points.sort("bjd_tdb")
    unused = unfitted(fit, light_curve)
    with figure_style():
        height_in = 0.42 * width_in + (1.3 if width_in < 5 else 0.2)
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.subplots()
        times = pl.concat([points["bjd_tdb"], unused["mid_bjd_tdb"]])
        clock = Clock.of(times, fit.predicted_mid_bjd_tdb)
        x = clock.days(points["bjd_tdb"])
        _error_bars(axes, x, floats(points["flux"]), floats(points["flux_err"]))
        axes.plot(x, floats(points["flux"]), "o", ms=3, mew=0, color=DATA, label="measured")
        if unused.height:
            y = floats(unused["relative_flux"])
            style = {"ms": 3.4, "mew": 0.7, "mfc": "white", "mec": GREY}
            axes.plot(clock.days(unused["mid_bjd_tdb"]), y, "o", label="not fitted", **style)
        if _has_model(fit):
            baseline = floats(points["baseline"])
            fine = clock.days(fit.curve["bjd_tdb"])
            whole = floats(fit.curve["model"]) * np.interp(fine, x, baseline)
            label = f"baseline: {fit.baseline}"
            axes.plot(fine, whole, color=MODEL, lw=1.2, label="fit")
            axes.plot(x, baseline, color=INK, lw=1, ls=(0, (5, 2)), label=label)
        _set_limits(axes, floats(points["flux"]), _kept(points))
        axes.set_ylabel("Differential flux")
        label_time(axes, clock)
        label_hours(axes, clock)
        legend_below(figure, axes, width_in)
    return figure


PANELS = {
    "airmass": "Airmass",
    "frame_fwhm_pix": "FWHM (pix)",
    "x_pix": "x − median (pix)",
    "y_pix": "y − median (pix)",
    "sky_adu_per_pix": "Sky (ADU/pix)",
    "ensemble_flux": "Comparison flux",
}


def measured_panels(light_curve: pl.DataFrame) -> list[str]:
    """Return the columns of `PANELS` that hold any value."""
    columns = [name for name in PANELS if name in light_curve.columns]
    return [name for name in columns if light_curve[name].is_not_null().any()]


def systematics_figure(
    light_curve: pl.DataFrame, *, span: Span | None = None, width_in: float = WIDE_IN
) -> Figure:
    """Draw what may move a light curve against time, one panel a quantity that was measured.

    Parameters
    ----------
    light_curve
        Rows of `differential_light_curve` with times, at least one of `PANELS` measured.
    span
        Shaded: the transit.
    width_in
        Width in inches; two panels abreast, one on a phone.
    """
    rows = light_curve.filter(pl.col("mid_bjd_tdb").is_not_null()).sort("mid_bjd_tdb")
    names = measured_panels(rows)
    n_column = 1 if width_in < 5 or len(names) == 1 else 2
    n_row = math.ceil(len(names) / n_column)
    with figure_style():
        figure = Figure(figsize=(width_in, 1.25 * n_row + 0.5), layout="constrained")
        panels = figure.subplots(n_row, n_column, sharex=True, squeeze=False).T.ravel()
        clock = Clock.of(rows["mid_bjd_tdb"], None if span is None else span.mid)
        at_turns = clock.days(turns(rows))
        for axes, name in zip(panels, names, strict=False):
            y = floats(rows[name])
            y = y - np.nanmedian(y) if "median" in PANELS[name] else y
            if span is not None:
                axes.axvspan(*clock.days((span.first, span.fourth)), color=PALE, lw=0, zorder=0)
            for turn in at_turns:
                axes.axvline(turn, color=MARK, lw=0.9, ls=(0, (4, 2)))
            axes.plot(clock.days(rows["mid_bjd_tdb"]), y, "o", ms=2.2, mew=0, color=BINNED)
            axes.set_ylabel(PANELS[name])
            tidy(axes)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for column in range(n_column):
            last = min((column + 1) * n_row, len(names)) - 1
            panels[last].xaxis.set_tick_params(labelbottom=True)
            label_time(panels[last], clock)
        for axes in panels:  # a third of the time to draw them would go into small ticks
            axes.xaxis.set_minor_locator(NullLocator())
        figure.align_ylabels()
    return figure


def binned(points: pl.DataFrame, bin_d: float) -> pl.DataFrame:
    """Average the points that are no outliers; one row a bin of two or more, in time order.

    Parameters
    ----------
    points
        Of a `TransitFit`.
    bin_d
        Length of a bin in days.

    Returns
    -------
    bjd_tdb, flux, residual: means of detrended_flux and residual weighted by 1/error^2; flux_err.
    """
    weight = pl.col("detrended_flux_err").pow(-2)
    start = pl.col("bjd_tdb").min()
    return (
        points.filter(~pl.col("is_outlier") & pl.col("residual").is_not_null())
        .with_columns(bin=((pl.col("bjd_tdb") - start) / bin_d).floor())
        .group_by("bin")
        .agg(
            n=pl.len(),
            bjd_tdb=start + (weight * (pl.col("bjd_tdb") - start)).sum() / weight.sum(),
            flux=(weight * pl.col("detrended_flux")).sum() / weight.sum(),
            residual=(weight * pl.col("residual")).sum() / weight.sum(),
            flux_err=weight.sum().pow(-0.5),
        )
        .filter(pl.col("n") > 1)
        .sort("bjd_tdb")
        .select("bjd_tdb", "flux", "residual", "flux_err")
    )


def bin_length_min(points: pl.DataFrame) -> int | None:
    """Choose the length of a bin: 10 minutes or four points; None if there are few points."""
    if points.height < 20:
        return None
    cadence_min = 1440 * float(np.median(np.diff(points["bjd_tdb"].sort().to_numpy())))
    return max(10, math.ceil(4 * cadence_min))


def unfitted(fit: TransitFit, light_curve: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a light curve whose times are not among the points of the fit."""
    rows = light_curve.filter(
        pl.all_horizontal(pl.col("mid_bjd_tdb", "relative_flux").is_not_null())
    )
    return rows.filter(~pl.col("mid_bjd_tdb").is_in(fit.points["bjd_tdb"].implode()))


def _has_model(fit: TransitFit) -> bool:
    return fit.points["model"].is_not_null().any()


def _kept(points: pl.DataFrame) -> NDArray[np.bool_]:
    return ~points["is_outlier"].fill_null(value=False).to_numpy()


def turns(rows: pl.DataFrame) -> list[float]:
    """Return the times between two frames with the telescope on different sides of its pier."""
    if "pier_side" not in rows.columns:
        return []
    sided = rows.filter(pl.col("pier_side").is_not_null())
    times, sides = sided["mid_bjd_tdb"].to_list(), sided["pier_side"].to_list()
    return [(times[i - 1] + times[i]) / 2 for i in range(1, len(sides)) if sides[i] != sides[i - 1]]


def _mark_spans(axes: Axes, clock: Clock, predicted: Span | None, fitted: Span | None) -> None:
    if predicted is not None:
        first, mid, fourth = clock.days((predicted.first, predicted.mid, predicted.fourth))
        axes.axvspan(first, fourth, color=PALE, lw=0, zorder=0, label="predicted transit")
        axes.axvline(mid, color=GREY, lw=0.8, ls=(0, (6, 3)), zorder=1)
    if fitted is not None:
        for moment, label in (
            (fitted.mid, "fitted contacts, middle"),
            (fitted.first, None),
            (fitted.fourth, None),
        ):
            axes.axvline(
                moment - clock.zero_bjd, color=MODEL, lw=0.9, ls=(0, (1, 2)), zorder=1, label=label
            )


def _draw_curve(axes: Axes, fit: TransitFit, clock: Clock) -> None:
    has_model = _has_model(fit)
    name = "detrended_flux" if has_model else "flux"
    points = fit.points
    x, y, kept = clock.days(points["bjd_tdb"]), floats(points[name]), _kept(points)
    _error_bars(axes, x[kept], y[kept], floats(points[f"{name}_err"])[kept])
    axes.plot(x[kept], y[kept], "o", ms=3, mew=0, color=DATA, label="measured", zorder=3)
    length_min = bin_length_min(points) if has_model else None
    if length_min is not None:
        means = binned(points, length_min / 1440)
        _draw_bins(axes, means, means["flux"], clock, f"means of {length_min} min")
    if has_model:
        curve = fit.curve
        label = "flat line" if fit.mid_bjd_tdb is None else "transit model"
        xs = clock.days(curve["bjd_tdb"])
        axes.plot(xs, floats(curve["model"]), color=MODEL, lw=1.5, label=label, zorder=4)
    _set_limits(axes, y, kept)
    _draw_outliers(axes, x, y, kept)
    axes.set_ylabel("Relative flux" if has_model else "Differential flux")
    tidy(axes)


def _draw_residuals(axes: Axes, fit: TransitFit, clock: Clock) -> None:
    points = fit.points
    x, kept = clock.days(points["bjd_tdb"]), _kept(points)
    y, err = 100 * floats(points["residual"]), 100 * floats(points["detrended_flux_err"])
    _error_bars(axes, x[kept], y[kept], err[kept])
    axes.plot(x[kept], y[kept], "o", ms=3, mew=0, color=DATA, zorder=3)
    length_min = bin_length_min(points)
    if length_min is not None:
        means = binned(points, length_min / 1440)
        in_percent = means.with_columns(pl.col("residual", "flux_err") * 100)
        _draw_bins(axes, in_percent, in_percent["residual"], clock, None)
    axes.axhline(0, color=MODEL, lw=1.2, zorder=2)
    _set_limits(axes, y, kept)
    _draw_outliers(axes, x, y, kept)
    axes.set_ylabel("Residual (%)")
    tidy(axes)


def _error_bars(axes: Axes, x: Array, y: Array, err: Array) -> None:
    """Draw all bars as one broken line: a tenth of the bytes of one line each."""
    gap = np.full_like(x, np.nan)
    xs, ys = np.column_stack([x, x, gap]).ravel(), np.column_stack([y - err, y + err, gap]).ravel()
    axes.plot(xs, ys, color=DATA, lw=0.7, alpha=0.55, zorder=2)


def _draw_bins(
    axes: Axes, means: pl.DataFrame, values: pl.Series, clock: Clock, label: str | None
) -> None:
    x, y, err = clock.days(means["bjd_tdb"]), floats(values), floats(means["flux_err"])
    gap = np.full_like(x, np.nan)
    ys = np.column_stack([y - err, y + err, gap]).ravel()
    axes.plot(np.column_stack([x, x, gap]).ravel(), ys, color=BINNED, lw=1, zorder=5)
    axes.plot(x, y, "o", ms=4.6, mew=0.7, mec="white", color=BINNED, label=label, zorder=6)


def _draw_outliers(axes: Axes, x: Array, y: Array, kept: NDArray[np.bool_]) -> None:
    """Cross out outliers; what lies beyond the axis becomes an arrow at its edge."""
    low, high = axes.get_ylim()
    pad = 0.03 * (high - low)
    edge = np.clip(y, low + pad, high - pad)
    inside = (y >= low) & (y <= high)
    named = set()
    for where, marker, label in (
        (~kept & inside, "x", "outlier"),
        (~kept & (y > high), "^", "outlier"),
        (~kept & (y < low), "v", "outlier"),
        (kept & (y > high), "^", "beyond the axis"),
        (kept & (y < low), "v", "beyond the axis"),
    ):
        if where.any():
            color = DATA if label == "beyond the axis" else MARK
            style = {"ms": 4.6, "mew": 1.1, "color": color, "zorder": 5}
            text = None if label in named else label
            axes.plot(x[where], edge[where], marker, label=text, **style)
            named.add(label)


def _set_limits(axes: Axes, values: Array, kept: NDArray[np.bool_]) -> None:
    """Fit the axis to the kept values, without the few that stand far off."""
    y = values[kept & np.isfinite(values)]
    if not y.size:
        return
    low, high = np.percentile(y, [1, 99])
    reach = 0.6 * (high - low) or 0.01
    low, high = max(y.min(), low - reach), min(y.max(), high + reach)
    pad = 0.09 * (high - low) or 0.01
    axes.set_ylim(low - pad, high + pad)
