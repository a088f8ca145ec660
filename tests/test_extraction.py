"""Bright pixels are kept, grouped and taken apart as sep does with the whole image."""

import numpy as np
import pytest
import sep
from scipy.ndimage import correlate1d, label
from scipy.spatial import KDTree

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import Background
from starmuster.transforms.extraction import bright_stars, smoothing_profile
from starmuster.transforms.groups import lay_out, touching
from starmuster.transforms.significance import bright_runs

SIGMA = 10.0
PROFILE = smoothing_profile(3.0)
THRESHOLD = 5 * float(np.sum(PROFILE**2))


def starry(n_star, shape, seed, fwhm_pix=3.0):
    """Stars of all brightness, some of them over the edge."""
    rng = np.random.default_rng(seed)
    x, y = (rng.uniform(-5, n + 5, n_star) for n in reversed(shape))
    light = render_stars(x, y, 10 ** rng.uniform(2.8, 5.5, n_star), shape=shape, fwhm_pix=fwhm_pix)
    return (light + rng.normal(0, SIGMA, shape)).astype(np.float32)


def flat_sky(shape, step_pix=1):
    n_y, n_x = (-(-n // step_pix) for n in shape)
    ones = np.ones((n_y, n_x), np.float32)
    return Background(0 * ones, np.float32(SIGMA) * ones, 0.0, SIGMA, step_pix)


def smoothed(image, profile=PROFILE):
    rows = correlate1d(image / np.float32(SIGMA), profile, axis=1, mode="constant")
    return correlate1d(rows, profile, axis=0, mode="constant")


def drawn(runs):
    """Draw runs on an empty image."""
    image = np.zeros(runs.shape, np.float32)
    for row, first, stop, start in zip(runs.row, runs.first, runs.stop, runs.start, strict=True):
        image[row, first:stop] = runs.value[start : start + stop - first]
    return image


@pytest.mark.parametrize("fwhm_pix", [1.5, 3.0, 4.0, 8.0])
@pytest.mark.parametrize("step_pix", [1, 2, 4])
def test_runs_are_the_pixels_of_the_smooth_image_above_the_threshold(fwhm_pix, step_pix):
    profile = smoothing_profile(fwhm_pix)
    image = starry(40, (131, 203), 1)
    smooth = smoothed(image, profile)
    seen = drawn(bright_runs(image, flat_sky(image.shape, step_pix), profile, THRESHOLD))
    is_bright = smooth > THRESHOLD
    # rounding decides for pixels at the threshold
    assert np.count_nonzero((seen > 0) != is_bright) <= 1
    both = is_bright & (seen > 0)
    np.testing.assert_allclose(seen[both], smooth[both], rtol=1e-5)


def test_a_sloping_sky_is_taken_off_between_its_samples():
    y, x = np.mgrid[:120, :160].astype(np.float32)
    slope = 0.5 * x + 0.25 * y
    for step_pix in (1, 2, 3, 4):
        level = slope[::step_pix, ::step_pix].copy()
        sky = Background(level, np.full_like(level, SIGMA), 50.0, SIGMA, step_pix)
        image = slope.copy()
        image[60, 80] += 1000
        runs = bright_runs(image, sky, PROFILE, 1e-3)
        # beyond the last sample the sky is that at the sample
        inner = drawn(runs)[: 120 - step_pix - 3, : 160 - step_pix - 3]
        assert np.flatnonzero(inner.any(axis=1)).tolist() == list(range(58, 63))
        assert np.flatnonzero(inner.any(axis=0)).tolist() == list(range(78, 83))


def test_nothing_bright_makes_no_stars():
    image = np.zeros((50, 60), np.float32)
    image[10:20, 10:20] = np.nan
    runs = bright_runs(image, flat_sky(image.shape), PROFILE, THRESHOLD)
    assert runs.row.size == runs.value.size == 0
    assert bright_stars(runs, THRESHOLD, min_area_pix=3, deblend_contrast=5e-4).size == 0


def test_groups_are_pixels_that_touch_if_only_at_a_corner():
    image = starry(300, (150, 170), 3)
    smooth = smoothed(image)
    groups = touching(bright_runs(image, flat_sky(image.shape), PROFILE, THRESHOLD), 5)
    theirs, _ = label(smooth > THRESHOLD, np.ones((3, 3)))
    sizes = np.bincount(theirs.ravel())[1:]
    assert groups.first_x.size == np.count_nonzero(sizes >= 5)
    layout = lay_out(groups, np.ones(groups.first_x.size, dtype=bool))
    owned = np.bincount(layout.owner[layout.owner >= 0])
    assert sorted(owned) == sorted(sizes[sizes >= 5])
    # each pixel of the layout is that of the frame
    y, x = np.nonzero(layout.owner >= 0)
    group = layout.owner[y, x]
    there = smooth[y + layout.y_shift[group], x + layout.x_shift[group]]
    np.testing.assert_allclose(layout.image[y, x], there, rtol=1e-5)


@pytest.mark.parametrize(
    ("n_star", "shape"), [(80, (300, 400)), (500, (600, 500)), (1200, (400, 300))]
)
def test_stars_are_those_that_sep_finds_in_the_whole_image(n_star, shape):
    image = starry(n_star, shape, n_star)
    options = {"deblend_cont": 5e-4, "minarea": 3, "deblend_nthresh": 16}
    theirs = sep.extract(smoothed(image), THRESHOLD, err=1.0, filter_kernel=None, **options)
    runs = bright_runs(image, flat_sky(shape), PROFILE, THRESHOLD)
    ours = bright_stars(runs, THRESHOLD, min_area_pix=3, deblend_contrast=5e-4)
    distance, index = KDTree(np.column_stack([theirs["x"], theirs["y"]])).query(
        np.column_stack([ours["x"], ours["y"]])
    )
    same = distance < 0.01
    # who is eaten by whose wings depends on the order in rare cases
    assert np.count_nonzero(~same) <= 0.01 * ours.size
    assert abs(ours.size - theirs.size) <= 0.01 * theirs.size
    ours, theirs = ours[same], theirs[index[same]]
    whole = ours["flag"] == 0
    np.testing.assert_array_equal(whole, theirs["flag"] == 0)
    np.testing.assert_allclose(ours["flux"][whole], theirs["cflux"][whole], rtol=1e-5)
    np.testing.assert_array_equal(ours["x_peak"][whole], theirs["xcpeak"][whole])
    np.testing.assert_allclose(ours["xx"][whole], theirs["x2"][whole], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("height", "beyond_pix", "is_star"), [(2, 15, False), (3, 15, True), (2, 100, True)]
)
def test_a_low_bump_in_the_wings_of_a_star_is_no_star(height, beyond_pix, is_star):
    y, x = np.mgrid[:200, :200]
    image = (1e5 * (1 + ((x - 60) ** 2 + (y - 100) ** 2) / 9.0) ** -2.5).astype(np.float32)
    sky = flat_sky(image.shape)
    x_bump = int(bright_runs(image, sky, PROFILE, THRESHOLD).stop.max()) + beyond_pix
    image[99:102, x_bump - 1 : x_bump + 2] += height * THRESHOLD * SIGMA
    runs = bright_runs(image, sky, PROFILE, THRESHOLD)
    assert touching(runs, 3).first_x.size == 2
    stars = bright_stars(runs, THRESHOLD, min_area_pix=3, deblend_contrast=5e-4)
    assert (np.abs(stars["x"] - x_bump) < 1).any() == is_star
