"""Files for other people and programs: each read again by what reads it there, or by its rules."""

import io
import json
import re
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.table import Table

from starmuster.analysis import aavso, astroimagej, table_files, three_columns
from starmuster.analysis.exported_curves import ExportedCurve
from starmuster.analysis.stars import Star
from starmuster.errors import UsageError
from starmuster.ingest.foreign_curves import AAVSO_BANDS, read_foreign_curve
from starmuster.warehouse.store import shipped

N = 8
START = datetime(2024, 3, 8, 20)
SOFTWARE = "starmuster 1.0"
PLANET = {
    "planet_name": "X-1 b",
    "host_name": "X-1",
    "period_d": 2.5,
    "period_err_d": 1e-6,
    "mid_bjd_tdb": 2460000.5,
    "mid_err_d": None,
    "radius_ratio": 0.1,
    "radius_ratio_err": 0.001,
    "a_over_r": None,
    "a_over_r_err": None,
    "inclination_deg": 88.0,
    "inclination_err_deg": None,
    "eccentricity": 0.0,
}
FIT = {
    "mid_bjd_tdb": 2460378.34,
    "mid_err_d": 5e-4,
    "radius_ratio": 0.101,
    "radius_ratio_err": 0.002,
    "duration_h": 0.05,
    "duration_err_h": 0.01,
    "depth": 0.011,
    "depth_err": 0.001,
}


@pytest.fixture(scope="module")
def meanings(empty_warehouse) -> pl.DataFrame:
    from starmuster.warehouse.store import Warehouse

    with Warehouse(empty_warehouse).reading() as con:
        return shipped(con, "describe", table_name="exported_light_curve")


@pytest.fixture
def curve(database, meanings) -> ExportedCurve:
    """A night of eight frames in r: the third is saturated, the fifth has no airmass."""
    schema = database.table("exported_light_curve").pl().schema
    rng = np.random.default_rng(3)
    jd = 2460378.3333 + np.arange(N) / 480
    rows = {
        "frame_id": range(1, N + 1),
        "source_id": [5] * N,
        "aperture_id": [3] * N,
        "field_id": [1] * N,
        "file_name": [f"a, {i}.fits" for i in range(N)],
        "night": [date(2024, 3, 8)] * N,
        "band": ["r"] * N,
        "exposure_s": [60.0] * N,
        "mid_utc": [START + timedelta(minutes=3 * i) for i in range(N)],
        "mid_jd_utc": jd,
        "mid_hjd_utc": jd + 0.003,
        "mid_bjd_tdb": jd + 0.0038,
        "relative_flux": rng.normal(1, 0.002, N),
        "relative_flux_err": [0.002] * N,
        "is_calibrated": [False] * N,
        "airmass": [None if i == 4 else 1.2 + 0.01 * i for i in range(N)],
        "flux_adu": rng.normal(5000, 10, N),
        "flux_err_adu": [10.0] * N,
        "n_comparison": [2] * N,
        "x_pix": [100.0] * N,
        "y_pix": [50.0] * N,
        "peak_adu": [900.0] * N,
        "x_binning": [2] * N,
        "y_binning": [2] * N,
        "camera_name": ["QHY"] * N,
        "telescope_name": ["Gemüse"] * N,
        "flags": [1 if i == 2 else 1 << 5 for i in range(N)],
        "is_clean": [i != 2 for i in range(N)],
    }
    points = pl.DataFrame(rows, schema_overrides=dict(schema)).select(
        pl.col(name) if name in rows else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )
    of_star = points.select(
        "frame_id",
        "flux_adu",
        "flux_err_adu",
        "sky_adu_per_pix",
        "x_pix",
        "y_pix",
        "fwhm_pix",
        "peak_adu",
        pl.lit(value=True).alias("is_clean"),
    )
    comparison_points = pl.concat(
        of_star.with_columns(source_id=pl.lit(i), flux_adu=pl.col("flux_adu") * i) for i in (7, 8)
    )
    places = {"source_id": [8, 7], "ra_deg": [10.5, None], "dec_deg": [20.5, None]}
    places |= {"x_pix": [10.0, 20.0], "y_pix": [11.0, 21.0], "weight": [0.6, 0.4]}
    return ExportedCurve(
        name="X-1 b",
        star=Star(5, 1, "X-1 b"),
        points=points,
        comparison=pl.DataFrame(places),
        comparison_points=comparison_points,
        planet=PLANET,
        fit=FIT,
        meanings=meanings,
    )


def with_points(curve: ExportedCurve, **columns: object) -> ExportedCurve:
    changed = curve.points.with_columns(
        pl.lit(value, curve.points.schema[name]).alias(name) for name, value in columns.items()
    )
    return replace(curve, points=changed)


def parts(text: str) -> tuple[dict[str, str], list[list[str]]]:
    """Lines `#NAME=value`, and the cells of the lines that are no comments."""
    head = dict(re.findall(r"^#([\w-]+)=(.*)$", text, re.MULTILINE))
    return head, [line.split(",") for line in text.splitlines() if not line.startswith("#")]


# --- AAVSO


def test_the_extended_format_has_its_six_parameters_and_fifteen_fields(curve):
    text = aavso.extended_text(curve, software=SOFTWARE, observer_code="ABC", chart="X123")
    head, rows = parts(text)
    assert head == {
        "TYPE": "Extended",
        "OBSCODE": "ABC",
        "SOFTWARE": SOFTWARE,
        "DELIM": ",",
        "DATE": "JD",
        "OBSTYPE": "CCD",
    }
    assert "" not in text.splitlines()  # a blank line is refused
    assert text.isascii()
    assert len(rows) == N - 1  # not the saturated one
    for cells in rows:
        row = dict(zip(aavso.EXTENDED, cells, strict=True))
        assert row["STARID"] == "X-1 b"
        assert len(row["DATE"]) <= 16
        assert abs(float(row["DATE"]) - 2460378.34) < 0.01  # JD, neither HJD nor BJD
        assert len(row["MAG"]) <= 8
        assert "." in row["MAG"]
        assert len(row["MERR"]) <= 6
        assert (row["FILT"], row["TRANS"], row["MTYPE"]) == ("SR", "NO", "DIF")
        assert (row["CNAME"], row["CMAG"], row["KNAME"]) == ("ENSEMBLE", "na", "na")
        assert (row["CHART"], row["GROUP"]) == ("X123", "na")
        assert len(row["NOTES"]) <= 100
        assert len(row["AIRMASS"]) <= 7
        assert "" not in cells
    assert [cells[11] for cells in rows].count("na") == 1


def test_calibrated_magnitudes_are_standard_and_say_their_system(curve):
    changed = with_points(
        curve,
        is_calibrated=True,
        has_colour=True,
        mag=12.3456,
        mag_err=0.01,
        photometric_system="SDSS",
        catalogue_name="APASS, DR9",
    )
    _, rows = parts(aavso.extended_text(changed, software=SOFTWARE, observer_code="ABC"))
    row = dict(zip(aavso.EXTENDED, rows[0], strict=True))
    assert (row["MAG"], row["MERR"], row["MTYPE"], row["TRANS"]) == (
        "12.3456",
        "0.0100",
        "STD",
        "YES",
    )
    assert "SDSS system; APASS; DR9" in row["NOTES"]


def test_a_band_without_a_code_is_refused_with_those_there_are(curve):
    for band in ("ultraviolet", None):
        with pytest.raises(UsageError, match="known are u, g"):
            aavso.extended_text(
                with_points(curve, band=band), software=SOFTWARE, observer_code="ABC"
            )


def test_codes_read_are_those_written():
    for code, band in AAVSO_BANDS.items():
        if code != "CR":
            assert aavso.FILTER_CODE[band] == code


def test_the_exoplanet_format_is_read_again_as_it_was_written(curve, tmp_path):
    text = aavso.exoplanet_text(curve, software=SOFTWARE, observer_code="ABC", notes="thin\ncloud")
    head, rows = parts(text)
    assert list(head)[:7] == [
        "TYPE",
        "OBSCODE",
        "SECONDARY_OBSCODES",
        "SOFTWARE",
        "DELIM",
        "DATE_TYPE",
        "OBSTYPE",
    ]
    assert (head["TYPE"], head["DATE_TYPE"], head["MEASUREMENT_TYPE"]) == (
        "EXOPLANET",
        "BJD_TDB",
        "Rnflux",
    )
    assert (head["STAR_NAME"], head["EXOPLANET_NAME"]) == ("X-1", "X-1 b")
    assert (head["BINNING"], head["EXPOSURE_TIME"], head["FILTER"]) == ("2x2", "60", "SR")
    assert head["NOTES"] == "thin cloud"
    assert head["PRIORS"].startswith("Period=2.5 +/- 1e-06,Tc=2460000.500000,Rp/R*=0.1 +/- 0.001")
    assert head["RESULTS"].startswith("Tc=2460378.340000 +/- 0.0005,Rp/R*=0.101 +/- 0.002")
    assert json.loads(head["RESULTS-XC"])["Rp/R*"]["uncertainty"] == "0.002"
    (first, second) = json.loads(head["COMP_STAR-XC"])
    assert (first["ra"], first["x"], second["ra"]) == ("10.500000", "10.0", None)
    assert all(len(cells) == 4 for cells in rows)
    assert "#DATE,DIFF,ERR,DETREND_1\n" in text
    path = tmp_path / "curve.txt"
    path.write_text(text)
    read = read_foreign_curve(path)
    sound = curve.sound
    assert np.allclose(read.points["given_time"], sound["mid_bjd_tdb"], atol=1e-8)
    outside = sound.filter((pl.col("mid_bjd_tdb") - FIT["mid_bjd_tdb"]).abs() > 0.05 / 48)
    level = outside["relative_flux"].median()
    assert np.allclose(read.points["value"], sound["relative_flux"] / level, atol=1e-6)
    assert read.points["airmass"].null_count() == 1


def test_what_is_no_single_transit_is_no_observation_for_the_aavso(curve):
    two = replace(
        curve,
        points=pl.concat([curve.points, with_points(curve, night=date(2024, 3, 9)).points]),
    )
    with pytest.raises(UsageError, match="--night"):
        aavso.exoplanet_text(two, software=SOFTWARE, observer_code="ABC")
    with pytest.raises(UsageError, match="no planet"):
        aavso.exoplanet_text(replace(curve, planet=None), software=SOFTWARE, observer_code="ABC")
    long = with_points(curve, exposure_s=900.0)
    with pytest.raises(UsageError, match="up to 600"):
        aavso.exoplanet_text(long, software=SOFTWARE, observer_code="ABC")


# --- three columns


def test_exoclock_gets_three_columns_and_what_its_form_asks(curve):
    rows = np.loadtxt(io.StringIO(three_columns.exoclock_text(curve)))
    assert rows.shape == (N - 1, 3)
    assert np.allclose(rows[:, 0], curve.sound["mid_bjd_tdb"], atol=1e-8)
    info = three_columns.exoclock_info(curve, data_name="x.txt", software=SOFTWARE)
    told = dict(line.split(": ", 1) for line in info.splitlines())
    assert (told["Planet"], told["Time format"], told["Filter"]) == ("X-1b", "BJD_TDB", "r'")
    assert told["Time stamp"] == "Mid-exposure"
    assert told["Exposure time in seconds"] == "60"
    with pytest.raises(UsageError, match="no name at ExoClock"):
        three_columns.exoclock_info(
            with_points(curve, band="H-alpha"), data_name="x", software=SOFTWARE
        )


def test_exofast_gets_only_columns_without_a_gap(curve):
    text = three_columns.exofast_text(curve)
    assert text.splitlines()[0] == "# bjd_tdb flux err x_pix y_pix"
    rows = np.loadtxt(io.StringIO(text))
    assert rows.shape == (N - 1, 5)
    assert abs(np.median(rows[:, 1]) - 1) < 0.01


def test_points_without_errors_are_refused_where_errors_are_needed(curve):
    changed = with_points(curve, relative_flux_err=None)
    for write in (three_columns.exoclock_text, three_columns.exofast_text):
        with pytest.raises(UsageError, match="gain_e_per_adu"):
            write(changed)


# --- AstroImageJ


def test_an_astroimagej_table_is_read_again_as_it_was_written(curve, tmp_path):
    path = tmp_path / "curve.tbl"
    path.write_text(astroimagej.astroimagej_text(curve))
    names = path.read_text().splitlines()[0].split("\t")
    assert names[:3] == ["Label", "slice", "JD_UTC"]
    assert {"Source-Sky_T1", "Sky/Pixel_T1", "X(FITS)_T1", "tot_C_cnts", "Saturated"} <= set(names)
    assert {"Source-Sky_C2", "Source-Sky_C3"} <= set(names)
    read = read_foreign_curve(path)
    assert (read.file_format, read.time_system) == ("astroimagej", "BJD_TDB")
    assert read.points["given_time"].to_list() == curve.points["mid_bjd_tdb"].to_list()
    assert np.allclose(read.points["value"], curve.points["relative_flux"])
    assert read.points["x_pix"].to_list() == [100.0] * N
    table = pl.read_csv(path, separator="\t")
    assert table["Saturated"].to_list() == [0, 0, 1, 0, 0, 0, 0, 0]
    # the heaviest comparison star is C2; the sum is over both
    assert np.allclose(table["Source-Sky_C2"], 8 * table["Source-Sky_T1"])
    assert np.allclose(table["tot_C_cnts"], table["Source-Sky_C2"] + table["Source-Sky_C3"])
    assert np.allclose(table["tot_C_err"], np.hypot(10, 10))


# --- tables with units


def test_ecsv_keeps_units_nulls_and_descriptions(curve):
    text = table_files.ecsv_text(curve.points, curve.meanings, {"target": "X-1 b"})
    table = Table.read(text, format="ascii.ecsv")
    assert len(table) == N
    assert str(table["mid_bjd_tdb"].unit) == "d"
    assert str(table["flux_adu"].unit) == "adu"
    assert "barycentric" in table["mid_bjd_tdb"].description
    assert table["airmass"].mask.sum() == 1
    assert table.meta["target"] == "X-1 b"
    assert np.allclose(table["relative_flux"], curve.points["relative_flux"])


def test_a_votable_is_valid_and_has_units_and_ucds(curve, tmp_path):
    path = tmp_path / "curve.vot"
    table_files.write_votable(path, curve.points, curve.meanings, {"target": "X-1 b"})
    out = io.StringIO()
    assert validate(str(path), output=out), out.getvalue()
    fields = {field.name: field for field in parse(path).get_first_table().fields}
    assert fields["flux_adu"].ucd == "phot.flux"
    assert str(fields["mid_bjd_tdb"].unit) == "d"
    assert fields["airmass"].ucd == "obs.airMass"
    table = Table.read(path, format="votable")
    assert np.allclose(table["mid_jd_utc"], curve.points["mid_jd_utc"])
    assert table["airmass"].mask.sum() == 1


def test_units_the_virtual_observatory_does_not_know_go_into_the_description(tmp_path):
    rows = pl.DataFrame({"gain_e_per_adu": [1.5]})
    said = pl.DataFrame(
        {"column_name": ["gain_e_per_adu"], "unit": ["electron/adu"], "ucd": [""], "meaning": ["g"]}
    )
    path = tmp_path / "x.vot"
    table_files.write_votable(path, rows, said, {})
    (field,) = parse(path).get_first_table().fields
    assert field.unit is None
    assert field.description == "[electron / adu] g"


def test_parquet_holds_the_unit_in_the_metadata_of_each_column(curve, tmp_path):
    path = tmp_path / "curve.parquet"
    table_files.write_parquet(path, curve.points, curve.meanings, {"target": "X-1 b"})
    schema = pq.read_schema(path)
    assert schema.field("mid_bjd_tdb").metadata[b"unit"] == b"d"
    assert schema.field("flux_adu").metadata[b"ucd"] == b"phot.flux"
    assert schema.metadata[b"target"] == b"X-1 b"
    assert pl.read_parquet(path).equals(curve.points)


def test_csv_is_read_again_with_its_nulls(curve):
    read = pl.read_csv(io.StringIO(table_files.csv_text(curve.points)))
    assert read.columns == curve.points.columns
    assert read["airmass"].null_count() == 1
    assert read["mid_utc"][0] == "2024-03-08T20:00:00.000000"


def test_a_lightkurve_file_has_the_columns_and_cards_that_are_looked_for(curve, tmp_path):
    path = tmp_path / "curve.fits"
    table_files.write_lightkurve(path, curve, software=SOFTWARE)
    with fits.open(path, checksum=True) as hdus:
        table = hdus["LIGHTCURVE"]
        assert table.columns["TIME"].unit == "BJD - 2457000, days"
        assert (table.header["BJDREFI"], table.header["TIMESYS"]) == (2457000, "TDB")
        assert np.allclose(table.data["TIME"] + 2457000, curve.points["mid_bjd_tdb"], atol=1e-9)
        assert np.allclose(table.data["FLUX"], curve.points["relative_flux"])
        assert list(table.data["QUALITY"]) == [0, 0, 1, 0, 0, 0, 0, 0]
        assert list(table.data["FLAGS"]) == curve.points["flags"].to_list()
        assert (hdus[0].header["OBJECT"], hdus[0].header["TELESCOP"]) == ("X-1 b", "Gem?se")
