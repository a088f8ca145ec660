"""Index files: which fields they serve, which of them are damaged, what to install."""

import numpy as np
import pytest
from astropy.io import fits

from starmuster.transforms.index_files import (
    index_files,
    index_paths,
    install_command,
    reach_text,
)


def index_file(path, low_arcmin, high_arcmin, *, n_byte=7000):
    header = fits.Header()
    header["SCALE_L"], header["SCALE_U"] = np.radians([low_arcmin / 60, high_arcmin / 60])
    table = fits.BinTableHDU(np.zeros(n_byte // 8, dtype=[("tree", "f8")]))
    fits.HDUList([fits.PrimaryHDU(header=header), table]).writeto(path)
    return path


def test_scales_are_read_and_compared_with_a_field_of_view(tmp_path):
    index_file(tmp_path / "index-1.fits", 22, 30)
    index_file(tmp_path / "index-2.fits", 30, 42)
    files = index_files(tmp_path)
    assert [(file.low_arcmin, file.high_arcmin) for file in files] == [
        (pytest.approx(22), pytest.approx(30)),
        (pytest.approx(30), pytest.approx(42)),
    ]
    assert [file.helps(11.4) for file in files] == [False, False]
    assert [file.helps(25.0) for file in files] == [True, False]
    assert [file.helps(56.0) for file in files] == [True, True]
    assert [file.helps(350.0) for file in files] == [False, True]
    assert reach_text(files) == "index files for fields of 22 to 420 arcmin"


@pytest.mark.parametrize("n_byte", [0, 100, 5000, 9000])
def test_a_file_that_was_cut_off_is_damaged_and_serves_no_field(tmp_path, n_byte):
    path = index_file(tmp_path / "index-1.fits", 22, 30)
    path.write_bytes(path.read_bytes()[:n_byte])
    (file,) = index_files(tmp_path)
    assert file.defect is not None
    assert file.defect.startswith("index-1.fits is damaged: ")
    assert not file.helps(50.0)
    assert reach_text([file]) == "no usable index files"


def test_rubbish_and_a_file_without_scales_are_damaged(tmp_path):
    (tmp_path / "index-1.fits").write_bytes(b"rubbish" * 3000)
    fits.PrimaryHDU().writeto(tmp_path / "index-2.fits")
    assert all(file.defect for file in index_files(tmp_path))


def test_a_folder_without_index_files_has_none(tmp_path):
    assert index_paths(tmp_path / "nowhere") == []


def test_what_to_install_follows_from_the_field_of_view():
    assert install_command(26.0) == "apt-get install astrometry-data-tycho2-07"
    assert install_command(300.0) == "apt-get install astrometry-data-tycho2-10-19"
    assert "index-5203-*.fits,index-5204-*.fits" in install_command(11.4)
    assert "import a catalogue" in install_command(1.0)
