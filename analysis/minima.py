"""Times of minimum light without a model, of eclipses and other dips, by two methods."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..warehouse.packages import table_schemas
from .red_noise import robust_scatter

if TYPE_CHECKING:
    from .light_curves import LightCurve

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_POINT = 8  # of the dip
MIN_CLIMB = 0.3  # of the rise of one side that the other must show
MIN_SIGMA = 5.0  # depth over the error of the mean of a quarter of the points: dips were searched
MIN_SIDE = 3  # points of the dip on each side of the minimum
SHARE_OF_DEPTH = 0.85  # points below this share of the way up to the shoulders make the dip
N_PAIR = 41  # pairs of magnitudes that are compared in a reflection
N_TRIAL = 81  # axes of reflection tried
DEGREES = (2, 4, 6)
AGREEMENT_SIGMA = 3.0
AS_LOW = 0.3  # of the depth: minima of one polynomial that close are those of one flat bottom
RULED_OUT = 10.0  # BIC above the best
N_BOOTSTRAP = 120  # tells an error to 7 %


@dataclass(frozen=True, slots=True)
class Minimum:
    """When a star was faintest, by two methods; None where a method gave nothing.

    Attributes
    ----------
    verdict
        minimum; disagreement: the two methods differ by more than 3 sigma; one side only: the
        night begins or ends in the dip; no minimum.
    reason
        One sentence with the numbers.
    n_point
        Points of the dip.
    depth
        Relative flux of the polynomial at its minimum below the shoulders.
    kwee_d, kwee_err_d
        By reflection (Kwee & van Woerden 1956), in the time system of the input.
    polynomial_d, polynomial_err_d, polynomial_degree
        Extremum of a polynomial, its degree by BIC.
    difference_sigma
        Of the two, in their combined error.
    """

    verdict: str
    reason: str
    n_point: int
    depth: float | None = None
    kwee_d: float | None = None
    kwee_err_d: float | None = None
    polynomial_d: float | None = None
    polynomial_err_d: float | None = None
    polynomial_degree: int | None = None
    difference_sigma: float | None = None


def time_of_minimum(
    time_d: Array, flux: Array, *, near_d: tuple[float, float] | None = None
) -> Minimum:
    """Time the deepest dip of a light curve.

    Parameters
    ----------
    time_d, flux
        Days and relative flux, (n,), in any order; what is not finite is left out.
    near_d
        Only between these times.

    Notes
    -----
    The dip is all that lies lower than 85 % of the way from the bottom to the shoulders, around
    the lowest running mean. Errors are the scatter of the results when the residuals of the
    polynomial are drawn anew, in blocks so that what is correlated stays so.

    References
    ----------
    Kwee & van Woerden 1956, BAN 12, 327.
    """
    good = np.isfinite(time_d) & np.isfinite(flux)
    order = np.argsort(time_d[good], kind="stable")
    time_d, flux = time_d[good][order], flux[good][order]
    if len(time_d) < MIN_POINT:
        return Minimum("no minimum", f"{len(time_d)} points; {MIN_POINT} are needed", len(time_d))
    zero = float(np.median(time_d))
    dip = _dip(time_d, flux, near_d)
    t, f = time_d[dip] - zero, flux[dip]
    if len(np.unique(t)) < MIN_POINT:
        return Minimum("no minimum", f"{len(t)} points in the dip; {MIN_POINT} are needed", len(t))
    fit = _polynomial(t, f)
    if fit is None:
        return Minimum("no minimum", "the dip has no lowest point within it", len(t))
    degree, lowest, curve = fit
    climb = np.array([curve(t[0]), curve(t[-1])]) - curve(lowest)
    n_side = min(int((t < lowest).sum()), int((t > lowest).sum()))
    if n_side < MIN_SIDE or climb.min() < MIN_CLIMB * climb.max():
        why = f"too little of one side of the minimum near {zero + lowest:.5f}"
        return Minimum("one side only", why, len(t))
    scatter = robust_scatter(f - curve(t))
    depth = float(np.median(flux[~dip]) - curve(lowest)) if (~dip).any() else float(np.ptp(f))
    if depth < MIN_SIGMA * scatter / math.sqrt(len(t) / 4):
        return Minimum("no minimum", f"a dip of {100 * depth:.2f} % within the noise", len(t))
    centre = _centre(t, curve)
    middle = _kwee(t, f, centre)
    low_err, kwee_err = _errors(t, f, curve, degree, centre)
    errors = (math.hypot(low_err, _spread_of_degrees(t, f, lowest)), kwee_err)
    found = Minimum("minimum", "", len(t), depth, polynomial_degree=degree)
    return _judged(found, zero, (lowest, middle), errors)


def _judged(
    found: Minimum, zero: float, at_d: tuple[float, float | None], err_d: tuple[float, float]
) -> Minimum:
    """Add both times, in days after `zero`, with their errors, and say whether they agree."""
    (lowest, middle), (low_err, kwee_err) = at_d, err_d
    found = replace(found, polynomial_d=zero + lowest, polynomial_err_d=low_err)
    if middle is None:
        why = "the two sides of the dip do not overlap: no reflection"
        return replace(found, verdict="one side only", reason=why)
    sigma = abs(lowest - middle) / math.hypot(low_err, kwee_err)
    agrees = sigma <= AGREEMENT_SIGMA
    said = "agree" if agrees else "do not agree"
    apart_s = 86400 * (middle - lowest)
    return replace(
        found,
        verdict="minimum" if agrees else "disagreement",
        reason=f"two methods {said}: {apart_s:+.0f} s apart, {sigma:.1f} sigma of their errors",
        kwee_d=zero + middle,
        kwee_err_d=kwee_err,
        difference_sigma=sigma,
    )


def _dip(time_d: Array, flux: Array, near_d: tuple[float, float] | None) -> Mask:
    """Points around the lowest running mean that lie well below the shoulders, without a break."""
    width = max(3, len(flux) // 20)
    padded = np.pad(flux, width // 2, mode="edge")[: len(flux) + width - 1]
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    inside = np.ones(len(flux), bool)
    if near_d is not None:
        inside = (time_d >= near_d[0]) & (time_d <= near_d[1])
        if not inside.any():
            return inside
    lowest = int(np.argmin(np.where(inside, smooth, np.inf)))
    shoulder = float(np.quantile(smooth[inside], 0.9))
    limit = smooth[lowest] + SHARE_OF_DEPTH * (shoulder - smooth[lowest])
    above = np.flatnonzero((smooth > limit) | ~inside)
    first = int(above[above < lowest].max(initial=-1)) + 1
    last = int(above[above > lowest].min(initial=len(flux)))
    dip = np.zeros(len(flux), bool)
    dip[first:last] = True
    return dip


def _polynomial(t: Array, f: Array) -> tuple[int, float, np.polynomial.Polynomial] | None:
    """Degree by BIC, time of the minimum, and the polynomial; None if it lies at an end."""
    found = _curves(t, f)
    if not found:
        return None
    _, degree, curve = min(found, key=lambda each: each[0])
    lowest = _lowest(curve, t)
    return None if lowest is None else (degree, lowest, curve)


def _curves(t: Array, f: Array) -> list[tuple[float, int, np.polynomial.Polynomial]]:
    """BIC, degree and polynomial of every degree that the points bear."""
    found = []
    for degree in DEGREES:
        if len(t) >= degree + 4:
            curve = np.polynomial.Polynomial.fit(t, f, degree)
            rms2 = max(float(np.mean((f - curve(t)) ** 2)), np.finfo(float).tiny)
            bic = len(t) * math.log(rms2) + (degree + 1) * math.log(len(t))
            found.append((bic, degree, curve))
    return found


def _centre(t: Array, curve: np.polynomial.Polynomial) -> float:
    """Middle between the crossings of half depth: where a flat bottom has no lowest point."""
    fine = np.linspace(t[0], t[-1], 400)
    level = curve(fine)
    half = 0.5 * (level.min() + min(level[0], level[-1]))
    below = fine[level < half]
    return float(0.5 * (below[0] + below[-1])) if len(below) else float(np.mean(t))


def _spread_of_degrees(t: Array, f: Array, lowest: float) -> float:
    """Half the largest change by polynomials that BIC does not rule out: large on a flat bottom."""
    found = _curves(t, f)
    least = min(bic for bic, _, _ in found)
    others = [_lowest(curve, t) for bic, _, curve in found if bic < least + RULED_OUT]
    return 0.5 * max((abs(each - lowest) for each in others if each is not None), default=0.0)


def _lowest(curve: np.polynomial.Polynomial, t: Array) -> float | None:
    """Time of the lowest extremum within the points, None if there is none.

    On a flat bottom a polynomial has several as low: their middle is taken.
    """
    roots = curve.deriv().roots()
    real = roots.real[np.abs(roots.imag) < 1e-9 * np.ptp(t)]
    real = real[(real > t[0]) & (real < t[-1]) & (curve.deriv(2)(real) > 0)]
    if not len(real):
        return None
    level = curve(real)
    depth = max(float(curve(t[0])), float(curve(t[-1]))) - level.min()
    as_low = real[level <= level.min() + AS_LOW * depth]
    return float(0.5 * (as_low.min() + as_low.max()))


def _kwee(t: Array, f: Array, start: float) -> float | None:
    """Axis about which the dip is its own mirror image, by a parabola through the sums of squares.

    Both branches are interpolated to equal distances from a trial axis, and their differences
    squared and summed; the least of the parabola through the sums is the minimum.
    """
    reach = min(start - t[0], t[-1] - start)
    if reach <= 0:
        return None
    span = 0.25 * reach
    distance = np.linspace(0.02, 1, N_PAIR) * (reach - span)
    axes = start + np.linspace(-span, span, N_TRIAL)
    sums = np.array([_mismatch(t, f, axis, distance) for axis in axes.tolist()])
    lowest = int(np.argmin(sums))
    near = np.abs(axes - axes[lowest]) <= 0.5 * span
    parabola = np.polynomial.Polynomial.fit(axes[near], sums[near], 2)
    c1, c2 = np.pad(parabola.convert().coef, (0, 3))[1:3].tolist()
    if c2 <= 0:
        return None
    middle = -c1 / (2 * c2)
    return float(middle) if axes[0] < middle < axes[-1] else None


def _mismatch(t: Array, f: Array, axis: float, distance: Array) -> float:
    before = np.interp(axis - distance, t, f)
    after = np.interp(axis + distance, t, f)
    return float(np.sum((before - after) ** 2))


def _errors(
    t: Array, f: Array, curve: np.polynomial.Polynomial, degree: int, centre: float
) -> tuple[float, float]:
    """Scatter of both methods when blocks of residuals are drawn anew (seeded), each in days."""
    generator = np.random.default_rng(1956)
    model, n = curve(t), len(t)
    residual = (f - model) * math.sqrt(n / max(n - degree - 1, 1))
    length = max(1, round(n ** (1 / 3)))
    n_block = math.ceil(n / length)
    extrema, axes = [], []
    for _ in range(N_BOOTSTRAP):
        starts = generator.integers(0, n, n_block)
        index = ((starts[:, None] + np.arange(length)) % n).ravel()[:n]
        drawn = model + residual[index] * generator.choice([-1.0, 1.0])
        again = _lowest(np.polynomial.Polynomial.fit(t, drawn, degree), t)
        mirrored = _kwee(t, drawn, centre)
        extrema += [] if again is None else [again]
        axes += [] if mirrored is None else [mirrored]
    least = float(np.median(np.diff(t))) / 100
    low_err, kwee_err = (
        robust_scatter(np.array(each)) if len(each) > 1 else least for each in (extrema, axes)
    )
    return max(low_err, least), max(kwee_err, least)


def minimum_row(timed: Minimum, curve: "LightCurve") -> pl.DataFrame:
    """Return the row of table `minimum_fit`, without fitted_utc."""
    row = {
        "source_id": curve.star.source_id,
        "night": curve.night,
        "band": curve.band,
        "aperture_id": curve.aperture_id,
        "verdict": timed.verdict,
        "n_point": timed.n_point,
        "depth": timed.depth,
        "kwee_bjd_tdb": timed.kwee_d,
        "kwee_err_d": timed.kwee_err_d,
        "polynomial_bjd_tdb": timed.polynomial_d,
        "polynomial_err_d": timed.polynomial_err_d,
        "polynomial_degree": timed.polynomial_degree,
        "difference_sigma": timed.difference_sigma,
    }
    schema = table_schemas()["minimum_fit"]
    return pl.DataFrame([row], schema={name: schema[name] for name in row})
