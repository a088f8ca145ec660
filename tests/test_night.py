"""A night from its folder to a transit report, through the commands a user types.

The night is synthetic, so every number that comes out is held against what was put in.
"""

import io
import json
import math
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.testing import assert_allclose

from starmuster.cli import main
from starmuster.cli.demo import recoveries
from starmuster.ingest.synthetic import NightPlan, Truth, write_night
from starmuster.sql import scripts
from starmuster.transforms.flags import Flag
from starmuster.transforms.pairing import pair_points
from starmuster.warehouse.packages import REPLACE_KEY
from starmuster.warehouse.store import FILE_NAME, Warehouse, shipped

PLAN = NightPlan(
    seed=7,
    n_x_pix=300,
    n_y_pix=220,
    n_light=30,
    cadence_s=420.0,
    n_bias=5,
    n_dark=5,
    n_flat=6,
    n_damaged=1,
    n_star=40,
    n_comparison=14,
    target_flux_e_per_s=6000.0,
    n_hot_pixel=20,
    n_cosmic_ray=0,
    drift_pix_per_frame=(0.8, -0.5),
)
SMALL_PLAN = NightPlan(
    seed=11,
    n_x_pix=240,
    n_y_pix=180,
    n_light=8,
    cadence_s=1600.0,
    n_bias=5,
    n_dark=5,
    n_flat=5,
    n_star=30,
    n_comparison=10,
    target_flux_e_per_s=6000.0,
    has_wcs=False,
    drift_pix_per_frame=(3.0, 2.0),
)
WITHOUT_WCS = 4  # the light whose WCS is taken away
REPORT = {
    "target": str,
    "night": str,
    "verdict": str,
    "band": str,
    "n_points": int,
    "n_comparison": int,
    "aperture": str,
    "mid_bjd_tdb": float,
    "mid_bjd_tdb_err": float,
    "radius_ratio": float,
    "radius_ratio_err": float,
    "depth": float,
    "depth_err": float,
    "duration_h": float,
    "duration_h_err": float,
    "first_contact_bjd_tdb": float,
    "fourth_contact_bjd_tdb": float,
    "residual_scatter": float,
    "residual_scatter_all": float,
    "n_outliers": int,
    "o_minus_c_min": float,
    "files": list,
}
POINT = [
    "mid_jd_utc",
    "mid_bjd_tdb",
    "band",
    "relative_flux",
    "relative_flux_err",
    "airmass",
    "flags",
]


def asked(folder: Path, *words: object) -> tuple[int, Any]:
    """Run a command with --json on a warehouse; return the exit status and the document."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["--warehouse", str(folder), "--json", *map(str, words)])
    return code, json.loads(out.getvalue())


def told(folder: Path, *words: object) -> Any:
    """Run a command that must succeed; return the document."""
    code, document = asked(folder, *words)
    assert code == 0, document
    return document


def everything(folder: Path) -> dict[str, pl.DataFrame]:
    """Return all rows of all tables that describe the sky, in the order of their keys."""
    with Warehouse(folder).reading() as con:
        tables = shipped(con, "tables").filter(kind="table")["table_name"]
        return {name: con.table(name).order("all").pl() for name in tables if name in REPLACE_KEY}


@dataclass(frozen=True)
class Night:
    """A night on disk, its truth, and a warehouse into which it was taken."""

    folder: Path
    truth: Truth
    warehouse: Path
    code: int = 0
    ingested: dict[str, Any] | None = None

    @property
    def good(self) -> pl.DataFrame:
        """The lights that are whole, with their place in the night as i_light."""
        light = self.truth.light.with_row_index("i_light")
        return light.filter(~pl.col("file_name").is_in([path.name for path in self.truth.damaged]))

    def copied(self, place: Path) -> "Night":
        """Return the same with a copy of the warehouse, for a test that writes."""
        shutil.copytree(self.warehouse, place)
        return Night(self.folder, self.truth, place)

    def sql(self, query: str) -> pl.DataFrame:
        """Ask the warehouse."""
        return Warehouse(self.warehouse).sql(query)


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Night:
    """The night in a warehouse, by one `ingest`; one light is damaged, one has no WCS."""
    place = tmp_path_factory.mktemp("night")
    truth = write_night(place / "frames", PLAN)
    lights = [path for path in truth.path if path.parent.name == "LIGHT"]
    with fits.open(lights[WITHOUT_WCS], mode="update") as hdus:
        for card in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
            del hdus[0].header[card]
    assert main(["init", str(place / "warehouse")]) == 0
    code, document = asked(place / "warehouse", "ingest", place / "frames", "--jobs", 2)
    told(place / "warehouse", "import", "ephemerides", truth.planets_csv)
    return Night(place / "frames", truth, place / "warehouse", code, document)


@pytest.fixture(scope="module")
def matched(night) -> pl.DataFrame:
    """Every measurement beside the truth of its star and frame."""
    source = night.sql("from source")
    true, found = (
        SkyCoord(rows["ra_deg"].to_numpy(), rows["dec_deg"].to_numpy(), unit="deg")
        for rows in (night.truth.star, source)
    )
    index, separation, _ = found.match_to_catalog_sky(true)
    star = source.select("source_id").with_columns(
        i_star=pl.Series(index), off_arcsec=pl.Series(separation.arcsec)
    )
    truth = []
    for i_light, file_name in night.good.select("i_light", "file_name").iter_rows():
        x_pix, y_pix = night.truth.positions_pix(i_light)
        truth.append(
            pl.DataFrame(
                {
                    "i_star": np.arange(len(x_pix)),
                    "true_x_pix": x_pix,
                    "true_y_pix": y_pix,
                    "true_e": night.truth.fluxes_e(i_light),
                }
            ).with_columns(file_name=pl.lit(file_name), i_light=pl.lit(i_light))
        )
    measured = night.sql("from light_curve join path using (frame_id)").with_columns(
        file_name=pl.col("path").str.split("/").list.last()
    )
    aperture = night.sql("from aperture").select("aperture_id", "aperture_name")
    return (
        measured.join(star.filter(pl.col("off_arcsec") < 1), on="source_id")
        .join(pl.concat(truth), on=["file_name", "i_star"])
        .join(aperture, on="aperture_id")
    )


def test_every_file_is_counted_once_and_a_damaged_one_costs_only_itself(night):
    document = night.ingested
    assert night.code == 1
    n_file = len(night.truth.path)
    assert document.pop("seconds") > 0
    assert document == {
        "frames_seen": n_file,
        "frames_new": n_file - 1,
        "frames_skipped": 0,
        "frames_failed": 1,
        "masters": night.sql("from master").height,
        "frames_measured": PLAN.n_light - 1,
        "frames_not_measured": 0,
        "measurements": night.sql("from measurement").height,
    }


def test_the_damaged_frame_is_quarantined_with_its_reason(night):
    (damaged,) = night.truth.damaged
    quarantine = night.sql("from quarantine")
    assert quarantine["path"].to_list() == [str(damaged)]
    failures = told(night.warehouse, "status")["failures"]
    assert [(row["step"], row["subject"]) for row in failures] == [("catalogue", str(damaged))]
    assert quarantine["reason"][0] in failures[0]["message"]


def test_masters_come_from_all_their_frames_and_every_light_gets_them(night):
    masters = dict(night.sql("from master").select("kind", "n_frame").iter_rows())
    assert (masters["bias"], masters["dark"], masters["flat"]) == (5, 5, 6)
    calibration = night.sql("from calibration semi join registration using (frame_id)")
    assert calibration.height == PLAN.n_light - 1
    for column in ("bias_master_id", "dark_master_id", "flat_master_id"):
        assert calibration[column].null_count() == 0
    missing = Flag.NO_BIAS | Flag.NO_DARK | Flag.NO_FLAT
    assert set(night.sql("from frame_quality")["flags"] & int(missing)) == {0}


def test_the_gain_and_read_noise_of_the_camera_are_found(night):
    fit = night.sql("from gain_fit where method = 'photon transfer'").row(0, named=True)
    off = (fit["gain_e_per_adu"] - PLAN.gain_e_per_adu) / fit["gain_err_e_per_adu"]
    assert abs(off) < 4
    assert fit["gain_err_e_per_adu"] < 0.02
    # A read noise from five biases of 66,000 pixels is good to a percent.
    assert_allclose(fit["read_noise_e"], PLAN.read_noise_e, rtol=0.02)


def test_stars_are_measured_where_they_are_on_every_frame(matched, night):
    bright = matched.filter(pl.col("true_e") > 20_000)
    off = bright.group_by("i_light").agg(
        dx=(pl.col("x_pix") - pl.col("true_x_pix")).median(),
        dy=(pl.col("y_pix") - pl.col("true_y_pix")).median(),
    )
    assert off.height == PLAN.n_light - 1
    # A centroid of 20,000 electrons and FWHM 5 pixels is good to 0.02; the median of ten to less.
    assert off.select(pl.max_horizontal(pl.col("dx", "dy").abs()).max()).item() < 0.05
    shift = night.sql(
        "from registration join path using (frame_id) join field_reference using (field_id)"
    ).with_columns(file_name=pl.col("path").str.split("/").list.last())
    known = shift.join(night.truth.light, on="file_name")
    reference = known.filter(pl.col("frame_id") == pl.col("reference_frame_id"))
    for axis in ("x", "y"):
        true_pix = known[f"shift_{axis}_pix"] - reference[f"shift_{axis}_pix"][0]
        assert_allclose(known[f"{axis}_shift_pix"], true_pix, atol=0.05)


def test_a_light_without_a_wcs_is_registered_by_its_stars_and_gets_a_place_on_the_sky(night):
    name = night.truth.light["file_name"][WITHOUT_WCS]
    row = night.sql("from registration join path using (frame_id)").filter(
        pl.col("path").str.ends_with(name)
    )
    assert row["method"].to_list() == ["stars"]
    wcs = night.sql("from wcs").filter(pl.col("frame_id") == row["frame_id"][0])
    assert wcs["method"].to_list() == ["field"]
    assert_allclose(wcs["scale_arcsec_per_pix"][0], PLAN.scale_arcsec_per_pix, rtol=1e-3)


def test_fluxes_equal_what_the_stars_sent_within_the_noise(matched):
    widest = matched.filter(
        (pl.col("aperture_name") == "2 fwhm") & (pl.col("flags") == 0) & (pl.col("true_e") > 3000)
    )
    assert widest.height > 200
    ratio = (widest["flux_adu"] * PLAN.gain_e_per_adu / widest["true_e"]).to_numpy()
    # The flat is normalised by its median, so all fluxes share one factor, and the aperture
    # holds all but a few thousandths of the light.
    factor = float(np.median(ratio))
    assert abs(factor - 1) < 0.15
    error = (widest["flux_err_adu"] * PLAN.gain_e_per_adu / widest["true_e"]).to_numpy()
    pull = (ratio - factor) / error
    assert 0.8 < 1.4826 * float(np.median(np.abs(pull))) < 1.25
    assert float(np.mean(np.abs(pull) > 4)) < 0.02


def test_a_star_is_found_by_number_name_and_place(night):
    target = night.truth.target
    by_name = told(night.warehouse, "light-curve", "Demo-1 b")
    number = night.sql("from comparison_star").item(0, "target_source_id")
    place = SkyCoord(target["ra_deg"], target["dec_deg"], unit="deg")
    words = (
        str(number),
        "demo1b",
        "DEMO-1",
        f"{target['ra_deg']:.6f} {target['dec_deg']:+.6f}",
        place.to_string("hmsdms", sep=":", precision=2),
    )
    for word in words:
        assert told(night.warehouse, "light-curve", word) == by_name, word


def test_the_light_curve_is_the_injected_one(night):
    points = pl.DataFrame(told(night.warehouse, "light-curve", "Demo-1 b"))
    assert points.columns == POINT
    light = night.good.sort("mid_utc")
    assert points.height == light.height
    assert_allclose(points["mid_jd_utc"], light["mid_jd_utc"], rtol=0, atol=2e-8)
    assert_allclose(points["mid_bjd_tdb"], light["mid_bjd_tdb"], rtol=0, atol=1e-6)
    assert_allclose(points["airmass"], light["airmass"], rtol=2e-3)
    assert set(points["band"]) == {PLAN.band}
    flux, error = points["relative_flux"].to_numpy(), points["relative_flux_err"].to_numpy()
    true = light["transit_flux"].to_numpy()
    pull = (flux / true - np.median(flux / true)) / error
    n = len(pull)
    # chi2 of n points lies within 4 of its sigmas; the errors are a model, hence the 20 %.
    assert 0.8 * (n - 4 * math.sqrt(2 * n)) < np.sum(pull**2) < 1.2 * (n + 4 * math.sqrt(2 * n))
    inside, outside = true < 0.99, true == 1
    depth = np.mean(flux[outside]) - np.mean(flux[inside])
    depth_err = np.median(error) * math.sqrt(1 / inside.sum() + 1 / outside.sum())
    assert abs(depth - (1 - np.mean(true[inside]))) < 4 * depth_err


def test_the_report_recovers_the_injected_transit(night):
    document = told(night.warehouse, "report", "transit", "Demo-1 b")
    assert set(REPORT) <= set(document)
    for key, kind in REPORT.items():
        assert isinstance(document[key], kind), key
    assert document["target"] == "Demo-1 b"
    assert document["night"] == "2024-03-08"
    assert document["verdict"] == "transit"
    assert document["n_points"] + document["n_outliers"] == PLAN.n_light - 1
    assert all(item.is_good for item in recoveries(night.truth, document))
    assert document["residual_scatter"] <= document["residual_scatter_all"] < 0.004
    written = {path.suffix: path for path in map(Path, document["files"])}
    assert sorted(written) == [".csv", ".html", ".pdf"]
    page, points = written[".html"], written[".csv"]
    assert "Demo-1 b" in page.read_text(encoding="utf-8")
    lines = points.read_text(encoding="utf-8").splitlines()
    assert sum(not line.startswith("#") for line in lines) == PLAN.n_light  # and a head


def test_the_same_report_twice_is_one_fit(night):
    told(night.warehouse, "report", "transit", "Demo-1 b")
    before = everything(night.warehouse)
    told(night.warehouse, "report", "transit", "Demo-1 b")
    after = everything(night.warehouse)
    assert before["transit_fit"].equals(after["transit_fit"])
    assert before["comparison_star"].equals(after["comparison_star"])


@pytest.mark.parametrize(
    ("epoch_d", "duration_h", "verdict"),
    [(0.0, 1.7, "no transit"), (0.0, 30.0, "no baseline"), (1.1, 1.7, "no data")],
)
def test_where_there_is_no_transit_the_report_says_so(
    night, tmp_path, epoch_d, duration_h, verdict
):
    own = night.copied(tmp_path / "warehouse")
    star = night.truth.star.filter(role="comparison").sort("flux_e_per_s").row(-3, named=True)
    mid = night.truth.mid_bjd_tdb + epoch_d
    csv = tmp_path / "planets.csv"
    csv.write_text(
        "pl_name,hostname,ra,dec,pl_orbper,pl_tranmid,pl_tsystemref,pl_ratror,pl_ratdor,pl_trandur\n"
        f"Steady-1 b,Steady-1,{star['ra_deg']},{star['dec_deg']},20.0,{mid},BJD-TDB,0.12,"
        f"{25 if duration_h < 5 else 3},{duration_h}\n",
        encoding="utf-8",
    )
    told(own.warehouse, "import", "ephemerides", csv)
    document = told(own.warehouse, "report", "transit", "Steady-1 b", "--no-pdf")
    assert document["verdict"] == verdict
    assert set(REPORT) <= set(document)
    for key in ("mid_bjd_tdb", "mid_bjd_tdb_err", "radius_ratio", "o_minus_c_min"):
        assert document[key] is None, key


def test_fields_stars_and_status_count_what_is_stored(night):
    (field,) = told(night.warehouse, "fields")
    n_light = PLAN.n_light - 1
    # stars of this plan are centred to a fiftieth of a pixel
    assert 0 < field.pop("median_residual_pix") < 0.1
    assert 0 < field.pop("median_residual_arcsec") < 0.1 * PLAN.scale_arcsec_per_pix
    assert field == {
        "field": 1,
        "name": "Demo-1",
        "bands": ["r"],
        "n_frames": n_light,
        "n_registered": n_light,
        "n_on_sky": n_light,
        "n_source": night.sql("from source").height,
    }
    for name in ("1", "Demo-1", "demo 1"):
        stars = told(night.warehouse, "stars", name)
        assert {row["source_id"] for row in stars} == set(night.sql("from source")["source_id"])
        assert len(stars) == field["n_source"]
    mags = [row["median_mag"]["r"] for row in stars if row["median_mag"]]
    assert len(mags) > 10
    assert mags == sorted(mags)
    for word in ("1.5 fwhm", stars[0]["aperture_id"]):
        named = told(night.warehouse, "stars", "1", "--aperture", word)
        assert len({row["aperture_name"] for row in named} - {None}) == 1
    code, document = asked(night.warehouse, "stars", "1", "--aperture", "7 parsec")
    assert code == 2
    assert "1.5 fwhm" in document["message"]
    status = told(night.warehouse, "status")
    assert status["n_frames"] == len(night.truth.path) - 1
    assert {row["n_frames"] for row in status["pending"]} == {0}
    assert [(row["n_light"], row["n_measured"]) for row in status["nights"]] == [(n_light, n_light)]


def test_every_check_passes_and_every_shipped_query_runs(night):
    assert set(told(night.warehouse, "check").values()) == {0}
    with Warehouse(night.warehouse).reading() as con:
        for name in scripts("queries"):
            shipped(con, name)
    words = ("sql", "star_points", "source_id=1")
    assert asked(night.warehouse, *words)[0] in {0, 2}
    rows = told(night.warehouse, "sql", "from measurement where source_id = 1")
    assert len(rows) == night.sql("from measurement where source_id = 1").height


def test_the_doctor_explains_a_header(night):
    rows = told(night.warehouse, "doctor", "header", night.truth.path[-2])
    known = {row["quantity"]: row for row in rows}
    assert known["exposure_s"]["value"] in {60.0, "60", "60.0"}


def test_a_second_ingest_changes_no_row_and_reads_no_pixel(night, tmp_path):
    own = night.copied(tmp_path / "warehouse")
    before = everything(own.warehouse)
    # Were one of these files read, it would be found to be another.
    lights = [path for path in night.truth.path if path.parent.name == "LIGHT"][:3]
    kept = {path: (path.read_bytes(), path.stat()) for path in lights}
    try:
        for path, (content, stat) in kept.items():
            path.write_bytes(bytes(len(content)))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        document = told(own.warehouse, "ingest", night.folder)
    finally:
        for path, (content, stat) in kept.items():
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    n_file = len(night.truth.path)
    assert (document["frames_seen"], document["frames_skipped"]) == (n_file, n_file)
    assert {value for name, value in document.items() if name[-4:] in {"_new", "sure", "ters"}} == {
        0
    }
    after = everything(own.warehouse)
    assert all(after[name].equals(rows) for name, rows in before.items())
    assert told(own.warehouse, "run")["frames_measured"] == 0


def test_a_duplicate_under_another_name_is_noted_and_not_measured_again(night, tmp_path):
    own = night.copied(tmp_path / "warehouse")
    before = everything(own.warehouse)
    copy = tmp_path / "copies" / "other name.FITS"
    copy.parent.mkdir()
    shutil.copy(night.truth.path[-2], copy)
    document = told(own.warehouse, "ingest", copy.parent)
    counted = [document[f"frames_{name}"] for name in ("seen", "new", "skipped", "failed")]
    assert counted == [1, 0, 1, 0]
    assert document["frames_measured"] == 0
    after = everything(own.warehouse)
    paths = after.pop("path")
    assert paths.filter(path=str(copy))["frame_id"][0] in before.pop("path")["frame_id"]
    assert all(after[name].equals(rows) for name, rows in before.items())


def test_a_rebuilt_warehouse_holds_the_same_rows(night, tmp_path):
    own = night.copied(tmp_path / "warehouse")
    before = everything(own.warehouse)
    (own.warehouse / "starmuster.duckdb").unlink()
    code, document = asked(own.warehouse, "status")
    assert code == 1
    assert "starmuster rebuild" in document["message"]
    assert told(own.warehouse, "rebuild")["rows"] > 0
    after = everything(own.warehouse)
    assert all(after[name].equals(rows) for name, rows in before.items())
    told(own.warehouse, "check")


def test_a_name_tied_to_a_star_counts_before_its_position(night, tmp_path):
    own = night.copied(tmp_path / "warehouse")
    i_light = 9
    star = night.truth.star.filter(role="comparison").sort("flux_e_per_s").row(-2, named=True)
    x_pix, y_pix = (axis[star["star_id"]] for axis in night.truth.positions_pix(i_light))
    frame = night.truth.light["file_name"][i_light]
    words = ("--field", "Demo-1", "--xy", f"{x_pix + 0.8:.2f},{y_pix - 0.5:.2f}", "--frame", frame)
    tied = told(own.warehouse, "identify", "demo 1 B", *words)
    assert tied["separation_pix"] < 1.5
    by_place = told(own.warehouse, "light-curve", f"{star['ra_deg']} {star['dec_deg']}")
    assert told(own.warehouse, "light-curve", "Demo-1 b") == by_place
    assert told(own.warehouse, "light-curve", str(tied["source_id"])) == by_place
    code, document = asked(
        own.warehouse, "identify", "Demo-1 b", "--field", 1, "--xy=-40,-40", "--frame", frame
    )
    assert (code, document["error"]) == (2, "NotFoundError")


@pytest.mark.long
def test_a_night_in_two_parts_and_another_order_gives_the_same_stars(night, tmp_path):
    warehouse = tmp_path / "warehouse"
    assert main(["init", str(warehouse)]) == 0
    reference = night.sql("from field_reference join path on frame_id = reference_frame_id")
    first = [Path(reference["path"][0])]
    first += [path for path in night.truth.path if path.parent.name != "LIGHT"]
    document = told(warehouse, "ingest", *first, "--jobs", 1)
    assert (document["frames_new"], document["frames_measured"]) == (len(first), 1)
    code, document = asked(warehouse, "ingest", *reversed(night.truth.path))
    assert code == 1  # the damaged one
    assert document["frames_skipped"] == len(first)
    assert document["frames_measured"] == PLAN.n_light - 2
    # the first frame lacks the stars that the others showed, until it is asked for
    assert told(warehouse, "run")["frames_measured"] == 0
    lacking = told(warehouse, "status")["incomplete"]
    measured = told(warehouse, "run", "--complete")["frames_measured"]
    assert measured == sum(row["n_frames"] for row in lacking)
    assert told(warehouse, "status")["incomplete"] == []
    with Warehouse(warehouse) as ours, Warehouse(night.warehouse) as theirs:
        for table in ("source", "measurement", "aperture_flux"):
            assert ours.sql(f"from {table}").height == theirs.sql(f"from {table}").height
        places = [
            store.sql("select x_pix, y_pix from field_star").to_numpy() for store in (ours, theirs)
        ]
    # the same frame is the reference of both, and centroids of it or of five agree
    assert len(pair_points(*places, 0.3)[0]) == len(places[0])


@pytest.fixture(scope="module")
def blind(tmp_path_factory, new_warehouse) -> Night:
    """Lights without a WCS, and without a solver; their calibration frames come a day later."""
    place = tmp_path_factory.mktemp("blind")
    truth = write_night(place / "frames", SMALL_PLAN)
    new_warehouse(place / "warehouse")
    (place / "warehouse" / FILE_NAME).write_text("[registration]\nsolve = false\n")
    document = told(place / "warehouse", "ingest", place / "frames" / "LIGHT")
    told(place / "warehouse", "import", "ephemerides", truth.planets_csv)
    return Night(place / "frames", truth, place / "warehouse", 0, document)


@pytest.mark.long
def test_lights_without_calibration_frames_and_wcs_go_through_and_say_so(blind):
    assert blind.ingested["frames_measured"] == SMALL_PLAN.n_light
    (field,) = told(blind.warehouse, "fields")
    assert (field["n_registered"], field["n_on_sky"]) == (SMALL_PLAN.n_light, 0)
    missing = int(Flag.NO_BIAS | Flag.NO_DARK | Flag.NO_FLAT)
    assert (blind.sql("from frame_quality")["flags"] & missing).unique().to_list() == [missing]
    reasons = blind.sql("from calibration")["reason"].to_list()
    assert all(kind in reason for reason in reasons for kind in ("bias", "dark", "flat"))


@pytest.mark.long
def test_a_field_without_a_sky_solution_is_asked_for_by_tied_names(blind, tmp_path):
    own = blind.copied(tmp_path / "warehouse")
    code, document = asked(own.warehouse, "light-curve", "Demo-1 b")
    assert code == 2
    assert "identify" in document["message"]
    for i_light in (2, 7):
        x_pix, y_pix = (axis[0] for axis in blind.truth.positions_pix(i_light))
        frame = next(
            p for p in blind.truth.path if p.name == blind.truth.light["file_name"][i_light]
        )
        words = ("--field", 1, "--xy", f"{x_pix:.1f},{y_pix:.1f}", "--frame", frame)
        tied = told(own.warehouse, "identify", "Demo-1 b", *words)
        assert tied["separation_pix"] < 0.5
    points = pl.DataFrame(told(own.warehouse, "light-curve", "Demo-1"))
    # The position is the host's, from the ephemeris.
    assert_allclose(points["mid_bjd_tdb"], blind.truth.light["mid_bjd_tdb"], rtol=0, atol=1e-6)


@pytest.mark.long
def test_later_calibration_frames_and_other_apertures_make_lights_pending(blind, tmp_path):
    own = blind.copied(tmp_path / "warehouse")
    n_light, n_file = SMALL_PLAN.n_light, len(own.truth.path)
    n_flux = own.sql("from aperture_flux").height
    document = told(own.warehouse, "ingest", own.folder)
    assert (document["frames_new"], document["frames_skipped"]) == (n_file - n_light, n_light)
    assert document["frames_measured"] == n_light
    assert own.sql("from calibration where flat_master_id is null").is_empty()
    # flat-fielded frames show more stars, and none that was known is lost
    assert own.sql("from aperture_flux").height >= n_flux
    assert set(own.sql("from source")["source_id"]) >= set(blind.sql("from source")["source_id"])
    settings = "[registration]\nsolve = false\n[photometry]\napertures_fwhm = [1.25]\n"
    (own.warehouse / FILE_NAME).write_text(settings)
    assert told(own.warehouse, "run")["frames_measured"] == n_light
    names = own.sql("from aperture semi join aperture_flux using (aperture_id)")["aperture_name"]
    assert "1.25 fwhm" in names.to_list()
    assert "2 fwhm" not in names.to_list()
    # How comparison stars are chosen is no recipe of what is measured.
    (own.warehouse / FILE_NAME).write_text(settings + "[ensemble]\nmax_star = 5\n")
    assert told(own.warehouse, "run")["frames_measured"] == 0
    assert set(told(own.warehouse, "check").values()) == {0}
