"""Clear frames among zero points of nights, clear and cloudy."""

import numpy as np
import pytest

from starmuster.transforms.airmass_trend import Air, clear_level, find_trend

EXTINCTION_MAG, CLEAR_MAG, ERR_MAG, OWN_MAG = 0.17, 22.0, 0.004, 0.008
N_FRAME = 60


def nights(seed: int, *, n_night: int = 1, cloudy_share: float = 0.0, top: float = 2.0):
    """Zero points, their variances, the air and what clouds took; each night has its level."""
    rng = np.random.default_rng(seed)
    night = np.repeat(np.arange(n_night), N_FRAME)
    airmass = np.tile(np.linspace(1.0, top, N_FRAME), n_night)
    level = CLEAR_MAG + 0.05 * np.arange(n_night)
    zero_point = level[night] - EXTINCTION_MAG * airmass
    zero_point += rng.normal(0, np.hypot(ERR_MAG, OWN_MAG), len(night))
    is_cloudy = rng.random(len(night)) < cloudy_share
    cloud = np.where(is_cloudy, rng.exponential(0.3, len(night)), 0)
    return zero_point - cloud, np.full(len(night), ERR_MAG**2), Air(airmass, night), cloud


@pytest.mark.parametrize(("n_night", "cloudy_share"), [(1, 0.0), (1, 0.3), (3, 0.2)])
def test_cloudy_frames_are_told_from_clear_ones_and_the_scatter_of_these_is_found(
    n_night, cloudy_share
):
    zero_point, variance, air, cloud = nights(1, n_night=n_night, cloudy_share=cloudy_share)
    trend = find_trend(zero_point, variance, air)
    assert trend.clear[cloud == 0].mean() > 0.93
    assert not trend.clear[cloud > 5 * OWN_MAG].any()
    n_clear = trend.clear.sum()
    assert trend.scatter_mag == pytest.approx(OWN_MAG, rel=4 / np.sqrt(2 * n_clear))


def test_frames_that_agree_within_their_errors_have_the_least_scatter():
    zero_point, _, air, _ = nights(2)
    assert find_trend(zero_point, np.full(N_FRAME, 0.02**2), air).scatter_mag == 0.002


def test_without_a_range_of_airmass_or_a_site_there_is_no_trend():
    zero_point, variance, air, _ = nights(3, top=1.1)
    assert find_trend(zero_point, variance, air) is None
    unknown = Air(np.full(N_FRAME, np.nan), air.level)
    assert find_trend(zero_point, variance, unknown) is None
    level, airmass, n_frame = clear_level(zero_point, air)
    assert level == pytest.approx(CLEAR_MAG - 0.17, abs=0.02)
    assert 1.0 <= airmass <= 1.1
    assert n_frame == 15
    assert clear_level(zero_point, unknown)[1:] == (1.0, 15)


def test_a_slope_that_no_air_has_is_no_extinction():
    zero_point, variance, air, _ = nights(4)
    assert find_trend(-zero_point, variance, air) is None


def test_frames_without_an_airmass_are_never_clear():
    zero_point, variance, air, _ = nights(5)
    air.airmass[::4] = np.nan
    trend = find_trend(zero_point, variance, air)
    assert not trend.clear[::4].any()
    assert trend.clear.sum() > 40
