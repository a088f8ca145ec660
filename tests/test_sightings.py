"""One list of stars out of several frames: true ones stay, false ones go."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.flags import Flag
from starmuster.transforms.registration import Registration, identity_registration
from starmuster.transforms.sightings import (
    Sighting,
    best_first,
    merge_sightings,
    significance,
)

FWHM_PIX, SKY_RMS_ADU = 3.0, 10.0
NOISE_ADU = 1 / significance(np.array([1.0]), fwhm_pix=FWHM_PIX, sky_rms_adu=SKY_RMS_ADU)[0]
SHIFT = Registration(1, (40.0, 1.0, 0.0), (-25.0, 0.0, 1.0), 50, 0.05)


def stars(x, y, sigma, *, fwhm_pix=FWHM_PIX, elongation=1.05, flags=0) -> pl.DataFrame:
    n = len(x)
    return pl.DataFrame(
        {
            "x_pix": np.asarray(x, float),
            "y_pix": np.asarray(y, float),
            "flux_adu": np.asarray(sigma, float) * NOISE_ADU,
            "peak_adu": np.ones(n),
            "fwhm_pix": np.full(n, fwhm_pix),
            "elongation": np.full(n, elongation),
            "flags": np.full(n, flags, np.int32),
        }
    )


def sighting(frame_id, seen, registration=None) -> Sighting:
    return Sighting(
        frame_id, seen, registration or identity_registration(), 500, 400, FWHM_PIX, SKY_RMS_ADU
    )


def merged(*sightings) -> pl.DataFrame:
    return merge_sightings(sightings, sure_sigma=8.0, expected_sigma=10.0)


@pytest.fixture
def field():
    rng = np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(60, 440, 38.0), np.arange(60, 340, 34.0))
    x, y = x.ravel() + rng.uniform(-4, 4, x.size), y.ravel() + rng.uniform(-4, 4, x.size)
    return x, y, rng.uniform(12, 300, x.size)


def test_the_noise_of_a_windowed_flux_is_that_of_white_sky():
    rng = np.random.default_rng(5)
    sigma = FWHM_PIX / 2.3548
    step = np.arange(-15, 16)
    window = np.exp(-(step[:, None] ** 2 + step**2) / (2 * sigma**2))
    sky = rng.normal(0, SKY_RMS_ADU, (4000, 31, 31))
    # a flux under a Gaussian window, brought to the light of a Gaussian star
    flux = 2 * (sky * window).sum(axis=(1, 2))
    assert flux.std() == pytest.approx(NOISE_ADU, rel=0.05)


def test_stars_of_two_frames_are_confirmed_where_they_are(field):
    x, y, sigma = field
    rng = np.random.default_rng(4)
    shifted = stars(x + 40 + rng.normal(0, 0.1, x.size), y - 25, sigma / 2)
    found = merged(sighting(1, stars(x, y, sigma)), sighting(2, shifted, SHIFT))
    assert found.height == x.size
    assert found["is_confirmed"].all()
    assert set(found["n_seen"]) == {2}
    assert set(found["frame_id"]) == {1}
    place = np.sort(found["x_pix"].to_numpy())
    np.testing.assert_allclose(place, np.sort(x), atol=0.2)


def test_what_only_one_of_two_equal_frames_shows_is_left_out(field):
    x, y, sigma = field
    cosmic = stars([79.0, 269.0], [77.0, 213.0], [60.0, 15.0])
    first = pl.concat([stars(x, y, sigma), cosmic])
    found = merged(sighting(1, first), sighting(2, stars(x, y, sigma)))
    assert found.height == x.size


def test_a_star_too_faint_for_the_other_frame_counts_if_it_is_sure(field):
    x, y, sigma = field
    deep = pl.concat([stars(x, y, sigma), stars([100.0, 250.0], [77.0, 210.0], [20.0, 6.0])])
    shallow = stars(x, y, sigma / 4).filter(pl.col("flux_adu") > 5 * NOISE_ADU)
    found = merged(sighting(1, deep), sighting(2, shallow))
    lone = found.filter(pl.col("n_seen") == 1, (pl.col("x_pix") - 100).abs() < 1e-6)
    assert lone["is_confirmed"].to_list() == [True]
    assert lone["n_expected"].to_list() == [1]
    lone = found.filter(pl.col("n_seen") == 1, (pl.col("x_pix") - 250).abs() < 1e-6)
    assert lone["is_confirmed"].to_list() == [False]


def test_a_star_that_only_one_frame_holds_counts(field):
    x, y, sigma = field
    beyond = stars([480.0], [390.0], [30.0])  # at x = 520 on the other
    found = merged(
        sighting(1, pl.concat([stars(x, y, sigma), beyond])),
        sighting(2, stars(x + 40, y - 25, sigma), SHIFT),
    )
    assert found.filter(pl.col("x_pix") == 480.0)["is_confirmed"].to_list() == [True]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"elongation": 3.0}, False),
        ({"fwhm_pix": 9.0}, False),
        ({"fwhm_pix": 1.2}, False),
        ({"fwhm_pix": 9.0, "flags": int(Flag.SATURATED)}, True),
    ],
)
def test_on_a_lone_frame_shape_decides(field, change, counts):
    x, y, sigma = field
    odd = stars([450.0], [200.0], [40.0], **change)
    found = merged(sighting(1, pl.concat([stars(x, y, sigma), odd])))
    assert found.filter(pl.col("x_pix") == 450.0)["is_confirmed"].to_list() == [counts]


def test_a_companion_that_only_the_sharper_frame_parts_is_kept_unconfirmed(field):
    x, y, sigma = field
    pair = stars([x[0] + 4.0], [y[0]], [40.0])
    found = merged(
        sighting(1, pl.concat([stars(x, y, sigma), pair])), sighting(2, stars(x, y, sigma))
    )
    companion = found.filter(pl.col("x_pix") == x[0] + 4.0)
    assert companion["is_confirmed"].to_list() == [False]


def test_fluxes_are_on_the_scale_of_the_leading_frame(field):
    x, y, sigma = field
    first, second = stars(x, y, sigma), stars(x + 40, y - 25, 0.4 * sigma)
    lone = stars([300.0], [20.0], [20.0])  # only on the second, for the first it lies off the frame
    found = merged(sighting(1, first), sighting(2, pl.concat([second, lone]), SHIFT))
    flux = found.filter((pl.col("x_pix") - 260.0).abs() < 1e-6, pl.col("n_seen") == 1)["flux_adu"]
    assert flux.to_list() == [] or flux[0] == pytest.approx(20 / 0.4 * NOISE_ADU)


def test_no_frame_makes_no_stars():
    assert merge_sightings([], sure_sigma=8.0, expected_sigma=10.0).height == 0
    assert merged(sighting(1, stars([], [], []))).height == 0


def test_the_best_frame_is_sharp_and_dark_among_those_that_show_as_many_stars():
    # the first shows fewest stars, the last two nearly as many as the second
    assert best_first([50, 100, 95, 91], [1.0, 9.0, 6.0, 7.0]) == [2, 3, 1, 0]
    assert best_first([80, 80], [4.0, 4.0]) == [0, 1]
    assert best_first([], []) == []


def test_a_stack_needs_less_to_be_sure_than_a_frame_that_a_ray_may_have_hit(field):
    x, y, sigma = field
    faint = stars([x[0] + 15], [y[0] + 15], [6.5])
    frame = sighting(1, pl.concat([stars(x, y, sigma), faint]))
    assert merged(frame)["is_confirmed"].sum() == (sigma >= 8).sum()
    stack = replace(frame, sure_sigma=6.0)
    assert merged(stack)["is_confirmed"].sum() == (sigma >= 8).sum() + 1
