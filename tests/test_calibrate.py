"""Calibration: ccdproc's numbers, and a mask for what has none."""

import astropy.units as u
import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from starmuster.errors import CalibrationError
from starmuster.transforms.calibrate import (
    PixelLimits,
    PixelNoise,
    calibrate,
    calibrate_with_variance,
    held_rows,
)
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.pixels import read_pixels
from starmuster.transforms.saturation import estimate_saturation_adu

SHAPE = (40, 60)


@pytest.fixture
def night() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "raw": rng.integers(900, 60_000, SHAPE).astype(np.uint16),
        "bias": rng.normal(1000, 5, SHAPE).astype(np.float32),
        "dark": rng.gamma(2.0, 10.0, SHAPE).astype(np.float32),
        "flat": rng.normal(1, 0.02, SHAPE).astype(np.float32),
    }


def ccd(data: np.ndarray) -> CCDData:
    return CCDData(data.astype(np.float64), unit="adu")


def by_ccdproc(night: dict[str, np.ndarray], exposure_s: float, dark_exposure_s: float):
    frame = ccdproc.subtract_bias(ccd(night["raw"]), ccd(night["bias"]))
    frame = ccdproc.subtract_dark(
        frame,
        ccd(night["dark"]),
        data_exposure=exposure_s * u.s,
        dark_exposure=dark_exposure_s * u.s,
        scale=True,
    )
    return ccdproc.flat_correct(frame, ccd(night["flat"]), norm_value=1.0).data


def test_bias_scaled_dark_and_flat_are_those_of_ccdproc(night):
    ours = calibrate(
        night["raw"],
        bias=night["bias"],
        dark=night["dark"],
        dark_is_bias_subtracted=True,
        dark_scale=120 / 80,
        flat=night["flat"],
    )
    expected = by_ccdproc(night, 120, 80)
    # float32 carries 1.2e-7 of the largest number that went in
    np.testing.assert_allclose(ours.data_adu, expected, rtol=1e-6, atol=0.02)
    assert not ours.mask.any()


def test_a_dark_with_its_bias_inside_takes_the_place_of_the_bias(night):
    with_bias = night["dark"] + night["bias"]
    ours = calibrate(night["raw"], bias=night["bias"], dark=with_bias)
    np.testing.assert_allclose(ours.data_adu, night["raw"] - with_bias, atol=0.01)


def test_a_dark_with_its_bias_inside_scales_like_one_without(night):
    apart = calibrate(
        night["raw"],
        bias=night["bias"],
        dark=night["dark"],
        dark_is_bias_subtracted=True,
        dark_scale=2.5,
    )
    together = calibrate(
        night["raw"], bias=night["bias"], dark=night["dark"] + night["bias"], dark_scale=2.5
    )
    np.testing.assert_allclose(together.data_adu, apart.data_adu, atol=0.02)


def test_a_frame_without_masters_stays_as_it_is(night):
    ours = calibrate(night["raw"])
    np.testing.assert_array_equal(ours.data_adu, night["raw"])
    assert not ours.mask.any()


def test_pixels_without_flat_are_masked_and_not_divided(night):
    for position, value in enumerate([0.0, -0.5, np.nan, np.inf, 0.01]):
        night["flat"][0, position] = value
    ours = calibrate(night["raw"], flat=night["flat"])
    assert (ours.mask[0, :5] == PixelMask.BAD).all()
    assert not ours.mask[0, 5:].any()
    assert not ours.mask[1:].any()
    np.testing.assert_array_equal(ours.data_adu[0, :5], night["raw"][0, :5])


def test_a_flat_of_zeros_masks_everything_and_divides_nothing(night):
    ours = calibrate(night["raw"], flat=np.zeros(SHAPE, np.float32))
    assert (ours.mask == PixelMask.BAD).all()
    assert np.isfinite(ours.data_adu).all()


def test_pixels_without_value_are_nan_only_under_the_mask(night):
    raw = night["raw"].astype(np.float32)
    raw[3, 4] = np.nan
    night["bias"][5, 6] = np.nan
    night["dark"][7, 8] = np.inf
    ours = calibrate(
        raw,
        bias=night["bias"],
        dark=night["dark"],
        dark_is_bias_subtracted=True,
        flat=night["flat"],
    )
    assert {tuple(p) for p in np.argwhere(ours.mask)} == {(3, 4), (5, 6), (7, 8)}
    assert np.isfinite(ours.data_adu[ours.mask == 0]).all()


def test_saturation_is_judged_on_raw_pixels(night):
    night["raw"][2, 3] = 65_535
    ours = calibrate(
        night["raw"], bias=night["bias"], flat=night["flat"], limits=PixelLimits(65_535.0)
    )
    np.testing.assert_array_equal(np.argwhere(ours.mask & PixelMask.SATURATED), [[2, 3]])


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_a_master_of_another_size_is_refused_naming_both(night, kind):
    masters = {kind: np.ones((20, 30), np.float32)}
    message = rf"light_7: 60 x 40 pixels, but the master {kind} has 30 x 20"
    with pytest.raises(CalibrationError, match=message):
        calibrate(night["raw"], name="light_7", **masters)


def with_error(data: np.ndarray, variance: np.ndarray) -> CCDData:
    error = StdDevUncertainty(np.sqrt(variance.astype(np.float64)))
    return CCDData(data.astype(np.float64), unit="adu", uncertainty=error)


@pytest.mark.parametrize("dark_scale", [1.0, 1.5])
def test_variances_are_those_of_ccdproc(night, dark_scale):
    rng = np.random.default_rng(9)
    variance = {
        kind: (scale * rng.uniform(0.5, 2, SHAPE)).astype(np.float32)
        for kind, scale in (("bias", 1.0), ("dark", 2.0), ("flat", 1e-4))
    }
    gain, read_noise_e = 1.3, 7.5
    ours = calibrate_with_variance(
        night["raw"],
        noise=PixelNoise(read_noise_e / gain, gain),
        dark_is_bias_subtracted=True,
        dark_scale=dark_scale,
        **{kind: held_rows(night[kind], variance[kind]) for kind in variance},
    )
    # photons are counted above the bias, so it is taken off before ccdproc makes its errors
    net = ccdproc.subtract_bias(ccd(night["raw"]), ccd(night["bias"]))
    net = ccdproc.create_deviation(
        net,
        gain=gain * u.electron / u.adu,
        readnoise=read_noise_e * u.electron,
        disregard_nan=True,
    )
    net = net.subtract(with_error(np.zeros(SHAPE), variance["bias"]))
    net = ccdproc.subtract_dark(
        net,
        with_error(night["dark"], variance["dark"]),
        data_exposure=dark_scale * u.s,
        dark_exposure=1 * u.s,
        scale=True,
    )
    flat = with_error(night["flat"], variance["flat"])
    expected = ccdproc.flat_correct(net, flat, norm_value=1.0)
    np.testing.assert_allclose(ours.data_adu, expected.data, rtol=1e-6, atol=0.02)
    np.testing.assert_allclose(np.sqrt(ours.variance_adu2), expected.uncertainty.array, rtol=2e-6)
    plain = calibrate(
        night["raw"],
        bias=night["bias"],
        dark=night["dark"],
        dark_is_bias_subtracted=True,
        dark_scale=dark_scale,
        flat=night["flat"],
    )
    np.testing.assert_array_equal(ours.data_adu, plain.data_adu)
    np.testing.assert_array_equal(ours.mask, plain.mask)


def test_the_variance_is_how_much_calibrated_frames_scatter(night):
    rng = np.random.default_rng(21)
    light_e, gain, read_noise_e = 900.0, 1.5, 8.0
    flat = night["flat"]
    bias = np.full(SHAPE, 1000, np.float32)
    frames: list[np.ndarray] = []
    for _ in range(200):
        seen_e = rng.poisson(light_e * flat) + rng.normal(0, read_noise_e, SHAPE)
        raw = (1000 + seen_e / gain).astype(np.float32)
        frames.append(calibrate(raw, bias=bias, flat=flat).data_adu)
    seen = calibrate_with_variance(
        (1000 + light_e * flat / gain).astype(np.float32),
        noise=PixelNoise(read_noise_e / gain, gain),
        bias=held_rows(bias),
        flat=held_rows(flat),
    )
    # 2400 pixels of 200 frames: the mean variance is known to 0.2 %
    scatter = np.var(frames, axis=0, ddof=1).mean()
    assert scatter == pytest.approx(seen.variance_adu2.mean(), rel=0.01)


def test_a_dark_with_its_bias_inside_counts_the_noise_of_the_bias_once(night):
    ones = np.ones(SHAPE, np.float32)
    seen = calibrate_with_variance(
        np.full(SHAPE, 1000, np.float32),
        noise=PixelNoise(0.0, 1.0),
        bias=held_rows(1000 * ones, 4 * ones),
        dark=held_rows(1100 * ones, 9 * ones),
        dark_scale=3.0,
    )
    # B + 3 (D - B) = 3 D - 2 B
    np.testing.assert_allclose(seen.data_adu, -300)
    np.testing.assert_allclose(seen.variance_adu2, 9 * 9 + 4 * 4)


def test_pixels_without_flat_keep_their_own_variance(night):
    night["flat"][0, 0] = 0.0
    night["flat"][0, 1] = 1.0
    noise = PixelNoise(3.0, 1.0)
    variance = np.full(SHAPE, 1e-4, np.float32)
    flat = held_rows(night["flat"], variance)
    seen = calibrate_with_variance(night["raw"], noise=noise, flat=flat)
    raw = night["raw"].astype(float)
    assert seen.variance_adu2[0, 0] == pytest.approx(9 + raw[0, 0])
    assert seen.variance_adu2[0, 1] == pytest.approx(9 + raw[0, 1] + 1e-4 * raw[0, 1] ** 2)


def test_masters_of_another_size_are_refused_with_variances_too(night):
    with pytest.raises(CalibrationError, match="60 x 40 pixels, but the master bias has 30 x 20"):
        calibrate_with_variance(
            night["raw"], noise=PixelNoise(1, 1), bias=held_rows(np.ones((20, 30), np.float32))
        )


def starry(top_adu: int, n_clipped: int, noise_adu: float = 10.0) -> np.ndarray:
    """Return a sky of 300 ADU with a few bright pixels, some of them clipped."""
    rng = np.random.default_rng(3)
    frame = rng.normal(300, noise_adu, (200, 300))
    frame.ravel()[:60] = np.geomspace(500, 0.98 * top_adu, 60)
    frame.ravel()[1000 : 1000 + n_clipped] = 2.0 * top_adu
    return np.clip(np.round(frame), 0, top_adu).astype(np.uint16)


@pytest.mark.parametrize("top_adu", [1023, 4095, 16_383, 65_535])
def test_the_limit_of_the_converter_is_recognised(top_adu):
    assert estimate_saturation_adu(starry(top_adu, n_clipped=5)) == top_adu


def test_a_camera_that_clips_below_its_converter_is_recognised():
    assert estimate_saturation_adu(starry(52_000, n_clipped=30)) == 52_000


def test_one_hot_pixel_or_cosmic_ray_is_no_saturation():
    assert estimate_saturation_adu(starry(34_000, n_clipped=1)) is None
    assert estimate_saturation_adu(starry(65_535, n_clipped=1)) is None


def test_noise_that_happens_to_reach_a_power_of_two_is_no_saturation():
    rng = np.random.default_rng(5)
    bias = np.round(rng.normal(1000, 8, (500, 500)))
    bias += 1023 - bias.max()
    bias.flat[:2] = 1023
    assert estimate_saturation_adu(bias.astype(np.uint16)) is None


def test_a_frame_that_is_white_all_over_is_saturated_and_a_black_one_is_not():
    assert estimate_saturation_adu(np.full((9, 9), 65_535, np.uint16)) == 65_535
    assert estimate_saturation_adu(np.zeros((9, 9), np.uint16)) is None
    assert estimate_saturation_adu(np.full((9, 9), np.nan, np.float32)) is None


@pytest.mark.real
def test_real_cameras_saturate_where_their_bits_end(real_data):
    first, *_ = sorted(real_data.glob("hatp32/*.FITS"))
    assert estimate_saturation_adu(read_pixels(first, 0)) == 4095
    m13 = real_data / "m13_griz" / "M13_sdss_r_20190503_085306.fits.fz"
    assert estimate_saturation_adu(read_pixels(m13, 1)) == 65_535
    light, *_ = sorted(real_data.glob("lpseb35/LPSEB35*"))
    assert estimate_saturation_adu(read_pixels(light, 1)) is None


def test_a_frame_written_over_an_earlier_one_is_the_same(night):
    masters = {name: night[name] for name in ("bias", "dark", "flat")}
    first = calibrate(night["raw"], **masters)
    expected = first.data_adu.copy(), first.mask.copy()
    other = calibrate(night["raw"][::-1].copy(), **masters, room=first)
    assert other.data_adu is first.data_adu
    again = calibrate(night["raw"], **masters, room=other)
    np.testing.assert_array_equal(again.data_adu, expected[0])
    np.testing.assert_array_equal(again.mask, expected[1])
    rows = {name: held_rows(image) for name, image in masters.items()}
    noisy = calibrate_with_variance(night["raw"], noise=PixelNoise(5, 1.5), **rows)
    variance = noisy.variance_adu2.copy()
    reused = calibrate_with_variance(night["raw"], noise=PixelNoise(5, 1.5), **rows, room=noisy)
    assert reused.variance_adu2 is noisy.variance_adu2
    np.testing.assert_array_equal(reused.variance_adu2, variance)
    np.testing.assert_array_equal(reused.data_adu, expected[0])
