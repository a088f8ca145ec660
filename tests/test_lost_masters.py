"""Masters whose files are lost or altered come back, and nothing else is done again."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from starmuster.errors import CalibrationError
from starmuster.ingest.nights import catalogue
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.run import is_anything_pending
from starmuster.transforms.steps.levels import measure_levels
from starmuster.transforms.steps.master_files import open_master, read_defects, read_master
from starmuster.transforms.steps.masters import make_masters
from starmuster.transforms.steps.settings import mirror_settings
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse

SHAPE = (64, 90)
LIGHT = (slice(0, 64), slice(10, 90))
HOT, DEAD = (20, 30), (40, 50)


def take_night(folder: Path) -> None:
    """Write five biases, darks and flats of a camera with overscan, a hot and a dead pixel."""
    rng = np.random.default_rng(4)
    folder.mkdir()
    for kind, light_adu, exposure_s in (("bias", 0, 0), ("dark", 0, 60), ("flat", 20_000, 5)):
        for number in range(5):
            pixels = 1000 + rng.normal(0, 5, SHAPE)
            signal = np.full((64, 80), float(light_adu))
            signal[HOT] += 50 * exposure_s
            signal[DEAD] = 0
            pixels[LIGHT] += rng.poisson(signal)
            hdu = fits.PrimaryHDU(np.round(pixels).astype(np.uint16))
            hdu.header.update(
                {
                    "IMAGETYP": kind,
                    "EXPTIME": float(exposure_s),
                    "DATE-OBS": f"2024-03-08T20:{number:02d}:{exposure_s % 60:02d}",
                    "INSTRUME": "cam",
                    "CCD-TEMP": -10.0,
                    "FILTER": "r",
                    "BIASSEC": "[1:8,1:64]",
                    "TRIMSEC": "[11:90,1:64]",
                }
            )
            hdu.writeto(folder / f"{kind}_{number}.fits")


@pytest.fixture(scope="module")
def reduced(tmp_path_factory, new_warehouse) -> Warehouse:
    folder = tmp_path_factory.mktemp("lost")
    take_night(folder / "night")
    warehouse = new_warehouse(folder / "warehouse")
    with Run(warehouse, "ingest", "0") as run:
        catalogue(run, [folder / "night"])
        mirror_settings(run)
        measure_levels(run)
        assert make_masters(run, say=lambda _: None) == 4
    return warehouse


@pytest.fixture
def whole(reduced: Warehouse) -> Iterator[Warehouse]:
    """The warehouse with its masters whole, before a test and after it."""
    contents = {path: path.read_bytes() for path in reduced.masters.rglob("*.fits")}
    yield reduced
    for path in reduced.masters.rglob("*.fits"):
        path.unlink()
    for path, content in contents.items():
        path.write_bytes(content)


def masters(warehouse: Warehouse) -> pl.DataFrame:
    return warehouse.sql("from master order by master_id")


def master_of(warehouse: Warehouse, kind: str) -> tuple[Path, str]:
    row = masters(warehouse).filter(pl.col("kind") == kind).row(0, named=True)
    return warehouse.masters / row["file_name"], row["checksum"]


def work(warehouse: Warehouse) -> list[str]:
    told: list[str] = []
    with Run(warehouse, "run", "0") as run:
        make_masters(run, say=told.append)
    return told


def alter(path: Path) -> None:
    """Change a byte, as a person with an editor would: the size stays."""
    with path.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        file.write(b"x")
    read_master.cache_clear()


def test_masters_hold_the_trimmed_light_and_suit_frames_of_the_whole_size(reduced):
    rows = masters(reduced)
    assert rows["kind"].to_list() == ["bias", "dark", "flat", "badpixel"]
    assert set(rows.select("n_x_pix", "n_y_pix").rows()) == {(90, 64)}
    for kind in ("bias", "dark", "flat"):
        path, checksum = master_of(reduced, kind)
        assert read_master(path, checksum).shape == (64, 80)
    # the overscan of each row took the pedestal off
    assert rows["level_adu"][0] == pytest.approx(0, abs=1)
    trims = reduced.sql("from master_file")["trim"].to_list()
    assert trims == ["[11:90,1:64]"] * 4


def test_the_variance_of_a_master_is_kept_beside_it(reduced):
    path, checksum = master_of(reduced, "bias")
    with open_master(path, checksum) as master:
        assert master.variance is not None
        variance = master.variance.rows(0, 64)
    # of five frames it has four degrees of freedom, and the mean is theirs
    noise_adu = masters(reduced)["noise_adu"][0]
    assert np.sqrt(variance.mean()) == pytest.approx(noise_adu, rel=0.05)
    assert fits.getdata(path, "COUNT").max() == 5


def test_defects_of_the_night_are_mapped(reduced):
    bits = read_defects(*master_of(reduced, "badpixel"))
    assert bits[HOT] & PixelMask.HOT
    assert bits[DEAD] == PixelMask.DEAD
    assert np.count_nonzero(bits) == 2


@pytest.mark.parametrize("kind", ["bias", "dark", "flat", "badpixel"])
def test_a_deleted_master_is_made_again_as_it_was(whole, kind):
    before = masters(whole)
    path, _ = master_of(whole, kind)
    content = path.read_bytes()
    path.unlink()
    with Run(whole, "run", "0") as run:
        assert is_anything_pending(run)
    assert len(work(whole)) == 1
    assert path.read_bytes() == content
    assert masters(whole).equals(before)


def test_a_master_of_another_size_is_found_without_being_read(whole):
    before = masters(whole)
    path, _ = master_of(whole, "dark")
    path.write_bytes(path.read_bytes() + b"more")
    assert ["restored" in line for line in work(whole)] == [True]
    assert masters(whole).equals(before)
    assert work(whole) == []


def test_a_master_altered_in_place_is_refused_when_read(whole):
    path, checksum = master_of(whole, "bias")
    alter(path)
    with pytest.raises(CalibrationError, match="was altered since it was made"):
        read_master(path, checksum)


def test_a_master_altered_in_place_is_made_again_when_frames_wait_for_it(whole):
    before = masters(whole)
    path, checksum = master_of(whole, "bias")
    alter(path)
    assert work(whole) == []  # nothing needs it, and nothing reads it
    with whole.writing() as con:
        con.execute(
            "delete from product where step = 'master' and frame_id in "
            "(select frame_id from frame where frame_type = 'dark')"
        )
    told = work(whole)
    assert told[0].startswith("restored the file of master bias")
    assert masters(whole).filter(pl.col("kind") == "bias").equals(before.head(1))
    read_master(path, checksum)


def test_a_lost_master_without_its_frames_is_a_failure_each_time(whole, tmp_path):
    path, _ = master_of(whole, "bias")
    path.unlink()
    night = whole.folder.parent / "night"
    night.rename(tmp_path / "moved")
    try:
        for _ in range(2):
            (told,) = work(whole)
            assert told.startswith("no master bias")
    finally:
        (tmp_path / "moved").rename(night)
    assert "restored" in work(whole)[0]
