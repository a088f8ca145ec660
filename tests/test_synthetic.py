"""A synthetic night must be what its truth says: other tests lean on it."""

import csv
import dataclasses
from datetime import datetime, timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, aperture_photometry

from starmuster.errors import UsageError
from starmuster.ingest.synthetic import (
    NightPlan,
    Truth,
    demo_plan,
    night_detector,
    render_calibration,
    render_light,
    write_night,
)
from starmuster.ingest.synthetic_header import sexagesimal
from starmuster.ingest.synthetic_pixels import digitise, moffat_enclosed, render_stars
from starmuster.ingest.synthetic_plan import plan_lights, plan_stars
from starmuster.ingest.synthetic_sky import Planet, pickering_airmass, transit_flux

APERTURE_PIX = 10.0
SMALL = NightPlan(
    n_x_pix=240,
    n_y_pix=200,
    n_light=4,
    n_bias=3,
    n_dark=2,
    n_flat=2,
    n_star=14,
    n_comparison=6,
    cadence_s=3600.0,
    drift_pix_per_frame=(4.0, -2.0),
    n_hot_pixel=20,
)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return write_night(tmp_path_factory.mktemp("night"), SMALL)


def of_type(night: Truth, frame_type: str) -> list[fits.Header]:
    paths = [path for path in night.path if path.parent.name == frame_type]
    return [fits.getheader(path) for path in paths]


def test_a_star_keeps_its_light_wherever_it_falls_between_pixels() -> None:
    for offset in (0.0, 0.25, 0.5):
        image = render_stars(
            np.array([60 + offset]),
            np.array([60 - offset]),
            np.array([1e5]),
            shape=(121, 121),
            fwhm_pix=4.0,
        )
        assert image.sum() == pytest.approx(1e5, rel=1e-4)
        y, x = np.mgrid[:121, :121]
        assert (image * x).sum() / image.sum() == pytest.approx(60 + offset, abs=1e-3)
        assert (image * y).sum() / image.sum() == pytest.approx(60 - offset, abs=1e-3)


def test_the_light_in_an_aperture_is_that_of_a_moffat_profile() -> None:
    star = np.array([50.3]), np.array([49.6])
    image = render_stars(*star, np.array([1.0e6]), shape=(101, 101), fwhm_pix=4.0)
    # an aperture takes a pixel's light as even; where the profile is steep that costs up to 1 %
    for radius_pix in (8.0, 12.0, 16.0):
        aperture = CircularAperture([(50.3, 49.6)], radius_pix)
        measured = aperture_photometry(image, aperture)["aperture_sum"][0]
        assert measured == pytest.approx(1e6 * moffat_enclosed(radius_pix, 4.0), rel=1e-3)


def test_half_of_the_light_of_the_peak_is_reached_at_half_the_fwhm() -> None:
    image = render_stars(
        np.array([200.0]), np.array([200.0]), np.array([1.0]), shape=(401, 401), fwhm_pix=40.0
    )
    assert image[200, 220] / image[200, 200] == pytest.approx(0.5, rel=1e-3)
    assert image[180, 200] / image[200, 200] == pytest.approx(0.5, rel=1e-3)


def test_a_star_beyond_the_edge_leaves_only_its_wing() -> None:
    off = render_stars(
        np.array([-3.0]), np.array([50.0]), np.array([1e5]), shape=(101, 101), fwhm_pix=4.0
    )
    assert 0 < off.sum() < 0.2e5
    far = render_stars(
        np.array([-90.0]), np.array([50.0]), np.array([1e5]), shape=(101, 101), fwhm_pix=4.0
    )
    assert far.sum() == 0


def test_noise_follows_the_photons_and_the_amplifier() -> None:
    expected_e = np.full((400, 400), 900.0)
    adu = digitise(
        expected_e, np.random.default_rng(1), bias_adu=500, gain_e_per_adu=0.8, read_noise_e=5.0
    ).astype(float)
    n = adu.size
    variance_adu2 = (900 + 25) / 0.8**2 + 1 / 12
    assert adu.mean() == pytest.approx(500 + 900 / 0.8, abs=5 * np.sqrt(variance_adu2 / n))
    assert adu.var() == pytest.approx(variance_adu2, rel=5 * np.sqrt(2 / n))


def test_light_beyond_the_converter_reads_its_last_number() -> None:
    rng = np.random.default_rng(2)
    kwargs = {"bias_adu": 500, "gain_e_per_adu": 1.0, "read_noise_e": 3.0}
    assert np.all(digitise(np.full((5, 5), 1e6), rng, **kwargs) == 65535)
    kwargs["bias_adu"] = -100
    assert np.all(digitise(np.zeros((5, 5)), rng, **kwargs) == 0)


def test_gain_and_read_noise_come_back_from_pairs_of_flats_and_biases() -> None:
    detector = night_detector(SMALL)
    flat = [render_calibration(SMALL, detector, "FLAT", i).astype(float) for i in range(2)]
    bias = [render_calibration(SMALL, detector, "BIAS", i).astype(float) for i in range(2)]
    level = flat[0] + flat[1] - bias[0] - bias[1]
    # a pixel's own level scales its variance, so the pair is compared pixel by pixel
    noise_adu2 = (flat[0] - flat[1]) ** 2 - np.var(bias[0] - bias[1])
    n = level.size
    assert level.sum() / noise_adu2.sum() == pytest.approx(0.8, rel=5 * np.sqrt(2 / n))
    read_noise_e = 0.8 * np.sqrt(np.var(bias[0] - bias[1]) / 2 - 1 / 12)
    assert read_noise_e == pytest.approx(3.5, rel=5 / np.sqrt(2 * n))


def test_a_transit_lasts_and_dips_as_its_planet_says() -> None:
    planet = Planet()
    half_d = planet.duration_h / 48
    edge = transit_flux(np.array([-1.001, -0.999, 0.999, 1.001]) * half_d, planet)
    assert edge[[0, 3]] == pytest.approx(1.0, abs=1e-12)
    assert np.all(edge[[1, 2]] < 1)
    time_d = np.linspace(-1.2, 1.2, 481) * half_d
    flux = transit_flux(time_d, planet)
    assert flux == pytest.approx(flux[::-1], abs=1e-12)
    assert 1 - flux.min() == pytest.approx(planet.depth, abs=1e-9)
    assert 0.013 < planet.depth < 0.017


def test_a_planet_behind_its_star_takes_no_light() -> None:
    planet = Planet()
    assert transit_flux(np.array([planet.period_d / 2]), planet)[0] == 1.0


def test_without_limb_darkening_the_depth_is_the_area_of_the_planet() -> None:
    dark = Planet(limb_darkening=(0.0, 0.0))
    assert dark.depth == pytest.approx(dark.radius_ratio**2, rel=1e-9)


def test_airmass_is_the_secant_far_from_the_horizon() -> None:
    altitude_deg = np.array([90.0, 60.0, 30.0])
    secant = 1 / np.sin(np.radians(altitude_deg))
    assert pickering_airmass(altitude_deg) == pytest.approx(secant, rel=5e-3)
    assert 36 < pickering_airmass(np.array([0.0]))[0] < 40


def test_the_same_seed_writes_the_same_bytes(night: Truth, tmp_path) -> None:
    again = write_night(tmp_path, SMALL)
    assert len(again.path) == len(night.path) == 4 + 3 + 2 + 2
    for one, other in zip(night.path, again.path, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()
    assert night.planets_csv.read_bytes() == again.planets_csv.read_bytes()


def test_another_seed_gives_another_night(night: Truth, tmp_path) -> None:
    other = write_night(tmp_path, dataclasses.replace(SMALL, seed=SMALL.seed + 1))
    assert not np.array_equal(fits.getdata(night.path[-1]), fits.getdata(other.path[-1]))


def test_every_frame_says_what_it_is_as_nina_does(night: Truth) -> None:
    exposure_s = {"BIAS": 0.0, "DARK": 60.0, "FLAT": 2.0, "LIGHT": 60.0}
    for frame_type, seconds in exposure_s.items():
        for header in of_type(night, frame_type):
            assert header["IMAGETYP"] == frame_type
            assert header["EXPTIME"] == header["EXPOSURE"] == seconds
            assert header["SWCREATE"].startswith("N.I.N.A.")
            assert header["EGAIN"] == SMALL.gain_e_per_adu
            assert header["GAIN"] == 100
            assert abs(header["CCD-TEMP"] - header["SET-TEMP"]) < 0.15
            assert ("FILTER" in header) == (frame_type in ("FLAT", "LIGHT"))
            assert ("OBJECT" in header) == (frame_type == "LIGHT")
            assert (header["NAXIS1"], header["NAXIS2"]) == (240, 200)
            scale = np.degrees(header["XPIXSZ"] / 1000 / header["FOCALLEN"]) * 3600
            assert scale == pytest.approx(SMALL.scale_arcsec_per_pix, rel=1e-5)


def test_times_in_the_header_agree_with_one_another(night: Truth) -> None:
    for header in of_type(night, "LIGHT"):
        start, mid = (datetime.fromisoformat(header[key]) for key in ("DATE-OBS", "DATE-AVG"))
        assert mid - start == timedelta(seconds=SMALL.exposure_s / 2)
        assert Time(header["MJD-OBS"], format="mjd").isot == header["DATE-OBS"]
        assert Time(header["MJD-AVG"], format="mjd").isot == header["DATE-AVG"]


def test_mid_times_are_barycentric_for_the_target(night: Truth) -> None:
    header = of_type(night, "LIGHT")[2]
    site = EarthLocation.from_geodetic(
        header["SITELONG"] * u.deg, header["SITELAT"] * u.deg, header["SITEELEV"] * u.m
    )
    star = SkyCoord(header["OBJCTRA"], header["OBJCTDEC"], unit=(u.hourangle, u.deg))
    with iers.conf.set_temp("auto_download", False):
        time = Time(header["DATE-AVG"], scale="utc", location=site)
        bjd = (time.tdb + time.light_travel_time(star)).jd
    # 0.02 s: the sexagesimal position is rounded to 0.15 arcsec, the Julian date to 4e-5 s
    assert abs(bjd - night.light["mid_bjd_tdb"][2]) * 86400 < 0.02
    # in March a star at RA 10.5 h is nearer to us than to the Sun: its light comes early by minutes
    assert 300 < (night.light["mid_bjd_tdb"][2] - night.light["mid_jd_utc"][2]) * 86400 < 560


def test_the_wcs_of_each_light_puts_every_star_where_it_was_drawn(night: Truth) -> None:
    for i, header in enumerate(of_type(night, "LIGHT")):
        x_pix, y_pix = WCS(header).wcs_world2pix(night.star["ra_deg"], night.star["dec_deg"], 0)
        truth_x, truth_y = night.positions_pix(i)
        # the sky turns nothing by drifting: only the frame's own tangent scale differs, by 1e-7
        assert x_pix == pytest.approx(truth_x, abs=1e-3)
        assert y_pix == pytest.approx(truth_y, abs=1e-3)
        assert WCS(header).is_celestial


def test_north_is_up_and_east_is_left_but_for_the_rotation(night: Truth) -> None:
    wcs = WCS(of_type(night, "LIGHT")[0])
    star = SkyCoord(SMALL.ra_deg * u.deg, SMALL.dec_deg * u.deg)
    x_pix, y_pix = wcs.world_to_pixel(star)
    up = wcs.pixel_to_world(x_pix, y_pix + 20)
    left = wcs.pixel_to_world(x_pix - 20, y_pix)
    assert star.separation(up).arcsec == pytest.approx(20 * SMALL.scale_arcsec_per_pix, rel=1e-5)
    assert star.position_angle(up).deg == pytest.approx(SMALL.rotation_deg, abs=1e-3)
    assert star.position_angle(left).deg == pytest.approx(90 + SMALL.rotation_deg, abs=1e-3)


def test_a_night_may_come_without_wcs(tmp_path) -> None:
    bare = write_night(tmp_path, dataclasses.replace(SMALL, has_wcs=False, n_light=1))
    (header,) = of_type(bare, "LIGHT")
    assert not [key for key in header if key.startswith(("CTYPE", "CRVAL", "CD1_", "CD2_"))]
    assert header["RA"] == SMALL.ra_deg


def test_the_ephemeris_predicts_the_transit_but_for_the_injected_delay(night: Truth) -> None:
    lines = night.planets_csv.read_text().splitlines()
    (row,) = csv.DictReader(line for line in lines if not line.startswith("#"))
    mid = float(row["pl_tranmid"]) + SMALL.planet.epoch * float(row["pl_orbper"])
    delay_min = (night.mid_bjd_tdb - mid) * 1440
    assert delay_min == pytest.approx(SMALL.o_minus_c_min, abs=1e-4)
    assert float(row["pl_trandep"]) == pytest.approx(100 * night.depth, abs=1e-5)
    assert float(row["pl_trandur"]) == pytest.approx(SMALL.planet.duration_h, abs=1e-5)
    assert row["pl_tsystemref"] == "BJD-TDB"
    assert (float(row["ra"]), float(row["dec"])) == (SMALL.ra_deg, SMALL.dec_deg)


def test_damaged_lights_are_cut_off_in_their_pixels(tmp_path) -> None:
    broken = write_night(tmp_path, dataclasses.replace(SMALL, n_damaged=1, n_light=2))
    whole, cut = (path for path in broken.path if path.parent.name == "LIGHT")
    assert broken.damaged == (cut,)
    assert cut.stat().st_size < whole.stat().st_size / 2
    assert cut.stat().st_size > 2 * 2880
    assert fits.Header.fromfile(cut)["IMAGETYP"] == "LIGHT"


def test_a_meridian_flip_turns_the_field(tmp_path) -> None:
    flipped = write_night(tmp_path, dataclasses.replace(SMALL, flip_frame=2))
    sides = [header["PIERSIDE"] for header in of_type(flipped, "LIGHT")]
    assert sides == ["West", "West", "East", "East"]
    for i, header in enumerate(of_type(flipped, "LIGHT")):
        x_pix, y_pix = WCS(header).wcs_world2pix(flipped.star["ra_deg"], flipped.star["dec_deg"], 0)
        assert np.column_stack([x_pix, y_pix]) == pytest.approx(
            np.column_stack(flipped.positions_pix(i)), abs=1e-3
        )
    x_before, _ = flipped.positions_pix(1)
    x_after, _ = flipped.positions_pix(2)
    assert np.corrcoef(x_before, x_after)[0, 1] == pytest.approx(-1)


def test_clouds_take_light_from_all_stars_alike() -> None:
    clear, _ = plan_lights(dataclasses.replace(SMALL, n_light=60, cadence_s=120.0))
    cloudy, _ = plan_lights(
        dataclasses.replace(SMALL, n_light=60, cadence_s=120.0, cloud_depth=0.6)
    )
    ratio = (cloudy["transmission"] / clear["transmission"]).to_numpy()
    assert ratio.max() == pytest.approx(1.0)
    assert 0.4 <= ratio.min() < 0.7


@pytest.mark.parametrize("change", [{"n_light": 0}, {"n_damaged": 5}])
def test_a_night_that_cannot_be_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected at least one light"):
        dataclasses.replace(SMALL, **change)


def test_a_field_too_small_for_its_stars_is_refused() -> None:
    crowded = dataclasses.replace(SMALL, n_comparison=100, n_star=110)
    with pytest.raises(UsageError, match="no room for star"):
        plan_stars(crowded, plan_lights(crowded)[0])
    few = dataclasses.replace(SMALL, n_star=5)
    with pytest.raises(UsageError, match="Raise n_star"):
        plan_stars(few, plan_lights(few)[0])


def test_sexagesimal_carries_into_the_minutes() -> None:
    assert sexagesimal(10.9999999) == "11 00 00.00"
    assert sexagesimal(10.5) == "10 30 00.00"


def test_the_demo_field_has_what_a_transit_needs() -> None:
    plan = demo_plan()
    light, mid_bjd_tdb = plan_lights(plan)
    star = plan_stars(plan, light)
    count = dict(star.group_by("role").len().iter_rows())
    assert count["comparison"] >= 15
    assert count["target"] == count["variable"] == count["saturated"] == 1
    bjd = light["mid_bjd_tdb"].to_numpy()
    half_d = plan.planet.duration_h / 48
    assert np.sum(bjd < mid_bjd_tdb - half_d) >= 20
    assert np.sum(bjd > mid_bjd_tdb + half_d) >= 20
    assert light["airmass"][0] > 1.5
    shift_pix = light["centre_x_pix"].to_numpy()
    assert np.ptp(shift_pix) > 20


def test_forced_apertures_on_the_demo_field_see_the_transit_at_the_photon_noise() -> None:
    plan = dataclasses.replace(demo_plan(), n_light=12, cadence_s=1100.0)
    light, _ = plan_lights(plan)
    star = plan_stars(plan, light)
    detector = night_detector(plan)
    keep = star["role"].is_in(["target", "comparison"]).to_numpy()
    relative = np.zeros(plan.n_light)
    error = np.zeros(plan.n_light)
    truth = Truth(plan, star, light, 0.0, 0.0, 0.0, (), (), planets_csv=None)  # type: ignore[arg-type]
    for i in range(plan.n_light):
        raw_adu = render_light(plan, detector, star, light, i).astype(float)
        dark_e = detector.dark_e_per_s * plan.exposure_s
        image_e = ((raw_adu - detector.bias_adu) * plan.gain_e_per_adu - dark_e) / detector.response
        x_pix, y_pix = truth.positions_pix(i)
        aperture = CircularAperture(np.column_stack([x_pix, y_pix])[keep], APERTURE_PIX)
        table = aperture_photometry(image_e - light["sky_e_per_pix"][i], aperture)
        flux_e = np.asarray(table["aperture_sum"])
        relative[i] = flux_e[0] / flux_e[1:].sum()
        noise_e2 = flux_e[0] + aperture.area * (light["sky_e_per_pix"][i] + plan.read_noise_e**2)
        error[i] = np.sqrt(noise_e2) / flux_e[0]
        assert raw_adu.max() == 65535  # the star that saturates
    assert 0.002 < error.mean() < 0.004
    residual = relative / np.median(relative / light["transit_flux"].to_numpy())
    residual = residual / light["transit_flux"].to_numpy() - 1
    # comparison stars together add 4 % of the target's variance
    assert np.std(residual) < error.mean() * 1.1 * (1 + 3 / np.sqrt(2 * plan.n_light))
    assert 1 - light["transit_flux"].min() > 0.012
