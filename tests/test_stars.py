"""Which star is meant: by number, by name, or by a place on the sky."""

from datetime import datetime

import pytest

from starmuster.analysis.stars import find_star, parse_position
from starmuster.errors import NotFoundError

ARCSEC = 1 / 3600


@pytest.fixture
def put(database, fill):
    """Put rows into a table."""

    def put_rows(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    return put_rows


@pytest.fixture
def sky(database, put):
    """A field of three stars, a planet at the first, a coarse field of one star."""
    put(
        "field",
        {"field_id": 1, "field_name": "HATP-32", "scale_arcsec_per_pix": 0.61},
        {"field_id": 2, "field_name": "coarse", "scale_arcsec_per_pix": 5.2},
    )
    put(
        "source",
        {"source_id": 1, "field_id": 1, "ra_deg": 31.0427, "dec_deg": 46.6879},
        {"source_id": 2, "field_id": 1, "ra_deg": 31.0427, "dec_deg": 46.6879 + 20 * ARCSEC},
        {"source_id": 3, "field_id": 1, "ra_deg": 31.2, "dec_deg": 46.7},
        {"source_id": 4, "field_id": 2, "ra_deg": 100.0, "dec_deg": 10.0},
    )
    put(
        "planet",
        {
            "planet_id": 1,
            "planet_name": "HAT-P-32 b",
            "planet_key": "hatp32b",
            "host_name": "HAT-P-32",
            "ra_deg": 31.0427,
            "dec_deg": 46.6879 + 2 * ARCSEC,
            "imported_utc": datetime(2024, 1, 1),
        },
        {"planet_id": 2, "planet_name": "Lost-1 b", "planet_key": "lost1b", "host_name": "Lost-1"},
    )
    return database


def test_a_star_is_found_by_its_number(sky):
    assert find_star(sky, "3").source_id == 3


@pytest.mark.parametrize("name", ["HAT-P-32 b", "hatp32b", "HATP-32", "hat-p-32"])
def test_a_planet_and_its_host_are_found_by_the_position_of_the_host(sky, name):
    found = find_star(sky, name)
    assert (found.source_id, found.field_id, found.name) == (1, 1, name)


def test_a_name_tied_by_hand_counts_before_its_position(sky, put):
    put("identity", {"target_key": "hatp32b", "target_name": "HAT-P-32 b", "source_id": 3})
    assert find_star(sky, "HAT-P-32 b").source_id == 3
    assert find_star(sky, "HATP-32").source_id == 3


@pytest.mark.parametrize(
    "place",
    ["31.0427 46.6879", "31.0427, +46.6879", "02:04:10.25 +46:41:16.4", "2 4 10.25 46 41 16.4"],
)
def test_a_place_is_read_in_degrees_or_sexagesimal(sky, place):
    assert find_star(sky, place).source_id == 1


def test_sexagesimal_hours_are_never_taken_for_degrees():
    assert parse_position("16:00:44.0 +43:08:42") == pytest.approx((240.18333, 43.145), abs=1e-5)
    assert parse_position("240.18333 43.145") == (240.18333, 43.145)


@pytest.mark.parametrize("text", ["HAT-P-32 b", "M 37", "361 0", "10 91", "Gl 436", "12"])
def test_what_is_no_place_is_not_read_as_one(text):
    assert parse_position(text) is None


def test_the_nearest_star_within_five_arcsec_is_taken(sky):
    assert find_star(sky, f"31.0427 {46.6879 + 16 * ARCSEC:.7f}").source_id == 2
    with pytest.raises(NotFoundError, match=r"source 1, is 8\.0 arcsec off"):
        find_star(sky, f"31.0427 {46.6879 + 8 * ARCSEC:.7f}")


def test_coarse_pixels_widen_the_search(sky):
    assert find_star(sky, f"100 {10 + 7 * ARCSEC:.7f}").source_id == 4
    with pytest.raises(NotFoundError):
        find_star(sky, f"100 {10 + 9 * ARCSEC:.7f}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("HAT-P-33 b", "Nearest: HAT-P-32 b"),
        ("99", "no source 99"),
        ("Lost-1 b", "identify"),
        ("200 -40", "no star at"),
    ],
)
def test_what_is_not_found_is_told_with_the_next_step(sky, text, told):
    with pytest.raises(NotFoundError, match=told):
        find_star(sky, text)
