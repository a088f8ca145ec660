"""The sky of a frame, against the truth of synthetic frames and against photutils."""

import numpy as np
import pytest
from photutils.background import Background2D, SExtractorBackground

from starmuster.errors import PhotometryError
from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.calibrate import PixelMask

SIGMA = 8.0


def noise(shape, seed):
    return np.random.default_rng(seed).normal(0.0, SIGMA, shape)


def vignetted_sky(shape):
    y, x = np.indices(shape)
    r2 = ((x - shape[1] / 2) ** 2 + (y - shape[0] / 2) ** 2) / (0.5 * max(shape)) ** 2
    return 500 * (1 - 0.15 * r2) + 0.05 * x


def stars(shape, n_star, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, shape[1], n_star), rng.uniform(0, shape[0], n_star)
    return render_stars(x, y, 10 ** rng.uniform(2.5, 5, n_star), shape=shape, fwhm_pix=3.0)


def test_level_and_noise_of_an_even_sky_are_found():
    sky = mesh_background(1000 + noise((512, 512), 1))
    assert sky.level_adu == pytest.approx(1000, abs=5 * SIGMA / 512)
    # a sigma from 512^2 pixels is good to 0.14 %
    assert sky.rms_adu == pytest.approx(SIGMA, rel=0.01)
    assert sky.level.shape == sky.rms.shape == (512, 512)


def test_a_vignetted_sky_is_followed_at_least_as_well_as_by_photutils():
    shape = (600, 700)
    truth = vignetted_sky(shape)
    frame = truth + stars(shape, 60, 2) + noise(shape, 3)
    sky = mesh_background(frame)
    reference = Background2D(frame, 64, filter_size=3, bkg_estimator=SExtractorBackground())
    ours = np.sqrt(np.mean((sky.level - truth) ** 2))
    theirs = np.sqrt(np.mean((reference.background - truth) ** 2))
    # it falls by 130 ADU towards the corners
    assert ours < 0.3 * SIGMA
    assert ours < 1.02 * theirs


def test_a_crowded_field_lifts_the_sky_less_with_its_stars_taken_out():
    shape = (512, 512)
    truth = 200 + stars(shape, 2500, 4)
    frame = truth + noise(shape, 5)
    sky = mesh_background(frame)
    reference = Background2D(
        frame, 64, filter_size=3, bkg_estimator=SExtractorBackground(), exclude_percentile=90
    )
    assert abs(sky.level_adu - 200) < abs(reference.background_median - 200)
    assert abs(sky.rms_adu - SIGMA) < abs(reference.background_rms_median - SIGMA)


@pytest.mark.parametrize("shape", [(5, 7), (20, 300), (40, 33), (4, 4)])
def test_a_frame_smaller_than_the_mesh_has_a_sky_too(shape):
    sky = mesh_background(100 + noise(shape, 6))
    assert np.isfinite(sky.level).all()
    assert sky.level_adu == pytest.approx(100, abs=6 * SIGMA / np.sqrt(shape[0] * shape[1]))


def test_masked_and_nan_pixels_do_not_move_the_sky():
    frame = 100 + noise((256, 256), 7)
    clean = mesh_background(frame)
    mask = np.zeros(frame.shape, dtype=np.uint8)
    frame[20:60, 30:90], mask[20:60, 30:90] = 1e6, PixelMask.BAD
    frame[100:200, 100:120] = np.nan
    sky = mesh_background(frame, mask)
    assert np.isfinite(sky.level).all()
    assert np.abs(sky.level - clean.level).max() < 5 * SIGMA / np.sqrt(64 * 64 / 4)


def test_hot_pixels_do_not_make_a_field_crowded():
    frame = 100 + noise((512, 512), 8)
    hot = np.random.default_rng(9).random(frame.shape) < 0.03
    frame[hot] += 500
    sky = mesh_background(frame)
    assert sky.level_adu == pytest.approx(100, abs=0.3 * SIGMA)


def test_a_frame_without_good_pixels_says_so():
    with pytest.raises(PhotometryError, match="0 good pixels"):
        mesh_background(np.full((100, 100), np.nan))
    with pytest.raises(PhotometryError, match="mask of shape"):
        mesh_background(np.zeros((10, 10)), np.zeros((9, 10), dtype=bool))


def test_byte_order_and_type_of_the_camera_do_not_matter():
    frame = np.rint(1000 + noise((128, 128), 10)).astype(np.uint16)
    native = mesh_background(frame)
    swapped = mesh_background(frame.astype(">i4"))
    assert native.level_adu == swapped.level_adu
