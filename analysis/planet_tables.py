"""The tables of a planet's report, each number with as many digits as its error bears."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from .joint_results import JointFit
from .page import MISSING, Table
from .result_tables import measured, number
from .timing import Timing, residual_times

# Name in view `planet_result`: label, unit, decimals without an error.
QUANTITIES = {
    "radius_ratio": ("Rp / R★", "", 4),
    "a_over_r": ("a / R★", "", 3),
    "inclination_deg": ("Inclination", "deg", 2),
    "impact_parameter": ("Impact parameter", "", 3),
    "mid_bjd_tdb": ("Mid-transit", "BJD (TDB)", 5),
    "period_d": ("Period", "d", 8),
}


def label(row: Mapping[str, Any]) -> str:
    """Name a row of view `planet_result` for people."""
    label, unit, _ = QUANTITIES[row["quantity"]]
    band = f", {row['band']}" if row["band"] else ""
    return f"{label}{band}{f', {unit}' if unit else ''}"


def results_table(results: pl.DataFrame) -> Table | None:
    """What was found beside what was published: rows of view `planet_result`."""
    order = {name: i for i, name in enumerate(QUANTITIES)}
    rows = []
    for row in sorted(
        results.iter_rows(named=True),
        key=lambda row: (order[row["quantity"]], row["band"] or "", row["published_source"] or ""),
    ):
        digits = QUANTITIES[row["quantity"]][2]
        away = row["difference_sigma"]
        rows.append(
            (
                label(row),
                measured(row["found"], row["found_err"], digits),
                measured(row["published"], row["published_err"], digits),
                MISSING if away is None else number(away, 1, signed=True),
                MISSING if row["prior_err"] is None else f"± {row['prior_err']:.2g}",
                row["published_source"] or MISSING,
            )
        )
    heads = ("Quantity", "This work", "Published", "σ apart", "Prior", "Published in")
    return _table("What was found beside what was published.", heads, rows, n_text=1, last_text=1)


def transits_table(joint: JointFit) -> Table | None:
    """What the joint fit says of each transit."""
    rows = [
        (
            transit.curve.name,
            transit.curve.band or "no filter",
            number(transit.curve.epoch, 0),
            measured(transit.mid_bjd_tdb, transit.mid_err_d, 5),
            measured(transit.radius_ratio, transit.radius_ratio_err, 4),
            transit.baseline,
            f"{int(transit.kept.sum())} of {len(transit.kept)}",
            number(100 * transit.residual_scatter, 3),
            number(transit.red_noise_factor, 2),
        )
        for transit in joint.transits
    ]
    heads = ("Light curve", "Band", "Epoch", "Mid-transit, BJD (TDB)", "Rp / R★", "Baseline")
    heads = (*heads, "Points", "Scatter (%)", "β")
    return _table("The transits; β is the factor of red noise.", heads, rows, n_text=2)


def parameters_table(joint: JointFit) -> Table | None:
    """Every parameter of the joint fit with the prior it had."""
    width = dict(zip(joint.model.names, joint.model.width.tolist(), strict=True))
    rows = [
        (
            _parameter_name(joint, name),
            measured(value, joint.err[name], 6),
            "free" if width[name] == float("inf") else f"± {width[name]:.2g}",
        )
        for name, value in joint.value.items()
    ]
    heads = ("Parameter", "Value", "Prior")
    return _table("All parameters; times are late by the offset.", heads, rows, n_text=1)


def _parameter_name(joint: JointFit, name: str) -> str:
    kind, _, of = name.partition(" ")
    kind = kind.replace("_", " ")
    if kind == "offset" and of:
        return f"offset (d), {joint.transits[int(of)].curve.name}"
    return f"{kind}, {of}" if of else kind


def times_table(timing: Timing) -> Table | None:
    """Every mid-time beside what both ephemerides say of it."""
    rows = [
        (
            row["transit_name"],
            row["origin"],
            number(row["epoch"], 0),
            measured(row["mid_bjd_tdb"], row["mid_err_d"], 5),
            measured(row["o_minus_c_min"], _minutes(row["mid_err_d"]), 2, signed=True),
            MISSING if row["residual_min"] is None else number(row["residual_min"], 2, signed=True),
        )
        for row in residual_times(timing).iter_rows(named=True)
    ]
    heads = ("Transit", "From", "Epoch", "Mid-transit, BJD (TDB)", "O − C (min)", "Residual (min)")
    caption = "Mid-times; the residual is from the refined ephemeris, if there is one."
    return _table(caption, heads, rows, n_text=2)


def ephemeris_table(refined: Mapping[str, Any] | None) -> Table | None:
    """A row of view `refined_ephemeris`, line by line."""
    if refined is None:
        return None
    told = [
        ("Mid-transit", measured(refined["mid_bjd_tdb"], refined["mid_err_d"], 6), "BJD (TDB)"),
        ("Epoch of it, in transits of the newest ephemeris", number(refined["epoch"], 0), ""),
        ("Period", measured(refined["period_d"], refined["period_err_d"], 8), "d"),
        ("Covariance of both", _power(refined["covariance_d2"]), "d²"),
        ("χ² of the straight line", f"{refined['chi2']:.2f} of {refined['n_degree']}", ""),
        ("Errors scaled by", number(refined["error_scale"], 2), ""),
        (
            "Quadratic term",
            MISSING
            if refined["quadratic_d"] is None
            else f"{_power(refined['quadratic_d'])} ± {_power(refined['quadratic_err_d'])}",
            "d per transit²",
        ),
        ("BIC, line less parabola", _signed(refined["delta_bic_quadratic"]), ""),
        ("Change of the period if real", _signed(refined["period_change_ms_per_yr"]), "ms / yr"),
    ]
    if refined["quadratic_d"] is None:
        told = told[:-3]
    return _table(
        "The refined ephemeris, by weighted least squares.",
        ("Quantity", "Value", "Unit"),
        told,
        1,
        1,
    )


def _power(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2e}".replace("-", "−")


def _signed(value: float | None) -> str:
    return MISSING if value is None else number(value, 1, signed=True)


def _minutes(days: float | None) -> float | None:
    return None if days is None else 1440 * days


def nights_table(nights: pl.DataFrame) -> Table | None:
    """Fits of single nights: rows of query `transit_summary`."""
    rows = [
        (
            str(row["night"]),
            row["band"] or "no filter",
            row["verdict"],
            measured(row["mid_bjd_tdb"], row["mid_err_d"], 5),
            measured(row["radius_ratio"], row["radius_ratio_err"], 4),
            measured(row["duration_h"], row["duration_err_h"], 2),
            MISSING
            if row["residual_scatter"] is None
            else number(100 * row["residual_scatter"], 3),
            row["method"] or MISSING,
        )
        for row in nights.iter_rows(named=True)
    ]
    heads = ("Night", "Band", "Verdict", "Mid-transit, BJD (TDB)", "Rp / R★", "Duration (h)")
    heads = (*heads, "Scatter (%)", "Method")
    return _table("As the report of each transit has them.", heads, rows, n_text=3, last_text=1)


def foreign_table(files: pl.DataFrame) -> Table | None:
    """Files that light curves and mid-times of others came from, with their hashes."""
    rows = [(row["file_name"], row["content_hash"]) for row in files.iter_rows(named=True)]
    heads = ("File", "Content, xxh3-128")
    return _table("Light curves and mid-times of others.", heads, rows, n_text=2)


def frames_table(frames: pl.DataFrame) -> Table | None:
    """Frames behind our own light curves, with their hashes."""
    rows = [
        (
            PurePosixPath(str(row["path"]).replace("\\", "/")).name,
            f"{row['mid_utc']:%Y-%m-%d %H:%M:%S}",
            str(row["content_hash"]),
        )
        for row in frames.sort("mid_utc").iter_rows(named=True)
    ]
    heads = ("File", "Mid-exposure (UTC)", "Content, xxh3-128")
    return _table("Frames.", heads, rows, n_text=3)


def _table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    n_text: int,
    last_text: int = 0,
) -> Table | None:
    """A table whose first and last columns are text, the others numbers; None without rows."""
    if not rows:
        return None
    n = len(heads)
    is_number = [n_text <= i < n - last_text for i in range(n)]
    return Table(caption, tuple(zip(heads, is_number, strict=True)), tuple(rows))
