"""Isochrones: read as published, refused where they are not whole."""

import math

import numpy as np
import polars as pl
import pytest

from starmuster.cli import main
from starmuster.errors import UsageError
from starmuster.ingest.isochrone_store import store_isochrones
from starmuster.ingest.isochrones import band_of, parse_isochrones
from starmuster.ingest.synthetic_isochrones import grid, mist_text, sketched
from starmuster.warehouse.runs import Run

AGES = (10.0, 12.0, 13.5)


@pytest.fixture(scope="module")
def text() -> str:
    return mist_text(grid(sketched(), AGES, -1.35))


def test_every_curve_and_magnitude_of_a_file_is_read(text):
    curves = grid(sketched(), AGES, -1.35)
    found = parse_isochrones(text, source="x")
    assert (found.grid_name, found.n_isochrone, found.is_synthetic) == (
        "MIST 1.2 synthetic",
        3,
        True,
    )
    assert found.bands["band"].to_list() == ["g", "r", "i"]
    assert set(found.bands["photometric_system"]) == {"Pan-STARRS"}
    assert found.points["age_gyr"].unique().sort().to_list() == list(AGES)
    for curve in curves:
        rows = found.points.filter(age_gyr=curve.age_gyr)
        assert rows["eep"].to_list() == curve.eep.tolist()
        np.testing.assert_allclose(np.array(rows["absolute_mag"].to_list()), curve.mag, atol=1e-6)
        np.testing.assert_allclose(rows["initial_mass_msun"], curve.mass_msun, rtol=1e-12)


def test_ages_given_as_logarithms_are_the_same_ages(text):
    logarithmic = text.replace(" isochrone_age_yr", "log10_isochrone_age_yr")
    for age in AGES:
        logarithmic = logarithmic.replace(f"{age * 1e9:24.16E}", f"{math.log10(age * 1e9):24.16E}")
    assert parse_isochrones(logarithmic, source="x").points.equals(
        parse_isochrones(text, source="x").points
    )


def test_a_file_without_magnitudes_is_read_and_has_no_bands(text):
    theory = text.replace("# photometric system   = PanSTARRS (AB)\n", "")
    found = parse_isochrones(theory, source="x")
    assert found.published_system is None
    assert found.bands.is_empty()
    assert found.points["absolute_mag"].list.len().max() == 0


@pytest.mark.parametrize(
    ("column", "band", "system"),
    [
        ("PS_g", "g", "Pan-STARRS"),
        ("SDSS_u", "u", "SDSS"),
        ("Bessell_V", "V", "Johnson-Cousins"),
        ("2MASS_Ks", "K", "2MASS"),
        ("Gaia_BP_EDR3", "BP", "Gaia DR3"),
        ("Gaia_G_DR2Rev", "G", "Gaia DR2"),
        ("Tycho_B", "BT", "Tycho"),
        ("DECam_g", "g", "DECam"),
    ],
)
def test_a_column_says_its_band_and_system(column, band, system):
    assert band_of(column) == (band, system)


def faults(text: str) -> dict[str, tuple[str, str]]:
    lines = text.splitlines()
    return {
        "a version of the future": (
            text.replace("= 1.2", "= 3.7"),
            "MIST version 3.7 is not known",
        ),
        "no version": ("\n".join(lines[1:]), "no line '# MIST version number'"),
        "cut between points": ("\n".join(lines[:200]), "cut short"),
        "cut within a line": ("\n".join([*lines[:200], lines[200][:40]]), "cut short"),
        "cut in the last line": (text.rstrip()[:-30], "cut short"),
        "an isochrone too few": (text.replace("isochrones =     3", "isochrones =     4"), "3 iso"),
        "reddened": (text.replace("Av =  0.000", "Av =  0.300"), "A_V = 0.3"),
        "no numbers": (text.replace("0.000000\n", "0.0x0000\n"), "could not convert"),
        "a header alone": ("\n".join(lines[:4]), "no line with [Fe/H]"),
        "not a number": (text.replace("0.000000\n", "nan\n", 1), "no finite number"),
    }


@pytest.mark.parametrize("name", faults(mist_text(grid(sketched(), AGES, -1.35))))
def test_a_file_that_is_not_whole_is_refused(text, name):
    broken, message = faults(text)[name]
    with pytest.raises(UsageError) as raised:
        parse_isochrones(broken, source="cluster.iso.cmd")
    assert message in str(raised.value)
    assert str(raised.value).startswith("cluster.iso.cmd: ")


def test_the_same_file_is_stored_once_and_a_newer_curve_counts(warehouse, tmp_path, text):
    first, newer, poor = (tmp_path / f"{name}.iso.cmd" for name in ("first", "newer", "poor"))
    first.write_text(text)
    newer.write_text(text.replace("13.800000", "13.900000"))
    poor.write_text(mist_text(grid(sketched(), AGES, -2.0)))
    with Run(warehouse, "test", "0") as run:
        assert [one.grid_id for one in store_isochrones(run, [first, poor])] == [1, 2]
        assert [one.grid_id for one in store_isochrones(run, [first, newer])] == [None, 3]
    found = warehouse.query("isochrone_grids").row(0, named=True)
    assert (found["n_age"], found["feh_dex"], found["bands"]) == (3, [-2.0, -1.35], "g r i")
    points = warehouse.query(
        "isochrone_points", photometric_system="Pan-STARRS", blue="g", red="r", mag="r"
    )
    assert points.select("feh_dex", "age_gyr", "eep").is_duplicated().sum() == 0
    faintest = points.filter(pl.col("feh_dex") == -1.35, age_gyr=12.0, eep=250)
    assert faintest["blue_mag"].to_list() == [13.9]


def test_one_bad_file_stores_nothing(warehouse, tmp_path, text, capsys):
    good, bad = tmp_path / "good.iso.cmd", tmp_path / "bad.iso.cmd"
    good.write_text(text)
    bad.write_text(text[:9000])
    command = ["-w", str(warehouse.folder), "import", "isochrones"]
    assert main([*command, str(good), str(bad)]) == 2
    assert "bad.iso.cmd: the isochrone in line" in capsys.readouterr().err
    assert warehouse.query("isochrone_grids").is_empty()
    assert main([*command, str(good)]) == 0
    assert "synthetic, no model of stars, 3 isochrones" in capsys.readouterr().out


@pytest.mark.real
def test_the_published_file_is_read_whole(real_data):
    path = next((real_data / "isochrones").glob("*.iso.cmd"))
    found = parse_isochrones(path.read_text(), source=str(path))
    assert (found.n_isochrone, found.points.height, found.is_synthetic) == (1, 1460, False)
    assert found.bands["band"].to_list() == ["g", "r", "i", "z", "y", "w", "open"]
    first, last = found.points.row(0, named=True), found.points.row(-1, named=True)
    assert (first["age_gyr"], first["feh_dex"], first["v_over_vcrit"]) == (12.0, -1.35, 0.4)
    assert first["absolute_mag"][:2] == [13.834270, 12.396160]
    assert (last["eep"], last["phase"]) == (1710, 6)
