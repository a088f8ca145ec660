"""Combination: the numbers of numpy, astropy and ccdproc, whatever the size of the band."""

import itertools
from dataclasses import dataclass

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import mad_std

from starmuster.errors import CalibrationError, PixelError
from starmuster.transforms.combine import (
    ExpectedNoise,
    UnreadableFrame,
    _combine_values,
    band_height,
    combine,
    compile_kernel,
    sorting_network,
)


@dataclass
class ArrayRows:
    """A frame in memory."""

    data: np.ndarray
    name: str = "frame"
    lost_from_row: int | None = None
    largest_band: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    def rows(self, start: int, stop: int) -> np.ndarray:
        if self.lost_from_row is not None and stop > self.lost_from_row:
            raise PixelError(f"{self.name}: gone.")
        self.largest_band = max(self.largest_band, stop - start)
        return self.data[start:stop].astype(np.float32)


def frames(n_frame: int, *, outlier_adu: float = 400.0) -> np.ndarray:
    """Return frames of 1000 ADU with a noise of 10 and an outlier in every seventh pixel."""
    rng = np.random.default_rng(n_frame)
    cube = rng.normal(1000, 10, (n_frame, 23, 31)).astype(np.float32)
    cube[0].flat[::7] += outlier_adu
    return cube


def by_ccdproc(cube: np.ndarray, **options: object) -> np.ndarray:
    images = [CCDData(frame.astype(np.float64), unit="adu") for frame in cube]
    return np.asarray(ccdproc.combine(images, **options).data)


@pytest.mark.parametrize("n_value", range(1, 13))
def test_the_network_sorts_every_order(n_value):
    # a network that sorts all sequences of zeros and ones sorts everything (Knuth 5.3.4, Z)
    every = np.array(list(itertools.product((0, 1), repeat=n_value)), np.int8).T.copy()
    for low, high in sorting_network(n_value):
        every[[low, high]] = (
            np.minimum(every[low], every[high]),
            np.maximum(every[low], every[high]),
        )
    assert (np.diff(every.astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize("n_frame", [1, 2, 3, 4, 5, 8, 20, 33])
@pytest.mark.parametrize("method", ["mean", "median"])
def test_mean_and_median_are_those_of_ccdproc(n_frame, method):
    cube = frames(n_frame)
    expected = by_ccdproc(cube, method="average" if method == "mean" else "median")
    ours = combine([ArrayRows(frame) for frame in cube], method=method)
    np.testing.assert_allclose(ours.mean_adu, expected, rtol=1e-7 * 2)
    assert (ours.n_used == n_frame).all()


@pytest.mark.parametrize("n_frame", [5, 6, 9, 20, 33])
def test_the_clipped_mean_is_that_of_ccdproc(n_frame):
    cube = frames(n_frame)
    expected = by_ccdproc(
        cube,
        method="average",
        sigma_clip=True,
        sigma_clip_low_thresh=4.0,
        sigma_clip_high_thresh=5.0,
        sigma_clip_func=np.ma.median,
        sigma_clip_dev_func=mad_std,
    )
    ours = combine([ArrayRows(frame) for frame in cube], low_sigma=4.0, high_sigma=5.0)
    assert ours.method == "clipped mean"
    np.testing.assert_allclose(ours.mean_adu, expected, rtol=1e-7 * 2)
    assert (ours.n_used.flat[::7] < n_frame).mean() > 0.95


def test_below_five_frames_the_median_is_taken():
    assert combine([ArrayRows(f) for f in frames(4)]).method == "median"


@pytest.mark.parametrize("method", ["mean", "median", "clipped mean"])
def test_the_height_of_the_band_changes_nothing(method):
    cube = frames(9)
    whole = combine([ArrayRows(f) for f in cube], method=method)
    for memory_byte in (1, 4 * 9 * 31 * 4, 4 * 9 * 31 * 22):
        readers = [ArrayRows(f) for f in cube]
        banded = combine(readers, method=method, memory_byte=memory_byte)
        np.testing.assert_array_equal(banded.mean_adu, whole.mean_adu)
        np.testing.assert_array_equal(banded.variance_adu2, whole.variance_adu2)
        assert readers[0].largest_band == max(1, memory_byte // (4 * 9 * 31))


def test_five_hundred_frames_need_no_more_memory_than_five():
    assert band_height(500, 9576, memory_byte=32_000_000) * 500 * 9576 * 4 <= 32_000_000
    assert band_height(100_000, 9576, memory_byte=32_000_000) == 1


def test_values_that_are_no_numbers_are_left_out():
    cube = frames(7, outlier_adu=0.0)
    cube[3, 4, 5] = np.nan
    cube[2, 4, 5] = np.inf
    cube[:, 6, 7] = np.nan
    ours = combine([ArrayRows(f) for f in cube], method="mean")
    assert ours.n_used[4, 5] == 5
    assert ours.mean_adu[4, 5] == pytest.approx(np.delete(cube[:, 4, 5], [2, 3]).mean(), rel=1e-6)
    assert ours.n_used[6, 7] == 0
    assert np.isnan(ours.mean_adu[6, 7])
    assert np.isfinite(ours.mean_adu).sum() == ours.mean_adu.size - 1
    assert np.isfinite(ours.variance_adu2).all()


def test_the_variance_is_that_of_the_combination():
    rng = np.random.default_rng(4)
    for method, n_frame in [("mean", 6), ("median", 3), ("median", 4), ("clipped mean", 9)]:
        cube = rng.normal(500, 12, (n_frame, 200, 200)).astype(np.float32)
        ours = combine([ArrayRows(f) for f in cube], method=method, noise=ExpectedNoise(12.0))
        # 40,000 pixels: their scatter is known to 0.35 %, and so is the mean of the variances
        assert np.sqrt(ours.variance_adu2.mean()) == pytest.approx(ours.mean_adu.std(), rel=0.02)


def test_one_frame_has_the_variance_that_is_expected_of_it():
    ours = combine(
        [ArrayRows(np.full((3, 4), 1100.0))], noise=ExpectedNoise(5.0, 2.0, zero_adu=1000.0)
    )
    np.testing.assert_allclose(ours.variance_adu2, 5.0**2 + 100 / 2)


def test_the_floor_keeps_good_integers_that_a_mad_of_zero_would_clip():
    values = np.array([100, 100, 100, 100, 101], np.float32)
    readers = [ArrayRows(np.full((2, 2), v, np.float32)) for v in values]
    assert (combine(readers).n_used == 4).all()
    assert (combine(readers, noise=ExpectedNoise(0.5)).n_used == 5).all()


def test_the_floor_grows_with_the_light():
    values = np.array([10_000, 10_000, 10_000, 10_000, 10_300], np.float32)
    readers = [ArrayRows(np.full((2, 2), v, np.float32)) for v in values]
    assert (combine(readers, noise=ExpectedNoise(5.0)).n_used == 4).all()
    assert (combine(readers, noise=ExpectedNoise(5.0, 1.0)).n_used == 5).all()
    assert (combine(readers, noise=ExpectedNoise(5.0, 1.0, zero_adu=9_990.0)).n_used == 4).all()


def test_frames_of_different_size_are_refused_naming_both():
    readers = [ArrayRows(np.ones((4, 5)), "a"), ArrayRows(np.ones((4, 6)), "b")]
    with pytest.raises(CalibrationError, match=r"b: 6 x 4 pixels cannot be .* a of 5 x 4"):
        combine(readers)


def test_no_frames_are_refused():
    with pytest.raises(CalibrationError, match="no frames"):
        combine([])


def test_a_frame_lost_on_the_way_says_which():
    readers = [ArrayRows(f, lost_from_row=9 if i == 2 else None) for i, f in enumerate(frames(5))]
    with pytest.raises(UnreadableFrame) as caught:
        combine(readers, memory_byte=4 * 5 * 31 * 4)
    assert caught.value.index == 2


def test_the_kernel_is_compiled_once_for_every_frame():
    compile_kernel()
    n_signature = len(_combine_values.signatures)
    for n_frame in (1, 4, 20):
        combine([ArrayRows(f) for f in frames(n_frame)], memory_byte=10_000)
    assert len(_combine_values.signatures) == n_signature == 1
