"""Orbits against closed formulas."""

import math

import numpy as np
import pytest

from starmuster.analysis.orbits import (
    BEHIND,
    Ephemeris,
    Orbit,
    contacts,
    duration_d,
    epoch_of,
    mid_of,
    orbit_of,
    predict,
    separation,
    shape,
)
from starmuster.errors import FitError


def test_a_circular_orbit_has_the_separation_of_a_circle():
    time = np.linspace(-0.3, 0.3, 101)
    orbit = Orbit(period_d=3.0, mid_d=0.02, a_over_r=9.0, impact_parameter=0.3)
    phase = 2 * np.pi * (time - 0.02) / 3.0
    expected = np.hypot(9 * np.sin(phase), 0.3 * np.cos(phase))
    assert np.allclose(separation(orbit, time), expected, atol=1e-9)


def test_a_planet_behind_its_star_is_out_of_the_way():
    orbit = Orbit(period_d=3.0, mid_d=0.0, a_over_r=9.0, impact_parameter=0.0)
    assert separation(orbit, np.array([1.5]))[0] == BEHIND


@pytest.mark.parametrize("omega_deg", [0.0, 50.0, 90.0, 200.0, 270.0, 359.0])
def test_eccentric_transits_last_as_long_as_winn_2010_says(omega_deg):
    period, a, b, e, k = 20.0, 40.0, 0.3, 0.3, 0.1
    orbit = Orbit(period, 0.0, a, b, e, math.radians(omega_deg))
    stretch = math.sqrt(1 - e**2) / (1 + e * math.sin(math.radians(omega_deg)))
    sin_i = math.sqrt(1 - (b / orbit.distance_at_mid) ** 2)
    expected = period / math.pi * math.asin(math.sqrt((1 + k) ** 2 - b**2) / a / sin_i) * stretch
    # The formula holds to second order in the duration over the period.
    assert duration_d(orbit, k) == pytest.approx(expected, rel=2e-3)
    assert separation(orbit, np.array([0.0]))[0] == pytest.approx(b, abs=1e-9)


def test_the_orbit_of_hatp32_is_short_for_its_size_as_it_transits_near_periastron(hatp32):
    """Its a/R* of 5.344 is worth a circular one of 6.07: its own orbit must be used."""
    known = shape(hatp32)
    own = duration_d(orbit_of(hatp32, known.a_over_r, known.impact_parameter), 0.1489)
    circular = duration_d(Orbit(2.1500082, 0.0, 6.07, known.impact_parameter), 0.1489)
    assert own == pytest.approx(circular, rel=0.01)


def test_contacts_are_where_the_discs_touch():
    orbit = Orbit(4.0, 0.1, 10.0, 0.5, 0.2, 1.0)
    first, last = contacts(orbit, 1.1)
    assert first < 0.1 < last
    assert np.allclose(separation(orbit, np.array([first, last])), 1.1, atol=1e-9)
    assert contacts(orbit, 0.4) is None


def test_epochs_are_rounded_not_floored_and_errors_grow_with_them(hatp32):
    assert epoch_of(hatp32, hatp32.mid_bjd_tdb - 0.01) == 0
    assert epoch_of(hatp32, hatp32.mid_bjd_tdb + 1042 * 2.1500082 - 0.01) == 1042
    mid, err = mid_of(hatp32, 1042)
    assert mid == pytest.approx(2458107.71129, abs=1e-5)
    assert err == pytest.approx(math.hypot(4.9e-5, 1042 * 1.3e-7))
    assert mid_of(Ephemeris("x", 2.0, 2455000.0), 3)[1] is None


def test_every_transit_that_touches_the_night_is_predicted(hatp32):
    mid = hatp32.mid_bjd_tdb
    half = predict(hatp32, mid, mid)["duration_h"][0] / 48
    assert predict(hatp32, mid + 0.9 * half, mid + 1.0)["epoch"].to_list() == [0]
    assert predict(hatp32, mid + 1.1 * half, mid + 1.0).is_empty()
    assert predict(hatp32, mid - 0.1, mid + 2.16)["epoch"].to_list() == [0, 1]
    row = predict(hatp32, mid, mid).row(0, named=True)
    assert row["first_contact_bjd_tdb"] == pytest.approx(mid - half, abs=1e-4)
    with pytest.raises(FitError, match="times in order"):
        predict(hatp32, mid, mid - 1)


def test_a_published_duration_gives_the_orbits_size_where_none_is_known():
    truth = Orbit(3.0, 0.0, 9.0, 0.4)
    hours = 24 * duration_d(truth, 0.1)
    planet = Ephemeris(
        "x", 3.0, 2455000.0, radius_ratio=0.1, impact_parameter=0.4, duration_h=hours
    )
    assert shape(planet).a_over_r == pytest.approx(9.0, rel=0.01)
    impossible = Ephemeris("x", 0.1, 2455000.0, duration_h=5.0)
    with pytest.raises(FitError, match="does not fit a period"):
        shape(impossible)


def test_what_is_not_known_of_an_orbit_is_assumed_and_said():
    known = shape(Ephemeris("x", 365.25, 2455000.0))
    assert known.a_over_r == pytest.approx(215.0, rel=0.01)  # the Earth before the Sun
    assert known.a_source == "density of the Sun assumed"
    assert known.a_over_r_err > 0.2 * known.a_over_r
    assert known.b_source == "unknown"
    assert "error assumed" in shape(Ephemeris("x", 3.0, 2455000.0, a_over_r=9.0)).a_source


def test_an_orbit_that_is_not_bound_is_refused():
    with pytest.raises(FitError, match="eccentricity 1"):
        orbit_of(Ephemeris("x", 3.0, 2455000.0, eccentricity=1.0, omega_deg=0.0), 9.0, 0.0)


def test_a_row_of_the_table_makes_an_ephemeris():
    row = {
        "planet_id": 3,
        "planet_name": "x",
        "period_d": 2.0,
        "mid_bjd_tdb": 2455000.0,
        "depth": None,
    }
    assert Ephemeris.from_row(row) == Ephemeris("x", 2.0, 2455000.0)
