"""Light curves in SQL: times, airmass, errors and ensembles against independent reckoning."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import astropy.units as u
import duckdb
import numpy as np
import polars as pl
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, solar_system_ephemeris
from astropy.time import Time
from astropy.utils import iers

from starmuster.analysis.ensembles import differential
from starmuster.transforms.flags import MEANINGS, Flag
from starmuster.transforms.vantage import vantage
from starmuster.warehouse.store import shipped

NIGHT = date(2017, 12, 19)
START = datetime(2017, 12, 20, 1, 33)
MINUTES = (0, 7, 45, 180, 300, 421)
SITE = {"latitude_deg": 31.675, "longitude_deg": -110.952, "elevation_m": 1268.0}
STARS = {1: (31.0427, 46.6879), 2: (31.3, 46.5), 3: (30.8, 46.9)}
MS_D = 1e-3 / 86400

Fill = Callable[[str, list[dict[str, Any]]], pl.DataFrame]


class Sky:
    """An open database and the means to put rows into it."""

    def __init__(self, con: duckdb.DuckDBPyConnection, fill: Fill) -> None:
        self.con = con
        self.fill = fill

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        self.con.register("given", self.fill(table, list(rows)))
        self.con.execute(f"insert into {table} by name from given")

    def rows(self, query: str) -> pl.DataFrame:
        return self.con.sql(query).pl()

    def one(self, query: str) -> dict[str, Any]:
        return self.rows(query).row(0, named=True)


@pytest.fixture
def sky(database, fill) -> Sky:
    """One camera at one site, a field, three stars, one aperture; no frames yet."""
    sky = Sky(database, fill)
    sky.put("site", {"site_id": 1} | SITE)
    sky.put("camera", {"camera_id": 1, "aperture_m": 0.5, "gain_e_per_adu": 1.5})
    sky.put("field", {"field_id": 1, "field_name": "HATP-32", "ra_deg": 31.0, "dec_deg": 46.7})
    sky.put("aperture", {"aperture_id": 1, "kind": "pix", "radius": 4.0})
    sky.put(
        "flag",
        *(
            {
                "bit": flag.bit_length() - 1,
                "value": int(flag),
                "flag_name": (flag.name or "").lower(),
                "meaning": meaning.text,
                "is_severe": meaning.is_severe,
            }
            for flag, meaning in MEANINGS.items()
        ),
    )
    for source_id, (ra_deg, dec_deg) in STARS.items():
        place = {"ra_deg": ra_deg, "dec_deg": dec_deg}
        sky.put("source", {"source_id": source_id, "field_id": 1} | place)
    return sky


def expose(sky: Sky, frame_ids: Iterable[int], mid_utc: Iterable[datetime], **changes: Any) -> None:
    """Add measured light frames with their vantage and quality."""
    frame = {
        "frame_type": "light",
        "band": "r",
        "exposure_s": 60.0,
        "night": NIGHT,
        "camera_id": 1,
        "site_id": 1,
    }
    ids, times = list(frame_ids), list(mid_utc)
    each = [
        {"frame_id": i, "content_hash": str(i), "mid_utc": t}
        for i, t in zip(ids, times, strict=True)
    ]
    sky.put("frame", *(frame | row | changes for row in each))
    place = SITE if (frame | changes)["site_id"] else dict.fromkeys(SITE)
    placed = vantage(times, frame_id=pl.Series(ids, dtype=pl.Int32), **place)
    sky.put("vantage", *placed.to_dicts())
    sky.put("frame_quality", *({"frame_id": i, "fwhm_pix": 2.5} for i in ids))


def measure(sky: Sky, fluxes_adu: Mapping[tuple[int, int], float | None], **flags: int) -> None:
    """Add measurements by frame and star, with the flux in aperture 1."""
    keys = [{"frame_id": frame_id, "source_id": source_id} for frame_id, source_id in fluxes_adu]
    star = {"sky_rms_adu": 5.0, "n_sky_pix": 300, "flags": flags.get("flags", 0)}
    aperture = {"aperture_id": 1, "n_pix": 50.0, "flags": flags.get("flux_flags", 0)}
    sky.put("measurement", *(key | star for key in keys))
    values = zip(keys, fluxes_adu.values(), strict=True)
    sky.put("aperture_flux", *(key | aperture | {"flux_adu": flux} for key, flux in values))


@pytest.fixture
def night(sky: Sky) -> Sky:
    """Six frames over seven hours, every star on each."""
    frame_ids = range(1, len(MINUTES) + 1)
    expose(sky, frame_ids, [START + timedelta(minutes=minutes) for minutes in MINUTES])
    measure(sky, {(i, star): 1000.0 * star for i in frame_ids for star in STARS})
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
    assert counts == {"n": len(MINUTES) * len(STARS), "m": len(MINUTES) * len(STARS)}


@pytest.mark.usefixtures("no_download")
def test_barycentric_times_are_those_of_astropy_within_a_millisecond(night):
    rows = night.rows("select source_id, mid_utc, mid_jd_utc, mid_bjd_tdb from light_curve")
    location = EarthLocation.from_geodetic(
        SITE["longitude_deg"] * u.deg, SITE["latitude_deg"] * u.deg, SITE["elevation_m"] * u.m
    )
    for (source_id,), star in rows.group_by("source_id"):
        ra_deg, dec_deg = STARS[int(source_id)]
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
        SITE["longitude_deg"] * u.deg, SITE["latitude_deg"] * u.deg, SITE["elevation_m"] * u.m
    )
    for (source_id,), star in rows.group_by("source_id"):
        frame = AltAz(obstime=Time(star["mid_utc"].to_numpy()), location=location)
        place = SkyCoord(*STARS[int(source_id)], unit="deg").transform_to(frame)
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
    expose(sky, [1], [START])
    expose(sky, [2], [START], site_id=None)
    measure(sky, {(1, 1): 1000.0, (2, 1): 1000.0})
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
    expose(sky, [1], [START])
    # what the frame of detection says of a source is not said of its other frames
    of_source = Flag.CLOSE_PAIR | Flag.AMBIGUOUS
    sky.con.execute(f"update source set flags = {int(of_source | Flag.BAD_PIXEL)}")
    sky.con.execute(f"update frame_quality set flags = {int(Flag.NO_FLAT)}")
    measure(sky, {(1, 1): 1000.0}, flags=int(Flag.EDGE), flux_flags=int(Flag.SATURATED))
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


def test_scintillation_is_that_of_osborn_2015(sky):
    expected = math.sqrt(1e-5 * 1.5**2 * 0.5 ** (-4 / 3) / 60 * 1.2**3 * math.exp(-2 * 1268 / 8000))
    row = sky.one(
        "select scintillation(0.5, 1268, 60, 1.2) as y, scintillation(null, 1, 60, 1) as n"
    )
    assert row["y"] == pytest.approx(expected, rel=1e-12)
    assert row["n"] is None


def test_the_view_puts_the_terms_of_the_error_together(sky):
    expose(sky, [1], [START])
    measure(sky, {(1, 1): 40_000.0})
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
    expose(sky, [1], [START])
    measure(sky, {(1, 1): flux})
    row = sky.one("from light_curve")
    assert row["flux_adu"] == flux
    assert row["instrumental_mag"] is None
    assert row["instrumental_mag_err"] is None
    assert (row["flux_err_adu"] is None) == (flux is None)


FITS = {
    "photon transfer": {"method": "photon transfer", "gain_e_per_adu": 1.3, "read_noise_e": 7.0},
    "star scatter": {"method": "star scatter", "gain_e_per_adu": 1.7, "band": "r", "night": NIGHT},
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
    expose(sky, [1], [START], egain_e_per_adu=1.6 if "header" in known else None)
    if "configuration" not in known:
        sky.con.execute("update camera set gain_e_per_adu = null")
    for name in known & set(FITS):
        sky.put("gain_fit", {"camera_id": 1} | FITS[name])
    row = sky.one("from frame_noise")
    assert (row["gain_source"], row["gain_e_per_adu"]) == (expected, gain)
    assert row["read_noise_e"] == (7.0 if "photon transfer" in known else None)


def test_the_measured_gain_is_that_of_the_nearest_night_and_the_same_setting(sky):
    expose(sky, [1], [START], gain_setting=100.0, x_binning=2, readout_mode="slow")
    same = {
        "camera_id": 1,
        "gain_setting": 100.0,
        "x_binning": 2,
        "readout_mode": "slow",
        "method": "photon transfer",
    }
    sky.put("gain_fit", same | {"night": NIGHT - timedelta(days=9), "gain_e_per_adu": 1.1})
    sky.put("gain_fit", same | {"night": NIGHT + timedelta(days=3), "gain_e_per_adu": 1.2})
    sky.put("gain_fit", same | {"night": NIGHT + timedelta(days=1), "gain_e_per_adu": None})
    for other in (
        {"gain_setting": 0.0},
        {"x_binning": 1},
        {"readout_mode": "fast"},
        {"camera_id": 2},
        {"gain_setting": None},
    ):
        sky.put("gain_fit", same | other | {"night": NIGHT, "gain_e_per_adu": 9.0})
    assert sky.one("from frame_noise")["gain_e_per_adu"] == 1.2


def test_the_scatter_of_stars_speaks_for_its_own_night_and_band_only(sky):
    sky.con.execute("update camera set gain_e_per_adu = null")
    expose(sky, [1], [START])
    for other in ({"night": NIGHT - timedelta(days=1)}, {"band": "g"}):
        sky.put("gain_fit", {"camera_id": 1} | FITS["star scatter"] | other)
    assert sky.one("from frame_noise")["gain_e_per_adu"] is None


# Differential light curves ------------------------------------------------------------------


def compare(sky: Sky, weights: dict[int, float], **changes: Any) -> None:
    """Store comparison stars of source 1 in aperture 1."""
    for source_id, weight in weights.items():
        row = {
            "target_source_id": 1,
            "night": NIGHT,
            "band": "r",
            "aperture_id": 1,
            "source_id": source_id,
            "is_used": weight > 0,
            "weight": weight or None,
        }
        sky.put("comparison_star", row | changes)


def observe(sky: Sky, flux: np.ndarray, **changes: Any) -> None:
    """Expose a frame a column, and measure a star a row; nan is a star that is not there."""
    n_frame = flux.shape[1]
    times = [START + timedelta(minutes=3 * j) for j in range(n_frame)]
    expose(sky, range(1, n_frame + 1), times, **changes)
    measure(sky, {(j + 1, i + 1): f for (i, j), f in np.ndenumerate(flux) if np.isfinite(f)})


def curve(sky: Sky) -> pl.DataFrame:
    return sky.rows("from differential_light_curve order by frame_id")


def scene(n_frame: int = 24, *, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return fluxes of three stars under clouds, and the dip of the first."""
    rng = np.random.default_rng(seed)
    clouds = np.linspace(1.0, 0.6, n_frame) * (1 + 0.1 * np.sin(np.arange(n_frame)))
    dip = np.where(np.abs(np.arange(n_frame) - n_frame // 2) < 4, 0.98, 1.0)
    flux = np.array([40_000.0, 50_000.0, 30_000.0])[:, None] * clouds
    return flux * rng.normal(1, 1e-4, flux.shape) * np.array([dip, dip**0, dip**0]), dip


def test_with_all_stars_present_the_curve_is_the_plain_ratio(sky):
    flux, dip = scene()
    observe(sky, flux)
    compare(sky, {2: 0.7, 3: 0.3})
    found = curve(sky)
    level = np.median(flux, axis=1)
    for _ in range(50):  # levels and factors by turns, as the view states
        factor = 0.7 * flux[1] / level[1] + 0.3 * flux[2] / level[2]
        level = np.median(flux / factor, axis=1)
    naive = flux[0] / factor
    relative = found["relative_flux"].to_numpy()
    assert relative == pytest.approx(naive / np.median(naive), rel=1e-6)
    assert relative == pytest.approx(dip, abs=6e-4)
    ensemble = found["ensemble_flux"].to_numpy()
    assert ensemble == pytest.approx(factor / np.median(factor), rel=1e-6)
    assert found["n_comparison"].unique().to_list() == [2]


def test_the_error_holds_that_of_target_and_ensemble(sky):
    flux, _ = scene()
    observe(sky, flux)
    compare(sky, {2: 0.7, 3: 0.3})
    found = curve(sky)
    stars = sky.rows("select source_id, frame_id, flux_err_adu from light_curve order by frame_id")
    err = np.array([stars.filter(source_id=i)["flux_err_adu"].to_numpy() for i in (1, 2, 3)])
    level = np.median(flux / found["ensemble_flux"].to_numpy(), axis=1)
    ensemble_err = np.hypot(0.7 * err[1] / level[1], 0.3 * err[2] / level[2])
    relative = found["relative_flux"].to_numpy()
    expected = np.hypot(err[0] / flux[0], ensemble_err / found["ensemble_flux"].to_numpy())
    assert found["relative_flux_err"].to_numpy() == pytest.approx(relative * expected, rel=1e-4)


def test_a_star_that_is_missing_under_clouds_makes_no_step(sky):
    """The trap: divided by its own mean, a star seen only while it was clear counts too low."""
    flux, dip = scene()
    flux[1, 14:] = np.nan
    observe(sky, flux)
    compare(sky, {2: 0.5, 3: 0.5})
    found = curve(sky)
    assert found["relative_flux"].to_numpy() == pytest.approx(dip, abs=6e-4)
    assert found["n_comparison"].to_list() == [2] * 14 + [1] * 10


def test_the_view_and_the_analysis_draw_the_same_curve(sky):
    flux, _ = scene(seed=8)
    flux[1, 3:9] = np.nan
    flux[2, 15:] = np.nan
    observe(sky, flux)
    compare(sky, {2: 0.6, 3: 0.4}, scatter=0.001)
    rows = sky.rows("from light_curve").rename({"mid_bjd_tdb": "mid_bjd"})
    comparison = sky.rows("from comparison_star")
    expected = differential(rows, 1, comparison)
    found = curve(sky)
    for column in ("relative_flux", "relative_flux_err", "ensemble_flux"):
        assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy(), rel=1e-5)
    assert found["n_comparison"].to_list() == expected["n_comparison"].to_list()


def test_unclean_and_rejected_stars_have_no_part_in_the_ensemble(sky):
    flux, _ = scene()
    observe(sky, flux)
    compare(sky, {2: 1.0, 3: 0.0})
    before = curve(sky)["relative_flux"].to_numpy()
    sky.con.execute("update aperture_flux set flux_adu = 1e9 where source_id = 3")
    severe = int(Flag.SATURATED)
    sky.con.execute(
        f"update aperture_flux set flux_adu = 1e9, flags = {severe} "
        "where source_id = 2 and frame_id = 4"
    )
    found = curve(sky)
    assert found["frame_id"].to_list() == [i for i in range(1, 25) if i != 4]
    assert found["relative_flux"].to_numpy() == pytest.approx(np.delete(before, 3), rel=2e-3)


def test_a_point_of_the_target_that_is_not_clean_is_shown_as_such(sky):
    flux, _ = scene()
    observe(sky, flux)
    compare(sky, {2: 1.0})
    sky.con.execute(
        f"update measurement set flags = {int(Flag.BAD_PIXEL)} where source_id = 1 and frame_id = 4"
    )
    sky.con.execute("update aperture_flux set flux_adu = null where source_id = 1 and frame_id = 5")
    found = curve(sky)
    assert found.filter(~pl.col("is_clean"))["frame_id"].to_list() == [4]
    assert found.filter(pl.col("relative_flux").is_null())["frame_id"].to_list() == [5]
    assert found["relative_flux"].is_nan().any() is False


def test_nights_bands_and_targets_do_not_mix(sky):
    flux, dip = scene()
    observe(sky, flux)
    compare(sky, {2: 0.5, 3: 0.5})
    compare(sky, {3: 1.0}, target_source_id=2)
    other = {"night": NIGHT + timedelta(days=1)}
    expose(sky, [101, 102], [START + timedelta(days=1)] * 2, **other)
    measure(sky, {(frame_id, star): 7.0 for frame_id in (101, 102) for star in STARS})
    found = curve(sky).filter(source_id=1)
    assert found.height == 24
    assert found["relative_flux"].to_numpy() == pytest.approx(dip, abs=6e-4)
    compare(sky, {2: 1.0}, **other)
    second = curve(sky).filter(source_id=1, night=other["night"])
    assert second["relative_flux"].to_list() == [1.0, 1.0]


def test_frames_without_a_band_have_a_curve_too(sky):
    flux, dip = scene()
    observe(sky, flux, band=None)
    compare(sky, {2: 0.5, 3: 0.5}, band=None)
    assert curve(sky)["relative_flux"].to_numpy() == pytest.approx(dip, abs=6e-4)


# Queries --------------------------------------------------------------------------------------


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


def test_light_curve_queries_choose_star_and_aperture(sky):
    observe(sky, scene()[0])
    compare(sky, {2: 1.0})
    for given in ({"source_id": 2, "aperture_id": 1}, {"source_id": "2"}):
        rows = shipped(sky.con, "light_curve", **given)
        assert rows["source_id"].unique().to_list() == [2]
        assert rows["mid_utc"].is_sorted()
        assert rows.height == 24
    assert shipped(sky.con, "light_curve", aperture_id=9).is_empty()
    assert shipped(sky.con, "differential_light_curve", source_id=1).height == 24
    assert shipped(sky.con, "differential_light_curve", source_id=2).is_empty()


def test_the_steadiest_stars_come_first(sky):
    rng = np.random.default_rng(3)
    noise = np.array([0.02, 0.001, 0.005, 0.002, 0.003])[:, None]
    for source_id in (4, 5):
        sky.put("source", {"source_id": source_id, "field_id": 1})
    clouds = rng.uniform(0.5, 1, 24)
    observe(sky, 50_000 * clouds * rng.normal(1, noise, (5, 24)))
    rows = shipped(sky.con, "constant_stars", field="HATP-32", night=str(NIGHT), band="r")
    assert rows["source_id"].to_list()[-1] == 1
    assert set(rows["source_id"].to_list()[:2]) <= {2, 4, 5}
    assert rows["scatter_mag"][-1] == pytest.approx(0.02 * 1.086, rel=0.5)
    assert rows["scatter_mag"][0] < 0.005
    assert shipped(sky.con, "constant_stars", field="M 13").is_empty()
