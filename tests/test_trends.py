"""Trends that stars share come back from synthetic fields, without the target's say."""

import numpy as np
import pytest

from starmuster.analysis.star_tables import StarTable
from starmuster.analysis.trends import principal_components, shared_trends, sysrem
from starmuster.errors import AnalysisError

N_STAR, N_FRAME = 40, 150


def residuals(seed=1, sigma=0.003):
    """Residuals of stars, each with its own share of two effects of different size."""
    generator = np.random.default_rng(seed)
    x = np.linspace(-1, 1, N_FRAME)
    effects = np.array([np.sin(9 * x), x**2 - 1 / 3])
    effects = (effects - effects.mean(axis=1, keepdims=True)) / effects.std(axis=1, keepdims=True)
    share = generator.normal(size=(N_STAR, 2)) * (0.01, 0.004)
    noise = sigma * generator.normal(size=(N_STAR, N_FRAME))
    return share @ effects + noise, np.full((N_STAR, N_FRAME), sigma), effects


@pytest.mark.parametrize("method", [sysrem, principal_components])
def test_two_shared_effects_come_back_in_the_order_of_their_size(method):
    residual, err, effects = residuals()
    found = method(residual, err, 2)
    assert abs(np.corrcoef(found[0], effects[0])[0, 1]) > 0.98
    assert abs(np.corrcoef(found[1], effects[1])[0, 1]) > 0.95
    assert found.std(axis=1) == pytest.approx(1)


def test_sysrem_bears_missing_measurements_and_uneven_errors():
    residual, err, effects = residuals(2)
    generator = np.random.default_rng(3)
    err[:5] *= 30
    residual[:5] += 0.09 * generator.normal(size=(5, N_FRAME))
    residual[generator.uniform(size=residual.shape) < 0.2] = np.nan
    found = sysrem(residual, err, 1)
    assert abs(np.corrcoef(found[0], effects[0])[0, 1]) > 0.98


@pytest.mark.parametrize("method", ["sysrem", "pca"])
def test_the_target_has_no_part_in_the_trends_of_its_field(method):
    residual, err, _ = residuals(4)
    flux = 1e5 * (1 + residual)
    ids = np.arange(N_STAR)
    zero = np.zeros(N_STAR)
    table = StarTable(ids, N_FRAME, flux, 1e5 * err, zero, zero, np.arange(N_FRAME))
    before = shared_trends(table, 7, 2, method=method)
    flux[7, 50:90] *= 0.97
    assert shared_trends(table, 7, 2, method=method).equals(before)
    assert before.columns == ["frame_id", "trend_1", "trend_2"]
    few = StarTable(ids[:8], N_FRAME, flux[:8], err[:8], zero[:8], zero[:8], np.arange(N_FRAME))
    with pytest.raises(AnalysisError, match="need 10"):
        shared_trends(few, 7, 1)
