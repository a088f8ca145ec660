"""The library of masters by hand: retired, restored, imported; frames assigned; pages written."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from starmuster.cli import main
from starmuster.errors import CalibrationError, NotFoundError
from starmuster.ingest.nights import catalogue
from starmuster.transforms.run import work
from starmuster.transforms.samples import clipped_scatter
from starmuster.transforms.steps.assigning import assign_frames, known_frames
from starmuster.transforms.steps.gain import measure_gains
from starmuster.transforms.steps.levels import measure_levels
from starmuster.transforms.steps.library import restore_master, retire_master
from starmuster.transforms.steps.light_pixels import reduce_light
from starmuster.transforms.steps.lights import light_tasks
from starmuster.transforms.steps.masters import make_masters
from starmuster.transforms.steps.ramps import measure_ramps
from starmuster.transforms.steps.settings import mirror_settings
from starmuster.transforms.steps.worker import inspect_light, refuse_incomplete
from starmuster.warehouse.check import run_checks
from starmuster.warehouse.config import FILE_NAME
from starmuster.warehouse.packages import REPLACE_KEY
from starmuster.warehouse.runs import Run, rebuild
from starmuster.warehouse.store import Warehouse

SHAPE = (96, 128)
BIAS_ADU, READ_NOISE_ADU, GAIN = 500.0, 4.0, 2.0


def write_frame(path: Path, level_adu: float, rng, **cards) -> None:
    light = rng.poisson(level_adu * GAIN, SHAPE) / GAIN
    data = np.round(BIAS_ADU + light + rng.normal(0, READ_NOISE_ADU, SHAPE)).astype(np.uint16)
    header = fits.Header({"INSTRUME": "test camera", "XBINNING": 1, "YBINNING": 1} | cards)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(data, header).writeto(path)


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """Frames of one night: biases, darks, flats in r, lights, and flats that say nothing."""
    folder = tmp_path_factory.mktemp("night")
    rng = np.random.default_rng(11)
    at = "2024-03-08T2{}:0{}:00"
    for i in range(3):
        common = {"CCD-TEMP": -10.0}
        bias = common | {"IMAGETYP": "bias", "EXPTIME": 0.0, "DATE-OBS": at.format(0, i)}
        dark = common | {"IMAGETYP": "dark", "EXPTIME": 60.0, "DATE-OBS": at.format(1, i)}
        flat = common | {"IMAGETYP": "flat", "EXPTIME": 2.0, "DATE-OBS": at.format(2, i)}
        light = common | {"IMAGETYP": "light", "EXPTIME": 60.0, "DATE-OBS": at.format(3, i)}
        write_frame(folder / f"a{i}.fits", 0, rng, **bias)
        write_frame(folder / f"b{i}.fits", 12, rng, **dark)
        write_frame(folder / f"c{i}.fits", 9_000 + 300 * i, rng, **flat, FILTER="r")
        write_frame(folder / f"d{i}.fits", 50, rng, **light, FILTER="r", OBJECT="M37")
        silent = {"EXPTIME": 3.0, "DATE-OBS": at.format(2, 5 + i), "CCD-TEMP": -10.0}
        write_frame(folder / "silent" / f"x{i}.fits", 8_000 + 200 * i, rng, **silent)
    return folder


@pytest.fixture(scope="module")
def made(night, tmp_path_factory, new_warehouse) -> Path:
    """Folder of a warehouse with the masters, levels and gains of that night."""
    warehouse = new_warehouse(tmp_path_factory.mktemp("made") / "warehouse")
    with Run(warehouse, "test", "0") as run:
        mirror_settings(run)
        catalogue(run, [night])
        finish(run)
    return warehouse.folder


@pytest.fixture
def library(made, tmp_path):
    folder = tmp_path / "library"
    shutil.copytree(made, folder)
    with Warehouse(folder) as warehouse:
        yield warehouse


def finish(run: Run) -> list[str]:
    """Do what is pending for calibration frames; return the kinds of the masters made."""
    said: list[str] = []
    measure_levels(run)
    measure_gains(run, say=lambda _: None)
    make_masters(run, say=said.append)
    return [text.split()[2] for text in said if text.startswith("made master")]


def master(warehouse: Warehouse, kind: str, **which) -> dict:
    rows = warehouse.query("masters").filter(kind=kind, **which)
    assert rows.height == 1
    return rows.row(0, named=True)


def choice(warehouse: Warehouse, name: str) -> dict:
    with warehouse.reading() as con:
        rows = con.sql("from calibration_choice join path using (frame_id)").pl()
    return rows.filter(pl.col("path").str.ends_with(name)).row(0, named=True)


def assert_sound(warehouse: Warehouse) -> None:
    with warehouse.reading() as con:
        assert {n: rows.rows() for n, rows in run_checks(con).items() if rows.height} == {}


def test_level_and_noise_of_every_calibration_frame_are_noted(library):
    with library.reading() as con:
        levels = con.sql("from frame_level join frame using (frame_id)").pl()
    assert levels["frame_type"].value_counts().sort("frame_type").rows() == [
        ("bias", 3),
        ("dark", 3),
        ("flat", 3),
    ]
    biases = levels.filter(frame_type="bias")
    # 12,288 pixels: the noise to 1 %, the median to 0.05 ADU and a digit
    assert biases["noise_adu"].to_numpy() == pytest.approx(READ_NOISE_ADU, rel=0.04)
    assert biases["level_adu"].to_numpy() == pytest.approx(BIAS_ADU, abs=1)


def test_the_noise_of_masters_is_what_their_frames_predict(library):
    rows = library.query("masters").drop_nulls("noise_ratio")
    assert set(rows["kind"]) == {"bias", "dark", "flat"}
    assert rows["noise_ratio"].to_numpy() == pytest.approx(1, abs=0.06)


def test_a_retired_master_is_neither_used_nor_made_again(library):
    flat = master(library, "flat")["master_id"]
    with Run(library, "test", "0") as run:
        retire_master(run, flat, "dew on the window")
        assert finish(run) == []
    row = choice(library, "d0.fits")
    assert row["flat_master_id"] is None
    assert row["bias_master_id"] is not None
    assert master(library, "flat")["retired_because"] == "dew on the window"
    assert library.query("pending").filter(step="master")["n_frames"][0] == 0
    assert_sound(library)
    with Run(library, "test", "0") as run:
        with pytest.raises(NotFoundError, match="retired already"):
            retire_master(run, flat, "again")
        restore_master(run, flat)
        assert finish(run) == []
    assert choice(library, "d0.fits")["flat_master_id"] == flat
    assert_sound(library)


def test_retiring_a_bias_remakes_what_was_made_with_it_and_nothing_else(library):
    bias = master(library, "bias")["master_id"]
    with Run(library, "test", "0") as run:
        retire_master(run, bias, "light leak")
        assert finish(run) == ["dark", "flat"]
        assert finish(run) == []
    with library.reading() as con:
        rows = con.table("master").pl()
    assert rows.filter(kind="dark")["is_bias_subtracted"].to_list() == [False]
    assert rows.filter(kind="bias")["master_id"].to_list() == [bias]
    assert_sound(library)


def test_frames_of_a_retired_master_make_a_new_one_when_others_join(library, tmp_path):
    with Run(library, "test", "0") as run:
        retire_master(run, master(library, "flat")["master_id"], "dew")
        rng = np.random.default_rng(3)
        cards = {"IMAGETYP": "flat", "EXPTIME": 2.0, "DATE-OBS": "2024-03-08T22:30:00"}
        new = tmp_path / "more" / "c9.fits"
        write_frame(new, 9_100, rng, **cards, FILTER="r", **{"CCD-TEMP": -10.0})
        catalogue(run, [new])
        assert finish(run) == ["flat"]
    assert master(library, "flat", n_frame=4)["retired_because"] is None


def test_what_is_not_there_cannot_be_retired(library):
    with Run(library, "test", "0") as run:
        with pytest.raises(NotFoundError, match="no master 99"):
            retire_master(run, 99, "x")
        with pytest.raises(NotFoundError, match="is not retired"):
            restore_master(run, master(library, "bias")["master_id"])


def test_a_light_without_a_required_master_is_refused_and_the_nearest_is_named(library, night):
    (library.folder / FILE_NAME).write_text('[calibration]\nrequire = ["flat"]\n')
    (frame_id,) = known_frames(library, [night / "d0.fits"])
    asked = pl.DataFrame({"frame_id": [frame_id], "field_id": [1], "recipe": ["r"]})
    with Warehouse(library.folder) as strict:
        with Run(strict, "test", "0") as run:
            assign_frames(run, [frame_id], {"band": "i"})
        (task,) = light_tasks(strict, asked)
        with pytest.raises(CalibrationError, match=r"asks for a flat.*nearest: flat \d+, band r"):
            inspect_light(task)
        with Run(strict, "test", "0") as run:
            assign_frames(run, [frame_id], {"band": "r"})
        (task,) = light_tasks(strict, asked)
        refuse_incomplete(task)


# Masters made elsewhere ---------------------------------------------------------------------------


def elsewhere(path: Path, data: np.ndarray, **cards) -> Path:
    header = fits.Header({"INSTRUME": "test camera", "XBINNING": 1, "YBINNING": 1} | cards)
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(path)
    return path


def command(warehouse: Warehouse, *words: object) -> int:
    return main(["--warehouse", str(warehouse.folder), *(str(word) for word in words)])


def test_a_sub_frame_is_calibrated_with_the_part_of_the_masters_that_it_shows(
    library, night, tmp_path
):
    data, header = fits.getdata(night / "d0.fits", header=True)
    header.update({"XORGSUBF": 30, "YORGSUBF": 20})
    fits.PrimaryHDU(data[20:80, 30:110], header).writeto(tmp_path / "part.fits")
    with Run(library, "test", "0") as run:
        catalogue(run, [tmp_path])
    is_wanted = pl.col("path").str.contains(r"(d0|part)\.fits$")
    frames = library.sql("from path").filter(is_wanted)
    wanted = frames.sort("path").select("frame_id", field_id=pl.lit(0), recipe=pl.lit(""))
    ours = {task.path.name: reduce_light(task) for task in light_tasks(library, wanted)}
    assert (ours["part.fits"].data_adu == ours["d0.fits"].data_adu[20:80, 30:110]).all()
    assert (
        choice(library, "part.fits")["flat_master_id"]
        == choice(library, "d0.fits")["flat_master_id"]
    )


def test_a_calibrated_frame_is_what_ccddata_reads(library, night, tmp_path, capsys):
    command = ["--json", "calibrate", str(night / "d0.fits"), "--warehouse", str(library.folder)]
    assert main([*command, "--output", str(tmp_path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["has_variance"]
    frame = CCDData.read(row["path"])
    assert (frame.unit, frame.header["FILTER"]) == ("adu", "r")
    wanted = pl.DataFrame({"frame_id": [row["frame_id"]], "field_id": [0], "recipe": [""]})
    (task,) = light_tasks(library, wanted.cast({"frame_id": pl.Int32}))
    reduced = reduce_light(task)
    np.testing.assert_array_equal(frame.data, reduced.data_adu)
    np.testing.assert_array_equal(frame.mask, reduced.mask != 0)
    # light and read noise 41, dark 9.9, and the bias of three frames 7.2 ADU^2: it is in the dark,
    # too, and cancels, but masters count as if independent
    scatter = clipped_scatter(frame.data)
    assert scatter**2 == pytest.approx(41 + 9.9, rel=0.05)
    assert np.mean(frame.uncertainty.array) == pytest.approx(41 + 9.9 + 7.2, rel=0.05)
    assert main([*command, "--output", str(tmp_path)]) == 1  # nothing is written over


def test_limits_of_the_choice_remake_no_master_and_another_combination_does(library):
    path = library.folder / FILE_NAME
    for settings, expected in (
        ("max_days = 30", []),
        ('method = "mean"', ["bias", "dark", "flat"]),
    ):
        path.write_text(f"[masters]\n{settings}\n", encoding="utf-8")
        with Warehouse(library.folder) as told, Run(told, "test", "0") as run:
            mirror_settings(run)
            assert finish(run) == expected
            if expected:
                assert set(told.query("masters")["method"]) >= {"mean"}


def test_a_flat_made_elsewhere_is_normalised_and_used_where_it_is_the_best(library, tmp_path):
    rng = np.random.default_rng(5)
    data = rng.normal(20_000, 50, SHAPE)
    data[3, 4] = 0
    path = elsewhere(
        tmp_path / "my flat.fits", data, FILTER="V", NCOMBINE=25, **{"DATE-OBS": "2024-03-07T22:00"}
    )
    assert command(library, "masters", "--import", path, "--kind", "flat") == 0
    row = master(library, "flat", band="V")
    assert (row["n_frame"], row["method"], row["imported_from"]) == (25, "imported", str(path))
    assert row["level_adu"] == pytest.approx(20_000, abs=3)
    assert row["noise_adu"] == pytest.approx(50, rel=0.04)
    kept = fits.getdata(library.masters / row["file_name"])
    assert np.nanmedian(kept) == pytest.approx(1, abs=1e-5)
    assert np.isnan(kept[3, 4])
    assert_sound(library)
    with Run(library, "test", "0") as run:
        light = known_frames(library, [Path(choice(library, "d1.fits")["path"])])
        assign_frames(run, light, {"band": "V"})
    assert choice(library, "d1.fits")["flat_master_id"] == row["master_id"]
    assert command(library, "masters", "--import", path, "--kind", "flat") == 1  # twice


def test_a_bias_made_elsewhere_counts_for_the_masters_that_need_one(library, tmp_path):
    old = master(library, "bias")["master_id"]
    path = elsewhere(tmp_path / "bias.fits", np.full(SHAPE, BIAS_ADU))
    assert command(library, "masters", "--retire", old, "--because", "noisy") == 0
    words = ("masters", "--import", path, "--kind", "bias", "--night", "2024-03-01")
    assert command(library, *words) == 0
    with Run(library, "test", "0") as run:
        assert finish(run) == ["dark", "flat"]
    row = choice(library, "d0.fits")
    assert row["bias_master_id"] == master(library, "bias", method="imported")["master_id"]
    assert "bias of 7 nights away" in row["reason"]


@pytest.mark.parametrize(
    ("data", "cards", "words", "code"),
    [
        (np.zeros(SHAPE), {"DATE-OBS": "2024-03-07T22:00"}, ("--kind", "flat"), 1),
        (np.full(SHAPE, np.nan), {"DATE-OBS": "2024-03-07T22:00"}, ("--kind", "bias"), 1),
        (np.ones(SHAPE), {}, ("--kind", "bias"), 2),  # no night
        (np.ones(SHAPE), {"DATE-OBS": "2024-03-07T22:00"}, ("--kind", "dark"), 2),  # no exposure
        (np.ones(SHAPE), {"DATE-OBS": "2024-03-07T22:00"}, (), 2),  # no kind
        (np.ones(SHAPE), {"INSTRUME": "X", "DATE-OBS": "2024-03-07"}, ("--kind", "bias"), 2),
    ],
    ids=["zeros", "nan", "no night", "no exposure", "no kind", "another camera"],
)
def test_a_useless_master_is_refused(library, data, cards, words, code):
    path = elsewhere(library.folder / "m.fits", data, **cards)
    before = library.query("masters").height
    assert command(library, "masters", "--import", path, *words) == code
    assert library.query("masters").height == before
    assert not list(library.masters.glob("imported/*"))


# Frames that do not say what they are -------------------------------------------------------------


def test_assigned_flats_make_a_master_and_a_rebuild_keeps_them(library, night):
    with library.reading() as con:
        unknown = con.table("frame").filter("frame_type is null").count("*").fetchone()
    assert unknown == (3,)
    assert command(library, "assign", "--type", "flat", "--band", "g'", night / "silent") == 0
    with Run(library, "test", "0") as run:
        assert finish(run) == ["flat"]
    assert master(library, "flat", band="g")["n_frame"] == 3
    assert library.query("cameras").filter(band="g")["gain_e_per_adu"].is_not_null().all()
    assert_sound(library)
    rebuild(library.folder)
    with library.reading() as con:
        frames = con.table("frame").filter("frame_type_source = 'assigned'").pl()
    assert frames["band"].to_list() == ["g"] * 3


def test_an_assigned_band_takes_its_frame_out_of_the_master_it_was_in(library, night):
    old = master(library, "flat")
    before = library.query("cameras").height
    with Run(library, "test", "0") as run:
        frame_ids = known_frames(library, [night / "c2.fits"])
        assert assign_frames(run, frame_ids, {"band": "z"}) == 1
        assert not (library.masters / old["file_name"]).exists()
        assert finish(run) == ["flat", "flat"]
        assert assign_frames(run, frame_ids, {"band": "z"}) == 0
        assert finish(run) == []
    assert master(library, "flat", band="r")["n_frame"] == 2
    assert master(library, "flat", band="z")["n_frame"] == 1
    cameras = library.query("cameras")
    assert cameras.height == before + 1
    assert cameras.filter(band="z")["verdict"][0].startswith("too few: 1 flat")
    assert_sound(library)


def test_a_light_that_is_none_leaves_nothing_behind(library, night, fill):
    frame_ids = known_frames(library, [night / "d0.fits"])
    # whatever may ever be known of a light
    tables = {name for name, key in REPLACE_KEY.items() if key == "frame_id"} - {
        "frame", "frame_level", "product", "vantage",
    }  # fmt: skip
    with Run(library, "test", "0") as run:
        run.store("light", {name: fill(name, [{"frame_id": frame_ids[0]}]) for name in tables})
        assign_frames(run, frame_ids, {"frame_type": "dark", "frame_type_source": "assigned"})
        finish(run)
    assert master(library, "dark")["n_frame"] == 4
    for name in tables:
        assert library.sql(f"from {name} where frame_id = {frame_ids[0]}").is_empty(), name
    assert_sound(library)


def test_the_reference_of_a_field_stays_a_light(library, night, fill):
    (frame_id,) = known_frames(library, [night / "d0.fits"])
    with Run(library, "test", "0") as run:
        field = {"field_id": 1, "field_name": "M37", "reference_frame_id": frame_id}
        run.store("field", {"field": fill("field", [field])})
        with pytest.raises(CalibrationError, match="is the reference of field 'M37'"):
            assign_frames(run, [frame_id], {"frame_type": "flat"})


def test_paths_that_were_never_ingested_are_told(library, tmp_path):
    with pytest.raises(NotFoundError, match="Ingest it first"):
        known_frames(library, [tmp_path])
    assert command(library, "assign", tmp_path) == 2


# Commands and pages -------------------------------------------------------------------------------


def test_camera_answers_with_what_was_measured(library, capsys):
    assert command(library, "camera", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["camera"] == "test camera"
    assert (row["night"], row["band"], row["n_pairs"]) == ("2024-03-08", "r", 2)
    assert row["verdict"] == "ok"
    # 12 tiles of 1021 degrees of freedom in two pairs
    assert row["gain_e_per_adu"] == pytest.approx(GAIN, abs=4 * row["gain_err_e_per_adu"])
    assert row["read_noise_e"] == pytest.approx(GAIN * READ_NOISE_ADU, rel=0.1)
    assert row["saturation_adu"] is None
    assert command(library, "camera", "none such") == 2


@pytest.mark.parametrize(
    ("words", "page", "expected"),
    [
        (("camera",), "camera-test-camera.html", ("Read noise", "r, 2024-03-08", "data:image/png")),
        (
            ("report", "night"),
            "night-2024-03-08.html",
            ("15 frames, 3 of them lights", "3 frames of unknown type", "Expected"),
        ),
    ],
)
def test_a_page_says_what_was_measured_and_loads_nothing(library, words, page, expected):
    assert command(library, *words) == 0
    html = (library.reports / page).read_text(encoding="utf-8")
    for text in expected:
        assert text in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).split()


def test_a_night_without_frames_names_the_nearest(library, capsys):
    assert command(library, "report", "night", "2024-04-01") == 2
    assert "nearest night is 2024-03-08" in capsys.readouterr().err
    assert command(library, "report", "night", "yesterday") == 2


# Real frames --------------------------------------------------------------------------------------


def reduced(warehouse: Warehouse, paths: list[Path]) -> pl.DataFrame:
    with Run(warehouse, "test", "0") as run:
        mirror_settings(run)
        catalogue(run, paths)
        measure_levels(run)
        measure_gains(run, say=lambda _: None)
        measure_ramps(run, say=lambda _: None)
    return warehouse.query("cameras")


@pytest.mark.real
def test_m13_has_one_gain_in_four_bands_through_the_whole_chain(warehouse, real_data):
    folder = real_data / "m13_griz"
    rows = reduced(warehouse, [*folder.glob("Bias*"), *folder.glob("domeflat*")])
    gains = rows["gain_e_per_adu"].to_numpy()
    assert rows["band"].to_list() == ["g", "i", "r", "z"]
    assert ((gains >= 1.28) & (gains <= 1.32)).all()
    assert gains.max() / gains.min() < 1.01
    assert rows["read_noise_e"].is_between(7.2, 7.8).all()


@pytest.mark.real
def test_st7_is_measured_from_its_ramp_whatever_its_headers_leave_out(warehouse, real_data):
    (row,) = reduced(warehouse, [real_data / "st7_ramp"])[:1].to_dicts()
    assert 0.43 <= row["gain_e_per_adu"] <= 0.46
    assert row["read_noise_e"] == pytest.approx(16, rel=0.1)
    assert row["saturation_adu"] == pytest.approx(40_000, rel=0.1)
    assert row["linearity"].startswith("not measurable: 3 flats of 29.5 s differ by 12.5%")


@pytest.mark.real
def test_truncated_flats_are_never_combined_and_one_is_too_few(warehouse, real_data):
    with Run(warehouse, "test", "0") as run:
        catalogue(run, [real_data / "damaged"])
        work(run, jobs=1, progress=None, say=lambda _: None)  # pyright: ignore
    with warehouse.reading() as con:
        used = con.sql("from master_frame join path using (frame_id)").pl()
    assert [Path(path).name for path in used["path"]] == ["ASI178_Flat_0004_whole.fit"]
    rows = warehouse.query("cameras")
    assert rows["verdict"].to_list() == ["too few: 1 flat, at least 2 are needed"]
    assert rows["gain_e_per_adu"].to_list() == [None]
