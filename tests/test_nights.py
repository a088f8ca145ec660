"""Nights: every file is counted once, read once, and loaded as what it is."""

import os
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from starmuster.errors import UsageError
from starmuster.ingest import intake
from starmuster.ingest.folders import list_folders
from starmuster.ingest.nights import Counts, catalogue, preview
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse

NOTHING_KNOWN = pl.DataFrame(
    schema={"path": pl.String, "size_byte": pl.Int64, "mtime_ns": pl.Int64}
)
NOW = datetime(2026, 1, 2)


def write_frame(path: Path, seed: int = 0, **cards) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 999, (20, 30), dtype=np.int16)
    hdu = fits.PrimaryHDU(pixels)
    start = f"2024-03-08T22:{seed % 60:02d}:00"
    given = {"IMAGETYP": "LIGHT", "EXPTIME": 30.0, "DATE-OBS": start, "INSTRUME": "cam"}
    hdu.header.update(given | cards)
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu.writeto(path, overwrite=True)
    return path


def ingest(warehouse: Warehouse, *paths: Path) -> Counts:
    with Run(warehouse, "ingest", "0") as current:
        return catalogue(current, paths)


def counted(counts: Counts) -> tuple[int, int, int, int]:
    assert counts.n_seen == counts.n_new + counts.n_skipped + counts.n_failed
    return counts.n_seen, counts.n_new, counts.n_skipped, counts.n_failed


def test_every_file_that_says_it_is_fits_is_seen(tmp_path):
    for name in ("a.fits", "b/C.FIT", "b/.hidden.fts", "b/c/no_suffix", ".d/e.fits.fz"):
        write_frame(tmp_path / name)
    for name in ("._a.FIT", "f.fits.gz", "g.fit.Z"):
        (tmp_path / name).write_bytes(b"anything")
    for name in ("notes.txt", "image.tiff", "fits"):
        (tmp_path / name).write_bytes(b"not a frame")
    (tmp_path / "empty").touch()
    found = list_folders([tmp_path], NOTHING_KNOWN)
    names = {str(Path(item.path).relative_to(tmp_path)) for item in found.pending}
    assert names == {
        "a.fits",
        "b/C.FIT",
        "b/.hidden.fts",
        "b/c/no_suffix",
        ".d/e.fits.fz",
        "._a.FIT",
        "f.fits.gz",
        "g.fit.Z",
    }
    assert found.n_seen == 8


def test_links_and_devices_are_passed_over_and_told(tmp_path):
    outside = write_frame(tmp_path / "outside" / "a.fits").parent
    tree = write_frame(tmp_path / "tree" / "b.fits").parent
    (tree / "away").symlink_to(outside)
    (tree / "away.fits").symlink_to(outside / "a.fits")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "fifo.fits")
    found = list_folders([tree], NOTHING_KNOWN)
    assert [Path(item.path).name for item in found.pending] == ["b.fits"]
    assert {(Path(path).name, why) for path, why in found.ignored} == {
        ("away", "a link, not followed"),
        ("away.fits", "a link, not followed"),
        ("loop", "a link, not followed"),
        ("fifo.fits", "not a regular file"),
    }


def test_a_file_named_by_two_paths_is_seen_once(tmp_path):
    path = write_frame(tmp_path / "n" / "a.fits")
    (tmp_path / "link").symlink_to(tmp_path / "n")
    assert list_folders([tmp_path / "n", path, tmp_path / "link"], NOTHING_KNOWN).n_seen == 1


def test_a_named_file_that_is_no_fits_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("clouds at two")
    found = list_folders([tmp_path / "notes.txt"], NOTHING_KNOWN)
    assert found.n_seen == 0
    assert "say FITS" in found.ignored[0][1]


def test_a_path_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        list_folders([tmp_path / "nowhere"], NOTHING_KNOWN)


def test_own_masters_are_no_raw_frames(warehouse):
    write_frame(warehouse.masters / "flat.fits")
    write_frame(warehouse.folder / "night" / "a.fits")
    assert counted(ingest(warehouse, warehouse.folder)) == (1, 1, 0, 0)


def test_a_second_ingest_adds_no_row_and_opens_no_file(tmp_path, warehouse, monkeypatch):
    for i in range(5):
        write_frame(tmp_path / "night" / f"{i}.fits", seed=i)
    (tmp_path / "night" / "bad.fits").write_bytes(b"bad")
    write_frame(tmp_path / "night" / "no_suffix", seed=9)
    assert counted(ingest(warehouse, tmp_path / "night")) == (7, 6, 0, 1)
    before = {name: warehouse.sql(f"from {name}") for name in ("frame", "path", "quarantine")}

    def refuse(path, *_, **__):
        raise AssertionError(f"{path} was opened")

    from starmuster.ingest import folders

    monkeypatch.setattr(intake, "RawFile", refuse)
    monkeypatch.setattr(folders, "_says_fits", refuse)
    assert counted(ingest(warehouse, tmp_path / "night")) == (7, 0, 7, 0)
    for name, rows in before.items():
        assert warehouse.sql(f"from {name}").equals(rows)


def test_copies_share_one_frame(tmp_path, warehouse):
    first = write_frame(tmp_path / "night" / "a.fits")
    shutil.copy(first, tmp_path / "night" / "b.fits")
    assert counted(ingest(warehouse, tmp_path / "night")) == (2, 1, 1, 0)
    shutil.copy(first, tmp_path / "night" / "c.fits")
    assert counted(ingest(warehouse, tmp_path / "night")) == (3, 0, 3, 0)
    assert warehouse.sql("from frame").height == 1
    assert warehouse.sql("select distinct frame_id from path").height == 1
    assert warehouse.sql("from path").height == 3


def test_a_changed_file_is_a_new_frame_under_the_same_path(tmp_path, warehouse):
    path = write_frame(tmp_path / "night" / "a.fits", seed=1)
    ingest(warehouse, tmp_path / "night")
    write_frame(path, seed=2)
    os.utime(path, ns=(1, 1_700_000_000_000_000_000))
    assert counted(ingest(warehouse, tmp_path / "night")) == (1, 1, 0, 0)
    assert warehouse.sql("select frame_id from frame order by all")["frame_id"].to_list() == [1, 2]
    assert warehouse.sql("select frame_id from path")["frame_id"].to_list() == [2]


def test_a_mended_file_leaves_the_quarantine_and_a_damaged_one_its_path(tmp_path, warehouse):
    path = write_frame(tmp_path / "night" / "a.fits")
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    assert counted(ingest(warehouse, path)) == (1, 0, 0, 1)
    assert "truncated" in warehouse.sql("from quarantine")["reason"][0]
    assert warehouse.sql("from failure")["subject"].to_list() == [str(path)]
    assert counted(ingest(warehouse, path)) == (1, 0, 1, 0)
    path.write_bytes(whole)
    assert counted(ingest(warehouse, path)) == (1, 1, 0, 0)
    assert warehouse.sql("from quarantine").is_empty()
    path.write_bytes(whole[:3000])
    assert counted(ingest(warehouse, path)) == (1, 0, 0, 1)
    assert warehouse.sql("from path").is_empty()
    assert warehouse.sql("from frame").height == 1


def test_files_that_vanish_or_grow_fail_alone_and_are_tried_again(tmp_path):
    night = tmp_path / "night"
    for i in range(3):
        write_frame(night / f"{i}.fits", seed=i)
    pending = list_folders([night], NOTHING_KNOWN).pending
    gone = (night / "0.fits").read_bytes()
    (night / "0.fits").unlink()
    with (night / "1.fits").open("ab") as more:
        more.write(b"more")
    (batch,) = intake.scan(pending, seen_utc=NOW)
    assert (batch.n_new, batch.n_skipped, batch.n_failed) == (1, 0, 2)
    reasons = "\n".join(batch.quarantine["reason"])
    assert "No such file" in reasons
    assert "changed since it was listed" in reasons
    (night / "0.fits").write_bytes(gone)
    os.utime(night / "0.fits", ns=(0, pending[0].mtime_ns))
    again = list_folders([night], batch.quarantine.select(NOTHING_KNOWN.columns))
    assert len(again.pending) == 3


def test_an_unreadable_file_is_quarantined_with_the_systems_reason(tmp_path, monkeypatch):
    write_frame(tmp_path / "a.fits")
    write_frame(tmp_path / "b.fits", seed=1)
    pending = list_folders([tmp_path], NOTHING_KNOWN).pending
    open_file = intake.RawFile

    def deny(path):
        if path.name == "a.fits":
            raise PermissionError(13, "Permission denied")
        return open_file(path)

    monkeypatch.setattr(intake, "RawFile", deny)
    (batch,) = intake.scan(pending, seen_utc=NOW)
    assert (batch.n_new, batch.n_failed) == (1, 1)
    assert "Permission denied" in batch.quarantine["reason"][0]


def test_a_name_outside_utf8_is_quarantined(tmp_path, warehouse):
    name = os.fsencode(tmp_path) + b"/M\xfc13.fits"
    write_frame(tmp_path / "a.fits")
    try:
        os.rename(tmp_path / "a.fits", name)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert counted(ingest(warehouse, tmp_path)) == (1, 0, 0, 1)
    assert "not UTF-8" in warehouse.sql("from quarantine")["reason"][0]
    assert counted(ingest(warehouse, tmp_path)) == (1, 0, 1, 0)


def test_batches_do_not_change_the_rows(tmp_path):
    for i in range(7):
        write_frame(tmp_path / f"{i}.fits", seed=i % 5)
    pending = list_folders([tmp_path], NOTHING_KNOWN).pending
    (whole,) = intake.scan(pending, seen_utc=NOW)
    parts = list(intake.scan(pending, seen_utc=NOW, n_file=2))
    assert len(parts) == 4
    assert pl.concat([part.frame for part in parts]).equals(whole.frame)
    assert pl.concat([part.path for part in parts]).equals(whole.path)
    assert (whole.n_new, whole.n_skipped) == (5, 2)


def test_the_configuration_speaks_for_silent_headers(tmp_path, warehouse):
    (warehouse.folder / "starmuster.toml").write_text(
        '[site]\nname = "Bonn"\nlatitude_deg = 50.7\nlongitude_deg = 7.1\n'
        '[keywords]\nband = ["COLOUR"]\n[keywords.bands]\nr = ["rot"]\n'
        "[camera.other.site]\nlatitude_deg = -30.0\nlongitude_deg = 200.0\n"
    )
    given = {"SITELAT": 1.0, "SITELONG": 2.0}
    write_frame(tmp_path / "n" / "a.fits", seed=1, COLOUR="Rot")
    write_frame(tmp_path / "n" / "b.fits", seed=2, INSTRUME="other", **given)
    ingest(Warehouse(warehouse.folder), tmp_path / "n")
    rows = warehouse.sql("select band, longitude_deg, source from frame join site using (site_id)")
    assert set(rows.rows()) == {("r", 7.1, "configuration"), (None, -160.0, "configuration")}


def test_a_preview_changes_nothing(tmp_path, warehouse):
    write_frame(tmp_path / "n" / "a.fits")
    (tmp_path / "n" / "b.fits").write_bytes(b"bad")
    counts, frames = preview(warehouse, [tmp_path / "n"])
    assert counted(counts) == (2, 1, 0, 1)
    assert frames["frame_type"].to_list() == ["light"]
    assert frames.columns == warehouse.sql("from frame").columns
    assert warehouse.sql("from path").is_empty()
    assert warehouse.sql("from quarantine").is_empty()


@pytest.mark.real
def test_all_real_sets_in_one_warehouse(real_data, warehouse):
    seen = {
        folder: counted(ingest(warehouse, real_data / folder))
        for folder in ("hatp32", "lpseb35", "m13_griz", "st7_ramp", "odd_fits", "damaged")
    }
    assert seen == {
        "hatp32": (142, 142, 0, 0),
        "lpseb35": (75, 75, 0, 0),
        "m13_griz": (30, 30, 0, 0),
        "st7_ramp": (30, 30, 0, 0),
        "odd_fits": (66, 34, 0, 32),
        "damaged": (8, 1, 0, 7),
    }
    assert counted(ingest(warehouse, real_data / "hatp32")) == (142, 0, 142, 0)

    rows = warehouse.sql(
        "select camera_name, frame_type, band, count(*) as n from frame "
        "join camera using (camera_id) group by all"
    ).rows()
    n_frame = {(camera, kind, band): n for camera, kind, band, n in rows}
    truth = {
        ("Main", "light", "clear"): 142,
        ("dcam-spare", "light", "g"): 60,
        ("dcam-spare", "bias", None): 7,
        ("dcam-spare", "dark", None): 5,
        ("dcam-spare", "flat", "g"): 3,
        ("Apogee USB/Net", "bias", None): 3,
        ("Apogee USB/Net", "dark", None): 3,
        ("SBIG ST-7/7E/7XE", "bias", None): 3,
        ("SBIG ST-7/7E/7XE", "flat", None): 27,
    }
    truth |= {("Apogee USB/Net", "flat", band): 3 for band in "griz"}
    truth |= {("Apogee USB/Net", "light", b): n for b, n in zip("griz", (2, 3, 3, 4), strict=True)}
    own = {"Main", "dcam-spare", "Apogee USB/Net", "SBIG ST-7/7E/7XE"}
    assert {key: n for key, n in n_frame.items() if key[0] in own} == truth

    sites = warehouse.sql("from site order by site_id")
    assert sites["longitude_deg"].round(4).to_list()[:2] == [-110.88, -105.8203]
    nights = warehouse.sql(
        "select camera_name, night, count(*) as n from frame join camera using (camera_id) "
        "where camera_name in ('Main', 'dcam-spare', 'Apogee USB/Net') group by all"
    )
    assert {(c, str(night), n) for c, night, n in nights.rows()} == {
        ("Main", "2017-12-19", 142),
        ("dcam-spare", "2025-05-29", 75),
        ("Apogee USB/Net", "2019-05-02", 30),
    }
