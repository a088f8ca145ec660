"""Calibrated magnitudes in SQL against the formula, star by star."""

import math
from datetime import date, datetime

import pytest

FLUX_ADU, EXPOSURE_S = {1: 20_000.0, 2: 9_000.0, 3: -40.0}, 30.0
G_MINUS_I = {1: 0.95}
NIGHT = date(2024, 3, 8)
ZERO_POINT = {
    "aperture_id": 1,
    "zero_point_mag": 21.3,
    "zero_point_err_mag": 0.012,
    "colour": "g-i",
    "colour_pivot_mag": 0.7,
    "colour_spread_mag": 0.4,
    "colour_term": 0.05,
    "position_mag": [0.02, -0.01],
    "n_star": 40,
    "catalogue_name": "atlas-refcat2",
    "photometric_system": "Pan-STARRS",
    "method": "joint",
}


@pytest.fixture
def rows(database, fill):
    """Two frames of three stars; the first frame has a zero point, star 1 a colour."""

    def put(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    put("camera", {"camera_id": 1, "gain_e_per_adu": 1.5})
    put("field", {"field_id": 1})
    put("aperture", {"aperture_id": 1})
    for frame_id in (1, 2):
        each = {"frame_id": frame_id}
        shape = {"n_x_pix": 201, "n_y_pix": 101, "exposure_s": EXPOSURE_S}
        at = {"band": "r", "night": NIGHT, "mid_utc": datetime(2024, 3, 8, 22), "camera_id": 1}
        put("frame", each | shape | at | {"frame_type": "light", "content_hash": str(frame_id)})
        put("frame_quality", each)
        for source_id, flux_adu in FLUX_ADU.items():
            star = each | {"source_id": source_id}
            place = {"x_pix": 150.0, "y_pix": 20.0, "sky_rms_adu": 5.0, "n_sky_pix": 300}
            put("measurement", star | place)
            put("aperture_flux", star | {"aperture_id": 1, "flux_adu": flux_adu, "n_pix": 50.0})
    put("source", *({"source_id": i, "field_id": 1, "first_frame_id": 1} for i in FLUX_ADU))
    for star, colour in G_MINUS_I.items():
        name = {"catalogue_name": "atlas-refcat2", "reference_star_id": star}
        put("reference_match", name | {"field_id": 1, "source_id": star})
        put("reference_star", name)
        for band, mag in (("g", 15.0), ("i", 15.0 - colour)):
            system = {"photometric_system": "Pan-STARRS", "band": band, "mag": mag}
            put("reference_magnitude", {"reference_star_id": star} | system)
    put("zero_point", {"frame_id": 1} | ZERO_POINT)
    found = database.sql("from calibrated_magnitude").pl()
    return {(row["frame_id"], row["source_id"]): row for row in found.to_dicts()}


def instrumental(star: int) -> float:
    return -2.5 * math.log10(FLUX_ADU[star] / EXPOSURE_S)


def star_err_mag(star: int) -> float:
    variance = FLUX_ADU[star] / 1.5 + 50 * (1 + 1.19 * 50 / 300) * 25
    return 2.5 / math.log(10) * math.sqrt(variance) / FLUX_ADU[star]


def test_every_star_of_every_frame_has_one_row(rows):
    assert len(rows) == 6


def test_zero_point_colour_and_position_are_applied(rows):
    position_mag = 0.02 * 0.5 - 0.01 * -0.6
    expected = instrumental(1) + 21.3 + 0.05 * (0.95 - 0.7) + position_mag
    row = rows[1, 1]
    assert row["mag"] == pytest.approx(expected, abs=1e-7)
    assert row["mag_err"] == pytest.approx(math.hypot(star_err_mag(1), 0.012), rel=1e-6)
    assert row["is_calibrated"]
    assert row["has_colour"]
    assert (row["photometric_system"], row["catalogue_name"]) == ("Pan-STARRS", "atlas-refcat2")


def test_a_star_without_a_colour_has_the_pivot_colour_and_a_larger_error(rows):
    row = rows[1, 2]
    assert row["mag"] == pytest.approx(instrumental(2) + 21.3 + 0.01 + 0.006, abs=1e-7)
    assert row["mag_err"] == pytest.approx(
        math.sqrt(star_err_mag(2) ** 2 + 0.012**2 + (0.05 * 0.4) ** 2), rel=1e-6
    )
    assert not row["has_colour"]


def test_without_a_zero_point_the_magnitude_is_instrumental_and_says_so(rows):
    row = rows[2, 1]
    assert row["mag"] == pytest.approx(instrumental(1), abs=1e-9)
    assert row["mag_err"] == pytest.approx(star_err_mag(1), rel=1e-6)
    assert not row["is_calibrated"]
    assert row["photometric_system"] is None
    assert row["catalogue_name"] is None


def test_no_positive_flux_has_no_magnitude(rows):
    assert rows[1, 3]["mag"] is None
    assert rows[2, 3]["mag"] is None
