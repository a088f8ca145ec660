"""Pixels from disk: every container gives the same numbers, every damage one clear error."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from starmuster.errors import PixelError
from starmuster.transforms.pixels import ArrayRows, open_rows, read_pixels

RNG = np.random.default_rng(20240308)


@pytest.fixture
def camera_frame() -> np.ndarray:
    return RNG.integers(0, 65536, (37, 53)).astype(np.uint16)


def write(path: Path, data: np.ndarray, **cards: object) -> Path:
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


def write_rice(path: Path, data: np.ndarray, tile_shape: tuple[int, int]) -> Path:
    image = fits.CompImageHDU(data, compression_type="RICE_1", tile_shape=tile_shape)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    return path


def write_gzip(path: Path, plain: Path) -> Path:
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def containers(folder: Path, data: np.ndarray) -> list[tuple[Path, int]]:
    plain = write(folder / "plain.fits", data)
    return [
        (plain, 0),
        (write_gzip(folder / "zipped.fits.gz", plain), 0),
        (write_rice(folder / "rows.fits.fz", data, (1, data.shape[1])), 1),
        (write_rice(folder / "tiles.fits.fz", data, (8, 16)), 1),
    ]


def test_every_container_gives_the_pixels_the_camera_wrote(tmp_path, camera_frame):
    for path, hdu_index in containers(tmp_path, camera_frame):
        pixels = read_pixels(path, hdu_index)
        assert pixels.dtype == np.uint16, path
        np.testing.assert_array_equal(pixels, camera_frame, err_msg=str(path))


def test_bands_of_rows_make_up_the_whole_frame_in_any_order(tmp_path, camera_frame):
    for path, hdu_index in containers(tmp_path, camera_frame):
        with open_rows(path, hdu_index) as reader:
            assert reader.shape == (37, 53)
            for start, stop in [(0, 10), (10, 36), (36, 37), (5, 12)]:
                band = reader.rows(start, stop)
                assert band.dtype == np.float32
                np.testing.assert_array_equal(band, camera_frame[start:stop], err_msg=str(path))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_numbers_without_scaling_keep_their_type(tmp_path, dtype):
    data = RNG.integers(0, 200, (5, 7)).astype(dtype)
    pixels = read_pixels(write(tmp_path / "a.fits", data), 0)
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, data)


def test_scaled_integers_become_what_the_header_says(tmp_path):
    path = write(tmp_path / "a.fits", np.arange(12, dtype=np.int16).reshape(3, 4))
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"] = 0.5
        hdus[0].header["BZERO"] = 100.0
    pixels = read_pixels(path, 0)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, 100 + 0.5 * np.arange(12).reshape(3, 4))


def test_blank_pixels_are_nan(tmp_path):
    data = np.arange(12, dtype=np.int16).reshape(3, 4)
    pixels = read_pixels(write(tmp_path / "a.fits", data, BLANK=7), 0)
    assert np.isnan(pixels[1, 3])
    assert np.isfinite(pixels).sum() == 11


def test_a_third_axis_of_one_is_no_axis(tmp_path, camera_frame):
    path = write(tmp_path / "cube.fits", camera_frame[None])
    np.testing.assert_array_equal(read_pixels(path, 0), camera_frame)


def test_a_missing_padding_of_the_last_block_costs_nothing(tmp_path, camera_frame):
    path = write(tmp_path / "a.fits", camera_frame)
    os.truncate(path, 2880 + camera_frame.nbytes)
    np.testing.assert_array_equal(read_pixels(path, 0), camera_frame)


def test_a_colour_cube_is_refused(tmp_path):
    path = write(tmp_path / "rgb.fits", np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(PixelError, match=r"no image of two axes.*\[5, 4, 3\]"):
        read_pixels(path, 0)


def test_another_size_than_catalogued_is_refused_naming_both(tmp_path, camera_frame):
    path = write(tmp_path / "a.fits", camera_frame)
    with pytest.raises(PixelError, match="53 x 37 pixels, expected 50 x 40"):
        read_pixels(path, 0, shape=(40, 50))


def test_a_missing_hdu_is_refused(tmp_path, camera_frame):
    with pytest.raises(PixelError, match="no HDU 3"):
        read_pixels(write(tmp_path / "a.fits", camera_frame), 3)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused_in_every_container(tmp_path, camera_frame, fraction):
    large = np.tile(camera_frame, (10, 10))
    for path, hdu_index in containers(tmp_path, large):
        os.truncate(path, int(path.stat().st_size * fraction))
        with pytest.raises(PixelError, match=path.name):
            read_pixels(path, hdu_index)


def test_a_truncated_file_is_called_truncated(tmp_path, camera_frame):
    path = write(tmp_path / "a.fits", camera_frame)
    os.truncate(path, 4000)
    with pytest.raises(PixelError, match="truncated: 4000 bytes, its header announces 6802"):
        open_rows(path, 0)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(PixelError, match=r"gone\.fits: gone"):
        read_pixels(tmp_path / "gone.fits", 0)


def test_a_file_that_vanishes_or_changes_while_it_is_read_is_named(tmp_path, camera_frame):
    for path, hdu_index in containers(tmp_path, camera_frame):
        with open_rows(path, hdu_index) as reader:
            reader.rows(0, 1)
            path.write_bytes(path.read_bytes() + b" ")
            with pytest.raises(PixelError, match="changed while it was read"):
                reader.rows(1, 2)
            path.unlink()
            with pytest.raises(PixelError, match="gone"):
                reader.rows(1, 2)


def test_what_is_no_fits_is_refused(tmp_path):
    path = tmp_path / "._shadow.fits"
    path.write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" * 100)
    with pytest.raises(PixelError, match="neither plain FITS nor gzip"):
        read_pixels(path, 0)


@pytest.mark.real
def test_odd_and_damaged_files_are_read_as_astropy_does_or_refused(real_data):
    n_read = 0
    paths = [*real_data.glob("odd_fits/*"), *real_data.glob("damaged/*")]
    for path in sorted(paths):
        for hdu_index in range(3):
            try:
                pixels = read_pixels(path, hdu_index)
            except PixelError as error:
                assert path.name in str(error)  # noqa: PT017
                continue
            n_read += 1
            with fits.open(path, memmap=False) as hdus:
                expected = np.squeeze(hdus[hdu_index].data).astype(np.float32)
            np.testing.assert_allclose(pixels.reshape(expected.shape), expected, rtol=1e-6)
    assert n_read >= 35


@pytest.mark.real
def test_truncated_real_flats_are_refused(real_data):
    for name in ("ASI178_Flat_0001.fit", "ASI178_Flat_0002.fit", "Flat_ASIImg_frame0007.fit"):
        with pytest.raises(PixelError, match="truncated"):
            open_rows(real_data / "damaged" / name, 0)
    assert read_pixels(real_data / "damaged" / "ASI178_Flat_0004_whole.fit", 0).shape == (960, 1280)


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(35, dtype=np.float32).reshape(5, 7),
        np.arange(35, dtype=np.float64).reshape(5, 7),
        np.arange(35, dtype=np.uint16).reshape(5, 7),
    ],
)
@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_a_room_is_filled_with_the_rows_that_would_be_returned(tmp_path, pixels, suffix):
    path = tmp_path / f"frame{suffix}"
    fits.PrimaryHDU(pixels).writeto(path)
    room = np.empty((3, 7), np.float32)
    with open_rows(path, 0) as reader:
        for start in (0, 2):
            reader.fill(room, start)
            np.testing.assert_array_equal(room, pixels[start : start + 3])
        ArrayRows(pixels, "frame").fill(room, 1)
        np.testing.assert_array_equal(room, pixels[1:4])
        path.write_bytes(path.read_bytes() + b"more")
        with pytest.raises(PixelError, match="changed while it was read"):
            reader.fill(room, 0)
