"""Colour-magnitude diagrams as a query: averages, errors, zero points, colour terms, selections."""

import json
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from starmuster.analysis.colour_magnitude import (
    COLUMNS,
    Selection,
    catalogue_diagram,
    field_diagram,
    parse_colour,
)
from starmuster.cli import main
from starmuster.errors import AnalysisError, NotFoundError, UsageError
from starmuster.ingest.synthetic_isochrones import grid, mist_text, sketched
from starmuster.transforms.flags import MEANINGS, Flag
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse

Tables = dict[str, list[dict[str, Any]]]

BANDS = {"g": (1, 2, 3), "i": (4, 5), "r": (6, 7)}
EXPOSURE_S = 30.0
ZERO = {1: 24.0, 2: 23.64, 3: 24.1, 4: 23.5, 5: 23.4, 6: 23.9, 7: 23.8}
TERM = {"g": 0.05, "i": -0.03, "r": 0.02}
PIVOT = 0.8
# source: g, r, i as they are; separation from the first in arcsec
STARS = {1: (16.0, 15.4, 15.1), 2: (15.0, 15.1, 15.2), 3: (17.5, 16.6, 16.1), 4: (16.2, 15.6, 15.3)}
SIDE_ARCSEC = {1: 0.0, 2: 30.0, 3: 120.0, 4: 300.0}
PLACE = 250.42, 36.46


def band_of(frame_id: int) -> str:
    return next(band for band, frames in BANDS.items() if frame_id in frames)


def flux_adu(star: int, frame_id: int, *, off_mag: float = 0.0) -> float:
    """Flux on a frame: the colour term makes the instrument see another band than the standard."""
    g, r, i = STARS[star]
    band = band_of(frame_id)
    standard = {"g": g, "r": r, "i": i}[band]
    instrumental = standard - ZERO[frame_id] - TERM[band] * (g - i - PIVOT) + off_mag
    return EXPOSURE_S * 10 ** (-0.4 * instrumental)


def night(**changes: dict[str, Any]) -> Tables:
    """A field of four stars on seven frames in three bands, all calibrated."""
    frames = [(frame_id, band) for band, ids in BANDS.items() for frame_id in ids]
    pairs = [(frame_id, star) for frame_id, _ in frames for star in STARS]
    zero = {
        "aperture_id": 1,
        "zero_point_err_mag": 0.0,
        "colour": "g-i",
        "colour_pivot_mag": PIVOT,
        "colour_spread_mag": 0.0,
        "position_mag": [],
        "n_star": 50,
        "catalogue_name": "panstarrs",
        "photometric_system": "Pan-STARRS",
        "method": "fit",
    }
    return {
        "flag": [
            {
                "bit": flag.bit_length() - 1,
                "value": int(flag),
                "flag_name": flag.name,
                "is_severe": meaning.is_severe,
            }
            for flag, meaning in MEANINGS.items()
        ],
        "camera": [{"camera_id": 1, "gain_e_per_adu": 1.0}],
        "aperture": [{"aperture_id": 1, "kind": "pix", "radius": 4.0, "aperture_name": "4 pix"}],
        "field": [{"field_id": 1, "field_name": "M 13", "ra_deg": 250.42, "dec_deg": 36.46}],
        "source": [
            {
                "source_id": star,
                "field_id": 1,
                "ra_deg": PLACE[0],
                "dec_deg": PLACE[1] + SIDE_ARCSEC[star] / 3600,
            }
            for star in STARS
        ],
        "frame": [
            {
                "frame_id": frame_id,
                "content_hash": str(frame_id),
                "frame_type": "light",
                "band": band,
                "exposure_s": EXPOSURE_S,
                "camera_id": 1,
                "n_x_pix": 100,
                "n_y_pix": 100,
            }
            for frame_id, band in frames
        ],
        "field_frame": [{"frame_id": frame_id, "field_id": 1} for frame_id, _ in frames],
        "frame_quality": [{"frame_id": frame_id, "fwhm_pix": 3.0} for frame_id, _ in frames],
        "measurement": [
            {"frame_id": frame_id, "source_id": star, "sky_rms_adu": 1.0, "n_sky_pix": 300}
            for frame_id, star in pairs
        ],
        "aperture_flux": [
            {
                "frame_id": frame_id,
                "source_id": star,
                "aperture_id": 1,
                "n_pix": 50.0,
                "flux_adu": flux_adu(star, frame_id),
            }
            for frame_id, star in pairs
        ],
        "zero_point": [
            zero | {"frame_id": frame_id, "zero_point_mag": ZERO[frame_id], "colour_term": TERM[b]}
            for frame_id, b in frames
        ],
    } | changes


Build = Callable[[Tables], Warehouse]


@pytest.fixture
def build(warehouse, fill) -> Build:
    def filled(tables: Tables) -> Warehouse:
        with Run(warehouse, "test", "0") as run:
            run.store("test", {name: fill(name, rows) for name, rows in tables.items() if rows})
        return warehouse

    return filled


def diagram(found: Warehouse, colour: str = "g-i", mag: str = "r", **limits: Any):
    with found.reading() as con:
        return field_diagram(
            con, 1, "M 13", colour=colour, mag_band=mag, selection=Selection(**limits)
        )


def test_calibrated_magnitudes_and_colours_are_those_of_the_stars(build):
    found = diagram(build(night()))
    assert (found.photometric_system, found.catalogue_name) == ("Pan-STARRS", "panstarrs")
    rows = {row["source_id"]: row for row in found.stars.iter_rows(named=True)}
    for star, (g, r, i) in STARS.items():
        # no catalogue gives their colours: they are solved from both bands, colour terms and all
        assert rows[star]["colour"] == pytest.approx(g - i, abs=1e-9)
        assert rows[star]["mag"] == pytest.approx(r, abs=1e-9)
        assert rows[star]["n_frame"] == 7
        assert rows[star]["separation_arcsec"] is not None
    assert found.rows().columns == list(COLUMNS)
    assert found.warnings == ()


def test_without_zero_points_magnitudes_are_instrumental_and_say_so(build):
    tables = night()
    del tables["zero_point"]
    found = diagram(build(tables))
    assert not found.is_calibrated
    assert found.stars["is_calibrated"].any() is False
    assert found.warnings[0].startswith("instrumental magnitudes")
    star = found.stars.filter(source_id=1).row(0, named=True)
    raw = [-2.5 * np.log10(flux_adu(1, frame) / EXPOSURE_S) for frame in BANDS["r"]]
    assert star["mag"] == pytest.approx(np.mean(raw), abs=0.01)


def test_a_band_without_zero_points_makes_all_instrumental(build):
    tables = night()
    tables["zero_point"] = [row for row in tables["zero_point"] if row["frame_id"] != 4]
    assert diagram(build(tables)).is_calibrated  # frame 5 has one
    tables["zero_point"] = [row for row in tables["zero_point"] if row["frame_id"] not in (4, 5)]
    assert not diagram(build_again(build, tables)).is_calibrated


def build_again(build: Build, tables: Tables) -> Warehouse:
    found = build({"aperture": tables["aperture"]})
    with Run(found, "test", "0") as run:
        run.store("test", {}, replaces={"zero_point": [4, 5]})
    return found


def test_two_photometric_systems_are_never_mixed(build):
    tables = night()
    for row in tables["zero_point"]:
        if row["frame_id"] in BANDS["i"]:
            row |= {"photometric_system": "SDSS", "catalogue_name": "sdss"}
    found = build(tables)
    assert not diagram(found).is_calibrated
    with pytest.raises(UsageError, match="no zero points on SDSS in all of g, i, r"):
        diagram(found, photometric_system="SDSS")


def test_clouds_are_taken_off_instrumental_frames(build):
    tables = night()
    del tables["zero_point"]
    tables["frame_transparency"] = [
        {"frame_id": frame, "aperture_id": 1, "dimming_mag": 24.1 - ZERO[frame]}
        for frame in BANDS["g"]
    ]
    star = diagram(build(tables), "g-i", "g").stars.filter(source_id=1).row(0, named=True)
    assert star["scatter_mag"] == pytest.approx(0.0, abs=1e-9)


def test_means_are_weighted_and_errors_are_raised_to_the_scatter(build):
    tables = night()
    off = {1: 0.0, 2: 0.06, 3: -0.06}
    for row in tables["aperture_flux"]:
        if row["source_id"] == 3 and row["frame_id"] in off:
            row["flux_adu"] = flux_adu(3, row["frame_id"], off_mag=off[row["frame_id"]])
    found = build(tables)
    with found.reading() as con:
        points = con.sql(
            "from calibrated_magnitude where source_id = 3 and band = 'g' order by frame_id"
        ).pl()
    mag, err = points["mag"].to_numpy(), points["mag_err"].to_numpy()
    weight = 1 / err**2
    mean = np.sum(weight * mag) / np.sum(weight)
    chi2 = np.sum(weight * (mag - mean) ** 2) / 2
    assert chi2 > 1
    for take, middle, factor in (("weighted", mean, 1.0), ("median", np.median(mag), 1.2533)):
        star = diagram(found, "g-i", "g", take=take).stars.filter(source_id=3).row(0, named=True)
        colour = star["colour"]
        corrected = middle + TERM["g"] * (colour - PIVOT)
        assert star["mag"] == pytest.approx(corrected, abs=1e-9)
        assert star["mag_err"] == pytest.approx(factor * np.sqrt(chi2 / weight.sum()), rel=1e-9)
        assert star["scatter_mag"] == pytest.approx(np.std(mag, ddof=1), rel=1e-6)


def test_a_star_with_a_colour_in_the_catalogue_takes_that(build):
    tables = night(
        reference_catalogue=[{"catalogue_id": 1, "catalogue_name": "panstarrs"}],
        reference_star=[
            {
                "reference_star_id": 9,
                "catalogue_id": 1,
                "catalogue_name": "panstarrs",
                "parallax_mas": 1.2,
                "pm_ra_mas_per_yr": -11.0,
                "pm_dec_mas_per_yr": -3.0,
            }
        ],
        reference_magnitude=[
            {
                "reference_star_id": 9,
                "band": band,
                "photometric_system": "Pan-STARRS",
                "mag": mag,
            }
            for band, mag in (("g", 16.1), ("i", 15.1), ("r", 15.45))
        ],
        reference_match=[
            {
                "field_id": 1,
                "source_id": 1,
                "catalogue_name": "panstarrs",
                "reference_star_id": 9,
                "separation_arcsec": 0.2,
            }
        ],
    )
    found = build(tables)
    star = diagram(found).stars.filter(source_id=1).row(0, named=True)
    # 0.1 redder in the catalogue: by its colour term each band is off
    assert star["colour"] == pytest.approx(0.9 + (TERM["g"] - TERM["i"]) * 0.1, abs=1e-9)
    assert (star["catalogue_colour"], star["catalogue_mag"]) == (pytest.approx(1.0), 15.45)
    assert star["match_arcsec"] == 0.2
    members = diagram(found, min_parallax_mas=1.0, max_parallax_mas=1.5).stars
    assert members["source_id"].to_list() == [1]
    motion = {"pm_ra_mas_per_yr": -11.2, "pm_dec_mas_per_yr": -3.0}
    near = diagram(found, pm_reach_mas_per_yr=0.3, **motion).stars
    assert near["source_id"].to_list() == [1]
    with pytest.raises(AnalysisError, match="leaves none of 4 stars"):
        diagram(found, pm_reach_mas_per_yr=0.1, **motion)


@pytest.mark.parametrize(
    ("limits", "stars"),
    [
        ({}, {1, 2, 3, 4}),
        ({"ra_deg": PLACE[0], "dec_deg": PLACE[1], "outer_arcsec": 60}, {1, 2}),
        ({"ra_deg": PLACE[0], "dec_deg": PLACE[1], "inner_arcsec": 60}, {3, 4}),
        ({"max_blended": 0.5}, {1, 2, 3}),
        ({"min_frame": 2}, {1, 2, 3, 4}),
        ({"max_err_mag": 0.009}, {1, 2, 4}),
    ],
)
def test_a_selection_keeps_whom_it_names(build, limits, stars):
    tables = night()
    for row in tables["aperture_flux"]:
        row["flags"] = int(Flag.BLENDED) if row["source_id"] == 4 else 0
    assert set(diagram(build(tables), **limits).stars["source_id"]) == stars


def test_unclean_measurements_are_left_out_unless_asked_for(build):
    tables = night()
    for row in tables["measurement"]:
        if row["source_id"] == 2 and row["frame_id"] in (1, 4, 5):
            row["flags"] = int(Flag.SATURATED)
    found = build(tables)
    assert set(diagram(found).stars["source_id"]) == {1, 3, 4}  # no clean i
    star = diagram(found, with_unclean=True).stars.filter(source_id=2).row(0, named=True)
    assert star["flags"] & int(Flag.SATURATED)


def test_a_crowded_field_is_called_crowded(build):
    tables = night()
    for row in tables["aperture_flux"]:
        row["flags"] = int(Flag.BLENDED)
    assert any(text.startswith("crowded: 100 %") for text in diagram(build(tables)).warnings)


@pytest.mark.parametrize("colour", ["g", "g-", "-i", "g-g", "g-r-i"])
def test_a_colour_that_is_none_is_refused(colour):
    with pytest.raises(UsageError, match="expected two"):
        parse_colour(colour)


def test_one_band_alone_and_bands_without_stars_in_common_are_told(build):
    tables = night()
    found = build(tables)
    with pytest.raises(AnalysisError, match=r"no measured frame in z; measured are: g \(3 frames"):
        diagram(found, "g-z")
    tables["aperture_flux"] = [
        row
        for row in tables["aperture_flux"]
        if (row["source_id"] < 3) == (band_of(row["frame_id"]) == "g")
    ]
    other = build({"aperture_flux": tables["aperture_flux"]})
    with other.reading() as con, pytest.raises(AnalysisError, match="Do the frames overlap"):
        field_diagram(con, 1, "M 13", colour="g-i", mag_band="r", selection=Selection())


@pytest.fixture
def listed(build) -> Warehouse:
    """Two catalogues without any frame: one on the sky, one a mere list."""
    bands = {"g": 16.0, "r": 15.5, "i": 15.3}
    return build(
        {
            "reference_catalogue": [
                {"catalogue_id": 1, "catalogue_name": "sdss", "has_position": True},
                {"catalogue_id": 2, "catalogue_name": "gaia-dr2", "has_position": False},
            ],
            "reference_star": [
                {
                    "reference_star_id": n,
                    "catalogue_id": 1,
                    "catalogue_name": "sdss",
                    "ra_deg": 132.8 + n / 60,
                    "dec_deg": 11.8,
                }
                for n in range(5)
            ]
            + [
                {
                    "reference_star_id": 10 + n,
                    "catalogue_id": 2,
                    "catalogue_name": "gaia-dr2",
                    "parallax_mas": 1.0 + n / 10,
                }
                for n in range(5)
            ],
            "reference_magnitude": [
                {
                    "reference_star_id": n,
                    "band": band,
                    "photometric_system": "SDSS",
                    "mag": mag + n,
                }
                for n in range(5)
                for band, mag in bands.items()
            ]
            + [
                {
                    "reference_star_id": 10 + n,
                    "band": band,
                    "photometric_system": "Gaia DR2",
                    "mag": mag,
                }
                for n in range(5)
                for band, mag in (("G", 12.0 + n), ("BP-RP", 0.8))
            ],
        }
    )


def of_catalogue(con: duckdb.DuckDBPyConnection, name: str, colour: str, mag: str, **limits: Any):
    return catalogue_diagram(con, name, colour=colour, mag_band=mag, selection=Selection(**limits))


def test_a_catalogue_is_a_diagram_without_any_frame(listed):
    with listed.reading() as con:
        found = of_catalogue(con, "sdss", "g-i", "r")
        assert found.photometric_system == "SDSS"
        np.testing.assert_allclose(found.stars["colour"], 0.7)
        near = of_catalogue(con, "sdss", "g-i", "r", ra_deg=132.8, dec_deg=11.8, outer_arcsec=90)
        assert near.stars.height == 2


def test_a_list_without_positions_is_a_diagram_and_says_what_it_is(listed):
    with listed.reading() as con:
        found = of_catalogue(con, "gaia-dr2", "BP-RP", "G", min_parallax_mas=1.15)
    assert found.stars.height == 3
    assert found.stars["colour"].to_list() == [0.8] * 3
    assert any("a list without positions" in text for text in found.warnings)


def test_what_a_catalogue_does_not_hold_is_told(listed):
    with listed.reading() as con:
        with pytest.raises(NotFoundError, match="there are: gaia-dr2, sdss"):
            of_catalogue(con, "apass", "g-i", "r")
        with pytest.raises(UsageError, match="no photometric system has all of B, V and V"):
            of_catalogue(con, "sdss", "B-V", "V")
        with pytest.raises(UsageError, match="min_frame: limits on measurements"):
            of_catalogue(con, "sdss", "g-i", "r", min_frame=2)


@pytest.fixture
def command(build, tmp_path) -> Callable[..., int]:
    found = build(night())
    curves = tmp_path / "synthetic.iso.cmd"
    curves.write_text(mist_text(grid(sketched(), [11.0, 12.0], -1.35)))
    assert main(["-w", str(found.folder), "import", "isochrones", str(curves)]) == 0

    def run(*words: str) -> int:
        return main(["-w", str(found.folder), "cmd", *words])

    return run


def test_the_command_answers_rows_and_draws(command, capsys, tmp_path):
    picture = tmp_path / "m13.png"
    words = ["M 13", "--colour", "g-i", "--mag", "r", "--output", str(picture)]
    capsys.readouterr()
    assert command(*words, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert rows[0]["calibrated"] is True
    assert picture.read_bytes().startswith(b"\x89PNG")
    for suffix, begin in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
        words[-1] = str(picture.with_suffix(suffix))
        assert command(*words, "--distance", "7200", "--av", "0.06", "--age", "11.5") == 0
        assert picture.with_suffix(suffix).read_bytes().startswith(begin)
    assert "synthetic, made by shifts" in capsys.readouterr().err


def test_the_stars_are_exported_with_units_and_meanings(command, tmp_path):
    from astropy.table import Table

    words = ["M 13", "--colour", "g-i", "--mag", "r"]
    for suffix in (".csv", ".parquet", ".vot", ".ecsv"):
        words += ["--output", str(tmp_path / f"stars{suffix}")]
    assert command(*words) == 0
    expected = pl.read_csv(tmp_path / "stars.csv")
    assert (
        expected["colour"].to_list()
        == pl.read_parquet(tmp_path / "stars.parquet")["colour"].to_list()
    )
    votable = Table.read(tmp_path / "stars.vot")
    assert str(votable["mag"].unit) == str(votable["colour"].unit) == "mag"
    assert votable["mag"].tolist() == expected["mag"].to_list()
    assert str(Table.read(tmp_path / "stars.ecsv")["mag_err"].unit) == "mag"


def test_an_overlay_is_stored_once(command, warehouse, tmp_path):
    words = ["M 13", "--colour", "g-i", "--mag", "r", "--output", str(tmp_path / "a.png")]
    for _ in range(2):
        assert command(*words, "--distance", "7200", "--av", "0.06", "--age", "11.5") == 0
    stored = warehouse.sql("from isochrone_fit").row(0, named=True)
    assert warehouse.sql("from isochrone_fit").height == 1
    assert (stored["method"], stored["age_gyr"], stored["distance_pc"]) == (
        "by hand",
        11.5,
        pytest.approx(7200),
    )
    assert stored["is_synthetic"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["M 13", "--colour", "g-z", "--mag", "r"], "A colour needs two bands"),
        (["M 14", "--colour", "g-i", "--mag", "r"], "no field 'M 14'"),
        (["--colour", "g-i", "--mag", "r"], "no field given"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--age", "15"], "age 15 Gyr is outside"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--feh", "0.3"], "[Fe/H] 0.3 dex is outside"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--extinction", "wang-chen-2019", "--age", "11"],
         "coefficients are for SDSS g r i"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--fit", "least-squares"], "4 stars with both"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--centre", "here"], "--centre here"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--aperture", "9 pix"], "no aperture '9 pix'"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--output", "a.gif"], "a.gif: a diagram is"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_told(command, capsys, words, message):
    assert command(*words) in (1, 2)
    assert message in capsys.readouterr().err


def test_the_rows_are_those_of_the_function_and_the_view_agrees_at_the_pivot(build):
    tables = night()
    for row in tables["zero_point"]:
        row |= {"colour": None, "colour_term": None, "colour_pivot_mag": None}
    found = build(tables)
    view = found.sql("from colour_magnitude where blue_band = 'g' and red_band = 'r'")
    function = found.sql("from colour_magnitude('M 13', 'g', 'r', 'r', in_aperture := 1)")
    for name in ("mag", "mag_err", "colour", "colour_err", "n_frame"):
        np.testing.assert_allclose(
            view.sort("source_id")[name], function.sort("source_id")[name], atol=1e-9
        )
    rows = found.sql("from colour_magnitude('M 13', 'g', 'i', 'r', in_aperture := 1)")
    assert (
        rows.sort("source_id")
        .select("mag", "colour")
        .equals(diagram(found).stars.sort("source_id").select("mag", "colour"))
    )
    assert isinstance(rows, pl.DataFrame)


@pytest.mark.real
def test_m67_is_drawn_from_its_catalogue_and_its_gaia_list_says_what_it_is(
    warehouse, real_data, tmp_path, capsys
):
    place = ["-w", str(warehouse.folder)]
    folder = real_data / "refcat"
    picture = tmp_path / "m67.png"
    assert main([*place, "import", "catalogue", str(folder / "m67/sdss.csv"), "--as", "sdss"]) == 0
    words = ["cmd", "--catalogue", "sdss", "--colour", "g-i", "--mag", "r", "--json"]
    centre = ["--centre", "132.846 11.814", "--outer", "15", "--output", str(picture)]
    capsys.readouterr()
    assert main([*place, *words, *centre]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) > 5000
    assert picture.stat().st_size > 20_000
    # the main sequence of the cluster: stars spread evenly over the colours would be a quarter
    level = [row["colour"] for row in rows if 15.6 < row["mag"] < 16.4]
    near = [colour for colour in level if abs(colour - np.median(level)) < 0.25]
    assert len(near) > 0.4 * len(level)
    for name in ("m67", "ngc188"):
        given = str(folder / name / "gaia_members.csv")
        assert main([*place, "import", "catalogue", given, "--as", "gaia-dr2"]) == 0
        assert "no positions: kept as a list of stars" in capsys.readouterr().out
    words = ["cmd", "--catalogue", "gaia-dr2", "--colour", "BP-RP", "--mag", "G"]
    assert main([*place, *words, "--parallax", "1.05:1.25", "--output", str(picture)]) == 0
    assert "a list without positions" in capsys.readouterr().err
