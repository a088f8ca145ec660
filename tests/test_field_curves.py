"""Curves of all stars of a field at once, by three ensembles, against what was put in."""

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.comparison_stars import choose_comparison
from starmuster.analysis.ensembles import differential
from starmuster.analysis.field_curves import (
    METHODS,
    curve_rows,
    field_curves,
    leave_one_out,
    solution_rows,
    star_summary,
)
from starmuster.analysis.star_tables import StarTable
from starmuster.errors import AnalysisError, UsageError

N_STAR, N_FRAME, VARIABLE = 60, 120, 4


def table(seed=1, *, share_missing=0.02) -> StarTable:
    """Stars of known noise behind clouds; one varies by 5 %."""
    generator = np.random.default_rng(seed)
    level = np.sort(10 ** generator.uniform(3.5, 6, N_STAR))[::-1]
    sigma = np.hypot(0.0015, np.sqrt(1 / level))
    clouds = 1 - 0.2 * np.linspace(-1, 1, N_FRAME) ** 2
    clouds[50:60] *= 0.4
    noise = 1 + sigma[:, None] * generator.normal(size=(N_STAR, N_FRAME))
    flux = level[:, None] * clouds * noise
    flux[VARIABLE] *= 1 + 0.05 * np.sin(np.arange(N_FRAME) / 5)
    flux[generator.uniform(size=flux.shape) < share_missing] = np.nan
    return StarTable(
        source_id=np.arange(N_STAR) + 100,
        n_frame=N_FRAME,
        flux=flux,
        err=sigma[:, None] * flux,
        x_pix=generator.uniform(0, 1000, N_STAR),
        y_pix=generator.uniform(0, 1000, N_STAR),
        frame_id=np.arange(N_FRAME) + 7,
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_star_scatters_by_its_error_and_the_variable_stands_out(method):
    stars = table()
    found = field_curves(stars, method)
    steady = np.delete(np.arange(N_STAR), VARIABLE)
    pull = (found.relative - 1)[steady] / found.relative_err[steady]
    assert np.nanstd(pull) == pytest.approx(1, abs=0.08)
    summary = star_summary(found)
    assert summary["source_id"][-1] != 100 + VARIABLE or summary["scatter"][-1] > 0.03
    variable = summary.filter(source_id=100 + VARIABLE).row(0, named=True)
    assert variable["scatter"] == pytest.approx(0.05, rel=0.3)  # 1.48 MAD of a sine
    if method != "inhomogeneous":
        assert not variable["is_comparison"]
    assert found.weight[found.is_used].sum() == pytest.approx(1)


def test_a_star_of_the_ensemble_is_not_compared_with_itself():
    stars = table(share_missing=0.0)
    used, weight = np.array([0, 1, 2]), np.array([0.5, 0.25, 0.25])
    before = leave_one_out(stars, used, weight).relative[0, 30]
    stars.flux[0, 30] *= 1.001
    after = leave_one_out(stars, used, weight).relative[0, 30]
    assert after / before == pytest.approx(1.001, abs=1e-4)  # with itself: 1.0005


@pytest.mark.parametrize("method", METHODS)
def test_missing_stars_and_frames_make_no_step(method):
    stars = table(2, share_missing=0.0)
    stars.flux[:3, 60:] = np.nan  # the brightest three set at half time
    found = field_curves(stars, method)
    rest = np.arange(5, 40)
    step = np.nanmedian(found.relative[rest, 60:]) / np.nanmedian(found.relative[rest, :60])
    assert step == pytest.approx(1, abs=5e-4)


def test_a_sum_of_fluxes_is_what_summing_by_hand_gives():
    stars = table(3, share_missing=0.0)
    i, j = (index.ravel() for index in np.indices(stars.flux.shape))
    rows = pl.DataFrame(
        {
            "frame_id": j,
            "source_id": i,
            "flux_adu": stars.flux.ravel(),
            "flux_err_adu": stars.err.ravel(),
            "x_pix": stars.x_pix[i],
            "y_pix": stars.y_pix[i],
        }
    )
    comparison = choose_comparison(rows, 20)
    used = comparison.filter("is_used")["source_id"].to_numpy()
    found = differential(rows, 20, comparison, method="sum")
    total = stars.flux[used].sum(axis=0)
    ratio = stars.flux[20] / total
    assert found["relative_flux"].to_numpy() == pytest.approx(ratio / np.median(ratio), rel=1e-3)
    total_err = np.sqrt((stars.err[used] ** 2).sum(axis=0)) / total
    expected = ratio * np.hypot(stars.err[20] / stars.flux[20], total_err) / np.median(ratio)
    assert found["relative_flux_err"].to_numpy() == pytest.approx(expected, rel=3e-3)
    same = differential(rows, 20, comparison, method="inhomogeneous")
    gap = (same["relative_flux"] - found["relative_flux"]) / found["relative_flux_err"]
    assert gap.abs().max() < 2


def test_rows_of_a_field_hold_what_was_measured_and_nothing_else():
    stars = table()
    found = field_curves(stars, "inhomogeneous")
    rows = curve_rows(stars, found)
    assert rows.height == np.isfinite(stars.flux).sum()
    assert rows["frame_id"].min() == 7
    frames, sources = solution_rows(stars, found, field_id=1, band=None, aperture_id=2)
    assert (frames.height, sources.height) == (N_FRAME, N_STAR)
    assert sources["is_constant"].sum() == found.is_used.sum()
    with pytest.raises(UsageError, match="inhomogeneous"):
        solution_rows(stars, field_curves(stars), field_id=1, band=None, aperture_id=2)


def test_a_field_of_one_star_has_no_ensemble():
    stars = table()
    stars.flux[1:] = np.nan
    with pytest.raises(AnalysisError, match="needs 2"):
        field_curves(stars)
    with pytest.raises(UsageError, match="expected one of"):
        field_curves(stars, "median")  # pyright: ignore[reportArgumentType]
