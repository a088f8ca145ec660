"""The command `report transit`: from a name to a page, the points and the stored fit."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import __version__
from ..errors import LockedError, StarmusterError
from .answering import store_comparison
from .reports import written
from .session import SESSION, plain

if TYPE_CHECKING:
    from ..analysis.observed_transits import ObservedTransit
    from ..warehouse.config import Ensemble
    from ..warehouse.store import Warehouse

N_TREND = 2
SOFTWARE = ("astropy", "photutils", "sep", "exoplanet-core", "emcee", "scipy", "duckdb", "polars")
TOLD = ("verdict", "mid_bjd_tdb", "o_minus_c_min", "radius_ratio", "depth", "duration_h")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report shall hold beyond least squares and one page."""

    n_sample: int = 0
    sampler: Literal["emcee", "dynesty"] = "emcee"
    has_process: bool = False
    has_pdf: bool = True
    is_anew: bool = False
    detrend: Literal["sysrem", "pca"] | None = None

    def options(self, configured: "Ensemble") -> "Ensemble":
        """Return the settings of the ensemble with the trends that are asked for."""
        if self.detrend is None:
            return configured
        n_trend = configured.n_trend or N_TREND
        return configured.model_copy(update={"trend_method": self.detrend, "n_trend": n_trend})

    @property
    def mark(self) -> str:
        """Text that tells reports apart."""
        drawn = f"{self.n_sample} {self.sampler} {self.has_process}" if self.n_sample else "0"
        return f"{drawn} {self.has_pdf}"


def report_transit(
    name: str,
    *,
    night: str | None,
    band: str | None,
    aperture: str | None,
    output: Path | None,
    injected: dict[str, float] | None = None,
    wanted: Wanted | None = None,
) -> dict[str, Any]:
    """Fit, store, write the page and the points, and answer; return the document.

    Nothing is done but answer where a report of the same rows, settings and wishes is there.

    Parameters
    ----------
    injected
        Truth of a synthetic night by attribute of the fit, shown beside what was recovered.
    wanted
        Posterior, PDF, and whether to write it all again.
    """
    from ..analysis.observed_transits import fitted, observe_curve
    from ..analysis.timing import other_times
    from ..analysis.transit_rows import summary

    wanted = wanted or Wanted()
    warehouse = SESSION.warehouse()
    options = wanted.options(warehouse.config.ensemble)
    with warehouse.reading() as con:
        transit = observe_curve(
            con, name, night=night, band=band, aperture=aperture, options=options
        )
        times = other_times(con, transit.planet["planet_key"], transit.night, transit.band)
        others = _siblings(con, transit)
    page = output or warehouse.reports / _file_name(transit)
    mark = f"{__version__} {transit.fingerprint} {times} {others} {wanted.mark} {injected or ''}"
    if not wanted.is_anew and (document := written(page, mark)) is not None:
        SESSION.say("nothing it rests on has changed: the report stays (--anew writes it again)")
        return _answer(document)
    transit = fitted(transit)
    files: list[str] = []
    if transit.curve is not None:
        store_comparison(warehouse, [transit.curve.comparison])
        if wanted.n_sample:
            transit = _sampled(transit, wanted)
        _store_fit(warehouse, transit, page.stem)
        files = _write(
            warehouse, transit, page, injected or {}, warnings=others, has_pdf=wanted.has_pdf
        )
    document = plain(summary(transit, files))
    if files:
        text = json.dumps({"mark": mark} | document, indent=1)
        page.with_suffix(".json").write_text(text, encoding="utf-8")
    return _answer(document)


def _siblings(con, transit: "ObservedTransit") -> list[str]:
    """Say which other planets of the star transit in this night."""
    from ..analysis.siblings import other_transits

    if transit.curve is None or transit.planet["host_name"] is None:
        return []
    bjd_tdb = transit.curve.points["mid_bjd_tdb"].drop_nulls().to_numpy()
    if len(bjd_tdb) == 0:
        return []
    found = other_transits(con, transit.planet, float(bjd_tdb.min()), float(bjd_tdb.max()))
    for text in found:
        SESSION.say(text)
    return found


def _sampled(transit: "ObservedTransit", wanted: Wanted) -> "ObservedTransit":
    from ..analysis.observed_transits import sampled

    if transit.fit.mid_bjd_tdb is None:
        SESSION.say("there is no transit to sample")
        return transit
    found = sampled(
        transit,
        n_sample=wanted.n_sample,
        sampler=wanted.sampler,
        has_process=wanted.has_process,
    )
    posterior = found.fit.posterior
    if not posterior.is_converged:
        SESSION.say(
            f"the chain is shorter than 50 autocorrelation times ({posterior.n_effective:.0f} "
            "independent samples): take its numbers with care"
        )
    return found


def _answer(document: dict[str, Any]) -> dict[str, Any]:
    if SESSION.as_json:
        SESSION.answer(document)
        return document
    SESSION.tell(f"{document['target']}, {document['night'] or 'no night'}: {document['reason']}")
    for key in TOLD:
        value, error = document[key], document.get(f"{key}_err")
        if value is not None:
            shown = f"{value:.6f}" if isinstance(value, float) else str(value)
            SESSION.tell(f"{key:>16}  {shown}" + (f" +- {error:.6f}" if error else ""))
    for path in document["files"]:
        SESSION.tell(f"{'wrote':>16}  {path}")
    return document


def _store_fit(warehouse: "Warehouse", transit: "ObservedTransit", stem: str) -> None:
    """Store the fit and its posterior, unless the same one is stored."""
    import polars as pl

    from ..analysis.transit_rows import fit_row
    from ..warehouse.packages import conform
    from .ingesting import open_run

    now = datetime.now(UTC).replace(tzinfo=None)
    numbers = ("transit_fit_id", "fitted_utc")
    new = fit_row(transit).with_columns(transit_fit_id=pl.lit(0), fitted_utc=pl.lit(now))
    if transit.fit.posterior is not None:
        name, checksum = _store_posterior(warehouse, transit, stem)
        new = new.with_columns(posterior_file=pl.lit(name), posterior_checksum=pl.lit(checksum))
    row = conform("transit_fit", new)
    same = [name for name in row.columns if name not in numbers]
    with warehouse.reading() as con:
        stored = con.table("transit_fit").pl()
    if row.join(stored, on=same, how="anti", nulls_equal=True).is_empty():
        return
    try:
        with open_run(warehouse) as current:
            number = pl.lit(current.next_id("transit_fit"))
            current.store("transit-fit", {"transit_fit": row.with_columns(transit_fit_id=number)})
    except LockedError as error:
        SESSION.say(f"the fit was not stored: {error}")


def _store_posterior(
    warehouse: "Warehouse", transit: "ObservedTransit", stem: str
) -> tuple[str, str]:
    """Keep the samples as Parquet in the warehouse; return the file's name and checksum."""
    from ..warehouse.packages import file_checksum

    folder = warehouse.folder / "posteriors"
    folder.mkdir(exist_ok=True)
    posterior = transit.fit.posterior
    path = folder / f"{stem}_{posterior.method}.parquet"
    draft = path.with_suffix(".draft")
    posterior.samples.write_parquet(draft, compression="zstd")
    draft.replace(path)
    return path.name, file_checksum(path)


def _write(
    warehouse: "Warehouse",
    transit: "ObservedTransit",
    page: Path,
    injected: dict[str, float],
    *,
    warnings: list[str],
    has_pdf: bool,
) -> list[str]:
    from ..analysis.exports import points_csv
    from ..analysis.observed_transits import residual_correlation
    from ..analysis.pdf_report import render_pdf
    from ..analysis.report import assemble, render_page
    from ..analysis.report_content import TransitReport
    from ..analysis.report_figures import times_figure
    from ..analysis.timing import timing
    from ..warehouse.store import shipped

    curve = transit.curve
    if curve is None:
        return []
    where = {"night": transit.night, "band": transit.band}
    with warehouse.reading() as con:
        frames = shipped(con, "provenance", source_id=transit.star.source_id, **where)
        masters = shipped(con, "masters_of_night", field_id=transit.star.field_id, **where)
        sources = con.table("field_star").filter(f"field_id = {transit.star.field_id}")
        sources = sources.project("source_id, x_pix, y_pix, flux_adu").pl()
        reference = con.table("field_reference").filter(f"field_id = {transit.star.field_id}").pl()
        attitude = _attitude(con, reference["reference_frame_id"][0])
        times = times_figure(timing(con, transit.planet["planet_name"]))
    target = sources.filter(source_id=transit.star.source_id).row(0, named=True)
    report = TransitReport(
        target_name=transit.planet["planet_name"],
        night=curve.night,
        band=curve.band,
        aperture_name=curve.aperture_name,
        fit=transit.fit,
        planet=transit.planet,
        light_curve=curve.points,
        comparison=curve.comparison.join(sources, on="source_id", how="left"),
        frames=frames,
        versions={"starmuster": __version__}
        | {package: metadata.version(package) for package in SOFTWARE},
        command=f"starmuster report transit {transit.planet['planet_name']!r}",
        generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        warnings=warnings,
        field_image=_picture(warehouse, reference.row(0, named=True)),
        target_xy_pix=(target["x_pix"], target["y_pix"]),
        masters=masters,
        observed_with=_observed_with(frames),
        injected=injected,
        ensemble_method=curve.comparison["ensemble_method"][0],
        own_curves=curve.own,
        correlation=residual_correlation(transit),
        minimum=transit.minimum,
        more_figures=[] if times is None else [times],
        **_posterior_part(transit),
        **attitude,
    )
    points = page.with_suffix(".csv")
    page.parent.mkdir(parents=True, exist_ok=True)
    header = {"target": report.target_name, "night": curve.night, "band": curve.band}
    points.write_text(points_csv(transit.fit, curve.points, header=header), encoding="utf-8")
    content = assemble(report)
    page.write_text(render_page(content), encoding="utf-8")
    files = [str(page), str(points)]
    if has_pdf:
        page.with_suffix(".pdf").write_bytes(render_pdf(content))
        files.append(str(page.with_suffix(".pdf")))
    return files


def _posterior_part(transit: "ObservedTransit") -> dict[str, Any]:
    posterior = transit.fit.posterior
    if posterior is None:
        return {}
    note = f"{posterior.n_effective:.0f} independent ones were drawn"
    if posterior.noise_model == "gaussian process":
        note += ", the noise is a Gaussian process (Matérn 3/2) and errors are not widened"
    if posterior.autocorrelation_step is not None:
        state = "longer" if posterior.is_converged else "shorter"
        note += (
            f", the autocorrelation time is {posterior.autocorrelation_step:.0f} steps and the "
            f"chain {state} than 50 of them"
        )
    if posterior.log_evidence_ratio is not None:
        note += (
            f", the natural logarithm of the evidence over that of a flat line is "
            f"{posterior.log_evidence_ratio:+.1f}"
        )
    return {
        "posterior": posterior.samples,
        "posterior_method": posterior.method,
        "posterior_note": note,
    }


def _attitude(con, frame_id: int) -> dict[str, Any]:
    row = (
        con.table("wcs")
        .filter(f"frame_id = {int(frame_id)}")
        .project("rotation_deg, is_mirrored, scale_arcsec_per_pix")
        .pl()
    )
    return row.row(0, named=True) if row.height else {}


def _picture(warehouse: "Warehouse", reference: dict[str, Any]):
    """Return the pixels of the reference frame, or None where its file is gone."""
    from ..transforms.pixels import read_pixels
    from ..transforms.steps.paths import frame_paths

    frame_id = reference["reference_frame_id"]
    with warehouse.reading() as con:
        path = frame_paths(con, [frame_id])[frame_id]
    try:
        return read_pixels(path, reference["hdu_index"])
    except StarmusterError as error:
        SESSION.say(f"no picture of the field: {error}")
        return None


def _observed_with(frames) -> dict[str, object]:
    first = frames.row(0, named=True)
    site = first["site_name"]
    if first["latitude_deg"] is not None:
        place = f"{first['latitude_deg']:.3f} {first['longitude_deg']:+.3f}"
        site = f"{site} ({place})" if site else place
    told = {"Telescope": first["telescope_name"], "Camera": first["camera_name"], "Site": site}
    return {name: value for name, value in told.items() if value}


def _file_name(transit: "ObservedTransit") -> str:
    name = re.sub(r"[^\w+-]+", "-", transit.planet["planet_name"])
    return f"{name}_{transit.night}_{transit.band or 'no-band'}.html"
