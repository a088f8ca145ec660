"""The page an observer sends out: one transit, in one HTML file that opens anywhere, offline."""

from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

import jinja2
import polars as pl

from .report_content import (
    TransitReport,
    counted,
    derived_warnings,
    frame_rows,
    head_lines,
    key_numbers,
    master_rows,
    ranked,
    sentence,
    star_rows,
)
from .report_figures import (
    Figure,
    averages_figure,
    chart_figure,
    circumstances_figure,
    comparison_figure,
    curve_figure,
    measured_figure,
    posterior_figure,
)
from .report_methods import Reference, methods, references
from .result_tables import MISSING, Line, measured, parameter_lines, quality_lines, transit_lines
from .transits import TransitFit

__all__ = ["TransitReport", "derived_warnings", "render_transit_report"]

N_BASELINE = 20  # told on the page, the best; all are in the fit

_NOTES = {
    "partial": "Part of the transit is missing, so its middle and its length lean on the published "
    "shape of the orbit.",
    "no data": "The night holds too little of this transit for a fit; "
    "what was measured is shown as it is.",
    "no baseline": "Nothing was fitted: too few points lie outside the predicted transit to know "
    "how bright the star is without it. The points are shown as measured.",
    "no transit": "The light curve is as well described without a transit, so none is quoted; "
    "the figure shows the flat line.",
}


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A report as texts and figures, for every kind of page; names as in the template."""

    report: TransitReport
    fit: TransitFit
    aperture: str
    sentence: str
    note: str | None
    warnings: list[str]
    head: list[tuple[str, str]]
    key_numbers: list[tuple[str, str, str]]
    transit_lines: list[Line]
    quality_lines: list[Line]
    parameter_lines: list[tuple[str, str, str, str]]
    baselines: list[tuple[str, float | None]]
    curve: Figure | None
    raw: Figure | None
    circumstances: Figure | None
    chart: Figure | None
    stars: Figure | None
    noise: Figure | None
    corner: Figure | None
    more: list[Figure]
    used: list[tuple[str, ...]]
    rejected: list[tuple[str, ...]]
    frames: list[tuple[str, str, str, str]]
    methods: list[str]
    references: list[Reference]

    @property
    def figures(self) -> list[Figure]:
        """All figures in the order of the page."""
        found = (
            self.curve,
            self.raw,
            self.circumstances,
            self.noise,
            self.corner,
            *self.more,
            self.chart,
            self.stars,
        )
        return [figure for figure in found if figure is not None]


def assemble(report: TransitReport) -> ReportPage:
    """Draw all figures and write all texts of a report."""
    fit = report.fit
    stars = ranked(report.comparison)
    used, rejected = stars.filter(pl.col("is_used")), stars.filter(~pl.col("is_used"))
    aperture = (report.aperture_name or "").replace("fwhm", "FWHM")
    return ReportPage(
        report=report,
        fit=fit,
        aperture=aperture,
        sentence=sentence(fit.reason),
        note=_NOTES.get(fit.verdict),
        warnings=[*derived_warnings(report), *report.warnings],
        head=head_lines(report),
        key_numbers=key_numbers(fit),
        transit_lines=transit_lines(fit, report.planet, report.injected, report.minimum),
        quality_lines=quality_lines(
            fit,
            n_comparison=used.height,
            band=report.band or "no filter",
            aperture=aperture or MISSING,
        ),
        parameter_lines=parameter_lines(fit),
        baselines=sorted((fit.baseline_bic or {}).items(), key=_bic_order)[:N_BASELINE],
        curve=curve_figure(report),
        raw=measured_figure(report),
        circumstances=circumstances_figure(report),
        chart=chart_figure(report, stars),
        stars=comparison_figure(report, used),
        noise=averages_figure(report),
        corner=posterior_figure(report),
        more=list(report.more_figures),
        used=star_rows(used),
        rejected=star_rows(rejected),
        frames=frame_rows(report.frames),
        methods=methods(report, n_comparison=used.height, aperture=aperture),
        references=references(report),
    )


def render_transit_report(report: TransitReport) -> str:
    """Return the report as one HTML page without any external resource.

    Every name and text in `report` is escaped; a character that UTF-8 cannot hold becomes "?".
    """
    return render_page(assemble(report))


def render_page(content: ReportPage) -> str:
    """Return an assembled report as HTML, as `render_transit_report` does."""
    report = content.report
    shared = {each.name: getattr(content, each.name) for each in fields(content)}
    page = _template().render(
        **shared,
        verdict_class=content.fit.verdict.replace(" ", "-"),
        calibrations=counted(report.frames, "reason", "nothing to note"),
        time_sources=counted(report.frames, "time_source", "unknown"),
        gain_sources=counted(report.light_curve, "gain_source", "unknown"),
        masters=master_rows(report.masters),
        number=lambda value, digits: measured(value, None, digits),
    )
    return page.strip().encode("utf-8", "replace").decode("utf-8") + "\n"


def _bic_order(item: tuple[str, float | None]) -> tuple[bool, float]:
    return item[1] is None, item[1] or 0.0


@cache
def _template() -> jinja2.Template:
    """Escape everything but the figures, and refuse names that were never given."""
    source = files(__package__ or "").joinpath("transit_report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)
