"""Files: an image is found or refused with a reason, within bounds, whatever the bytes are."""

import gzip
import os
import time
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starmuster.errors import HeaderError
from starmuster.ingest import files
from starmuster.ingest.files import RawFile
from starmuster.ingest.hdus import Image, find_image

PIXELS = np.arange(60, dtype=np.int16).reshape(6, 10)


def scan(path) -> Image:
    with RawFile(path) as file:
        return find_image(file)


def write(path, *hdus, **options):
    fits.HDUList(list(hdus)).writeto(path, **options)
    return path


def cards(*lines: str) -> bytes:
    raw = b"".join(line.encode().ljust(80) for line in (*lines, "END"))
    return raw.ljust(-(-len(raw) // 2880) * 2880)


def test_a_primary_image_is_found(tmp_path):
    image = scan(write(tmp_path / "a.fits", fits.PrimaryHDU(PIXELS)))
    assert (image.hdu_index, image.n_x_pix, image.n_y_pix) == (0, 10, 6)


def test_a_third_axis_of_one_is_an_image_and_a_cube_is_not(tmp_path):
    flat = write(tmp_path / "a.fits", fits.PrimaryHDU(PIXELS[np.newaxis]))
    assert (scan(flat).n_x_pix, scan(flat).n_y_pix) == (10, 6)
    cube = write(tmp_path / "b.fits", fits.PrimaryHDU(np.zeros((3, 6, 10))))
    with pytest.raises(HeaderError, match="cube of 10 x 6 x 3"):
        scan(cube)


def test_the_first_image_of_many_hdus_is_found_and_inherits_the_primary(tmp_path):
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"], primary.header["EXPTIME"] = "M 13", 30.0
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(1000))])
    first, second = fits.ImageHDU(PIXELS), fits.ImageHDU(PIXELS[:4])
    first.header["EXPTIME"] = 60.0
    image = scan(write(tmp_path / "a.fits", primary, table, first, second))
    assert (image.hdu_index, image.n_y_pix) == (2, 6)
    assert image.header.by_keyword["OBJECT"].value == "M 13"
    assert image.header.by_keyword["EXPTIME"].value == 60.0
    assert image.header.cards[0].keyword == "SIMPLE"


@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"])
def test_a_compressed_image_has_the_size_of_its_pixels(tmp_path, method):
    hdu = fits.CompImageHDU(PIXELS, compression_type=method, tile_shape=(6, 10))
    image = scan(write(tmp_path / "a.fits.fz", fits.PrimaryHDU(), hdu))
    assert (image.hdu_index, image.n_x_pix, image.n_y_pix) == (1, 10, 6)


@pytest.mark.parametrize(
    ("hdu", "says"),
    [
        (fits.PrimaryHDU(), "without pixels"),
        (fits.PrimaryHDU(np.zeros(2000)), "spectrum or row of 2000"),
        (fits.PrimaryHDU(np.zeros((1, 2000))), "spectrum or row of 2000 x 1"),
        (fits.PrimaryHDU(np.zeros((2, 2, 2, 2))), "NAXIS = 4"),
    ],
)
def test_what_is_no_image_is_refused_by_name(tmp_path, hdu, says):
    with pytest.raises(HeaderError, match=says):
        scan(write(tmp_path / "a.fits", hdu))


def test_a_table_is_refused_by_name(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(10))])
    with pytest.raises(HeaderError, match="HDU 1 BINTABLE table of 4 x 10"):
        scan(write(tmp_path / "a.fits", fits.PrimaryHDU(), table))


def test_truncation_is_found_wherever_it_is(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 999, (100, 100), dtype=np.int16)
    whole = write(tmp_path / "a.fits", fits.PrimaryHDU(pixels)).read_bytes()
    n_needed = 2880 + pixels.nbytes
    part = tmp_path / "b.fits"
    for n_byte in (1, 79, 2879, 2880, n_needed - 1):
        part.write_bytes(whole[:n_byte])
        with pytest.raises(HeaderError, match=r"truncated|not FITS"):
            scan(part)
    part.write_bytes(whole[:n_needed])  # only the padding is missing
    assert scan(part).n_x_pix == 100


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"\x00\x05\x16\x07" + bytes(4092), "macOS companion"),
        (b"II*\x00 a tiff picture", "not FITS"),
        (b"\x1f\x9d\x90S", "uncompress"),
        (b"BZh91AY", "bunzip2"),
        (gzip.compress(b"no frame", mtime=0), "not FITS"),
        (cards("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 999999999"), "NAXIS = 999999999"),
        (cards("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = -1"), "NAXIS = '-1'"),
        (cards("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 'two'"), "NAXIS = 'two'"),
        (cards("SIMPLE  = T", "BITPIX  = 16"), "NAXIS is missing"),
        (cards("SIMPLE  = T", "BITPIX  = 12", "NAXIS   = 0"), "BITPIX = 12"),
        (cards("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 9"), "NAXIS2 is missing"),
        (
            cards(
                "SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 10", "NAXIS2  = 999999999"
            ),
            "the limit is",
        ),
        (
            cards("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 99", "NAXIS2  = 99"),
            "truncated",
        ),
        (cards("SIMPLE  = T").replace(b"END", b"   ") * 100, "no END within 64 blocks"),
    ],
)
def test_broken_content_is_refused_with_a_reason(tmp_path, content, says):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    with pytest.raises(HeaderError, match=says):
        scan(path)


def test_a_header_of_many_blocks_is_read_to_its_end(tmp_path):
    hdu = fits.PrimaryHDU(PIXELS)
    for i in range(1500):
        hdu.header[f"K{i}"] = i
    image = scan(write(tmp_path / "a.fits", hdu))
    assert image.header.by_keyword["K1499"].value == 1499


def test_a_gzipped_frame_is_read_and_a_damaged_one_refused(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 999, (100, 100), dtype=np.int16)
    write(tmp_path / "a.fits", fits.PrimaryHDU(), fits.ImageHDU(pixels))
    packed = gzip.compress((tmp_path / "a.fits").read_bytes())
    path = tmp_path / "a.fits.gz"
    path.write_bytes(packed)
    assert (scan(path).hdu_index, scan(path).n_x_pix) == (1, 100)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(HeaderError, match=r"damaged gzip|truncated"):
        scan(path)


def test_a_gzip_that_unpacks_beyond_the_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTE", 1_000_000)
    path = tmp_path / "a.fits.gz"
    lines = ("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 1000", "NAXIS2  = 1000")
    path.write_bytes(gzip.compress(cards(*lines) + bytes(2_000_000)))
    with pytest.raises(HeaderError, match="the limit"):
        scan(path)


def test_neither_fifo_nor_link_is_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.fits")
    start = time.monotonic()
    with pytest.raises(HeaderError, match="not a regular file"):
        scan(tmp_path / "fifo.fits")
    assert time.monotonic() - start < 1
    (tmp_path / "link.fits").symlink_to(write(tmp_path / "a.fits", fits.PrimaryHDU(PIXELS)))
    with pytest.raises(OSError, match="link"):
        scan(tmp_path / "link.fits")


def test_a_file_that_grows_while_it_is_hashed_is_told(tmp_path):
    path = write(tmp_path / "a.fits", fits.PrimaryHDU(PIXELS))
    with RawFile(path) as file:
        before = file.content_hash()
        with path.open("ab") as more:
            more.write(b"x")
        with pytest.raises(HeaderError, match="changed while it was read"):
            file.content_hash()
    with RawFile(path) as file:
        assert file.content_hash() != before


SEED = cards(
    "SIMPLE  =                    T",
    "BITPIX  =                   16",
    "NAXIS   =                    2",
    "NAXIS1  =                   10",
    "NAXIS2  =                    6",
    "OBJECT  = 'M 13    '",
) + bytes(2880)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=400).map(gzip.compress),
        st.lists(
            st.tuples(st.integers(0, 560), st.binary(min_size=1, max_size=12)), max_size=6
        ).map(lambda edits: mutated(SEED, edits)),
    )
)
def test_no_content_raises_anything_but_a_header_error(tmp_path, content):
    path = tmp_path / "fuzz.fits"
    path.write_bytes(content)
    try:
        image = scan(path)
    except HeaderError:
        return
    assert 2 <= image.n_x_pix * image.n_y_pix <= len(content)


def mutated(raw: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(raw)
    for start, patch in edits:
        changed[start : start + len(patch)] = patch
    return bytes(changed)


@pytest.mark.real
@pytest.mark.parametrize("folder", ["odd_fits", "damaged"])
def test_every_odd_file_is_found_as_astropy_sees_it_or_refused(real_data, folder):
    n_image = 0
    for path in sorted((real_data / folder).iterdir()):
        try:
            image = scan(path)
        except HeaderError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape = np.squeeze(fits.getdata(path, image.hdu_index)).shape
        assert shape == (image.n_y_pix, image.n_x_pix)
        n_image += 1
    assert n_image == {"odd_fits": 34, "damaged": 1}[folder]
