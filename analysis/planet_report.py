"""All transits of a planet on one page: joint fit, mid-times, ephemeris, what others published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from .joint_figures import joint_figure
from .joint_results import JointFit
from .joint_rows import joint_rows
from .page import MISSING, Page, Section, plot
from .planet_tables import (
    ephemeris_table,
    foreign_table,
    frames_table,
    label,
    nights_table,
    parameters_table,
    results_table,
    times_table,
    transits_table,
)
from .report_methods import TIMES, TRANSIT
from .result_tables import number
from .timing import Timing, residual_times
from .timing_figures import timing_figure

FAR_SIGMA = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanetReport:
    """All a planet's report says; pure data.

    Attributes
    ----------
    timing
        Its mid-times and ephemeris.
    joint
        Fit of all light curves; None where no light curve shows a transit.
    results
        Rows of view `planet_result` of this planet.
    nights
        Rows of query `transit_summary`.
    left_out
        Light curves without a part in the joint fit, with the reason.
    frames
        path, content_hash, mid_utc of our own light curves; empty if there is none.
    foreign
        Rows of table `foreign_curve` that take part, and file_name, content_hash of the files
        mid-times were taken from, under the same names.
    versions
        Version by name of the software.
    """

    timing: Timing
    joint: JointFit | None
    results: pl.DataFrame
    nights: pl.DataFrame
    left_out: Sequence[str]
    frames: pl.DataFrame
    foreign: pl.DataFrame
    versions: Mapping[str, str]
    command: str
    version: str
    generated_utc: datetime | str


def planet_page(report: PlanetReport) -> Page:
    """Lay out the report of a planet."""
    planet = report.timing.planet
    return Page(
        kicker="Planet report",
        title=planet["planet_name"],
        summary=_summary(report),
        head=_head(report),
        warnings=warnings(report),
        sections=[
            Section(
                "Results against the literature",
                _of_results(report),
                tables=[results_table(report.results)],
            ),
            _times(report.timing),
            _joint(report.joint),
            Section("Fits of single nights", tables=[nights_table(report.nights)]),
            Section(
                "Provenance",
                tables=[foreign_table(report.foreign), frames_table(report.frames)],
            ),
        ],
        notes=[*_methods(report), *_references(report)],
        command=report.command,
        version=report.version,
        generated_utc=report.generated_utc,
    )


def warnings(report: PlanetReport) -> list[str]:
    """Say what a reader must know before using the numbers."""
    planet, found = report.timing.planet, list[str]()
    if report.timing.is_quadratic:
        found.append(f"One period does not describe these times: {report.timing.verdict}.")
    joint = report.joint
    if joint is not None and not joint.is_settled:
        found.append("The joint fit had not converged after its last round.")
    if planet["time_system"] != "BJD_TDB":
        found.append(
            f"The time system of the ephemeris is not certain to be BJD_TDB: "
            f"{planet['time_system']}."
        )
    if planet["mid_err_d"] is None or planet["period_err_d"] is None:
        found.append(
            "The ephemeris states no error of its zero or period: differences from it are counted "
            "in the errors of this work alone."
        )
    far = report.results.filter(pl.col("difference_sigma").abs() > FAR_SIGMA)
    found += [
        f"{label(row)}: {abs(row['difference_sigma']):.1f} sigma from {row['published_source']}."
        for row in far.iter_rows(named=True)
    ]
    partial = report.timing.times.filter("is_partial")["transit_name"].to_list()
    if partial:
        found.append(f"Only a part of the transit was observed: {', '.join(partial)}.")
    return [*found, *(f"Left out: {reason}." for reason in report.left_out)]


def document(report: PlanetReport, files: Sequence[str]) -> dict[str, Any]:
    """Return the document of `report planet --json`; rows as in SQL."""
    timing, joint = report.timing, report.joint
    fit, transits = (None, []) if joint is None else joint_rows(joint, timing.planet["planet_id"])
    if fit is not None:
        fit.pop("parameters")
    return {
        "planet": timing.planet["planet_name"],
        "summary": _summary(report),
        "verdict": timing.verdict,
        "is_quadratic": timing.is_quadratic,
        "quadratic_chance": timing.quadratic_chance,
        "refined": timing.refined,
        "results": report.results.to_dicts(),
        "times": [] if timing.times.is_empty() else residual_times(timing).to_dicts(),
        "joint_fit": fit,
        "transits": transits,
        "nights": report.nights.to_dicts(),
        "left_out": list(report.left_out),
        "warnings": warnings(report),
        "files": list(files),
    }


def _summary(report: PlanetReport) -> str:
    joint = report.joint
    if joint is None:
        fitted = "No stored light curve shows a transit of it"
    else:
        n = len(joint.transits)
        fitted = f"{n} transit{'s' * (n > 1)} fitted together, {joint.n_point} points"
    return f"{fitted}; {report.timing.verdict}."


def _head(report: PlanetReport) -> list[tuple[str, str]]:
    planet = report.timing.planet
    lines = [("Host", planet["host_name"] or MISSING)]
    if planet["ra_deg"] is not None:
        lines.append(("Position", f"{planet['ra_deg']:.4f} {planet['dec_deg']:+.4f}"))
    if report.joint is not None:
        nights = [transit.curve.night for transit in report.joint.transits]
        own = sum(t.curve.foreign_curve_id is None for t in report.joint.transits)
        lines.append(("Nights", f"{min(nights)} to {max(nights)}" if own else f"{len(nights)}"))
        lines.append(("Light curves", f"{own} ours, {len(nights) - own} of others"))
    lines.append(("Mid-times", str(report.timing.times.height)))
    return [*lines, ("Ephemeris", planet["source"])]


def _of_results(report: PlanetReport) -> str:
    text = "Errors are 1 σ. Mid-transit and period are those of all mid-times below; what is "
    text += "published stands for the same transit. "
    if report.joint is not None:
        text += (
            "a / R★ and the impact parameter had a prior from the newest ephemeris, of the width "
            "shown: where the error is as wide, the light curves say nothing of their own, and "
            "agreement is no proof."
        )
    return text


def _times(timing: Timing) -> Section:
    title = "Mid-times and ephemeris"
    if timing.times.is_empty():
        return Section(title, "No mid-transit time is known.")
    figure = plot(
        timing_figure(timing),
        name="times",
        alt=f"Observed less calculated mid-times of {timing.times.height} transits",
        caption="Observed less calculated by the newest ephemeris (zero line)"
        + (
            "; the band is the refined ephemeris with its error."
            if timing.line is not None
            else "."
        ),
    )
    return Section(
        title,
        f"{timing.verdict[:1].upper()}{timing.verdict[1:]}.",
        plots=[figure],
        tables=[ephemeris_table(timing.line), times_table(timing)],
    )


def _joint(joint: JointFit | None) -> Section:
    title = "Transits fitted together"
    if joint is None:
        return Section(title)
    figure = plot(
        joint_figure(joint),
        name="joint",
        alt=f"Light curves of {len(joint.transits)} transits with the common model",
        caption="Flux over the baseline of each light curve, the common model, and points left out "
        "(crosses). Dark: ours; pale: made elsewhere.",
    )
    return Section(
        title,
        f"One orbit and one radius ratio a band; each transit has its own middle and baseline. "
        f"Reduced χ² with the errors as quoted: {number(joint.chi2_reduced, 2)}.",
        plots=[figure],
        tables=[transits_table(joint), parameters_table(joint)],
    )


def _methods(report: PlanetReport) -> list[str]:
    found = []
    if report.joint is not None:
        found.append(
            "All light curves were fitted together by least squares: a transit of a quadratically "
            "limb-darkened star (Agol et al. 2020), averaged over each exposure, on one orbit with "
            "the ephemeris' eccentricity; radius ratio and limb darkening (q1 and q2 of Kipping "
            "2013) by band, priors on the latter from stellar models (Claret et al. 2013). Each "
            "transit has its own middle, free within the searched window, and its own baseline of "
            "up to two terms in time and airmass, chosen by BIC and solved inside the fit. Points "
            "beyond 4 robust σ were left out; the errors of each light curve were scaled to its "
            "residuals and widened by its red noise (time averaging: Winn et al. 2008)."
        )
    found.append(
        "The ephemeris is a straight line through all mid-times that have an error, by weighted "
        "least squares; its errors are scaled up, never down, where the scatter is larger than the "
        "errors say. A night with a fit of its own counts with that one, others with the joint "
        "fit. A quadratic term is called significant where noise makes it in less than 0.27 %."
    )
    software = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return [*found, f"Software: {software}."]


def _references(report: PlanetReport) -> list[str]:
    papers = [*TIMES, *(TRANSIT if report.joint is not None else ())]
    return [f"{paper.text}, doi:{paper.doi}." for paper in sorted(papers, key=lambda p: p.text)]
