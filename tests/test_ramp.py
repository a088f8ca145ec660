"""Ramps: full wells found where the variance collapses, and the pattern of the pixels."""

from itertools import pairwise

import numpy as np
import pytest

from starmuster.transforms.flat_pairs import cut_tiles
from starmuster.transforms.gain import measure_bias, photon_transfer
from starmuster.transforms.pixels import read_pixels
from starmuster.transforms.ramp import (
    find_saturation,
    fixed_pattern,
    transfer_points,
)

SHAPE = (256, 320)
GAIN, READ_NOISE_ADU, BIAS_ADU, WELL_ADU, PATTERN = 1.6, 4.0, 800.0, 30_000.0, 0.02


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def response(rng) -> np.ndarray:
    y, x = np.indices(SHAPE) / max(SHAPE) - 0.5
    return (1 - 0.3 * (y**2 + x**2)) * rng.normal(1, PATTERN, SHAPE)


@pytest.fixture(scope="module")
def bias(rng):
    frames = [BIAS_ADU + rng.normal(0, READ_NOISE_ADU, SHAPE) for _ in range(4)]
    return measure_bias(pairwise(frames))


def expose(rng, response, light_adu, tilt=0.0) -> np.ndarray:
    """Expose a camera whose wells all hold the same, so that full ones do not scatter."""
    lamp = light_adu * (1 + tilt * np.linspace(-1, 1, SHAPE[1]))
    photons = rng.poisson(lamp * response * GAIN) / GAIN
    noise = rng.normal(BIAS_ADU, READ_NOISE_ADU, SHAPE)
    return np.clip(np.round(np.minimum(photons, WELL_ADU) + noise), 0, 65_535).astype(np.uint16)


def ramp(rng, response, lights_adu, tilt=0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    frames = [expose(rng, response, light, tilt * (i % 2)) for i, light in enumerate(lights_adu)]
    return list(pairwise(frames))


def test_the_variance_of_a_camera_is_its_signal_over_the_gain(rng, response, bias):
    points = transfer_points(ramp(rng, response, [2_000, 2_100, 9_000, 9_400]), bias)
    ratio = points["variance_adu2"] / points["signal_adu"] * GAIN
    assert points["pair"].unique().sort().to_list() == [0, 1, 2]
    # the median of five tiles of 1021 degrees of freedom or more scatters by 2.5 %
    similar = ratio.filter(points["pair"] != 1)
    assert similar.to_numpy() == pytest.approx(1, abs=4 * 0.025)
    assert (points["level_adu"] - points["signal_adu"]).to_numpy() == pytest.approx(BIAS_ADU, abs=1)


def test_full_wells_are_found_where_the_variance_collapses(rng, response, bias):
    lights = [4_000, 4_300, 15_000, 16_000, 26_000, 29_000, 32_000, 36_000, 60_000, 64_000]
    pairs = ramp(rng, response, lights)
    saturation = find_saturation(transfer_points(pairs, bias), 1 / GAIN)
    assert saturation.saturation_adu == pytest.approx(WELL_ADU + BIAS_ADU, rel=0.05)
    assert "collapses at" in saturation.verdict


def test_a_lamp_that_shifts_hides_no_full_well(rng, response, bias):
    lights = [4_000, 4_300, 26_000, 29_000, 32_000, 36_000, 60_000, 64_000]
    pairs = [*ramp(rng, response, lights), *ramp(rng, response, lights, tilt=0.2)]
    saturation = find_saturation(transfer_points(pairs, bias), 1 / GAIN)
    assert saturation.saturation_adu == pytest.approx(WELL_ADU + BIAS_ADU, rel=0.05)


def test_flats_that_fill_no_well_give_no_saturation(rng, response, bias):
    points = transfer_points(ramp(rng, response, [4_000, 4_300, 9_000, 9_500]), bias)
    saturation = find_saturation(points, 1 / GAIN)
    assert saturation.saturation_adu is None
    assert "does not collapse up to" in saturation.verdict


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_flats_without_light_give_no_point_and_no_warning(bias, value):
    frame = np.full(SHAPE, value)
    points = transfer_points([(frame, frame)], bias)
    assert points.is_empty()
    assert find_saturation(points, 1 / GAIN).saturation_adu is None
    assert fixed_pattern(frame, frame, bias) is None


def test_the_fixed_pattern_is_told_from_noise(rng, response, bias):
    pair = (expose(rng, response, 10_000), expose(rng, response, 9_000))
    # 80 tiles of 1024 pixels: the rms of the pattern to 1 %, less what six terms take
    assert fixed_pattern(*pair, bias) == pytest.approx(PATTERN, rel=0.04)
    even = (expose(rng, 1.0, 10_000), expose(rng, 1.0, 9_000))
    assert fixed_pattern(*even, bias) < 0.002


def test_a_large_frame_is_judged_by_some_of_its_tiles():
    tiles = cut_tiles(np.zeros((3_200, 6_400), np.uint16))
    assert tiles.values.shape[0] <= 4_096
    assert tiles.place.max() > 5_000


@pytest.mark.real
def test_st7_wells_are_full_near_40000_adu_and_its_lamp_drifted(real_data):
    folder = real_data / "st7_ramp"
    biases = [cut_tiles(read_pixels(path, 0)) for path in sorted(folder.glob("bias*"))]
    flats = [cut_tiles(read_pixels(path, 0)) for path in sorted(folder.glob("flat*"))]
    flats.sort(key=lambda tiles: float(np.median(tiles.values)))
    bias = measure_bias(pairwise(biases))
    assert bias is not None
    pairs = list(pairwise(flats[5:]))
    fit = photon_transfer(pairs, bias)
    assert 0.43 <= fit.gain_e_per_adu <= 0.46
    saturation = find_saturation(transfer_points(pairs, bias), 1 / fit.gain_e_per_adu)
    assert saturation.saturation_adu == pytest.approx(40_000, rel=0.1)
