"""The page an observer sends out: one transit, in one HTML file that opens anywhere, offline."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import jinja2
import polars as pl

from .report_content import (
    TransitReport,
    counted,
    derived_warnings,
    frame_rows,
    has_any,
    head_lines,
    key_numbers,
    master_rows,
    ranked,
    sentence,
    star_rows,
)
from .report_figures import chart_figure, circumstances_figure, curve_figure, measured_figure
from .result_tables import MISSING, measured, parameter_lines, quality_lines, transit_lines
from .transits import TransitFit

__all__ = ["TransitReport", "derived_warnings", "render_transit_report"]

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


def render_transit_report(report: TransitReport) -> str:
    """Return the report as one HTML page without any external resource.

    Every name and text in `report` is escaped; a character that UTF-8 cannot hold becomes "?".
    """
    fit = report.fit
    stars = ranked(report.comparison)
    used, rejected = stars.filter(pl.col("is_used")), stars.filter(~pl.col("is_used"))
    aperture = (report.aperture_name or "").replace("fwhm", "FWHM")
    page = _template().render(
        report=report,
        fit=fit,
        aperture=aperture,
        sentence=sentence(fit.reason),
        verdict_class=fit.verdict.replace(" ", "-"),
        note=_NOTES.get(fit.verdict),
        warnings=[*derived_warnings(report), *report.warnings],
        head=head_lines(report),
        key_numbers=key_numbers(fit),
        transit_lines=transit_lines(fit, report.planet, report.injected),
        quality_lines=quality_lines(
            fit,
            n_comparison=used.height,
            band=report.band or "no filter",
            aperture=aperture or MISSING,
        ),
        parameter_lines=parameter_lines(fit),
        baselines=sorted((fit.baseline_bic or {}).items(), key=_bic_order),
        curve=curve_figure(report),
        raw=measured_figure(report),
        circumstances=circumstances_figure(report),
        chart=chart_figure(report, stars),
        used=star_rows(used),
        rejected=star_rows(rejected),
        calibrations=counted(report.frames, "reason", "nothing to note"),
        time_sources=counted(report.frames, "time_source", "unknown"),
        gain_sources=counted(report.light_curve, "gain_source", "unknown"),
        masters=master_rows(report.masters),
        frames=frame_rows(report.frames),
        references=_references(fit, has_scintillation=has_any(report.light_curve, "scintillation")),
        has_errors=has_any(report.light_curve, "relative_flux_err"),
        has_scintillation=has_any(report.light_curve, "scintillation"),
        number=lambda value, digits: measured(value, None, digits),
    )
    return page.strip().encode("utf-8", "replace").decode("utf-8") + "\n"


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper the methods rest on."""

    text: str
    doi: str


_PHOTOMETRY = (
    Reference("Merline & Howell 1995, Exp. Astron. 6, 163 (errors)", "10.1007/BF00421131"),
    Reference("Collins et al. 2017, AJ 153, 77 (errors)", "10.3847/1538-3881/153/2/77"),
    Reference(
        "Broeg, Fernández & Neuhäuser 2005, AN 326, 134 (comparison stars)",
        "10.1002/asna.200410350",
    ),
    Reference("Eastman, Siverd & Gaudi 2010, PASP 122, 935 (times)", "10.1086/655938"),
)
_SCINTILLATION = Reference(
    "Osborn et al. 2015, MNRAS 452, 1707 (scintillation)", "10.1093/mnras/stv1400"
)
_TRANSIT = (
    Reference(
        "Agol, Luger & Foreman-Mackey 2020, AJ 159, 123 (transit model)", "10.3847/1538-3881/ab4fee"
    ),
    Reference("Kipping 2013, MNRAS 435, 2152 (limb darkening)", "10.1093/mnras/stt1435"),
    Reference(
        "Claret, Hauschildt & Witte 2013, A&A 552, A16 (limb darkening)",
        "10.1051/0004-6361/201220942",
    ),
    Reference("Winn et al. 2008, ApJ 683, 1076 (red noise)", "10.1086/589737"),
)


def _references(fit: TransitFit, *, has_scintillation: bool) -> list[Reference]:
    found = [*_PHOTOMETRY]
    found += [_SCINTILLATION] if has_scintillation else []
    found += _TRANSIT if fit.baseline is not None else ()
    return sorted(found, key=lambda reference: reference.text)


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
