"""Linearity of a camera from a ramp of exposures, if its lamp was steady enough to tell.

A lamp that drifts looks like a camera that is not linear. Exposures that were repeated show how
steady it was, and only over the time between them: a table that corrects frames needs repeats that
stretch over the ramp.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.polynomial import polynomial

from .flat_pairs import Array

MIN_EXPOSURE = 4  # exposures a line through the levels needs
MIN_TABLE_EXPOSURE = 6
SAME_EXPOSURE = 0.01
FULL_SHARE = 0.9  # of the wells: flats above are left out
MAX_DEGREE = 4
MIN_SPAN = 0.5  # of the ramp's time that the repeats of one exposure must stretch over
N_POINT = 12  # levels of the table
LEAST_SCATTER = 1e-4  # relative; no lamp is steadier

POINT_SCHEMA: dict[str, Any] = {
    "level_adu": pl.Float64,
    "factor": pl.Float64,
    "factor_err": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class LinearityLimits:
    """What a ramp must be like.

    Attributes
    ----------
    max_lamp_scatter
        Relative range of flats of one exposure above which nothing is said.
    max_departure
        Relative departure from a line above which a level is non-linear.
    max_table_err
        Relative error of a factor above which a table does not correct.
    """

    max_lamp_scatter: float = 0.01
    max_departure: float = 0.01
    max_table_err: float = 0.005


@dataclass(frozen=True, slots=True)
class LinearityFit:
    """What a ramp says of linearity; None where it could not be measured, the verdict says why.

    Attributes
    ----------
    departure
        Largest relative departure of the levels from a line.
    lamp_scatter
        Largest relative range of flats of one exposure.
    nonlinear_adu
        Level above the bias from which on the camera departs by more than allowed; None: nowhere.
    points
        Rows level_adu (above the bias), factor and factor_err: what to multiply a level by so that
        it is proportional to the light, 1 for little light. Empty where the camera is linear.
    is_correctable
        The points are good enough to correct frames; else they only tell what to flag.
    """

    departure: float | None
    lamp_scatter: float | None
    verdict: str
    nonlinear_adu: float | None = None
    points: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=POINT_SCHEMA))
    is_correctable: bool = False


@dataclass(frozen=True, slots=True)
class _Curve:
    """Level as a polynomial of exposure over `longest_s`, with the covariance of its terms."""

    terms: Array
    covariance: Array
    longest_s: float


def find_linearity(
    levels: pl.DataFrame, *, top_adu: float | None = None, limits: LinearityLimits | None = None
) -> LinearityFit:
    """Measure how level grows with exposure, and the table that makes it proportional.

    Level is a polynomial of exposure whose degree must earn its place (BIC); its root is the
    shutter's delay and its slope there the response to little light, so that a slow shutter is
    not taken for non-linearity.

    Parameters
    ----------
    levels
        One row per flat of one night: exposure_s, level_adu (above the bias) and, to correct by,
        mid_s (time of the flat, from any origin).
    top_adu
        Level above the bias from which the wells are full; flats above nine tenths of it are left
        out.
    """
    limits = limits or LinearityLimits()
    is_usable = (
        (pl.col("exposure_s") > 0)
        & (pl.col("level_adu") > 0)
        & (pl.col("level_adu") < FULL_SHARE * (top_adu or np.inf))
    )
    usable = levels.drop_nulls(["exposure_s", "level_adu"]).filter(is_usable)
    groups = [group for _, group in _by_exposure(usable)]
    repeats = [group for group in groups if len(group) > 1]
    if not repeats:
        return _unmeasured(
            None,
            "no exposure was repeated, so a lamp that drifts cannot be told from a camera that is "
            "not linear",
        )
    worst = max(repeats, key=lambda group: _range(group["level_adu"]))
    lamp = _range(worst["level_adu"])
    if lamp > limits.max_lamp_scatter:
        return _unmeasured(
            lamp,
            f"{len(worst)} flats of {worst['exposure_s'][0]:g} s differ by {lamp:.1%}, so the lamp "
            f"drifted; at most {limits.max_lamp_scatter:.1%} is allowed",
        )
    if len(groups) < MIN_EXPOSURE:
        return _unmeasured(lamp, f"less than {MIN_EXPOSURE} exposures")
    return _judged(usable, groups, lamp, _repeat_scatter(repeats), limits)


def _unmeasured(lamp: float | None, why: str) -> LinearityFit:
    return LinearityFit(None, lamp, f"not measurable: {why}")


def _judged(
    usable: pl.DataFrame,
    groups: list[pl.DataFrame],
    lamp: float,
    scatter: float,
    limits: LinearityLimits,
) -> LinearityFit:
    """Fit a line, and a curve where the flats ask for one."""
    exposure_s, level = usable["exposure_s"].to_numpy(), usable["level_adu"].to_numpy()
    departure = float(
        np.abs(_residuals(_fit(exposure_s, level, 1, scatter), exposure_s, level)).max()
    )
    highest = f"{level.max():.0f} ADU above the bias"
    curve = _best_curve(exposure_s, level, scatter, n_exposure=len(groups))
    points = None if curve is None else _points(curve, exposure_s)
    if points is None:
        return LinearityFit(departure, lamp, f"linear within {departure:.1%} up to {highest}")
    assert curve is not None
    away = np.abs(1 / points["factor"].to_numpy() - 1)
    nonlinear_adu = _crossing(points["level_adu"].to_numpy(), away, limits.max_departure)
    largest = float(away.max())
    verdict = f"departs by {largest:.1%} up to {highest}"
    doubt = _doubt(usable, groups, points, limits)
    verdict += f"; flagged, not corrected: {doubt}" if doubt else "; corrected"
    return LinearityFit(largest, lamp, verdict, nonlinear_adu, points, doubt is None)


def _doubt(
    usable: pl.DataFrame, groups: list[pl.DataFrame], points: pl.DataFrame, limits: LinearityLimits
) -> str | None:
    """Say why a table is not to correct frames."""
    if len(groups) < MIN_TABLE_EXPOSURE:
        return f"{len(groups)} exposures, at least {MIN_TABLE_EXPOSURE} are needed"
    err = float(points["factor_err"].to_numpy().max())
    if err > limits.max_table_err:
        return f"its error is {err:.2%}, at most {limits.max_table_err:.2%} is allowed"
    if "mid_s" not in usable.columns or usable["mid_s"].null_count():
        return "the times of the flats are not known, so the lamp may have drifted between them"
    whole = _stretch(usable["mid_s"])
    share = max(_stretch(group["mid_s"]) for group in groups) / whole if whole > 0 else 0.0
    if share < MIN_SPAN:
        return (
            f"its repeated exposures stretch over {share:.0%} of its time, so the lamp may have "
            f"drifted unseen; {MIN_SPAN:.0%} is needed"
        )
    return None


def _fit(exposure_s: Array, level: Array, degree: int, scatter: float) -> _Curve:
    """Fit a polynomial to levels whose errors are relative."""
    longest_s = float(exposure_s.max())
    basis = polynomial.polyvander(exposure_s / longest_s, degree) / level[:, None]
    terms: Array = np.linalg.lstsq(basis, np.ones_like(level), rcond=None)[0].astype(np.float64)
    rest = basis @ terms - 1
    n_free = max(level.size - degree - 1, 1)
    scatter = max(scatter, float(np.sqrt((rest**2).sum() / n_free)))
    covariance: Array = (np.linalg.pinv(basis.T @ basis) * scatter**2).astype(np.float64)
    return _Curve(terms, covariance, longest_s)


def _best_curve(
    exposure_s: Array, level: Array, scatter: float, *, n_exposure: int
) -> _Curve | None:
    """Return the polynomial of the least BIC, None if that is a line."""

    def bic(degree: int) -> float:
        rest = _residuals(_fit(exposure_s, level, degree, scatter), exposure_s, level)
        return float((rest**2).sum() / scatter**2 + (degree + 1) * np.log(level.size))

    degree = min(range(1, min(MAX_DEGREE, n_exposure - 2) + 1), key=bic)
    return None if degree == 1 else _fit(exposure_s, level, degree, scatter)


def _residuals(curve: _Curve, exposure_s: Array, level: Array) -> Array:
    return polynomial.polyval(exposure_s / curve.longest_s, curve.terms) / level - 1


def _points(curve: _Curve, exposure_s: Array) -> pl.DataFrame | None:
    """Turn a curve into factors and their errors; None if it has no sound start or goes back."""
    times = np.linspace(float(exposure_s.min()) / curve.longest_s, 1, N_POINT)
    found = _factors(curve.terms, times)
    if found is None:
        return None
    level, factor = found
    if not ((np.diff(level) > 0).all() and level[0] > 0 and (factor > 0).all()):
        return None
    slopes = []
    for i, sigma in enumerate(np.sqrt(np.diag(curve.covariance))):
        step = np.zeros_like(curve.terms)
        step[i] = max(1e-3 * sigma, 1e-9 * abs(curve.terms[i]))
        moved = _factors(curve.terms + step, times)
        if moved is None:
            return None
        slopes.append((moved[1] - factor) / step[i])
    slope = np.array(slopes)
    err = np.sqrt(np.einsum("ip,ij,jp->p", slope, curve.covariance, slope).clip(min=0))
    return pl.DataFrame({"level_adu": level, "factor": factor, "factor_err": err})


def _factors(terms: Array, times: Array) -> tuple[Array, Array] | None:
    """Return level at some times and the factor that makes it proportional to the light."""
    roots = polynomial.polyroots(terms)
    real = roots.real[np.abs(roots.imag) < 1e-9 * max(1.0, float(np.abs(roots).max()))]
    if real.size == 0:
        return None
    start = float(real[np.argmin(np.abs(real))])
    slope = float(polynomial.polyval(start, polynomial.polyder(terms)))
    level: Array = np.asarray(polynomial.polyval(times, terms), np.float64)
    return level, slope * (times - start) / level


def _crossing(level: Array, away: Array, limit: float) -> float | None:
    """Return the level, interpolated, from which on a departure is beyond its limit."""
    beyond = np.flatnonzero(away > limit)
    if beyond.size == 0:
        return None
    k = int(beyond[0])
    if k == 0:
        return float(level[0])
    share = (limit - away[k - 1]) / (away[k] - away[k - 1])
    return float(level[k - 1] + share * (level[k] - level[k - 1]))


def _repeat_scatter(repeats: list[pl.DataFrame]) -> float:
    """Return the relative standard deviation of flats of one exposure, pooled."""
    levels = [group["level_adu"].to_numpy() for group in repeats]
    square = sum(float((((level / level.mean()) - 1) ** 2).sum()) for level in levels)
    n_free = sum(level.size - 1 for level in levels)
    return max((square / n_free) ** 0.5, LEAST_SCATTER)


def _by_exposure(levels: pl.DataFrame) -> Iterator[tuple[float, pl.DataFrame]]:
    """Yield flats whose exposures are the same to a hundredth."""
    ordered = levels.sort("exposure_s")
    start = 0
    exposures = ordered["exposure_s"].to_list()
    for i in range(1, len(exposures) + 1):
        if i == len(exposures) or exposures[i] > exposures[start] * (1 + SAME_EXPOSURE):
            yield exposures[start], ordered[start:i]
            start = i


def _range(levels: pl.Series) -> float:
    values: Any = levels.to_numpy()
    return float((values.max() - values.min()) / values.mean())


def _stretch(times: pl.Series) -> float:
    values: Any = times.to_numpy()
    return float(values.max() - values.min())
