"""Defects of a camera: planted ones are found, good pixels are not blamed; cosmic rays too."""

import numpy as np
import pytest

from starmuster.errors import CalibrationError
from starmuster.transforms.badpixels import Defects, find_defects
from starmuster.transforms.calibrate import calibrate
from starmuster.transforms.cosmics import mask_cosmic_rays
from starmuster.transforms.mask import UNUSABLE, PixelMask

SHAPE = (600, 800)
NOISE_ADU, N_FRAME = 6.0, 9
N_PLANTED = 500


class Detector:
    """Masters of a detector with glow, vignetting and planted defects."""

    def __init__(self, seed: int = 8) -> None:
        rng = np.random.default_rng(seed)
        x = np.indices(SHAPE)[1] / 800
        where = rng.permutation(SHAPE[0] * SHAPE[1])[: 3 * N_PLANTED]
        self.hot, self.cold, self.dead = where.reshape(3, N_PLANTED)
        noise = NOISE_ADU / N_FRAME**0.5
        self.dark = (30 + 40 * x**2 + rng.normal(0, noise, SHAPE)).astype(np.float32)
        self.dark.flat[self.hot] += 15 * NOISE_ADU * rng.uniform(1, 50, N_PLANTED)
        self.flats = [self.flat(rng, dust) for dust in (0.2, 0.7)]

    def flat(self, rng: np.random.Generator, dust: float) -> np.ndarray:
        y, x = np.indices(SHAPE) / 800
        flat = 1 - 0.4 * ((x - 0.5) ** 2 + (y - 0.4) ** 2)
        flat -= 0.15 * np.exp(-((x - dust) ** 2 + (y - 0.3) ** 2) / 0.001)
        flat = flat * rng.normal(1, 0.01, SHAPE)
        flat.flat[self.cold] *= rng.uniform(0.15, 0.45, N_PLANTED)
        flat.flat[self.dead[::2]] = np.nan
        flat.flat[self.dead[1::2]] *= 0.02
        return flat.astype(np.float32)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def defects(detector: Detector) -> Defects:
    return find_defects(detector.dark, detector.flats, frame_noise_adu=NOISE_ADU)


@pytest.mark.parametrize("kind", ["hot", "cold", "dead"])
def test_planted_defects_are_found(detector, defects, kind):
    bit = PixelMask[kind.upper()]
    is_found = (defects.bits.flat[getattr(detector, kind)] & bit) != 0
    assert is_found.mean() >= 0.99


def test_good_pixels_are_not_blamed(detector, defects):
    good = np.ones(SHAPE[0] * SHAPE[1], bool)
    good[np.concatenate([detector.hot, detector.cold, detector.dead])] = False
    assert (defects.bits.reshape(-1)[good] != 0).mean() < 1e-4


def test_the_numbers_of_a_map_are_those_of_its_pixels(defects):
    for bit, n_pix in (
        (PixelMask.HOT, defects.n_hot_pix),
        (PixelMask.COLD, defects.n_cold_pix),
        (PixelMask.DEAD, defects.n_dead_pix),
    ):
        assert n_pix == np.count_nonzero(defects.bits & bit)
    both = PixelMask.COLD | PixelMask.DEAD
    assert not ((defects.bits & both) == both).any()


def test_what_one_flat_alone_does_not_see_is_no_defect(detector):
    shadowed = [flat.copy() for flat in detector.flats]
    shadowed[0][100:104, 200:204] = 0.2
    found = find_defects(None, shadowed)
    good = np.setdiff1d(np.arange(found.bits.size), np.concatenate([detector.cold, detector.dead]))
    bits = np.zeros(found.bits.size, np.uint8)
    bits[good] = found.bits.reshape(-1)[good]
    assert not bits.reshape(SHAPE)[100:104, 200:204].any()
    assert found.hot_adu is None


def test_a_map_of_nothing_is_refused():
    with pytest.raises(CalibrationError, match="needs a master dark or a master flat"):
        find_defects(None, [])


def test_a_hot_pixel_is_usable_only_with_a_dark():
    raw, dark = np.full((3, 4), 500.0, np.float32), np.full((3, 4), 100.0, np.float32)
    bits = np.zeros(raw.shape, np.uint8)
    bits[1, 1] = PixelMask.HOT
    with_dark = calibrate(raw, dark=dark, defects=bits).mask
    without = calibrate(raw, defects=bits).mask
    assert with_dark[1, 1] == PixelMask.HOT
    assert without[1, 1] == PixelMask.HOT | PixelMask.BAD
    assert not with_dark[1, 1] & UNUSABLE


def test_cosmic_rays_are_masked_and_stars_and_values_are_left_alone():
    rng = np.random.default_rng(12)
    y, x = np.indices((200, 200))
    sky, gain, read_noise_e = 300.0, 1.5, 6.0
    image = np.full((200, 200), sky)
    stars = [(40, 50), (120, 80), (150, 160)]
    for star_y, star_x in stars:
        image += 8000 * np.exp(-((y - star_y) ** 2 + (x - star_x) ** 2) / (2 * 1.7**2))
    variance = (image / gain + (read_noise_e / gain) ** 2).astype(np.float32)
    image = rng.poisson(image * gain) / gain + rng.normal(0, read_noise_e / gain, image.shape)
    hits = [(20, 20), (90, 150), (170, 60), (60, 130)]
    for hit in hits:
        image[hit] += 2500
    image = image.astype(np.float32)
    before = image.copy()
    mask = np.zeros(image.shape, np.uint8)
    mask[hits[3]] = PixelMask.DEAD
    found = mask_cosmic_rays(image, mask, variance_adu2=variance)
    np.testing.assert_array_equal(image, before)
    for hit in hits[:3]:
        assert found[hit] == PixelMask.COSMIC_RAY
    assert found[hits[3]] == PixelMask.DEAD
    for star_y, star_x in stars:
        assert not found[star_y - 2 : star_y + 3, star_x - 2 : star_x + 3].any()
    assert (found & PixelMask.COSMIC_RAY != 0).sum() < 20


def test_noise_where_a_flat_was_faint_is_no_cosmic_ray():
    rng = np.random.default_rng(13)
    sigma = np.where(np.arange(200) < 100, 5.0, 25.0)  # the flat of the right half is a fifth
    image = rng.normal(300, sigma, (200, 200)).astype(np.float32)
    variance = np.broadcast_to(sigma**2, image.shape).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    found = mask_cosmic_rays(image, mask, variance_adu2=variance)
    assert np.count_nonzero(found) <= 2
    blind = mask_cosmic_rays(image, mask, variance_adu2=np.full_like(variance, 25))
    assert np.count_nonzero(blind[:, 100:]) > 100


def test_a_frame_without_a_number_has_no_cosmic_rays():
    image = np.full((50, 50), np.nan, np.float32)
    mask = np.full(image.shape, PixelMask.BAD, np.uint8)
    assert (mask_cosmic_rays(image, mask, variance_adu2=image) == mask).all()
