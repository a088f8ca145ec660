"""Fields that come to the sky late, by what is at hand, and solvers that misbehave."""

import io
import json
import shutil
import stat
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from starmuster.cli import main
from starmuster.ingest.synthetic import NightPlan, Truth, write_night
from starmuster.transforms.astrometry import separation_deg, sky_positions, wcs_from_cards
from starmuster.warehouse.store import FILE_NAME, Warehouse

PLAN = NightPlan(
    seed=5,
    n_x_pix=300,
    n_y_pix=220,
    n_light=3,
    cadence_s=3600.0,
    n_bias=0,
    n_dark=0,
    n_flat=0,
    n_star=60,
    n_comparison=12,
    target_flux_e_per_s=6000.0,
    flip_frame=2,
    has_wcs=False,
)
SOLVERS = {
    "none": None,
    "hangs": "sleep 600",
    "is killed": "kill -9 $$",
    "breaks": "echo 'engine: segmentation fault'; exit 139",
    "finds nothing": "echo 'Field 1 did not solve (index index-1.fits)'",
}


def asked(folder: Path, *words: object) -> tuple[int, str]:
    """Run a command on a warehouse; return the exit status and what it printed."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = main(["--warehouse", str(folder), *map(str, words)])
    return code, out.getvalue()


def pretend_solver(folder: Path, script: str | None) -> str:
    """Make a folder for the path in which solve-field is a script, or not there at all."""
    place = folder / f"bin-{len(list(folder.iterdir()))}"
    place.mkdir()
    for name in ("sh", "sleep", "kill", "echo"):
        if (found := shutil.which(name)) is not None:
            (place / name).symlink_to(found)
    if script is not None:
        program = place / "solve-field"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(place)


def index_file(folder: Path, low_arcmin: float, high_arcmin: float) -> Path:
    """Write what starmuster reads of an index file: the scales in its header."""
    header = fits.Header()
    header["SCALE_L"], header["SCALE_U"] = np.radians([low_arcmin / 60, high_arcmin / 60])
    path = folder / "index-1.fits"
    fits.PrimaryHDU(np.zeros(3000, np.uint8), header).writeto(path)
    return path


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("solving")
    return folder, write_night(folder / "frames", PLAN)


@pytest.fixture(scope="module")
def unsolved(night: tuple[Path, Truth], new_warehouse) -> Path:
    """A warehouse with a measured night that no solver was there for."""
    folder = new_warehouse(night[0] / "warehouse").folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", pretend_solver(night[0], None))
        index = night[0] / "index"
        index.mkdir()
        index_file(index, 0.5, 9.0)
        settings = f'[registration]\nsolve_timeout_s = 1.0\nindex_folder = "{index}"\n'
        (folder / FILE_NAME).write_text(settings)
        code, told = asked(folder, "ingest", night[0] / "frames", "--jobs", 1)
    assert code == 0, told
    assert "not on the sky" in told
    return folder


@pytest.fixture
def copied(unsolved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unsolved, tmp_path / "warehouse"))


def rows(folder: Path, table: str) -> pl.DataFrame:
    with Warehouse(folder).reading() as con:
        return con.table(table).order("all").pl()


def catalogue(truth: Truth, path: Path, *, off_deg: float = 0.0) -> Path:
    """Write the stars of a night as the catalogue of somebody else."""
    star = truth.star.select(
        pl.col("ra_deg").alias("ra"),
        (pl.col("dec_deg") + off_deg).alias("dec"),
        (20 - 2.5 * pl.col("flux_e_per_s").log10()).alias("phot_g_mean_mag"),
    )
    star.write_csv(path)
    return path


def test_an_unsolved_night_is_measured_in_its_own_pixels(unsolved):
    assert rows(unsolved, "registration").height == PLAN.n_light
    assert rows(unsolved, "wcs").is_empty()
    assert rows(unsolved, "source")["ra_deg"].null_count() == rows(unsolved, "source").height
    assert rows(unsolved, "failure").is_empty()


@pytest.fixture(scope="module")
def solved(night: tuple[Path, Truth], unsolved: Path) -> Path:
    """The same warehouse after a catalogue was imported."""
    folder = Path(shutil.copytree(unsolved, night[0] / "solved"))
    path = catalogue(night[1], night[0] / "gaia.csv")
    code, told = asked(folder, "import", "catalogue", path, "--as", "gaia-dr3")
    assert code == 0, told
    code, told = asked(folder, "run", "--jobs", 1)
    assert code == 0, told
    return folder


def test_a_catalogue_that_comes_later_puts_the_field_on_the_sky(night, unsolved, solved):
    assert sorted(rows(solved, "wcs")["method"]) == ["catalogue", "field", "field"]
    for table in ("measurement", "aperture_flux"):
        assert rows(solved, table).equals(rows(unsolved, table))
    source, star = rows(solved, "source"), night[1].star
    off_arcsec = 3600 * separation_deg(
        source["ra_deg"].to_numpy()[:, None],
        source["dec_deg"].to_numpy()[:, None],
        star["ra_deg"].to_numpy(),
        star["dec_deg"].to_numpy(),
    ).min(axis=1)
    assert np.median(off_arcsec) < 0.3 * PLAN.scale_arcsec_per_pix
    assert rows(solved, "field")["is_on_sky"].all()


def test_every_frame_lies_where_it_truly_is_also_after_the_meridian_flip(night, solved):
    with Warehouse(solved).reading() as con:
        frames = con.sql("from wcs join frame using (frame_id)").order("mid_utc").pl().to_dicts()
    assert len(frames) == PLAN.n_light
    for i, row in enumerate(frames):
        ra, dec = sky_positions(wcs_from_cards(row["cards"]), *night[1].positions_pix(i))
        star = night[1].star
        off_arcsec = 3600 * separation_deg(ra, dec, star["ra_deg"], star["dec_deg"])
        assert np.median(off_arcsec) < 0.3 * PLAN.scale_arcsec_per_pix
    assert abs(frames[2]["rotation_deg"] - frames[0]["rotation_deg"]) == pytest.approx(180, abs=0.5)


@pytest.mark.parametrize(
    ("solver", "reason"),
    [
        ("hangs", "no solution within 1 s, stopped"),
        ("is killed", "killed by signal 9 (SIGKILL)"),
        ("breaks", "segmentation fault"),
        ("finds nothing", "stars match no part of the sky"),
    ],
)
def test_what_a_misbehaving_solver_did_is_in_the_database(
    copied, tmp_path, monkeypatch, solver, reason
):
    monkeypatch.setenv("PATH", pretend_solver(tmp_path, SOLVERS[solver]))
    start = time.monotonic()
    code, told = asked(copied, "run", "--jobs", 1)
    assert code == 0, told  # its frames are measured
    assert reason in told
    assert time.monotonic() - start < 20
    failure = rows(copied, "failure")
    assert failure["step"].to_list() == ["solving"]
    assert reason in failure["message"][0]
    assert rows(copied, "measurement").height > 0
    code, told = asked(copied, "run", "--jobs", 1)  # nothing new: not tried again
    assert code == 0, told
    assert rows(copied, "failure").height == 1


def test_index_files_that_are_damaged_or_too_coarse_are_told(copied, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", pretend_solver(tmp_path, SOLVERS["hangs"]))
    index = tmp_path / "index"
    index.mkdir()
    path = index_file(index, 300.0, 600.0)
    settings = f'[registration]\nindex_folder = "{index}"\n'
    (copied / FILE_NAME).write_text(settings)
    asked(copied, "run", "--jobs", 1)
    assert "index files for fields of 300" in rows(copied, "failure")["message"][-1]
    path.write_bytes(path.read_bytes()[:4000])
    asked(copied, "run", "--jobs", 1)
    messages = rows(copied, "failure").sort("failed_utc")["message"]
    assert "index-1.fits is damaged: 4000 bytes" in messages[-1]


def test_a_catalogue_of_another_place_solves_nothing(night, copied, tmp_path):
    path = catalogue(night[1], tmp_path / "gaia.csv", off_deg=5.0)
    asked(copied, "import", "catalogue", path, "--as", "gaia-dr3")
    code, told = asked(copied, "run", "--jobs", 1)
    assert code == 0, told
    assert rows(copied, "wcs").is_empty()


def test_a_later_frame_that_is_on_the_sky_by_itself_lends_its_place_to_the_field(copied, tmp_path):
    (copied / FILE_NAME).write_text("[registration]\nsolve = false\n")
    write_night(tmp_path / "later", replace(PLAN, has_wcs=True, n_light=1))
    code, told = asked(copied, "ingest", tmp_path / "later" / "LIGHT", "--jobs", 1)
    assert code == 0, told
    assert rows(copied, "field")["is_on_sky"].to_list() == [True]
    assert rows(copied, "wcs").height == PLAN.n_light + 1
    reference = rows(copied, "wcs").filter(pl.col("verdict").str.contains("carried over"))
    assert reference["method"].to_list() == ["header"]


def test_plates_tell_how_well_the_stars_agree_and_draw_it(solved, tmp_path):
    code, told = asked(solved, "--json", "plates")
    assert code == 0, told
    listed = pl.DataFrame(json.loads(told)).sort("frame_id")
    assert listed["method"].to_list().count("catalogue") == 1
    assert listed["median_residual_pix"].max() < 0.3
    number = listed.filter(method="catalogue")["frame_id"][0]
    picture = tmp_path / "plate.png"
    code, told = asked(solved, "plates", "--frame", number, "--output", picture)
    assert code == 0, told
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert asked(solved, "plates", "--frame", "nowhere.fits")[0] == 2


def test_quality_of_a_plate_is_that_of_its_residuals(database, fill):
    rng = np.random.default_rng(3)
    n_star = 400
    place = rng.uniform(0, [1000, 800], (n_star, 2))
    off = rng.normal(0, 0.2, (n_star, 2))
    off[(place > [500, 400]).all(axis=1)] += [1.0, 0.0]  # one quadrant is shifted
    used = rng.random(n_star) < 0.9
    given = {
        "frame": [{"frame_id": 1, "n_x_pix": 1000, "n_y_pix": 800}],
        "wcs": [{"frame_id": 1, "scale_arcsec_per_pix": 2.0, "method": "catalogue"}],
        "wcs_residual": [
            {
                "frame_id": 1,
                "x_pix": x,
                "y_pix": y,
                "dx_pix": dx,
                "dy_pix": dy,
                "is_used": bool(is_used),
            }
            for (x, y), (dx, dy), is_used in zip(place, off, used, strict=True)
        ],
    }
    for table, rows_given in given.items():
        database.register("given", fill(table, rows_given))
        database.execute(f"insert into {table} by name from given")
    (row,) = database.table("wcs_quality").pl().to_dicts()
    distance = np.hypot(*off[used].T)
    assert row["n_star"] == used.sum()
    assert row["n_left_out"] == n_star - used.sum()
    assert row["median_residual_arcsec"] == pytest.approx(2 * np.median(distance), rel=1e-4)
    assert row["rms_residual_pix"] == pytest.approx(np.sqrt(np.mean(distance**2)), rel=1e-4)
    assert row["max_residual_pix"] == pytest.approx(distance.max(), rel=1e-4)
    assert row["quadrant_offset_pix"] == pytest.approx(1.0, abs=0.1)
    inner = (((place[used] / [500, 400]) - 1) ** 2).sum(axis=1) < 2 / np.pi
    expected = [np.sqrt(np.mean(distance[here] ** 2)) for here in (inner, ~inner)]
    assert [row["rms_inner_pix"], row["rms_outer_pix"]] == pytest.approx(expected, rel=1e-3)
