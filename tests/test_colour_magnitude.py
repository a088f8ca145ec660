"""Colour-magnitude diagrams as a query: averages, errors, zero points, colour terms, selections."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.colour_magnitude import COLUMNS, Selection, field_diagram, parse_colour
from starmuster.errors import AnalysisError, UsageError
from starmuster.transforms.flags import Flag
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse, shipped

PLACE = 250.42, 36.46  # of the first of the four stars


def diagram(found: Warehouse, colour: str = "g-i", mag: str = "r", **limits: Any):
    with found.reading() as con:
        return field_diagram(
            con, 1, "M 13", colour=colour, mag_band=mag, selection=Selection(**limits)
        )


def test_calibrated_magnitudes_and_colours_are_those_of_the_stars(build, four_stars):
    found = diagram(build(four_stars.night()))
    assert (found.photometric_system, found.catalogue_name) == ("Pan-STARRS", "panstarrs")
    rows = {row["source_id"]: row for row in found.stars.iter_rows(named=True)}
    for star, (g, r, i) in four_stars.stars.items():
        # no catalogue gives their colours: they are solved from both bands, colour terms and all
        assert rows[star]["colour"] == pytest.approx(g - i, abs=1e-9)
        assert rows[star]["mag"] == pytest.approx(r, abs=1e-9)
        assert rows[star]["n_frame"] == 7
        assert rows[star]["separation_arcsec"] is not None
    assert found.rows().columns == list(COLUMNS)
    assert found.warnings == ()


def test_without_zero_points_magnitudes_are_instrumental_and_say_so(build, four_stars):
    tables = four_stars.night()
    del tables["zero_point"]
    found = diagram(build(tables))
    assert not found.is_calibrated
    assert found.stars["is_calibrated"].any() is False
    assert found.warnings[0].startswith("instrumental magnitudes")
    star = found.stars.filter(source_id=1).row(0, named=True)
    raw = [
        -2.5 * np.log10(four_stars.flux_adu(1, frame) / four_stars.exposure_s)
        for frame in four_stars.bands["r"]
    ]
    assert star["mag"] == pytest.approx(np.mean(raw), abs=0.01)


def test_a_band_without_zero_points_makes_all_instrumental(build, four_stars):
    tables = four_stars.night()
    tables["zero_point"] = [row for row in tables["zero_point"] if row["frame_id"] != 4]
    assert diagram(build(tables)).is_calibrated  # frame 5 has one
    tables["zero_point"] = [row for row in tables["zero_point"] if row["frame_id"] not in (4, 5)]
    assert not diagram(build_again(build, tables)).is_calibrated


def build_again(build, tables) -> Warehouse:
    found = build({"aperture": tables["aperture"]})
    with Run(found, "test", "0") as run:
        run.store("test", {}, replaces={"zero_point": [4, 5]})
    return found


def test_two_photometric_systems_are_never_mixed(build, four_stars):
    tables = four_stars.night()
    for row in tables["zero_point"]:
        if row["frame_id"] in four_stars.bands["i"]:
            row |= {"photometric_system": "SDSS", "catalogue_name": "sdss"}
    found = build(tables)
    assert not diagram(found).is_calibrated
    with pytest.raises(UsageError, match="no zero points on SDSS in all of g, i, r"):
        diagram(found, photometric_system="SDSS")


def test_clouds_are_taken_off_instrumental_frames(build, four_stars):
    tables = four_stars.night()
    del tables["zero_point"]
    tables["frame_transparency"] = [
        {"frame_id": frame, "aperture_id": 1, "dimming_mag": 24.1 - four_stars.zero[frame]}
        for frame in four_stars.bands["g"]
    ]
    found = build(tables)
    star = diagram(found, "g-i", "g").stars.filter(source_id=1).row(0, named=True)
    assert star["scatter_mag"] == pytest.approx(0.0, abs=1e-9)
    with found.reading() as con:  # the light curve of a clicked star stands on the same level
        points = shipped(con, "diagram_points", field_id=1, aperture_id=1, bands=["g"], n_most=99)
    mag = points.filter(source_id=1)["mag"]
    np.testing.assert_allclose(mag, [star["mag"]] * 3, rtol=0, atol=1e-9)


def test_mean_fluxes_are_weighted_and_errors_are_raised_to_the_scatter(build, four_stars):
    tables = four_stars.night()
    off = {1: 0.0, 2: 0.06, 3: -0.06}
    for row in tables["aperture_flux"]:
        if row["source_id"] == 3 and row["frame_id"] in off:
            row["flux_adu"] = four_stars.flux_adu(3, row["frame_id"], off_mag=off[row["frame_id"]])
    found = build(tables)
    flux, err = fluxes(found, 3, "g")
    weight = 1 / err**2
    mean = np.sum(weight * flux) / np.sum(weight)
    chi2 = np.sum(weight * (flux - mean) ** 2) / 2
    assert chi2 > 1
    for take, middle, factor in (("weighted", mean, 1.0), ("median", np.median(flux), 1.2533)):
        star = diagram(found, "g-i", "g", take=take).stars.filter(source_id=3).row(0, named=True)
        term = four_stars.term["g"] * (star["colour"] - four_stars.pivot)
        assert star["mag"] == pytest.approx(-2.5 * np.log10(middle) + term, abs=1e-9)
        expected = factor * np.sqrt(chi2 / weight.sum()) / middle
        assert star["mag_err"] == pytest.approx(1.0857362 * expected, rel=1e-7)
        expected = 1.0857362 * np.std(flux, ddof=1) / middle
        assert star["scatter_mag"] == pytest.approx(expected, rel=1e-7)


def fluxes(found: Warehouse, source_id: int, band: str) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes of a star over those of magnitude nought, and their errors, from the light curve."""
    with found.reading() as con:
        points = con.sql(
            f"from light_curve join zero_point using (frame_id, aperture_id) "
            f"where source_id = {source_id} and band = '{band}' order by frame_id"
        ).pl()
    scale = 10 ** (-0.4 * points["zero_point_mag"].to_numpy()) / points["exposure_s"].to_numpy()
    return scale * points["flux_adu"].to_numpy(), scale * points["flux_err_adu"].to_numpy()


def test_faint_stars_are_as_faint_as_they_are(build, four_stars):
    """A mean of magnitudes would leave negative fluxes out, and weigh what is bright by chance."""
    tables, rng = four_stars.night(), np.random.default_rng(2)
    sources = list(range(10, 410))
    true_adu = 60.0
    tables["source"] += [
        {"source_id": n, "field_id": 1, "ra_deg": 250.42, "dec_deg": 36.46} for n in sources
    ]
    for row in [row for row in tables["measurement"] if row["source_id"] == 1]:
        tables["measurement"] += [row | {"source_id": n, "sky_rms_adu": 5.0} for n in sources]
    for row in [row for row in tables["aperture_flux"] if row["source_id"] == 1]:
        zero = four_stars.zero[row["frame_id"]]
        noise = rng.normal(0, 5.0 * np.sqrt(50), len(sources))  # of 50 pixels of sky: S/N 1.7
        tables["aperture_flux"] += [
            row | {"source_id": n, "flux_adu": true_adu * 10 ** (0.4 * (zero - 24)) + adu}
            for n, adu in zip(sources, noise, strict=True)
        ]
    stars = diagram(build(tables), "g-i", "g").stars.filter(pl.col("source_id") >= 10)
    assert (stars["n_mag_frame"] == 3).all()  # negative ones take part
    true_mag = 24.0 - 2.5 * np.log10(true_adu / four_stars.exposure_s)
    flux = 10 ** (-0.4 * (natural(stars, four_stars)["mag"].to_numpy() - true_mag))
    # of three fluxes of S/N 1.7, and a few stars whose mean flux is negative are left out
    spread = np.std(flux) / np.sqrt(len(stars))
    assert len(stars) > 0.9 * len(sources)
    assert abs(np.mean(flux) - 1) < 4 * spread < 0.15


def natural(stars: pl.DataFrame, four_stars) -> pl.DataFrame:
    """Take the colour term off the magnitudes in g."""
    term = four_stars.term["g"] * (pl.col("colour") - four_stars.pivot)
    return stars.with_columns(mag=pl.col("mag") - term)


def test_a_star_with_a_colour_in_the_catalogue_takes_that(build, four_stars):
    tables = four_stars.night(
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
    assert star["colour"] == pytest.approx(
        0.9 + (four_stars.term["g"] - four_stars.term["i"]) * 0.1, abs=1e-9
    )
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
        (
            {"ra_deg": PLACE[0], "dec_deg": PLACE[1], "outer_arcsec": 60},
            {1, 2},
        ),
        (
            {"ra_deg": PLACE[0], "dec_deg": PLACE[1], "inner_arcsec": 60},
            {3, 4},
        ),
        ({"max_blended": 0.5}, {1, 2, 3}),
        ({"min_frame": 2}, {1, 2, 3, 4}),
        ({"max_err_mag": 0.009}, {1, 2, 4}),
    ],
)
def test_a_selection_keeps_whom_it_names(build, limits, stars, four_stars):
    tables = four_stars.night()
    for row in tables["aperture_flux"]:
        row["flags"] = int(Flag.BLENDED) if row["source_id"] == 4 else 0
    assert set(diagram(build(tables), **limits).stars["source_id"]) == stars


def test_unclean_measurements_are_left_out_unless_asked_for(build, four_stars):
    tables = four_stars.night()
    for row in tables["measurement"]:
        if row["source_id"] == 2 and row["frame_id"] in (1, 4, 5):
            row["flags"] = int(Flag.SATURATED)
    found = build(tables)
    assert set(diagram(found).stars["source_id"]) == {1, 3, 4}  # no clean i
    star = diagram(found, with_unclean=True).stars.filter(source_id=2).row(0, named=True)
    assert star["flags"] & int(Flag.SATURATED)


def test_a_crowded_field_is_called_crowded(build, four_stars):
    tables = four_stars.night()
    for row in tables["aperture_flux"]:
        row["flags"] = int(Flag.BLENDED)
    assert any(text.startswith("crowded: 100 %") for text in diagram(build(tables)).warnings)


@pytest.mark.parametrize("colour", ["g", "g-", "-i", "g-g", "g-r-i"])
def test_a_colour_that_is_none_is_refused(colour):
    with pytest.raises(UsageError, match="expected two"):
        parse_colour(colour)


def test_one_band_alone_and_bands_without_stars_in_common_are_told(build, four_stars):
    tables = four_stars.night()
    found = build(tables)
    with pytest.raises(AnalysisError, match=r"no measured frame in z; measured are: g \(3 frames"):
        diagram(found, "g-z")
    tables["aperture_flux"] = [
        row
        for row in tables["aperture_flux"]
        if (row["source_id"] < 3) == (four_stars.band_of(row["frame_id"]) == "g")
    ]
    other = build({"aperture_flux": tables["aperture_flux"]})
    with other.reading() as con, pytest.raises(AnalysisError, match="Do the frames overlap"):
        field_diagram(con, 1, "M 13", colour="g-i", mag_band="r", selection=Selection())


def test_the_rows_are_those_of_the_function_and_the_view_agrees_at_the_pivot(build, four_stars):
    tables = four_stars.night()
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
