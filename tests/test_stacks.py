"""Stacks from the command line: frames of a warehouse in, FITS, rows and pictures out."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image
from scipy.ndimage import median_filter

from starmuster.cli import main
from starmuster.cli.pictures import parse_cutout
from starmuster.errors import UsageError
from starmuster.ingest.synthetic import NightPlan, Truth, write_night
from starmuster.ingest.synthetic_pixels import moffat_enclosed
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect, frame_quality
from starmuster.transforms.flags import Flag
from starmuster.transforms.photometry import forced_photometry
from starmuster.warehouse.store import Warehouse

pytestmark = pytest.mark.long  # each rests on a whole night, reduced

PLAN = NightPlan(
    seed=23,
    n_x_pix=260,
    n_y_pix=200,
    n_light=8,
    cadence_s=1500.0,
    n_bias=5,
    n_dark=5,
    n_flat=5,
    n_star=30,
    n_comparison=10,
    target_flux_e_per_s=6000.0,
    n_hot_pixel=20,
    n_cosmic_ray=8,
    cloud_depth=0.3,
    drift_pix_per_frame=(1.7, -1.2),
)


@dataclass(frozen=True)
class Night:
    """A warehouse with one night, and what is true of it."""

    frames: Path
    truth: Truth
    folder: Path

    def copied(self, place: Path) -> "Night":
        """Return the same in folders of its own, for a test that changes it."""
        shutil.copytree(self.folder, place / "warehouse")
        return Night(self.frames, self.truth, place / "warehouse")

    def sql(self, query: str) -> pl.DataFrame:
        """Ask the warehouse."""
        return Warehouse(self.folder).sql(query)


@pytest.fixture
def ask(capsys) -> Callable[..., tuple[int, Any]]:
    """Run a command with --json; its exit status and document."""

    def run(folder: Path, *words: object) -> tuple[int, Any]:
        capsys.readouterr()
        code = main(["--warehouse", str(folder), "--json", *map(str, words)])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture(scope="module")
def night(tmp_path_factory, new_warehouse) -> Night:
    place = tmp_path_factory.mktemp("stacks")
    truth = write_night(place / "frames", PLAN)
    new_warehouse(place / "warehouse")
    assert main(["-w", str(place / "warehouse"), "ingest", str(place / "frames"), "-j", "2"]) == 0
    assert main(["-w", str(place / "warehouse"), "stack", "1", "--band", "r"]) == 0
    return Night(place / "frames", truth, place / "warehouse")


@pytest.fixture(scope="module")
def row(night) -> dict[str, Any]:
    return night.sql("from stack").row(0, named=True)


@pytest.fixture(scope="module")
def file(night, row) -> Path:
    return night.folder / "stacks" / row["file_name"]


def test_the_file_holds_light_variance_coverage_and_where_they_come_from(night, file, row):
    with fits.open(file) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "VARIANCE", "COVERAGE", "FRAMES"]
        data, variance, coverage = (hdus[i].data for i in range(3))
        header, frames = hdus[0].header, hdus["FRAMES"].data
        assert data.shape == variance.shape == coverage.shape == (PLAN.n_y_pix, PLAN.n_x_pix)
        np.testing.assert_array_equal(np.isfinite(data), coverage > 0)
        assert coverage.max() == PLAN.n_light
        assert header["NCOMBINE"] == row["n_frame"] == PLAN.n_light
        assert header["TOTALEXP"] == PLAN.n_light * PLAN.exposure_s
        assert header["CORRNOIS"] > 1.1
        assert header["IMAGETYP"] == "STACK"
        assert header["DATE-OBS"] < header["DATE-AVG"] < header["DATE-END"]
        assert frames["weight"].sum() == pytest.approx(1)
        assert set(frames["content_hash"]) == set(
            night.sql("from frame where frame_type = 'light'")["content_hash"]
        )


def test_the_rows_say_the_same_and_pass_all_checks(night, row):
    frames = night.sql("from stack_frame")
    assert frames["is_used"].all()
    assert frames["weight"].sum() == pytest.approx(1)
    assert frames["flux_factor"].min() == pytest.approx(1, abs=0.3)
    assert row["gain_e_per_adu"] == pytest.approx(PLAN.n_light * PLAN.gain_e_per_adu, rel=0.3)
    assert main(["-w", str(night.folder), "check"]) == 0


@pytest.fixture(scope="module")
def measured(night, row) -> pl.DataFrame:
    """Stars on the stack, beside their expected light and their errors on single frames."""
    words = ["-w", str(night.folder), "stack", "1", "--band", "r", "--measure"]
    assert main(words) == 0
    frames = night.sql(
        "select source_id, aperture_id, median(flux_err_adu) as frame_err_adu "
        "from light_curve group by all"
    )
    stack = night.sql("from stack_photometry join aperture using (aperture_id)")
    star = night.truth.star.filter(~pl.col("role").is_in(["target", "variable"]))
    x, y = (star[name].to_numpy()[:, None] for name in ("ra_deg", "dec_deg"))
    near = 3600 * np.hypot(
        (stack["ra_deg"].to_numpy() - x) * np.cos(np.radians(y)), stack["dec_deg"].to_numpy() - y
    )
    stack = stack.with_columns(
        flux_e_per_s=star["flux_e_per_s"].gather(near.argmin(axis=0)), miss_arcsec=near.min(axis=0)
    )
    return stack.filter(pl.col("miss_arcsec") < 1).join(frames, on=["source_id", "aperture_id"])


def test_photometry_on_a_stack_is_that_of_a_frame_with_smaller_errors(measured):
    alone = (pl.col("flags") & Flag.BLENDED.value) == 0
    stars = measured.filter(alone, aperture_name="1 fwhm")
    assert stars.height > 12
    ratio = stars["flux_adu"] / stars["flux_e_per_s"]
    bright = stars["flux_e_per_s"] > stars["flux_e_per_s"].median()
    pull = (ratio - ratio.filter(bright).median()) / (stars["flux_err_adu"] / stars["flux_e_per_s"])
    assert 0.3 < pull.abs().median() < 1.4  # 0.67 for errors that are right
    gained = (stars["frame_err_adu"] / stars["flux_err_adu"]).median()
    assert 0.6 < gained / np.sqrt(PLAN.n_light) < 1.2


def test_the_shared_noise_of_a_stacks_pixels_is_in_its_errors(night, row, measured):
    sky = night.sql("from stack_measurement")["sky_rms_adu"].median()
    faint = measured.filter(aperture_name="2 fwhm").drop_nulls("flux_adu")
    faint = faint.sort("flux_adu").head(3)
    n_pix = night.sql("from stack_flux").join(faint, on=["source_id", "aperture_id"])["n_pix"]
    independent = np.sqrt(n_pix.to_numpy()) * sky
    assert (faint["flux_err_adu"].to_numpy() > 1.02 * independent).all()
    assert row["noise_correlation"] > 1.1


def test_the_wcs_of_the_file_puts_the_stars_where_they_are(night, file):
    with fits.open(file) as hdus:
        wcs = WCS(fits.Header([c for c in hdus[0].header.cards if c.keyword[:4] != "DATE"]))
    source = night.sql("from source where ra_deg is not null")
    x, y = wcs.all_world2pix(source["ra_deg"], source["dec_deg"], 0)
    assert np.hypot(x - source["x_pix"], y - source["y_pix"]).max() < 0.05


def true_stars(night: Night, row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places and fluxes (ADU) of all stars on the frame to whose light the stack was scaled."""
    (path,) = night.sql(f"select path from path where frame_id = {row['reference_frame_id']}")[
        "path"
    ]
    i_light = night.truth.light["file_name"].to_list().index(Path(path).name)
    x, y = night.truth.positions_pix(i_light)
    return x, y, night.truth.fluxes_e(i_light) / PLAN.gain_e_per_adu


def test_photometry_on_a_stack_works_like_on_a_frame_and_gives_the_truth(night, file, row):
    with fits.open(file) as hdus:
        data, coverage = hdus[0].data.astype("f4"), hdus["COVERAGE"].data
        gain, correlation = hdus[0].header["EGAIN"], hdus[0].header["CORRNOIS"]
    x, y, flux = true_stars(night, row)
    apart = np.array([np.sort(np.hypot(x - x0, y - y0))[1] for x0, y0 in zip(x, y, strict=True)])
    edge = np.minimum(np.minimum(x, PLAN.n_x_pix - x), np.minimum(y, PLAN.n_y_pix - y))
    stars = pl.DataFrame({"x_pix": x, "y_pix": y, "flux_adu": flux, "apart": apart, "edge": edge})
    stars = stars.with_row_index("source_id").filter(
        pl.col("edge") > 25, pl.col("apart") > 25, pl.col("flux_adu").is_between(2e4, 5e5)
    )
    assert stars.height >= 8
    found = forced_photometry(
        np.where(coverage > 0, data, np.nan).astype("f4"),
        stars.select("source_id", "flux_adu", "x_pix", "y_pix"),
        apertures={1: 9.0},
        annulus_inner_pix=14.0,
        annulus_outer_pix=20.0,
        fwhm_pix=row["fwhm_pix"],
    ).aperture_flux.sort("source_id")
    true = stars.sort("source_id")["flux_adu"].to_numpy()
    measured = found["flux_adu"].to_numpy()
    sky = found["n_pix"].to_numpy() * (row["noise_adu"] * correlation) ** 2
    error = np.sqrt(true / gain + sky) / true
    ratio = measured / true
    ratio /= np.median(ratio)  # the aperture holds the same share of every star
    # the target is in transit and one star varies
    assert np.mean(np.abs(ratio - 1) < 4 * error + 2e-3) > 0.8
    held, inner, outer = (moffat_enclosed(radius, row["fwhm_pix"]) for radius in (9, 14, 20))
    held -= (outer - inner) * 9**2 / (20**2 - 14**2)  # the annulus takes wings for sky
    held *= light_of_the_flat(night, row, x, y, flux)
    assert np.median(measured / true) == pytest.approx(held, abs=0.01)


def light_of_the_flat(night: Night, row: dict[str, Any], x, y, flux) -> float:
    """Light of the reference frame over the truth: a flat is 1 at its median, not at its centre."""
    stars = night.sql(
        "select x_pix, y_pix, flux_adu from aperture_flux join measurement using (frame_id, "
        "source_id) join aperture using (aperture_id) where aperture_name = '10 arcsec' "
        f"and flux_adu between 2e4 and 5e5 and frame_id = {row['reference_frame_id']}"
    )
    off = np.hypot(stars["x_pix"].to_numpy()[:, None] - x, stars["y_pix"].to_numpy()[:, None] - y)
    near = off.argmin(axis=1)[off.min(axis=1) < 1.5]
    return float(np.median(stars["flux_adu"].to_numpy()[off.min(axis=1) < 1.5] / flux[near]))


def test_cosmic_rays_are_not_on_the_stack(night, file, row):
    with fits.open(file) as hdus:
        data, variance, coverage = (hdus[i].data.astype("f8") for i in range(3))
    free = coverage >= PLAN.n_light - 1
    y, x = np.mgrid[: PLAN.n_y_pix, : PLAN.n_x_pix]
    for x0, y0, _ in zip(*true_stars(night, row), strict=True):
        free &= np.hypot(x - x0, y - y0) > 12
    assert free.sum() > 10_000
    # the wings of stars are smooth, a ray is sharp
    sharp = (data - median_filter(data, 5)) / np.sqrt(variance)
    assert np.abs(sharp[free]).max() < 8
    assert np.sum(coverage[free] < PLAN.n_light) > 4


def test_the_same_stack_is_not_made_twice_and_a_changed_one_replaces_it(night, ask, tmp_path):
    own = night.copied(tmp_path)
    before = own.sql("from stack").row(0, named=True)
    code, again = ask(own.folder, "stack", 1, "--band", "r")
    assert (code, again["made_utc"]) == (0, before["made_utc"].isoformat())
    code, other = ask(own.folder, "stack", 1, "--band", "r", "--kernel", "lanczos3")
    assert (code, other["stack_id"], other["kernel"]) == (0, before["stack_id"], "lanczos3")
    (own.folder / "stacks" / other["file_name"]).unlink()
    (own.folder / "stacks" / ".draft-killed").mkdir()
    code, third = ask(own.folder, "stack", 1, "--band", "r", "--kernel", "lanczos3")
    assert code == 0
    assert third["checksum"] == other["checksum"]
    assert not list((own.folder / "stacks").glob(".draft-*"))
    assert own.sql("from stack").height == 1


def test_a_frame_whose_file_is_gone_is_left_out_with_its_reason(night, ask, tmp_path):
    own = night.copied(tmp_path)
    moved = tmp_path / "away"
    night.frames.rename(moved)
    try:
        code, document = ask(own.folder, "stack", 1, "--band", "r", "--rule", "weighted")
        assert code == 1
        assert "gone" in document["message"]
        kept = sorted((moved / "LIGHT").iterdir())[1:]
        (night.frames / "LIGHT").mkdir(parents=True)
        for path in kept:
            shutil.copy(path, night.frames / "LIGHT")
        code, document = ask(own.folder, "stack", 1, "--band", "r", "--rule", "weighted")
        assert code == 0
        assert document["n_frame"] == PLAN.n_light - 1
        ((lost),) = document["left_out"]
        assert "gone" in lost["reason"]
    finally:
        shutil.rmtree(night.frames, ignore_errors=True)
        moved.rename(night.frames)


def off_pix(night: Night, places: pl.DataFrame) -> np.ndarray:
    """How far places on the field are from the nearest true star, pixels of the field."""
    true = night.truth.star.select("ra_deg", "dec_deg").to_numpy()
    found = places.select("ra_deg", "dec_deg").to_numpy()
    east = (found[:, :1] - true[:, 0]) * np.cos(np.radians(true[0, 1]))
    apart = np.hypot(east, found[:, 1:] - true[:, 1]).min(axis=1)
    return 3600 * apart / PLAN.scale_arcsec_per_pix


def test_a_stack_serves_as_detection_image(night, ask, tmp_path):
    own = night.copied(tmp_path)
    # as if the frames had shown the brighter half only
    with Warehouse(own.folder).writing() as con:
        con.execute("delete from detection where significance < 60")
    (own.folder / "starmuster.toml").write_text("[detection]\nmin_flux_adu = 1\n")
    code, document = ask(own.folder, "stack", 1, "--band", "r", "--detect", "--measure")
    assert code == 0
    found = own.sql("from detection join search using (search_id) where stack_id = 1")
    assert document["n_found"] == found.height >= own.sql("from source").height * 0.9
    assert np.mean(off_pix(night, found) < 1) > 0.95
    assert document["n_star"] > 0
    assert main(["-w", str(own.folder), "check"]) == 0
    code, again = ask(own.folder, "stack", 1, "--band", "r", "--detect")
    assert (code, again["n_new"]) == (0, 0)
    assert own.sql("from search where stack_id is not null").height == 1
    # no run takes it back
    assert ask(own.folder, "run", "--jobs", 1)[0] == 0
    assert own.sql("from search where stack_id is not null").height == 1


@pytest.mark.parametrize(("image", "n_frame"), [("stack", 5), ("best frame", 1)])
def test_stars_are_looked_for_where_the_settings_say(night, ask, tmp_path, image, n_frame):
    own = night.copied(tmp_path)
    (own.folder / "starmuster.toml").write_text(f'[detection]\nimage = "{image}"\n')
    before = own.sql("select count(*) as n from source")["n"][0]
    assert ask(own.folder, "run", "--jobs", 1)[0] == 0
    assert own.sql("from search")["n_frame"].to_list() == [n_frame]
    after = own.sql("from source")
    assert after.height >= before if image == "stack" else after.height > 0.7 * before
    assert np.mean(off_pix(night, after) < 1) > 0.95
    assert not list((own.folder / "stacks").glob(".draft-*"))
    assert main(["-w", str(own.folder), "check"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("stack", 1, "--band", "g"), 2, "no frames in band g; there are: r on 2024-03-08"),
        (("stack", 1, "--band", "r", "--night", "2020-01-01"), 2, "band r on 2020-01-01"),
        (("stack", 1, "--band", "r", "--night", "soon"), 2, "2024-03-08 is expected"),
        (("stack", 7, "--band", "r"), 2, "no field '7'"),
        (("colour", 1, "--bands", "r", "g", "z"), 2, "no frames in band g"),
        (("colour", 1, "--bands", "r", "r", "r", "--cutout", "10 10 5"), 2, "beyond the field"),
        (("chart", 1, "--target", 999), 2, "no source 999"),
        (("chart", "M99"), 2, "no field 'M99'"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_what_there_is(night, ask, words, code, told):
    found, document = ask(night.folder, *words)
    assert found == code
    assert told in document["message"]


def test_a_field_without_registered_frames_has_no_stack(night, ask, tmp_path):
    own = night.copied(tmp_path)
    with Warehouse(own.folder).writing() as con:
        con.execute("delete from registration")
    code, document = ask(own.folder, "stack", 1, "--band", "r")
    assert code == 1
    assert "none of 8 frames was laid on the field" in document["message"]


def test_a_single_frame_makes_a_stack_of_one(night, ask, tmp_path):
    own = night.copied(tmp_path)
    with Warehouse(own.folder).writing() as con:
        con.execute("delete from registration where method <> 'reference'")
    code, document = ask(own.folder, "stack", 1, "--band", "r")
    assert code == 0
    assert document["n_frame"] == 1
    assert document["noise_correlation"] == pytest.approx(1)
    assert len(document["left_out"]) == PLAN.n_light - 1
    assert {frame["reason"] for frame in document["left_out"]} == {"it was not laid on its field"}


def test_a_colour_picture_shows_a_place_on_the_sky(night, ask, tmp_path):
    source = night.sql("from source order by flux_adu desc").row(0, named=True)
    output = tmp_path / "colour.png"
    place = f'{source["ra_deg"]} {source["dec_deg"]} 30"'
    code, document = ask(
        night.folder,
        *("colour", 1, "--bands", "r", "r", "r", "--weights", 1, 1, 1),
        *("--cutout", place, "--output", output, "--q", 10, "--stretch", 20),
    )
    assert code == 0
    with Image.open(output) as opened:
        picture = np.asarray(opened).astype(int)
    n_y, n_x, _ = picture.shape
    assert (document["n_x_pix"], document["n_y_pix"]) == (n_x, n_y)
    assert n_x == pytest.approx(30 / PLAN.scale_arcsec_per_pix, abs=2)
    bright = np.argwhere(picture.sum(axis=2) > 0.8 * picture.sum(axis=2).max())
    y, x = bright.mean(axis=0)
    assert (x, y) == (pytest.approx(n_x / 2, abs=2), pytest.approx(n_y / 2, abs=2))


def test_a_finding_chart_is_drawn_for_a_target(night, ask, tmp_path):
    code, document = ask(night.folder, "chart", 1, "--target", 1, "--output", tmp_path / "c.png")
    assert code == 0
    assert document["target_source_id"] == 1
    with Image.open(tmp_path / "c.png") as opened:
        assert min(opened.size) > 800


def test_a_cut_out_is_read_with_its_units():
    assert parse_cutout("250.42 36.46 5") == (250.42, 36.46, 300.0)
    assert parse_cutout('250.42 36.46 90"')[2] == 90
    assert parse_cutout("250.42 36.46 0.5d")[2] == 1800
    ra, dec, size = parse_cutout("16:41:41.2 +36:27:35 4'")
    assert (ra, dec, size) == (pytest.approx(250.42167), pytest.approx(36.45972), 240)
    for text in ("250.42 36.46", "250.42 36.46 wide", "", "250.42 36.46 -3", "a b 3"):
        with pytest.raises(UsageError, match="RA, DEC and SIZE"):
            parse_cutout(text)


@pytest.mark.real
def test_stacks_of_m13_share_their_stars_in_all_bands(real_data, ask, tmp_path):
    folder = tmp_path / "warehouse"
    assert main(["init", str(folder)]) == 0
    assert ask(folder, "ingest", real_data / "m13_griz")[0] == 0
    output = tmp_path / "m13.jpg"
    code, document = ask(folder, "colour", 1, "--bands", "i", "r", "g", "--output", output)
    assert code == 0
    assert (document["n_x_pix"], document["n_y_pix"]) == (1024, 1024)
    stacks = Warehouse(folder).sql("from stack")
    assert sorted(stacks["n_frame"].to_list()) == [2, 3, 3]
    places = {}
    for row in stacks.to_dicts():
        with fits.open(folder / "stacks" / row["file_name"]) as hdus:
            places[row["band"]] = _windowed(hdus[0].data.astype(float))
    for band in "ig":
        off = np.hypot(*(places[band] - places["r"]).T)
        assert np.nanmedian(off) * 0.668 < 0.15
    with Image.open(output) as opened:
        picture = np.asarray(opened).astype(int)
    core, corner = picture[400:600, 400:600], picture[:150, :150]
    assert core.mean() > 2 * corner.mean()


def _windowed(data: np.ndarray) -> np.ndarray:
    """Centres of light around fixed, isolated and bright places of the field of M13."""
    found = []
    for x0, y0 in ((344, 814), (666, 773), (827, 271), (332, 396), (442, 220), (153, 876)):
        part = np.clip(data[y0 - 6 : y0 + 7, x0 - 6 : x0 + 7], 0, None)
        y, x = np.mgrid[-6:7, -6:7]
        found.append((np.sum(part * x) / part.sum(), np.sum(part * y) / part.sum()))
    return np.array(found)


@pytest.mark.real
def test_a_night_that_drifted_by_half_its_field_stacks_to_sharp_stars(real_data, ask, tmp_path):
    folder = tmp_path / "warehouse"
    assert main(["init", str(folder)]) == 0
    assert ask(folder, "ingest", real_data / "hatp32")[0] == 0
    code, document = ask(folder, "stack", 1, "--band", "clear")
    assert code == 0
    assert document["n_frame"] == 142
    assert document["left_out"] == []
    with fits.open(document["files"][0]) as hdus:
        data = hdus[0].data.astype("f4")
    sky = mesh_background(data)
    stars = detect(data, background=sky, threshold_sigma=5.0)
    quality = frame_quality(
        stars,
        sky,
        mask=np.zeros(data.shape, np.uint8),
        saturation_adu=None,
        saturation_source="none",
        flags=0,
    )
    # the linear interpolation of frames of 2.1 pixels widens by a tenth
    assert quality["fwhm_pix"][0] < 1.15 * document["fwhm_pix"]
    assert quality["elongation"][0] < 1.4  # of the frames themselves it is 1.3
    single = Warehouse(folder).sql("select median(sky_rms_adu) as s from frame_quality")["s"][0]
    assert quality["sky_rms_adu"][0] < single / 3
