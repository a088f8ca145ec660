"""Stacks of synthetic frames: fluxes, noise, cosmic rays, coverage."""

import numpy as np
import pytest
import sep

from starmuster.errors import CalibrationError
from starmuster.transforms.reproject import pixel_map
from starmuster.transforms.stack import Stack, StackInput, frame_weight, stack

SHAPE = (420, 480)
GAIN = 1.5
SKY_ADU, READ_NOISE_ADU = 200.0, 3.0
SKY_VARIANCE = SKY_ADU / GAIN + READ_NOISE_ADU**2
TRANSPARENCY = (1.0, 0.7, 1.2, 1.0, 0.9, 1.0, 1.1, 0.5)


def star_field(rng):
    """Isolated stars: x, y on the grid and flux in ADU of a frame of transparency 1."""
    y, x = (axis.ravel().astype(float) for axis in np.mgrid[50:390:56, 50:450:56])
    x, y = (axis + rng.uniform(-8, 8, axis.size) for axis in (x, y))
    return x, y, 10 ** rng.uniform(4, 6, x.size)


def observed(rng, stars, transparency: float = 1.0, *, fwhm_pix: float | None = None):
    """One frame: shifted, turned, a little scaled, with its own seeing and transparency."""
    angle, scale = rng.normal(0, 0.01), 1 + rng.normal(0, 0.001)
    dx, dy = rng.uniform(-6, 6, 2)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)

    def carry(x, y):
        return cosine * x - sine * y + dx, sine * x + cosine * y + dy

    fwhm_pix = fwhm_pix or rng.uniform(2.6, 4.0)
    sigma = fwhm_pix / 2.3548
    image = np.full(SHAPE, SKY_ADU)
    for x, y, flux in zip(*carry(stars[0], stars[1]), stars[2], strict=True):
        low_y, low_x = max(int(y) - 16, 0), max(int(x) - 16, 0)
        j, i = np.mgrid[low_y : int(y) + 17, low_x : int(x) + 17]
        j, i = j[j[:, 0] < SHAPE[0]], i[: np.sum(j[:, 0] < SHAPE[0])]
        profile = np.exp(-((i - x) ** 2 + (j - y) ** 2) / 2 / sigma**2)[:, i[0] < SHAPE[1]]
        there = image[j[0, 0] : j[-1, 0] + 1, low_x : low_x + profile.shape[1]]
        there += transparency * flux / (2 * np.pi * sigma**2) * profile
    image = rng.poisson(image * GAIN) / GAIN + rng.normal(0, READ_NOISE_ADU, SHAPE) - SKY_ADU
    return image.astype(np.float32), carry, fwhm_pix


def offered(image, carry, fwhm_pix: float, transparency: float = 1.0, **changes) -> StackInput:
    """Offer a frame to the stack with all that is known of it."""
    mapped = pixel_map(carry, SHAPE)
    known = {
        "open_adu": lambda: image,
        "mapped": mapped,
        "sky_variance_adu2": np.full(mapped.x_pix.shape, SKY_VARIANCE),
        "flux_factor": 1 / transparency,
        "weight": frame_weight(1 / transparency, np.sqrt(SKY_VARIANCE), fwhm_pix),
        "gain_e_per_adu": GAIN,
    }
    return StackInput(**(known | changes))


@pytest.fixture(scope="module")
def stars():
    return star_field(np.random.default_rng(11))


@pytest.fixture(scope="module")
def images(stars):
    rng = np.random.default_rng(12)
    found = [observed(rng, stars, transparency) for transparency in TRANSPARENCY]
    image, carry, _ = found[3]
    x, y = carry(240.0, 80.0)
    image[round(y), round(x)] += 4000  # a cosmic ray between the stars
    return found


@pytest.fixture(scope="module")
def frames(images):
    return [offered(*image, t) for image, t in zip(images, TRANSPARENCY, strict=True)]


@pytest.fixture(scope="module")
def clipped(frames) -> Stack:
    return stack(frames)


def aperture_flux(found: Stack, stars, radius_pix: float = 9.0):
    """Flux of the stars and its error as a frame's would be told, from the stack's own maps."""
    flux, _, _ = sep.sum_circle(np.nan_to_num(found.data_adu), stars[0], stars[1], radius_pix)
    sky = np.nanmedian(found.variance_adu2) * found.noise_correlation**2
    return flux, np.sqrt(stars[2] / found.gain_e_per_adu + np.pi * radius_pix**2 * sky)


def between_stars(found: Stack, stars, n_least: int):
    """Pixels of the sky that at least so many frames cover."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    free = (
        np.min([np.hypot(x - x0, y - y0) for x0, y0 in zip(*stars[:2], strict=True)], axis=0) > 16
    )
    return free & (found.n_used >= n_least)


@pytest.mark.parametrize("kernel", ["bilinear", "lanczos3"])
@pytest.mark.parametrize("rule", ["clipped mean", "weighted mean"])
def test_fluxes_on_a_stack_are_the_truth_within_the_noise_it_tells(frames, stars, rule, kernel):
    found = stack(frames, rule=rule, kernel=kernel)
    flux, error = aperture_flux(found, stars)
    pull = (flux - stars[2]) / error
    n = len(pull)
    assert np.std(pull) == pytest.approx(1, abs=4 / np.sqrt(2 * n))
    weight = (stars[2] / error) ** 2
    bias = np.sum(weight * (flux / stars[2] - 1)) / weight.sum()
    assert abs(bias) < 4 / np.sqrt(weight.sum()) + 1e-4
    assert 4 / np.sqrt(weight.sum()) < 5e-4


def test_clipping_takes_no_light_from_stars_in_changing_seeing(frames, clipped, stars):
    flux, _ = aperture_flux(clipped, stars)
    plain, _ = aperture_flux(stack(frames, rule="weighted mean"), stars)
    assert np.abs(flux / plain - 1).max() < 1e-3


def test_the_noise_between_stars_is_that_of_the_variance_map(clipped, stars):
    sky = between_stars(clipped, stars, 8)
    chi2 = clipped.data_adu[sky] ** 2 / clipped.variance_adu2[sky]
    # neighbours share noise, so there are fewer independent pixels than pixels
    spread = np.sqrt(2 / sky.sum()) * clipped.noise_correlation
    assert np.mean(chi2) == pytest.approx(1, abs=5 * spread)


def test_noise_of_an_aperture_is_that_of_the_map_times_the_correlation(clipped, stars):
    sky = between_stars(clipped, stars, 8)
    data = np.where(sky, clipped.data_adu, np.nan)
    n = 12
    squares = data[: SHAPE[0] // n * n, : SHAPE[1] // n * n]
    sums = squares.reshape(SHAPE[0] // n, n, -1, n).sum(axis=(1, 3))
    sums = sums[np.isfinite(sums)]
    told = n * np.sqrt(np.mean(clipped.variance_adu2[sky])) * clipped.noise_correlation
    # the rim of a square shares its noise with the outside: a few per cent less
    assert np.std(sums) / told == pytest.approx(0.95, abs=4 / np.sqrt(2 * sums.size))


def test_a_cosmic_ray_in_one_of_eight_frames_is_left_out(frames, clipped):
    there = np.s_[78:83, 238:243]
    plain = stack(frames, rule="weighted mean")
    sigma = np.sqrt(clipped.variance_adu2[there])
    assert (plain.data_adu[there] / sigma).max() > 20
    assert np.abs(clipped.data_adu[there] / sigma).max() < 5
    assert clipped.n_used[80, 240] == 7


def test_the_ray_is_left_out_of_two_frames_too(stars):
    rng = np.random.default_rng(5)
    images = [observed(rng, stars) for _ in range(2)]
    x, y = images[0][1](240.0, 80.0)
    images[0][0][round(y), round(x)] += 4000
    found = stack([offered(*image) for image in images])
    assert abs(found.data_adu[80, 240]) < 5 * np.sqrt(found.variance_adu2[80, 240])
    flux, error = aperture_flux(found, stars)
    assert np.std((flux - stars[2]) / error) < 1 + 4 / np.sqrt(2 * len(flux))


def test_what_no_frame_covers_is_not_a_number_and_has_no_coverage(frames):
    def far(x, y):
        return x + 100.0, y - 50.0

    image = np.zeros(SHAPE, np.float32)
    found = stack([offered(image, far, 3.0), offered(image, far, 3.0)])
    covered = np.zeros(SHAPE, bool)
    covered[50:, : SHAPE[1] - 100] = True
    np.testing.assert_array_equal(found.n_used, np.where(covered, 2, 0))
    np.testing.assert_array_equal(np.isfinite(found.data_adu), covered)
    np.testing.assert_array_equal(np.isfinite(found.variance_adu2), covered)


def test_one_frame_is_taken_as_it_is(images):
    image, _, fwhm_pix = images[0]
    found = stack([offered(image, lambda x, y: (x + 0.0, y + 0.0), fwhm_pix)])
    np.testing.assert_allclose(found.data_adu, image)
    assert found.gain_e_per_adu == pytest.approx(GAIN)
    assert found.noise_correlation == pytest.approx(1)
    assert (found.n_used == 1).all()


def test_the_gain_of_equal_frames_grows_with_their_number(images):
    image = images[0][0]
    same = [offered(image, lambda x, y: (x + 0.0, y + 0.0), 3.0) for _ in range(4)]
    assert stack(same).gain_e_per_adu == pytest.approx(4 * GAIN)
    unknown = [*same[:3], offered(image, lambda x, y: (x, y), 3.0, gain_e_per_adu=None)]
    assert stack(unknown).gain_e_per_adu is None


def test_bands_and_threads_change_nothing(frames, clipped):
    narrow = stack(frames, memory_byte=8 * SHAPE[1] * len(frames) * 21, n_thread=3)
    np.testing.assert_array_equal(narrow.data_adu, clipped.data_adu)
    np.testing.assert_array_equal(narrow.n_used, clipped.n_used)
    assert narrow.noise_correlation == pytest.approx(clipped.noise_correlation, rel=1e-3)


def test_frames_in_better_air_and_seeing_weigh_more():
    base = frame_weight(1.0, 10.0, 3.0)
    assert frame_weight(2.0, 10.0, 3.0) == pytest.approx(base / 4)
    assert frame_weight(1.0, 10.0, 6.0) == pytest.approx(base / 4)


def test_no_frames_and_different_grids_are_refused(frames):
    with pytest.raises(CalibrationError, match="no frames"):
        stack([])
    other = StackInput(
        frames[0].open_adu, pixel_map(lambda x, y: (x, y), (9, 9)), np.zeros((2, 2)), 1.0, 1.0
    )
    with pytest.raises(CalibrationError, match="grids of 2 sizes"):
        stack([frames[0], other])
