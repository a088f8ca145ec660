"""Extinction from zero points of a night, clear and cloudy."""

import numpy as np
import pytest

from starmuster.transforms.airmass_trend import find_extinction

EXTINCTION_MAG, CLEAR_MAG, ERR_MAG = 0.17, 22.0, 0.006


def nights(seed: int, *, n_night: int = 1, cloudy_share: float = 0.0, top: float = 2.0):
    """Zero points, errors, airmasses and nights; each night has its own level."""
    rng = np.random.default_rng(seed)
    night = np.repeat(np.arange(n_night), 60)
    airmass = np.tile(np.linspace(1.0, top, 60), n_night)
    level = CLEAR_MAG + 0.05 * np.arange(n_night)
    zero_point = level[night] - EXTINCTION_MAG * airmass + rng.normal(0, ERR_MAG, len(night))
    cloud = rng.random(len(night)) < cloudy_share
    zero_point -= np.where(cloud, rng.exponential(0.3, len(night)), 0)
    return zero_point, np.full(len(night), ERR_MAG), airmass, night


@pytest.mark.parametrize("cloudy_share", [0.0, 0.3])
def test_extinction_comes_out_in_spite_of_clouds(cloudy_share):
    found = find_extinction(*nights(1, cloudy_share=cloudy_share))
    assert found.extinction_mag == pytest.approx(EXTINCTION_MAG, abs=0.01)
    assert found.clear_zero_point_mag == pytest.approx(CLEAR_MAG, abs=0.02)
    assert found.clear_airmass == 0
    assert 0 < found.extinction_err_mag < 0.006


def test_nights_share_the_extinction_and_keep_their_own_level():
    found = find_extinction(*nights(2, n_night=3, cloudy_share=0.2))
    assert found.extinction_mag == pytest.approx(EXTINCTION_MAG, abs=0.006)
    assert found.clear_zero_point_mag == pytest.approx(CLEAR_MAG + 0.05, abs=0.02)


def test_without_a_range_of_airmass_there_is_no_extinction():
    found = find_extinction(*nights(3, top=1.1))
    assert found.extinction_mag is None
    assert found.clear_zero_point_mag == pytest.approx(CLEAR_MAG - 0.17, abs=0.02)
    assert 1.0 <= found.clear_airmass <= 1.1


def test_without_a_site_the_level_is_that_of_the_best_frames():
    zero_point, err, airmass, night = nights(4)
    found = find_extinction(zero_point, err, np.full_like(airmass, np.nan), night)
    assert found.extinction_mag is None
    assert found.n_clear_frame == 15


def test_no_frames_have_no_extinction():
    empty = np.empty(0)
    assert find_extinction(empty, empty, empty, np.empty(0, int)) is None
