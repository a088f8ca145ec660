"""All transits of a joint fit, one below the other."""

import numpy as np
from matplotlib.figure import Figure

from .canvas import BINNED, DATA, GREY, MODEL, WIDE_IN, figure_style, tidy
from .joint_results import JointFit

SPREAD = 1.6  # of the deepest transit, from curve to curve


def joint_figure(fit: JointFit) -> Figure:
    """Draw each transit without its baseline against hours from its middle, with the model."""
    n = len(fit.transits)
    deepest = max(float(1 - transit.model.min()) for transit in fit.transits) or 0.01
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, min(1.2 + 1.1 * n, 11)), layout="constrained")
        axes = figure.subplots()
        for i, transit in enumerate(fit.transits):
            curve, down = transit.curve, i * SPREAD * deepest
            hours = 24 * (curve.time_bjd_tdb - transit.mid_bjd_tdb)
            flux = curve.flux / transit.baseline_flux - down
            colour = BINNED if curve.foreign_curve_id is None else DATA
            axes.plot(hours[transit.kept], flux[transit.kept], "o", ms=2.6, mew=0, color=colour)
            axes.plot(hours[~transit.kept], flux[~transit.kept], "x", ms=3.5, color=GREY)
            axes.plot(hours, transit.model - down, color=MODEL, lw=1.2)
            label = f"{curve.name}, {curve.band or 'no band'}"
            axes.annotate(
                label,
                (0.01, 1 - down + 0.2 * deepest),
                xycoords=("axes fraction", "data"),
                fontsize=7.5,
            )
        axes.set_xlabel("Hours from mid-transit")
        axes.set_ylabel("Relative flux, shifted")
        tidy(axes)
        low = 1 - (n - 1) * SPREAD * deepest
        axes.set_ylim(*np.array([low - 1.9 * deepest, 1 + 1.2 * deepest]))
    return figure
