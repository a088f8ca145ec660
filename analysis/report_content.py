"""What goes into a transit report, and what it must warn of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from .canvas import Array
from .minima import Minimum
from .result_tables import MISSING, measured, number, scatter
from .transits import TransitFit

MANY_OUTLIERS = 0.05
SATURATED, BLENDED = 1 << 0, 1 << 4  # bits of table flag
N_LABELLED = 20  # comparison stars numbered on the chart; more would hide each other


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitReport:
    """All a report says; pure data, so that the same input gives the same bytes.

    Attributes
    ----------
    target_name, night, band, aperture_name
        As stored; the night is the local date of its evening.
    fit
        The fit, or why there is none.
    planet
        Row of table `planet`.
    light_curve
        Rows of view `differential_light_curve` of this target, night, band and aperture.
    comparison
        Rows of table `comparison_star`, with x_pix, y_pix, flux_adu of table `source`.
    frames
        path, content_hash, mid_utc, reason (of the calibration); time_source if known.
    versions
        Version by name of the software.
    command
        What was typed.
    generated_utc
        When; there is no clock in here.
    warnings
        What the caller has to add to the warnings that follow from the data.
    field_image
        Picture of the field in the pixels of its reference frame, shape (n_y, n_x).
    target_xy_pix
        The target in these pixels, 0-based.
    rotation_deg, is_mirrored, scale_arcsec_per_pix
        Of the reference frame, as in table `wcs`; None if unknown.
    masters
        Rows of table `master` that were used.
    observed_with
        Further lines of the head: telescope, camera, site, observer.
    injected
        Truth of a synthetic night by attribute of `fit`.
    ensemble_method
        weights, sum or inhomogeneous.
    own_curves
        source_id, mid_bjd_tdb, relative_flux: comparison stars over the others.
    correlation
        Of each comparison star with the residuals of the fit, by source number.
    minimum
        Time of minimum without a model.
    posterior, posterior_method, posterior_note
        Samples, what drew them, and how far they can be trusted.
    more_figures
        Further figures, such as O - C of all transits: `report_figures.Figure`.
    """

    target_name: str
    night: date | str
    band: str | None
    aperture_name: str | None
    fit: TransitFit
    planet: Mapping[str, object]
    light_curve: pl.DataFrame
    comparison: pl.DataFrame
    frames: pl.DataFrame
    versions: Mapping[str, str]
    command: str
    generated_utc: datetime | str
    warnings: Sequence[str] = ()
    field_image: Array | None = None
    target_xy_pix: tuple[float, float] | None = None
    rotation_deg: float | None = None
    is_mirrored: bool | None = None
    scale_arcsec_per_pix: float | None = None
    masters: pl.DataFrame | None = None
    observed_with: Mapping[str, object] = field(default_factory=dict)
    injected: Mapping[str, float] = field(default_factory=dict)
    ensemble_method: str = "weights"
    own_curves: pl.DataFrame | None = None
    correlation: Mapping[int, float] = field(default_factory=dict)
    minimum: Minimum | None = None
    posterior: pl.DataFrame | None = None
    posterior_method: str | None = None
    posterior_note: str = ""
    more_figures: Sequence[Any] = ()


def derived_warnings(report: TransitReport) -> list[str]:
    """Say what a reader must know before using the numbers, as far as the data tell."""
    fit, curve, found = report.fit, report.light_curve, []
    n_all = fit.n_points + fit.n_outliers
    if n_all and fit.n_outliers / n_all > MANY_OUTLIERS:
        found.append(
            f"{fit.n_outliers} of {n_all} points ({100 * fit.n_outliers / n_all:.1f} %) were left "
            f"out as outliers, more than {100 * MANY_OUTLIERS:.0f} %."
        )
    if report.minimum is not None and report.minimum.verdict == "disagreement":
        found.append(f"Times of minimum without a model: {report.minimum.reason}.")
    if report.comparison.height and report.comparison["is_used"].sum() == 1:
        found.append(
            f"One comparison star alone served, of {report.comparison.height} judged: what it does "
            "by itself cannot be told from what the target does."
        )
    saturated = _share_flagged(curve, SATURATED)
    if saturated > MANY_OUTLIERS:
        found.append(f"The target is saturated on {100 * saturated:.0f} % of the frames.")
    if _share_flagged(curve, BLENDED) > MANY_OUTLIERS:
        found.append(
            "A neighbour's light is in the aperture: the true transit is deeper than the measured."
        )
    if "is_geocentric" in curve.columns and curve["is_geocentric"].any():
        found.append(
            "The site is not known: times are those at the centre of the Earth, "
            "up to 21 ms off, and the airmass is not known."
        )
    places = {name for name, _ in counted(curve, "position_source", "")}
    if "host" in places:
        found.append(
            "The field has no sky solution: barycentric times use the catalogued position of the "
            "host star."
        )
    if "field" in places:
        found.append(
            "The star's position is not known: barycentric times use the pointing of the field, "
            "up to 9 s off for each degree between them."
        )
    if curve.height and not has_any(curve, "relative_flux_err"):
        found.append(
            "The camera's gain is not known, so the points have no measured errors: all weigh the "
            "same, and the errors of the results come from the scatter of the residuals."
        )
    if (system := report.planet.get("time_system")) not in {None, "BJD_TDB"}:
        found.append(f"The time system of the ephemeris is not certain to be BJD_TDB: {system}.")
    if fit.predicted_mid_bjd_tdb is not None and fit.predicted_mid_err_d is None:
        found.append(
            "The ephemeris states no errors: that of O − C is the error of this night alone."
        )
    return found


def _share_flagged(curve: pl.DataFrame, bit: int) -> float:
    if "flags" not in curve.columns or curve.is_empty():
        return 0.0
    return float((curve["flags"].cast(pl.Int64).to_numpy() & bit > 0).mean())


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    text = text.strip()
    end = "" if not text or text.endswith((".", "!", "?")) else "."
    return text[:1].upper() + text[1:] + end


def head_lines(report: TransitReport) -> list[tuple[str, str]]:
    curve, planet = report.light_curve, report.planet
    lines = [("Night", str(report.night)), ("Band", report.band or "no filter")]
    if "exposure_s" in curve.columns:
        exposures = sorted(set(curve["exposure_s"].drop_nulls()))
        lines.append(("Exposure", ", ".join(f"{s:g}" for s in exposures) + " s"))
    times = curve["mid_utc"].drop_nulls()
    if times.len():
        start, end = times.min(), times.max()
        lines.append(("Frames", f"{curve.height}, {start:%H:%M} to {end:%H:%M} UTC"))
    lines += [(name, str(value)) for name, value in report.observed_with.items()]
    lines.append(("Ephemeris", str(planet.get("source") or MISSING)))
    return [(name, text) for name, text in lines if text.strip() not in {"", "s"}]


def key_numbers(fit: TransitFit) -> list[tuple[str, str, str]]:
    if fit.mid_bjd_tdb is None:
        return []
    o_minus_c_err = fit.o_minus_c_min_err or (fit.mid_bjd_tdb_err or 0.0) * 1440
    return [
        ("Mid-transit", measured(fit.mid_bjd_tdb, fit.mid_bjd_tdb_err, 5), "BJD (TDB)"),
        ("O − C", measured(fit.o_minus_c_min, o_minus_c_err, 2, signed=True), "min"),
        ("Radius ratio", measured(fit.radius_ratio, fit.radius_ratio_err, 4), "Rp / R★"),
        ("Scatter", scatter(fit.residual_scatter).split(" (")[0], "of the residuals"),
    ]


def ranked(comparison: pl.DataFrame) -> pl.DataFrame:
    """Put comparison stars by falling weight, then the rejected ones; label the first C1, C2 ..."""
    stars = comparison.sort(
        "is_used", "weight", "source_id", descending=[True, True, False], nulls_last=True
    )
    place = pl.int_range(1, pl.len() + 1)
    is_labelled = pl.col("is_used") & (place <= N_LABELLED)
    return stars.with_columns(
        name=pl.when("is_used").then(pl.format("C{}", place)),
        label=pl.when(is_labelled).then(pl.format("C{}", place)),
    )


def star_rows(stars: pl.DataFrame) -> list[tuple[str, ...]]:
    """Return name, source, x, y, flux, weight, scatter and reason of each star, as text."""

    def text(value: float | None, digits: int, factor: float = 1) -> str:
        return MISSING if value is None else number(factor * value, digits)

    return [
        (
            row["name"] or "",
            str(row["source_id"]),
            text(row["x_pix"], 1),
            text(row["y_pix"], 1),
            text(row["flux_adu"], 0),
            text(row["weight"], 4),
            text(row["scatter"], 3, 100),
            row["reason"],
        )
        for row in stars.iter_rows(named=True)
    ]


def counted(rows: pl.DataFrame, column: str, empty: str) -> list[tuple[str, int]]:
    """Count the values of a column, most frequent first; nothing if there is no such column."""
    if column not in rows.columns or rows.is_empty():
        return []
    filled = rows.select(value=pl.col(column).cast(pl.String).fill_null("").str.strip_chars())
    counts = filled.group_by("value").len().sort("len", "value", descending=[True, False])
    return [(value or empty, n) for value, n in counts.iter_rows()]


def frame_rows(frames: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return file name (folders are the observer's own affair), hash, time and calibration."""
    return [
        (
            PurePosixPath(str(row["path"]).replace("\\", "/")).name,
            str(row["content_hash"]),
            MISSING if row["mid_utc"] is None else f"{row['mid_utc']:%Y-%m-%d %H:%M:%S}",
            row["reason"] or "",
        )
        for row in frames.sort("mid_utc", "path", nulls_last=True).iter_rows(named=True)
    ]


def master_rows(masters: pl.DataFrame | None) -> list[tuple[str, ...]]:
    """Return kind, band, exposure, night, number of frames, method, file and checksum."""
    if masters is None:
        return []
    return [
        (
            row["kind"],
            row["band"] or "",
            MISSING if row["exposure_s"] is None else f"{row['exposure_s']:g} s",
            str(row["night"]),
            str(row["n_frame"]),
            row["method"],
            row["file_name"],
            row["checksum"],
        )
        for row in masters.iter_rows(named=True)
    ]


def has_any(rows: pl.DataFrame, column: str) -> bool:
    """Whether a column is there and holds any value."""
    return column in rows.columns and rows[column].is_not_null().any()
