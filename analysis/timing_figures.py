"""The O-C diagram of a planet."""

import numpy as np
from matplotlib.figure import Figure

from .canvas import (
    BINNED,
    DATA,
    GREY,
    MARK,
    MODEL,
    PALE,
    WIDE_IN,
    figure_style,
    floats,
    legend_below,
    tidy,
)
from .timing import Timing, predicted

STYLE = {
    "night": ("our nights", BINNED, "o"),
    "joint": ("joint fit", MARK, "s"),
    "published": ("published", DATA, "o"),
}


def timing_figure(found: Timing, *, width_in: float = WIDE_IN) -> Figure:
    """Draw observed less calculated mid-times against the number of the transit.

    The zero line is the newest ephemeris; the band is the refined one, where there is one, with
    its 1-sigma error, the dashed curve a parabola, drawn where the quadratic term is significant.
    """
    with figure_style():
        figure = Figure(figsize=(width_in, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=GREY, lw=0.8)
        for (origin,), rows in found.times.group_by("origin", maintain_order=True):
            label, colour, mark = STYLE[str(origin)]
            err = np.nan_to_num(1440 * floats(rows["mid_err_d"]))
            axes.errorbar(
                floats(rows["epoch"]),
                floats(rows["o_minus_c_min"]),
                err,
                fmt=mark,
                ms=3.5,
                mew=0,
                color=colour,
                elinewidth=0.8,
                label=label,
            )
        if found.line is not None:
            _draw_refined(axes, found)
        axes.set_xlabel("Transits since the ephemeris' zero")
        axes.set_ylabel("O − C (min)")
        tidy(axes)
        legend_below(figure, axes, width_in)
    return figure


def _draw_refined(axes, found: Timing) -> None:
    refined = found.line
    assert refined is not None
    planet = found.planet
    first, last = refined["first_epoch"], refined["last_epoch"]
    margin = max(5, round(0.1 * (last - first)))
    epochs = np.unique(np.linspace(first - margin, last + margin, 200).round().astype(int))
    mids, errs = np.array([predicted(refined, int(n)) for n in epochs]).T
    late = 1440 * (mids - planet["mid_bjd_tdb"] - planet["period_d"] * epochs)
    axes.fill_between(epochs, late - 1440 * errs, late + 1440 * errs, color=PALE, zorder=0)
    axes.plot(epochs, late, color=MODEL, lw=1.1, label="refined ephemeris")
    if found.is_quadratic:
        axes.plot(
            epochs, late + _bend(found, epochs), color=MODEL, lw=1, ls=(0, (4, 3)), label="parabola"
        )


def _bend(found: Timing, epochs: np.ndarray) -> np.ndarray:
    """Parabola less straight line in minutes: what of n^2 no straight line takes up."""
    known = found.times.filter(found.times["mid_err_d"] > 0)
    n, weight = floats(known["epoch"]), floats(known["mid_err_d"]) ** -2
    line = np.polynomial.Polynomial.fit(n, n**2, 1, w=np.sqrt(weight))
    assert found.refined is not None
    return 1440 * found.refined["quadratic_d"] * (epochs**2 - line(epochs))
