"""Pictures: cuts, colours, cut-outs, files."""

import io

import numpy as np
import pytest
from PIL import Image

from starmuster.analysis.canvas import as_png
from starmuster.analysis.pictures import (
    default_cuts,
    encode,
    grey_figure,
    lupton_picture,
    shrink,
    white_balance,
    window,
)
from starmuster.errors import UsageError
from starmuster.transforms.sky_plane import sky_plane

SHAPE = (90, 120)


def sky_with_stars(seed: int = 1, *, noise: float = 5.0, brightness: float = 1.0):
    """Noise around zero with twelve stars, always at the same places."""
    image = np.random.default_rng(seed).normal(0, noise, SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for k in range(12):
        x0, y0 = 15 + 30 * (k % 4), 15 + 30 * (k // 4)
        image += brightness * 500 * (k + 1) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 5)
    return image.astype(np.float32)


def test_cuts_begin_in_the_noise_and_end_in_the_stars():
    low, high = default_cuts(sky_with_stars())
    assert low == pytest.approx(-10, abs=2.5)
    assert 50 < high < 6000


def test_a_grey_picture_shows_low_light_white_and_high_light_black():
    png = as_png(grey_figure(sky_with_stars(), cuts=(-10, 100), title="a field"))
    seen = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    assert seen.min() < 20
    assert np.mean(seen > 230) > 0.3
    with pytest.raises(UsageError, match="the first must be below"):
        grey_figure(sky_with_stars(), cuts=(5, 5))
    with pytest.raises(UsageError, match="empty"):
        grey_figure(np.full(SHAPE, np.nan, np.float32))


def test_the_median_star_is_white_whatever_the_bands_count():
    images = [sky_with_stars(seed, brightness=b) for seed, b in ((1, 2.0), (2, 1.0), (3, 0.5))]
    weights = white_balance(images)
    assert max(weights) == 1
    np.testing.assert_allclose(np.array(weights), [0.25, 0.5, 1.0], rtol=0.05)
    picture = lupton_picture(images)
    star = picture[SHAPE[0] - 1 - 75, 105].astype(int)
    assert np.ptp(star) < 12
    assert star.mean() > 200


def test_a_red_star_stays_red_however_bright():
    red, green, blue = (sky_with_stars(seed) for seed in (1, 2, 3))
    blue = np.where(np.arange(SHAPE[1]) > 90, 0.2 * blue, blue)  # the last column of stars
    picture = lupton_picture([red, green, blue], weights=(1, 1, 1))
    for y0 in (15, 45, 75):
        r, _, b = picture[SHAPE[0] - 1 - y0, 105].astype(int)
        assert r > 1.5 * b


def test_the_first_row_of_an_image_is_at_the_bottom_of_the_picture():
    image = np.zeros((20, 30), np.float32)
    image[2, 4] = 100
    picture = lupton_picture([image] * 3, weights=(1, 1, 1), stretch=5.0)
    assert np.argwhere(picture.sum(axis=2)).tolist() == [[17, 4]]


def test_where_one_band_saw_nothing_the_picture_is_black():
    images = [sky_with_stars(seed) + 50 for seed in (1, 2, 3)]
    images[1][:, :40] = np.nan
    picture = lupton_picture(images)
    assert picture[:, :40].max() == 0
    assert picture[:, 40:].max() > 200


@pytest.mark.parametrize(
    ("tuning", "told"),
    [
        ({"weights": (1, 0, 1)}, "weight 0"),
        ({"stretch": -2.0}, "stretch -2"),
        ({"softening": 0.0}, "Q 0"),
    ],
)
def test_numbers_that_make_no_picture_are_refused(tuning, told):
    images = [sky_with_stars()] * 3
    with pytest.raises(UsageError, match=told):
        lupton_picture(images, **tuning)
    with pytest.raises(UsageError, match="shapes"):
        lupton_picture([images[0], images[0][:5], images[0]])


def test_shrinking_averages_and_keeps_the_mean():
    image = sky_with_stars()
    assert shrink(image, 1) is image
    small = shrink(image, 3)
    assert small.shape == (30, 40)
    assert small.mean() == pytest.approx(image.mean(), rel=1e-5)


def test_a_cut_out_is_centred_and_ends_at_the_edge():
    assert window(SHAPE, (60.0, 45.0), 20.0) == (slice(35, 56), slice(50, 71))
    assert window(SHAPE, (2.0, 88.0), 20.0) == (slice(78, 90), slice(0, 13))
    with pytest.raises(UsageError, match="beyond the field of 120 x 90"):
        window(SHAPE, (130.0, 45.0), 20.0)
    with pytest.raises(UsageError, match="beyond"):
        window(SHAPE, (float("nan"), 45.0), 20.0)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".JPG", "JPEG"), (".jpeg", "JPEG")])
def test_the_suffix_decides_the_kind_of_file(suffix, kind):
    picture = np.full((8, 12, 3), 99, np.uint8)
    opened = Image.open(io.BytesIO(encode(picture, suffix)))
    assert (opened.format, opened.size) == (kind, (12, 8))
    with pytest.raises(UsageError, match=r"\.gif: pictures are written as"):
        encode(picture, ".gif")


def test_a_plane_follows_the_sky_and_not_the_cluster_in_it():
    y, x = np.mgrid[:400, :600]
    sky = 200 + 0.02 * x - 0.03 * y
    cluster = 80 * np.exp(-((x - 320) ** 2 + (y - 190) ** 2) / 2 / 60**2)
    noise = np.random.default_rng(1).normal(0, 0.3, sky.shape)
    found = sky_plane((sky + cluster + noise).astype(np.float32))
    assert np.abs(found - sky).max() < 1.0
    np.testing.assert_allclose(sky_plane(sky.astype(np.float32)), sky, atol=1e-3)
