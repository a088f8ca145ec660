"""Light curves in SQL: times, airmass and errors against independent reckoning."""

import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, solar_system_ephemeris
from astropy.time import Time
from astropy.utils import iers

from starmuster.transforms.flags import MEANINGS, Flag
from starmuster.warehouse.store import shipped

MINUTES = (0, 7, 45, 180, 300, 421)
MS_D = 1e-3 / 86400


@pytest.fixture
def sky(small_sky):
    return small_sky


@pytest.fixture
def night(sky: Any) -> Any:
    """Six frames over seven hours, every star on each."""
    frame_ids = range(1, len(MINUTES) + 1)
    sky.expose(frame_ids, [sky.start + timedelta(minutes=minutes) for minutes in MINUTES])
    sky.measure({(i, star): 1000.0 * star for i in frame_ids for star in sky.stars})
    return sky


@pytest.fixture
def no_download() -> Iterator[None]:
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        yield


def test_the_julian_day_begins_at_noon(sky):
    row = sky.one(
        "select jd_utc(timestamp '2000-01-01 12:00:00') as noon, "
        "jd_utc(timestamp '2017-12-20 01:33:00.25') as night"
    )
    assert row["noon"] == 2451545.0
    assert row["night"] == pytest.approx(Time("2017-12-20T01:33:00.25").jd, abs=1e-9)


def test_there_is_one_row_a_flux(night):
    counts = night.one(
        "select count(*) as n, count(distinct (frame_id, source_id)) as m from light_curve"
    )
    assert counts == {"n": len(MINUTES) * len(night.stars), "m": len(MINUTES) * len(night.stars)}


@pytest.mark.usefixtures("no_download")
def test_barycentric_times_are_those_of_astropy_within_a_millisecond(night):
    rows = night.rows("select source_id, mid_utc, mid_jd_utc, mid_bjd_tdb from light_curve")
    location = EarthLocation.from_geodetic(
        night.site["longitude_deg"] * u.deg,
        night.site["latitude_deg"] * u.deg,
        night.site["elevation_m"] * u.m,
    )
    for (source_id,), star in rows.group_by("source_id"):
        ra_deg, dec_deg = night.stars[int(source_id)]
        time = Time(star["mid_utc"].to_numpy(), scale="utc", location=location)
        with solar_system_ephemeris.set("builtin"):
            travel = time.light_travel_time(SkyCoord(ra_deg, dec_deg, unit="deg"))
        expected = (time.tdb + travel).jd
        assert np.abs(star["mid_bjd_tdb"].to_numpy() - expected).max() < MS_D
        assert np.abs(star["mid_jd_utc"].to_numpy() - time.jd).max() < MS_D
        shift_d = star["mid_bjd_tdb"].to_numpy() - star["mid_jd_utc"].to_numpy()
        assert np.ptp(shift_d) * 86400 > 1.0


@pytest.mark.usefixtures("no_download")
def test_altitude_and_airmass_are_those_of_the_star_above_the_site(night):
    rows = night.rows("select source_id, mid_utc, altitude_deg, airmass from light_curve")
    location = EarthLocation.from_geodetic(
        night.site["longitude_deg"] * u.deg,
        night.site["latitude_deg"] * u.deg,
        night.site["elevation_m"] * u.m,
    )
    for (source_id,), star in rows.group_by("source_id"):
        frame = AltAz(obstime=Time(star["mid_utc"].to_numpy()), location=location)
        place = SkyCoord(*night.stars[int(source_id)], unit="deg").transform_to(frame)
        # The aberration of light is 20 arcsec at most; the view leaves it out.
        assert np.abs(star["altitude_deg"].to_numpy() - place.alt.deg).max() < 25 / 3600
        secz = place.secz.value
        low = secz < 3
        assert low.sum() >= 3
        assert star["airmass"].to_numpy()[low] == pytest.approx(secz[low], rel=0.01)


def test_airmass_is_that_of_pickering_and_null_below_the_horizon(sky):
    # Pickering 2002: 1 at the zenith, 5.6 at 10 degrees, about 38.7 at the horizon.
    row = sky.one(
        "select airmass_at(90) as zenith, airmass_at(10) as ten, airmass_at(0.001) as horizon, "
        "airmass_at(-1) as below, airmass_at(null) as unknown"
    )
    assert row["zenith"] == pytest.approx(1, abs=1e-4)
    assert row["ten"] == pytest.approx(5.6, abs=0.03)
    assert row["horizon"] == pytest.approx(38.7, abs=0.3)
    assert row["below"] is None
    assert row["unknown"] is None


def test_without_a_site_times_are_geocentric_and_there_is_no_airmass(sky):
    sky.expose([1], [sky.start])
    sky.expose([2], [sky.start], site_id=None)
    sky.measure({(1, 1): 1000.0, (2, 1): 1000.0})
    known, unknown = sky.rows("from light_curve order by frame_id").to_dicts()
    assert (known["is_geocentric"], unknown["is_geocentric"]) == (False, True)
    assert 1e-4 / 86400 < abs(known["mid_bjd_tdb"] - unknown["mid_bjd_tdb"]) < 21.5 * MS_D
    assert unknown["altitude_deg"] is None
    assert unknown["airmass"] is None
    assert unknown["scintillation"] is None
    assert unknown["flux_err_adu"] > 0


@pytest.mark.parametrize(
    ("own", "is_tied", "expected"),
    [(True, True, "source"), (False, True, "host"), (False, False, "field")],
)
def test_a_star_has_the_best_position_known(sky, own, is_tied, expected):
    place = {"ra_deg": 31.5, "dec_deg": 46.0} if own else {}
    sky.put("source", {"source_id": 9, "field_id": 1} | place)
    if is_tied:
        sky.put("identity", {"target_key": "hatp32b", "source_id": 9, "field_id": 1})
    for planet_id, (ra_deg, imported) in enumerate([(31.04, 2024), (10.0, 2020)]):
        sky.put(
            "planet",
            {
                "planet_id": planet_id,
                "planet_key": "hatp32b",
                "host_name": "HAT-P-32",
                "ra_deg": ra_deg,
                "dec_deg": 46.68,
                "imported_utc": datetime(imported, 1, 1),
            },
        )
    row = sky.one("from star where source_id = 9")
    assert row["position_source"] == expected
    assert row["ra_deg"] == {"source": 31.5, "host": 31.04, "field": 31.0}[expected]


def test_a_host_tied_by_its_own_name_is_found(sky):
    sky.put("source", {"source_id": 9, "field_id": 1})
    sky.put("identity", {"target_key": "hatp32", "source_id": 9, "field_id": 1})
    planet = {"planet_key": "hatp32b", "host_name": "HAT-P-32", "ra_deg": 31.04, "dec_deg": 46.68}
    sky.put("planet", planet)
    assert sky.one("from star where source_id = 9")["position_source"] == "host"


def test_no_clean_measurement_has_a_severe_flag(sky):
    for flag, meaning in MEANINGS.items():
        row = sky.one(f"select is_clean({int(flag)}) as clean")
        assert row["clean"] is not meaning.is_severe, flag
    every = sum(int(flag) for flag, meaning in MEANINGS.items() if not meaning.is_severe)
    assert sky.one(f"select is_clean({every}) as clean")["clean"] is True
    assert sky.one("select is_clean(0) as clean")["clean"] is True


def test_flags_of_frame_source_measurement_and_aperture_come_together(sky):
    sky.expose([1], [sky.start])
    # what the frame of detection says of a source is not said of its other frames
    of_source = Flag.CLOSE_PAIR | Flag.AMBIGUOUS
    sky.con.execute(f"update source set flags = {int(of_source | Flag.BAD_PIXEL)}")
    sky.con.execute(f"update frame_quality set flags = {int(Flag.NO_FLAT)}")
    sky.measure({(1, 1): 1000.0}, flags=int(Flag.EDGE), flux_flags=int(Flag.SATURATED))
    row = sky.one("from light_curve")
    assert row["flags"] == Flag.NO_FLAT | Flag.EDGE | Flag.SATURATED | of_source
    assert row["is_clean"] is False


def naive_error_adu(*terms: float) -> float:
    """The formula of the error model, term by term."""
    flux, gain, n_pix, n_sky, sky_rms, flat, fwhm, scintillation = terms
    photons = max(flux, 0) / gain
    sky = n_pix * (1 + 1.19 * n_pix / n_sky) * sky_rms**2
    n_eff = 2.27 * fwhm**2
    return math.sqrt(photons + sky + (flat * flux) ** 2 / n_eff + (scintillation * flux) ** 2)


@pytest.mark.parametrize("flux", [250_000.0, 900.0, 0.0, -35.0])
def test_the_error_of_a_flux_is_the_sum_of_its_terms(sky, flux):
    row = sky.one(f"select flux_err_adu({flux}, 1.5, 50, 300, 5.0, 0.004, 2.5, 0.001) as err")
    expected = naive_error_adu(flux, 1.5, 50, 300, 5.0, 0.004, 2.5, 0.001)
    assert row["err"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("unknown", ["0.004", "0.001"])
def test_flat_noise_and_scintillation_that_are_not_known_count_as_zero(sky, unknown):
    call = "flux_err_adu(900.0, 1.5, 50, 300, 5.0, 0.004, 2.5, 0.001)"
    row = sky.one(f"select {call.replace(unknown, 'null')} as a, {call.replace(unknown, '0')} as b")
    assert row["a"] == row["b"]


@pytest.mark.parametrize("position", [0, 1, 3, 4])
def test_without_flux_gain_or_sky_there_is_no_error(sky, position):
    values = ["900.0", "1.5", "50", "300", "5.0", "0.004", "2.5", "0.001"]
    values[position] = "null"
    assert sky.one(f"select flux_err_adu({', '.join(values)}) as err")["err"] is None


def test_an_annulus_without_a_pixel_gives_no_error_and_no_infinity(sky):
    assert sky.one("select flux_err_adu(900, 1.5, 50, 0, 5.0, 0, 2.5, 0) as e")["e"] is None
    row = sky.one("select flux_err_adu(900, 1.5, 50, 300, 5.0, 0.1, 0, 0) as err")
    assert row["err"] == pytest.approx(naive_error_adu(900, 1.5, 50, 300, 5, 0, 1, 0))


def test_what_a_profile_misses_is_in_the_error_of_fluxes_by_fit_alone(night):
    night.put("aperture", {"aperture_id": 2, "kind": "psf", "radius": 4.0})
    fitted = {"frame_id": 1, "source_id": 1, "n_pix": 50.0, "flags": 0, "flux_adu": 1000.0}
    night.put("aperture_flux", fitted | {"aperture_id": 2, "neighbour_adu": 400.0})
    query = (
        "select aperture_id, flux_err_adu from light_curve "
        "where frame_id = 1 and source_id = 1 order by aperture_id"
    )
    before = night.rows(query)["flux_err_adu"].to_list()
    assert before[0] == before[1]  # no profile was measured: the same area, the same noise
    night.put("point_spread", {"frame_id": 1, "model": "epsf", "profile_err": 0.02})
    circle, fit = night.rows(query)["flux_err_adu"].to_list()
    assert circle == before[0]
    assert fit**2 == pytest.approx(before[1] ** 2 + 0.02**2 * (1000**2 + 400**2))


def test_the_light_of_neighbours_is_in_the_error_where_stars_are_elongated(night):
    night.con.execute("update aperture_flux set neighbour_slope_adu = -250 where source_id = 1")
    query = "select flux_err_adu from light_curve where frame_id = 1 and source_id = 1"
    before = night.one(query)["flux_err_adu"]
    night.con.execute("update frame_quality set elongation = 1.3 where frame_id = 1")
    after = night.one(query)["flux_err_adu"]
    assert after**2 == pytest.approx(before**2 + (0.5 * math.log(1.3) * 250) ** 2)
    night.con.execute("update frame_quality set elongation = 1.0 where frame_id = 1")
    assert night.one(query)["flux_err_adu"] == pytest.approx(before)


def test_scintillation_is_that_of_osborn_2015(sky):
    expected = math.sqrt(1e-5 * 1.5**2 * 0.5 ** (-4 / 3) / 60 * 1.2**3 * math.exp(-2 * 1268 / 8000))
    row = sky.one(
        "select scintillation(0.5, 1268, 60, 1.2) as y, scintillation(null, 1, 60, 1) as n"
    )
    assert row["y"] == pytest.approx(expected, rel=1e-12)
    assert row["n"] is None


def test_the_view_puts_the_terms_of_the_error_together(sky):
    sky.expose([1], [sky.start])
    sky.measure({(1, 1): 40_000.0})
    sky.put("master", {"master_id": 4, "kind": "flat", "noise_adu": 80.0, "level_adu": 20_000.0})
    sky.put("calibration", {"frame_id": 1, "flat_master_id": 4})
    row = sky.one("from light_curve")
    y = math.sqrt(
        1e-5 * 1.5**2 * 0.5 ** (-4 / 3) / 60 * row["airmass"] ** 3 * math.exp(-2 * 1268 / 8000)
    )
    assert row["scintillation"] == pytest.approx(y, rel=1e-9)
    expected = naive_error_adu(40_000, 1.5, 50, 300, 5, 0.004, 2.5, y)
    assert row["flux_err_adu"] == pytest.approx(expected, rel=1e-6)
    assert row["instrumental_mag"] == pytest.approx(-2.5 * math.log10(40_000 / 60))
    assert row["instrumental_mag_err"] == pytest.approx(2.5 / math.log(10) * expected / 40_000)
    assert row["gain_source"] == "configuration"


@pytest.mark.parametrize("flux", [0.0, -3.0, None])
def test_a_flux_that_is_not_positive_is_kept_and_has_no_magnitude(sky, flux):
    sky.expose([1], [sky.start])
    sky.measure({(1, 1): flux})
    row = sky.one("from light_curve")
    assert row["flux_adu"] == flux
    assert row["instrumental_mag"] is None
    assert row["instrumental_mag_err"] is None
    assert (row["flux_err_adu"] is None) == (flux is None)


FITS = {
    "photon transfer": {"method": "photon transfer", "gain_e_per_adu": 1.3, "read_noise_e": 7.0},
    "star scatter": {
        "method": "star scatter",
        "gain_e_per_adu": 1.7,
        "band": "r",
        "night": date(2017, 12, 19),
    },
}


@pytest.mark.parametrize(
    ("known", "expected", "gain"),
    [
        ({"photon transfer", "configuration", "header", "star scatter"}, "photon transfer", 1.3),
        ({"configuration", "header", "star scatter"}, "configuration", 1.5),
        ({"header", "star scatter"}, "header", 1.6),
        ({"star scatter"}, "star scatter", 1.7),
        (set(), None, None),
    ],
)
def test_the_gain_is_the_measured_one_else_configured_else_in_the_header_else_from_stars(
    sky, known, expected, gain
):
    sky.expose([1], [sky.start], egain_e_per_adu=1.6 if "header" in known else None)
    if "configuration" not in known:
        sky.con.execute("update camera set gain_e_per_adu = null")
    for name in known & set(FITS):
        sky.put("gain_fit", {"camera_id": 1} | FITS[name])
    row = sky.one("from frame_noise")
    assert (row["gain_source"], row["gain_e_per_adu"]) == (expected, gain)
    assert row["read_noise_e"] == (7.0 if "photon transfer" in known else None)


def test_the_measured_gain_is_that_of_the_nearest_night_and_the_same_setting(sky):
    sky.expose([1], [sky.start], gain_setting=100.0, x_binning=2, readout_mode="slow")
    same = {
        "camera_id": 1,
        "gain_setting": 100.0,
        "x_binning": 2,
        "readout_mode": "slow",
        "method": "photon transfer",
    }
    sky.put("gain_fit", same | {"night": sky.night - timedelta(days=9), "gain_e_per_adu": 1.1})
    sky.put("gain_fit", same | {"night": sky.night + timedelta(days=3), "gain_e_per_adu": 1.2})
    sky.put("gain_fit", same | {"night": sky.night + timedelta(days=1), "gain_e_per_adu": None})
    for other in (
        {"gain_setting": 0.0},
        {"x_binning": 1},
        {"readout_mode": "fast"},
        {"camera_id": 2},
        {"gain_setting": None},
    ):
        sky.put("gain_fit", same | other | {"night": sky.night, "gain_e_per_adu": 9.0})
    assert sky.one("from frame_noise")["gain_e_per_adu"] == 1.2


def test_the_scatter_of_stars_speaks_for_its_own_night_and_band_only(sky):
    sky.con.execute("update camera set gain_e_per_adu = null")
    sky.expose([1], [sky.start])
    for other in ({"night": sky.night - timedelta(days=1)}, {"band": "g"}):
        sky.put("gain_fit", {"camera_id": 1} | FITS["star scatter"] | other)
    assert sky.one("from frame_noise")["gain_e_per_adu"] is None


def test_stars_are_listed_by_brightness_and_field(night):
    night.put("source", {"source_id": 4, "field_id": 1})
    night.put("field", {"field_id": 2, "field_name": "M 13"})
    night.put("source", {"source_id": 5, "field_id": 2})
    rows = shipped(night.con, "stars", field="hat-p-32")
    assert rows["source_id"].to_list() == [3, 2, 1, 4]
    assert rows["n_frame"].to_list() == [6, 6, 6, 0]
    assert rows["instrumental_mag"][0] == pytest.approx(-2.5 * math.log10(3000 / 60))
    assert rows["instrumental_mag"][3] is None
    assert shipped(night.con, "stars", field="2")["source_id"].to_list() == [5]
    assert shipped(night.con, "stars").height == 5
