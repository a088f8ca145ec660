"""What a light curve can say of a transit, by stated rules."""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .orbits import Ephemeris, contacts, expected_contacts
from .transit_fit import TransitFit, Verdict
from .transit_problem import Problem
from .transit_rounds import Settled
from .transit_solver import depth_and_duration, orbit_at, solve_flat

Array = NDArray[np.float64]
BEFORE, AFTER = "3 points before ingress", "3 points after egress"


def coverage(
    data: pl.DataFrame, planet: Ephemeris, empty: TransitFit, n_min_baseline: int
) -> tuple[Verdict, str] | None:
    """Say why the prediction forbids a fit, or None."""
    first, last = expected_contacts(planet)
    offset = data["bjd_tdb"] - (empty.predicted_mid_bjd_tdb or 0.0)
    n_before, n_after = int((offset < first).sum()), int((offset > last).sum())
    n_inside = data.height - n_before - n_after
    if n_inside < 3:
        return "no data", (
            f"{n_inside} points inside the transit predicted for "
            f"{empty.predicted_mid_bjd_tdb:.5f}, {n_before} before, {n_after} after; "
            "a fit needs 3 inside"
        )
    if n_before + n_after < n_min_baseline:
        return "no baseline", (
            f"{n_before} points before and {n_after} after the predicted transit; "
            f"a fit needs {n_min_baseline} outside"
        )
    return None


def delta_bic_flat(settled: Settled, problem: Problem) -> float:
    """BIC of the best flat line less that of the transit, with errors widened by the red noise."""
    wide = replace(settled.light, err=settled.light.err * settled.beta).where(settled.kept)
    flat = min(solve_flat(wide, basis[settled.kept]).bic for basis in problem.bases.values())
    return flat - settled.solution.bic


def judge(
    settled: Settled, problem: Problem, delta_bic: float, min_delta_bic: float
) -> tuple[Verdict, str]:
    """Say what the fit is worth."""
    theta = settled.solution.theta
    assert theta is not None
    depth = depth_and_duration(problem.prior, theta)[0]
    dip = f"dip of {100 * depth:.2f} % at {round(1440 * theta[0]) + 0:+d} min from the prediction"
    bic = f"BIC {delta_bic:+.0f} against the flat line, {min_delta_bic:g} needed"
    outer = contacts(orbit_at(problem.prior, theta), 1 + theta[1])
    if outer is None or delta_bic < min_delta_bic:
        return "no transit", f"best {dip}: {bic}"
    if abs(theta[0]) > 0.98 * problem.prior.high[0]:
        return "no transit", f"best {dip}, the end of the range searched: {bic}"
    lacking = _lacking(settled, problem, outer)
    if {BEFORE, AFTER} <= set(lacking):
        return "no transit", f"best {dip}, longer than the curve, is one with its baseline: {bic}"
    if lacking:
        return "partial", f"{dip}, without {' and '.join(lacking)}: {bic}"
    return "transit", f"{dip}: {bic}"


def _lacking(settled: Settled, problem: Problem, outer: tuple[float, float]) -> list[str]:
    """Name the parts of a fitted transit that too few points show."""
    theta = settled.solution.theta
    assert theta is not None
    inner = contacts(orbit_at(problem.prior, theta), 1 - theta[1]) or (theta[0], theta[0])
    offset = settled.light.offset_d[settled.kept]
    parts = {
        BEFORE: np.sum(offset < outer[0]) >= 3,
        "ingress": _is_straddled(offset, outer[0], inner[0]),
        "egress": _is_straddled(offset, inner[1], outer[1]),
        AFTER: np.sum(offset > outer[1]) >= 3,
    }
    return [name for name, is_there in parts.items() if not is_there]


def _is_straddled(offset: Array, begin: float, end: float) -> bool:
    """Points on both sides of the middle, none further from begin or end than their distance."""
    middle, length = (begin + end) / 2, end - begin
    before = (offset >= begin - length) & (offset <= middle)
    after = (offset >= middle) & (offset <= end + length)
    return bool(before.any() and after.any())
