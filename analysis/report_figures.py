"""The figures of a transit report, with words for those who cannot see them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from markupsafe import Markup

from .canvas import NARROW_IN, WIDE_IN, as_svg
from .field_charts import field_chart
from .plots import (
    PANELS,
    Span,
    bin_length_min,
    fitted_span,
    measured_panels,
    predicted_span,
    raw_figure,
    systematics_figure,
    transit_figure,
    turns,
    unfitted,
)
from .report_content import TransitReport, sentence
from .result_tables import measured, scatter
from .timing import Timing
from .timing_figures import timing_figure
from .transit_figures import MAX_STARS, corner_figure, noise_figure, scatter_by_bin, stars_figure


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page: SVG for a wide and a narrow screen, text for ears and for eyes."""

    wide: Markup
    narrow: Markup | None
    alt: str
    caption: str


def curve_figure(report: TransitReport) -> Figure | None:
    """Draw the light curve with what was fitted; None without a point."""
    fit = report.fit
    if fit.points.is_empty():
        return None
    duration_h = _duration_h(report)
    wide, narrow = (
        Markup(as_svg(transit_figure(fit, duration_h=duration_h, width_in=w), name=f"curve{w}"))
        for w in (WIDE_IN, NARROW_IN)
    )
    return Figure(wide, narrow, _curve_alt(report), _curve_caption(report))


def _curve_alt(report: TransitReport) -> str:
    fit = report.fit
    text = f"Light curve of {report.target_name}: {fit.points.height} points"
    if fit.depth is not None:
        text += (
            f", a dip of {measured(100 * fit.depth, None, 2)} % in the middle of which the clock "
            f"reads BJD {measured(fit.mid_bjd_tdb, None, 4)}; the residuals below scatter by "
            f"{scatter(fit.residual_scatter)}"
        )
    elif fit.points["model"].is_not_null().any():
        text += f", a flat line through them, residuals of {scatter(fit.residual_scatter)} below"
    else:
        text += ", nothing fitted"
    return text + "."


def _curve_caption(report: TransitReport) -> str:
    fit = report.fit
    is_predicted = predicted_span(fit, _duration_h(report)) is not None
    shading = "Shaded: the predicted transit, its middle dashed. " if is_predicted else ""
    if not fit.points["model"].is_not_null().any():
        text = "Differential flux as measured, with the errors of the photometry. "
        return text + shading.strip()
    text = "Flux over the fitted baseline, errors scaled to the scatter; below, the residuals. "
    length_min = bin_length_min(fit.points)
    if length_min is not None:
        text += f"Dark discs: means of {length_min} minutes. "
    if fit.mid_bjd_tdb is not None:
        text += "Dotted: the fitted contacts and middle. "
    if fit.n_outliers:
        text += f"Marked, and left out of the fit: {fit.n_outliers} of {fit.points.height} points. "
    return text + shading.strip()


def measured_figure(report: TransitReport) -> Figure | None:
    """Draw the flux before the baseline was taken out; None where that is the first figure."""
    fit, curve = report.fit, report.light_curve
    unused = unfitted(fit, curve)
    if unused.is_empty() and not fit.points["model"].is_not_null().any():
        return None
    wide, narrow = (
        Markup(as_svg(raw_figure(fit, curve, width_in=w), name=f"raw{w}"))
        for w in (WIDE_IN, NARROW_IN)
    )
    caption = "Differential flux as measured, the median of the night being 1"
    if fit.baseline is not None:
        caption += f", with the fitted baseline ({fit.baseline}) and the whole fit"
    if unused.height:
        caption += f". Hollow: {unused.height} points flagged by the photometry and not fitted"
    alt = f"Differential flux of {report.target_name} against time before the baseline is removed."
    return Figure(wide, narrow, alt, caption + ".")


def circumstances_figure(report: TransitReport) -> Figure | None:
    """Draw airmass, FWHM, place, sky and comparison flux; None where none was measured."""
    rows = report.light_curve.filter(pl.col("mid_bjd_tdb").is_not_null())
    names = measured_panels(rows)
    if not names:
        return None
    span = _span(report)
    wide, narrow = (
        Markup(as_svg(systematics_figure(rows, span=span, width_in=w), name=f"circumstances{w}"))
        for w in (WIDE_IN, NARROW_IN)
    )
    parts = []
    for name in names:
        values = rows[name].drop_nulls()
        label = PANELS[name].split(" (")[0].replace(" − median", "")
        parts.append(f"{label} {values.min():.5g} to {values.max():.5g}")
    missing = [PANELS[n].split(" (")[0] for n in PANELS if n not in names]
    what = "transit" if fitted_span(report.fit) else "predicted transit"
    caption = "What may move the light curve. " + (f"Shaded: the {what}. " if span else "")
    if turns(rows):
        caption += "Dashed: the telescope changed the side of its pier. "
    caption += f"Not measured: {', '.join(missing)}." if missing else ""
    return Figure(wide, narrow, "Against time: " + "; ".join(parts) + ".", caption.strip())


def chart_figure(report: TransitReport, stars: pl.DataFrame) -> Figure | None:
    """Draw the field; None without a picture or a star with a place."""
    placed = stars.filter(pl.all_horizontal(pl.col("x_pix", "y_pix").is_not_null()))
    image = report.field_image
    if image is not None and not np.isfinite(image).any():
        image = None
    if image is None and placed.is_empty() and report.target_xy_pix is None:
        return None
    chart = field_chart(
        placed,
        report.target_xy_pix,
        image=image,
        rotation_deg=report.rotation_deg,
        is_mirrored=report.is_mirrored,
        scale_arcsec_per_pix=report.scale_arcsec_per_pix,
    )
    n_used = int(placed["is_used"].sum())
    n_rejected = placed.height - n_used
    where = ""
    if report.target_xy_pix is not None:
        where = f" at x {report.target_xy_pix[0]:.1f}, y {report.target_xy_pix[1]:.1f}"
    alt = (
        f"Chart of the field: the target{where}, {n_used} comparison stars and {n_rejected} "
        "rejected ones, all listed in the table."
    )
    caption = "The field in the pixels of its reference frame" + (
        ". " if image is not None else ", stars drawn larger if brighter. "
    )
    caption += "T: the target; C1, C2 …: comparison stars by falling weight, as in the table."
    if report.rotation_deg is None or report.is_mirrored is None:
        caption += " The orientation on the sky is not known."
    return Figure(Markup(as_svg(chart, name="field")), None, alt, caption)


def comparison_figure(report: TransitReport, used: pl.DataFrame) -> Figure | None:
    """Draw the comparison stars' own curves; None where they are not known."""
    own = report.own_curves
    if own is None or own.is_empty() or own["mid_bjd_tdb"].is_null().all():
        return None
    names = []
    for row in used.iter_rows(named=True):
        r = report.correlation.get(row["source_id"])
        names.append((row["source_id"], row["name"] + ("" if r is None else f"  r {r:+.2f}")))
    svg = Markup(as_svg(stars_figure(own, names, width_in=WIDE_IN), name="stars"))
    caption = f"Curves of the first {min(len(names), MAX_STARS)} comparison stars over the others."
    if report.correlation:
        caption += " r: their correlation with the residuals of the target."
    alt = f"Curves of {min(len(names), MAX_STARS)} comparison stars, one below the other."
    return Figure(svg, None, alt, caption)


def averages_figure(report: TransitReport) -> Figure | None:
    """Draw how the scatter of the residuals averages out; None without enough residuals."""
    table = scatter_by_bin(report.fit)
    if table is None:
        return None
    svg = Markup(as_svg(noise_figure(table, width_in=WIDE_IN), name="noise"))
    ratio = (table["scatter"] / table["white"]).max()
    caption = "Scatter of means of the residuals against their length, and that of white noise."
    alt = f"{caption} The largest ratio of the two is {ratio:.2f}."
    return Figure(svg, None, alt, caption)


def posterior_figure(report: TransitReport) -> Figure | None:
    """Draw the posterior; None without one."""
    if report.posterior is None:
        return None
    svg = Markup(as_svg(corner_figure(report.posterior), name="corner"))
    caption = (
        f"Posterior of {report.posterior_method}: contours hold 39 % and 86 % of "
        f"{report.posterior.height} samples; dashed: median and 68 %."
    )
    return Figure(svg, None, caption, caption)


def times_figure(timing: Timing) -> Figure | None:
    """Draw the mid-times of all transits of the planet; None without one."""
    n = timing.times.height
    if not n:
        return None
    svg = Markup(as_svg(timing_figure(timing), name="times"))
    of = "1 mid-time" if n == 1 else f"{n} mid-times"
    caption = f"O − C of all {of} that are known. Zero: the newest ephemeris" + (
        "; band: the one they give, with its error. " if timing.line is not None else ". "
    )
    alt = f"Observed less calculated mid-times of {timing.planet['planet_name']}: {of}."
    return Figure(svg, None, alt, f"{caption}{sentence(timing.verdict)}")


def _duration_h(report: TransitReport) -> float | None:
    value = report.planet.get("duration_h")
    return float(value) if isinstance(value, int | float) else None


def _span(report: TransitReport) -> Span | None:
    return fitted_span(report.fit) or predicted_span(report.fit, _duration_h(report))
