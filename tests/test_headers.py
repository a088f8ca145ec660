"""Headers: each program's words become the same quantities, and each trap is known."""

import re
from datetime import date, datetime, timedelta

import pytest
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from starmuster.errors import ConfigError
from starmuster.ingest.cards import parse_header
from starmuster.ingest.headers import FrameHeader, explain, normalise, target_key
from starmuster.ingest.positions import Site, sexagesimal, to_j2000
from starmuster.ingest.quantities import make_synonyms
from starmuster.ingest.times import night_of


def frame(*cards: tuple, path_hint: str = "", **settings) -> FrameHeader:
    """Normalise a header of (keyword, value[, comment]) cards."""
    raw = fits.Header([fits.Card(*card) for card in cards]).tostring(endcard=False, padding=False)
    return normalise(parse_header(raw.encode("latin-1")), path_hint=path_hint, **settings)


NINA = (
    ("IMAGETYP", "LIGHT", "Type of exposure"),
    ("EXPOSURE", 120.0, "[s] Exposure duration"),
    ("EXPTIME", 120.0, "[s] Exposure duration"),
    ("DATE-LOC", "2024-03-08T23:10:00.125", "Time of observation (local)"),
    ("DATE-OBS", "2024-03-08T22:10:00.125", "Time of observation (UTC)"),
    ("DATE-AVG", "2024-03-08T22:11:00.375", "Averaged midpoint time (UTC)"),
    ("XBINNING", 2, "X axis binning factor"),
    ("YBINNING", 1, "Y axis binning factor"),
    ("GAIN", 100, "Sensor gain"),
    ("OFFSET", 50, "Sensor gain offset"),
    ("EGAIN", 0.25, "[e-/ADU] Electrons per A/D unit"),
    ("XPIXSZ", 7.52, "[um] Pixel X axis size"),
    ("INSTRUME", "ZWO ASI2600MM Pro", "Imaging instrument name"),
    ("SET-TEMP", -10.0, "[degC] CCD temperature setpoint"),
    ("CCD-TEMP", -9.9, "[degC] CCD temperature"),
    ("READOUTM", "Default", "Sensor readout mode"),
    ("TELESCOP", "C11", "Name of telescope"),
    ("FOCALLEN", 1960.0, "[mm] Focal length"),
    ("RA", 31.042, "[deg] RA of telescope"),
    ("DEC", 46.687, "[deg] Declination of telescope"),
    ("PIERSIDE", "West", "Telescope pointing state"),
    ("SITEELEV", 60.0, "[m] Observation site elevation"),
    ("SITELAT", 50.7, "[deg] Observation site latitude"),
    ("SITELONG", 7.1, "[deg] Observation site longitude"),
    ("FWHEEL", "EFW", "Filter Wheel name"),
    ("FILTER", "SDSS g'", "Active filter name"),
    ("OBJECT", "HAT-P-32 b", "Name of the object of interest"),
    ("OBJCTRA", "02 04 10", "[H M S] RA of imaged object"),
    ("OBJCTDEC", "+46 41 16", "[D M S] Declination of imaged object"),
    ("SWCREATE", "N.I.N.A. 3.1.2.9001 (x64)", "Software that created this file"),
)


def test_a_nina_header_fills_every_quantity():
    seen = frame(*NINA)
    assert (seen.frame_type, seen.frame_type_source) == ("light", "header")
    assert (seen.band, seen.band_header) == ("g", "SDSS g'")
    assert seen.exposure_s == 120
    assert seen.start_utc == datetime(2024, 3, 8, 22, 10, 0, 125000)
    assert seen.mid_utc == datetime(2024, 3, 8, 22, 11, 0, 375000)
    assert (seen.time_source, seen.time_err_s) == ("DATE-AVG", 0.0005)
    assert seen.night == date(2024, 3, 8)
    assert (seen.target_name, seen.target_key) == ("HAT-P-32 b", "hatp32b")
    assert (seen.ra_deg, seen.dec_deg) == (31.042, 46.687)
    assert seen.scale_arcsec_per_pix == pytest.approx(206.26481 * 7.52 / 1960, rel=1e-6)
    assert (seen.x_binning, seen.y_binning) == (2, 1)
    assert (seen.gain_setting, seen.offset_setting, seen.egain_e_per_adu) == (100, 50, 0.25)
    assert (seen.readout_mode, seen.sensor_degc, seen.set_degc) == ("Default", -9.9, -10)
    assert (seen.pier_side, seen.program) == ("west", "N.I.N.A. 3.1.2.9001 (x64)")
    assert (seen.camera_name, seen.telescope_name) == ("ZWO ASI2600MM Pro", "C11")
    assert (seen.latitude_deg, seen.longitude_deg, seen.elevation_m) == (50.7, 7.1, 60)
    assert seen.header_issue == []
    assert seen.keyword_of["egain_e_per_adu"] == "EGAIN"


def test_a_maxim_header_has_a_sexagesimal_site_and_pointing():
    seen = frame(
        ("DATE-OBS", "2019-05-03", "YYYY-MM-DD"),
        ("TIME-OBS", "09:03:11", "UT"),
        ("EXPTIME", 120.0),
        ("IMAGETYP", "Light Frame"),
        ("CCD-TEMP", -25.1),
        ("XBINNING", 1),
        ("YBINNING", 1),
        ("FILTER", "H-Alpha"),
        ("OBJCTRA", "16 41 41"),
        ("OBJCTDEC", "-00 27 35"),
        ("SITELAT", "32 46 49"),
        ("SITELONG", "-105 49 13"),
        ("EGAIN", 1.3),
        ("PIERSIDE", "EAST"),
        ("SWCREATE", "MaxIm DL Version 6.13"),
    )
    assert seen.start_utc == datetime(2019, 5, 3, 9, 3, 11)
    assert (seen.time_source, seen.time_err_s) == ("DATE-OBS + TIME-OBS", 0.5)
    assert seen.night == date(2019, 5, 2)
    assert seen.ra_deg == pytest.approx(15 * (16 + 41 / 60 + 41 / 3600))
    assert seen.dec_deg == pytest.approx(-(27 / 60 + 35 / 3600))
    assert seen.longitude_deg == pytest.approx(-(105 + 49 / 60 + 13 / 3600))
    assert (seen.frame_type, seen.band, seen.pier_side) == ("light", "H-alpha", "east")
    assert (seen.gain_setting, seen.egain_e_per_adu) == (None, 1.3)


def test_an_sgp_header_names_temperature_and_binning_its_own_way():
    seen = frame(
        ("CREATOR", "Sequence Generator Pro v4"),
        ("IMAGETYP", "LIGHT"),
        ("EXPOSURE", 300.0),
        ("DATE-OBS", "2021-01-02T03:04:05.5"),
        ("DATE-LOC", "2021-01-02T05:04:05.5"),
        ("TEMPERAT", -15.2),
        ("CCDXBIN", 2),
        ("CCDYBIN", 2),
    )
    assert seen.start_utc == datetime(2021, 1, 2, 3, 4, 5, 500000)
    assert seen.mid_utc == seen.start_utc + timedelta(seconds=150)
    assert (seen.sensor_degc, seen.x_binning, seen.y_binning) == (-15.2, 2, 2)


def test_a_sharpcap_header_has_no_type_and_a_logarithmic_gain():
    cards = (
        ("SWCREATE", "SharpCap v4.1.11945.0, 64 bit"),
        ("EXPTIME", 0.5),
        ("GAIN", 300),
        ("BLKLEVEL", 30),
        ("DATE-OBS", "2024-05-06T21:00:00.1234567"),
    )
    seen = frame(*cards, path_hint="2024-05-06/Capture_00001.fits")
    assert (seen.frame_type, seen.frame_type_source) == (None, "none")
    assert any("frame type unknown" in issue for issue in seen.header_issue)
    assert (seen.gain_setting, seen.offset_setting, seen.egain_e_per_adu) == (300, 30, None)
    assert seen.start_utc == datetime(2024, 5, 6, 21, 0, 0, 123457)
    seen = frame(*cards, path_hint="2024-05-06/Darks/Capture_00001.fits")
    assert (seen.frame_type, seen.frame_type_source) == ("dark", "folder")


def test_an_indi_header_has_its_type_in_frame():
    seen = frame(
        ("FRAME", "Flat", "Frame Type"),
        ("EXPTIME", 2.0),
        ("GAIN", 56.0, "Gain"),
        ("EPERADU", 0.7),
        ("FILTER", "OIII"),
        ("RA", 83.8),
        ("DEC", -5.4),
        ("SITELAT", 48.2),
        ("SITELONG", 352.0),
    )
    assert (seen.frame_type, seen.band) == ("flat", "O III")
    assert (seen.gain_setting, seen.egain_e_per_adu) == (56, 0.7)
    assert seen.longitude_deg == pytest.approx(-8.0)


def test_gain_at_lco_is_electrons_per_adu_and_no_knob():
    seen = frame(
        ("ORIGIN", "LCOGT"),
        ("OBSTYPE", "EXPOSE"),
        ("GAIN", 2.3, "[electrons/count] Pixel gain"),
        ("EXPTIME", 20.0),
        ("DATE-OBS", "2020-02-03T04:05:06.789"),
        ("FILTER", "rp"),
        ("CCDATEMP", -99.9),
        ("CCDSUM", "1 2"),
        ("RA", "04:05:06.0"),
        ("DEC", "-10:30:00.0"),
        ("LATITUDE", -30.1673),
        ("LONGITUD", -70.8047),
        ("HEIGHT", 2201.0),
    )
    assert (seen.egain_e_per_adu, seen.gain_setting) == (2.3, None)
    assert (seen.frame_type, seen.band, seen.sensor_degc) == ("light", "r", -99.9)
    assert (seen.x_binning, seen.y_binning) == (1, 2)
    assert seen.ra_deg == pytest.approx(15 * (4 + 5 / 60 + 6 / 3600))
    assert (seen.longitude_deg, seen.elevation_m) == (-70.8047, 2201)
    assert seen.night == date(2020, 2, 2)


@pytest.mark.parametrize("comment", ["e-/ADU", "gain, electrons per adu", "[e/ADU]"])
def test_a_gain_whose_comment_says_electrons_is_no_knob(comment):
    seen = frame(("GAIN", 1.9, comment))
    assert (seen.egain_e_per_adu, seen.gain_setting) == (1.9, None)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("object", "light"),
        ("Science", "light"),
        ("zero", "bias"),
        ("Bias Frame", "bias"),
        ("Flat Field", "flat"),
        ("SKYFLAT", "flat"),
        ("Dark Flat", "darkflat"),
        ("FlatDark", "darkflat"),
        ("SNAPSHOT", None),
    ],
)
def test_the_first_word_of_the_type_counts(given, kind):
    seen = frame(("IMAGETYP", given))
    assert seen.frame_type == kind
    assert seen.frame_type_source == ("header" if kind else "none")


@pytest.mark.parametrize(
    ("path", "kind", "source"),
    [
        ("n/bias1.FIT", "bias", "file name"),
        ("n/flat29.5(2).FIT", "flat", "file name"),
        ("n/Dark_ASIImg_1sec_frame0002.fit", "dark", "file name"),
        ("n/dark_flat_01.fits", "darkflat", "file name"),
        ("n/FLAT/img1.fits", "flat", "folder"),
        ("LIGHT/M 42/img1.fits", "light", "folder"),
        ("flats_V/img1.fits", "flat", "folder"),
        ("dark_nebula/img1.fits", None, "none"),
        ("test_flat_frames0/img1.fits", None, "none"),
        ("flats/a/b/c/img1.fits", None, "none"),
    ],
)
def test_file_and_folder_names_tell_a_type_the_header_does_not(path, kind, source):
    seen = frame(("EXPTIME", 1.0), path_hint=path)
    assert (seen.frame_type, seen.frame_type_source) == (kind, source)


def test_a_named_target_with_pointing_and_exposure_is_a_light():
    target = (("OBJECT", "HATP-32"), ("RA", 31.3), ("DEC", 46.8), ("EXPTIME", 60.0))
    assert frame(*target).frame_type_source == "inferred"
    assert frame(*target).frame_type == "light"
    assert frame(*target[:3], ("EXPTIME", 0.0)).frame_type is None
    assert frame(*target[1:]).frame_type is None
    assert frame(*target, ("IMAGETYP", "FOCUS")).frame_type is None


def test_a_file_name_that_repeats_the_target_is_no_hint():
    dark_cloud = (("OBJECT", "Dark Cloud"), ("RA", 1.0), ("DEC", 2.0), ("EXPTIME", 60.0))
    assert frame(*dark_cloud, path_hint="dark_cloud_001.fits").frame_type == "light"


@pytest.mark.parametrize(
    ("given", "band"),
    [
        (" (2) r (530-700)  ", "r"),
        ("sdss_g", "g"),
        ("SDSS g", "g"),
        ("g'", "g"),
        ("R", "R"),
        ("Rc", "R"),
        ("r", "r"),
        ("H-alpha", "H-alpha"),
        ("O III", "O III"),
        ("SII", "S II"),
        ("Clear", "clear"),
        ("None", "clear"),
        ("Luminance", "luminance"),
        ("My Odd Filter", "My Odd Filter"),
        ("", None),
    ],
)
def test_bands_of_many_spellings_have_one_name(given, band):
    seen = frame(("FILTER", given))
    assert seen.band == band
    assert seen.band_header == (given.strip() or None)


@pytest.mark.parametrize(
    ("card", "degc"),
    [
        (("CAMTEMP", 271.0, "Temperature in Kelvin, =-1 if no data"), -2.15),
        (("CAMTEMP", -1, "Temperature in Kelvin, =-1 if no data"), None),
        (("CAMTEMP", "13 C", "Celsius - From CR2"), 13.0),
        (("CCD-TEMP", 180.2, "CCD Cu block temperature"), -92.95),
        (("TEMP", 14.0), -10.0),
        (("TEMP", 14.0, "deg C"), 14.0),
        (("CCD-TEMP", -999.0), None),
        (("CCD-TEMP", "nan"), None),
        (("CCD-TEMP", "-10.5"), -10.5),
    ],
)
def test_sensor_temperatures_are_celsius(card, degc):
    assert frame(card).sensor_degc == (None if degc is None else pytest.approx(degc))


def test_sentinels_are_null():
    raw = b"SET-TEMP= -1.8E+308".ljust(80) + b"TELESCOP= '        '".ljust(80)
    raw += b"EXPTIME = -1.0".ljust(80)
    seen = normalise(parse_header(raw))
    assert (seen.set_degc, seen.telescope_name, seen.exposure_s) == (None, None, None)
    assert any("EXPTIME" in issue for issue in seen.header_issue)


@pytest.mark.parametrize(
    ("card", "exposure_s"),
    [
        (("EXPTIME", 1500, "Exposure in ms"), 1.5),
        (("EXP", 250.0, "[milliseconds]"), 0.25),
        (("EXPOINUS", 10000, "Exposure time in us"), 0.01),
        (("EXPTIME", "30 s"), 30.0),
    ],
)
def test_exposures_are_seconds(card, exposure_s):
    assert frame(card).exposure_s == pytest.approx(exposure_s)


START = datetime(2017, 12, 20, 1, 33, 43)


@pytest.mark.parametrize(
    ("cards", "source", "err_s"),
    [
        ([("DATE-OBS", "2017-12-20T01:33:43")], "DATE-OBS", 0.5),
        ([("DATE-OBS", "2017-12-20T01:33:43.00Z")], "DATE-OBS", 0.005),
        ([("DATE-OBS", "2017-12-19T18:33:43.0-0700", "local time")], "DATE-OBS", 0.05),
        ([("DATE-OBS", "2017-12-20 07:03:43+05:30")], "DATE-OBS", 0.5),
        (
            [("DATE-OBS", "2017-12-19T18:33:43"), ("UT-OBS", "2017-12-20T01:33:43.0")],
            "UT-OBS",
            0.05,
        ),
        ([("DATE-OBS", "2017-12-20"), ("UT", "01:33:43")], "DATE-OBS + UT", 0.5),
        ([("DATE-OBS", "20/12/17"), ("TIME-OBS", "01:33:43")], "DATE-OBS + TIME-OBS", 0.5),
        ([("DATE-OBS", "20/12/2017"), ("TIME-OBS", "01:33:43")], "DATE-OBS + TIME-OBS", 0.5),
        ([("JD", 2458107.56508102, "start")], "JD", 0.000432),
        ([("MJD-OBS", 58107.0650810)], "MJD-OBS", 0.0432),
        ([("DATE-OBS", "2017-12-20T01:33"), ("JD", 2458107.56508102)], "JD", 0.000432),
        ([("DATE-OBS", "2017-12-20T01:34:52.184"), ("TIMESYS", "TT")], "DATE-OBS", 0.0005),
        ([("DATE-OBS", "2017-12-20T01:34:20"), ("TIMESYS", "TAI")], "DATE-OBS", 0.5),
    ],
)
def test_the_start_is_found_however_it_is_written(cards, source, err_s):
    seen = frame(*cards, ("EXPTIME", 60.0))
    assert abs((seen.start_utc - START).total_seconds()) < 0.05
    assert seen.mid_utc - seen.start_utc == timedelta(seconds=30)
    assert seen.time_source == source
    assert seen.time_err_s == pytest.approx(err_s)


def test_three_decimals_of_a_day_are_43_seconds_and_only_a_last_resort():
    coarse, fine = ("MJD-OBS", 58107.065), ("DATE-OBS", "2017-12-20T01:33:43")
    assert frame(coarse).time_err_s == pytest.approx(43.2)
    both = frame(coarse, fine)
    assert (both.start_utc, both.time_source) == (START, "DATE-OBS")
    assert both.header_issue == frame(fine).header_issue


def test_a_local_time_without_offset_is_no_utc():
    seen = frame(("DATE-OBS", "2017-12-19T18:33:43", "Start, LT"), ("EXPTIME", 60.0))
    assert (seen.start_utc, seen.mid_utc, seen.night) == (None, None, None)
    assert any("local time" in issue for issue in seen.header_issue)


def test_an_average_outside_the_exposure_is_not_believed():
    cards = [("DATE-OBS", "2017-12-20T01:33:43"), ("EXPTIME", 60.0)]
    seen = frame(*cards, ("DATE-AVG", "2017-12-19T18:34:13"))
    assert (seen.mid_utc, seen.time_source) == (START + timedelta(seconds=30), "DATE-OBS")
    assert any("DATE-AVG" in issue for issue in seen.header_issue)
    assert frame(*cards, ("DATE-AVG", "2017-12-20T01:34:14")).time_source == "DATE-AVG"


def test_a_middle_alone_gives_the_start():
    seen = frame(("JD_UTC", 2458107.56508102), ("EXPTIME", 60.0))
    assert abs((seen.mid_utc - START).total_seconds()) < 0.01
    assert seen.mid_utc - seen.start_utc == timedelta(seconds=30)


def test_clocks_that_disagree_are_told():
    seen = frame(("DATE-OBS", "2017-12-20T01:33:43"), ("JD", 2458107.6))
    assert seen.start_utc == START
    # One decimal of a day may be 72 minutes off; four may not be 50.
    assert not any("JD is" in issue for issue in seen.header_issue)
    seen = frame(("DATE-OBS", "2017-12-20T01:33:43"), ("JD", 2458107.6001))
    assert any("JD is" in issue for issue in seen.header_issue)


def test_dates_of_nonsense_are_no_time():
    for value in ("0001-01-01T00:00:00", "2017-13-40T01:02:03", "yesterday", "2017-12-20T99:00:00"):
        assert frame(("DATE-OBS", value)).start_utc is None


def test_a_night_begins_at_local_noon():
    assert night_of(datetime(2024, 3, 8, 11, 59), 0.0) == date(2024, 3, 7)
    assert night_of(datetime(2024, 3, 8, 12, 1), None) == date(2024, 3, 8)
    assert night_of(datetime(2024, 3, 8, 10, 0), 150.0) == date(2024, 3, 8)  # Sydney, 8 pm
    assert night_of(datetime(2024, 3, 8, 10, 0), -155.0) == date(2024, 3, 7)  # Hawaii, midnight


SITE = (("SITELAT", 31.68),)
WEST_DEG = 110.88


def sidereal_hours(utc: datetime, longitude_deg: float) -> str:
    hours = Time(utc, scale="utc").sidereal_time("mean", longitude=longitude_deg).hour
    return f"{int(hours):02d}:{int(hours * 60) % 60:02d}:{int(hours * 3600) % 60:02d}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("cards", "longitude_deg"),
    [
        ([("SITELONG", WEST_DEG)], WEST_DEG),
        ([("SITELONG", -WEST_DEG)], -WEST_DEG),
        ([("SITELONG", WEST_DEG, "degrees west")], -WEST_DEG),
        ([("SITELONG", -WEST_DEG, "[deg +W]")], -WEST_DEG),
        ([("SITELONG", "110 52 48 W")], -WEST_DEG),
        ([("SITELONG", 249.12)], -WEST_DEG),
        ([("SITELONG", WEST_DEG), ("LST", sidereal_hours(START, -WEST_DEG))], -WEST_DEG),
        ([("SITELONG", WEST_DEG), ("LST", sidereal_hours(START, WEST_DEG))], WEST_DEG),
        ([("SITELONG", WEST_DEG), ("LST", "03:00:00")], WEST_DEG),
        # One clock that agrees with the wrong side is not believed against a minus sign.
        ([("SITELONG", -WEST_DEG), ("LST", sidereal_hours(START, WEST_DEG))], -WEST_DEG),
    ],
)
def test_longitudes_are_east_positive_whoever_counted_them(cards, longitude_deg):
    seen = frame(*SITE, *cards, ("DATE-OBS", "2017-12-20T01:33:43"))
    assert seen.longitude_deg == pytest.approx(longitude_deg)


def test_the_offset_of_local_time_tells_the_hemisphere():
    local = ("DATE-OBS", "2017-12-19T18:33:43-0700")
    assert frame(*SITE, ("SITELONG", WEST_DEG), local).longitude_deg == -WEST_DEG
    assert frame(*SITE, ("SITELONG", 7.1), local).longitude_deg == 7.1


def test_null_island_is_no_site_and_the_configuration_fills_in():
    nowhere = (("SITELAT", 0.0), ("SITELONG", 0.0), ("INSTRUME", "cam"))
    assert frame(*nowhere).latitude_deg is None
    bonn = Site(50.7, 7.1, 60.0, "Bonn")
    seen = frame(*nowhere, default_site=bonn)
    assert (seen.latitude_deg, seen.longitude_deg, seen.site_source) == (50.7, 7.1, "configuration")
    given = (*SITE, ("SITELONG", -WEST_DEG), ("INSTRUME", "cam"))
    assert frame(*given, default_site=bonn).site_source == "header"
    assert frame(*given, camera_sites={"cam": bonn}).site_name == "Bonn"


@pytest.mark.parametrize(
    ("cards", "place"),
    [
        ([("RA", 31.3), ("DEC", 46.8)], (31.3, 46.8)),
        ([("RA", "02 05 12"), ("DEC", "+46 48 00")], (31.3, 46.8)),
        ([("RA", "31.3"), ("DEC", "46.8")], (31.3, 46.8)),
        ([("RA_OBJ", 2.0866667), ("DEC_OBJ", 46.8)], (31.3, 46.8)),
        ([("RA", 2.0866667, "hours"), ("DEC", 46.8)], (31.3, 46.8)),
        ([("RA", ""), ("DEC", ""), ("OBJCTRA", "2:05:12"), ("OBJCTDEC", "46:48")], (31.3, 46.8)),
        ([("RA", 431.3), ("DEC", 46.8)], None),
        ([("RA", 31.3)], None),
    ],
)
def test_pointings_are_degrees(cards, place):
    seen = frame(*cards)
    if place is None:
        assert seen.ra_deg is None
    else:
        assert (seen.ra_deg, seen.dec_deg) == pytest.approx(place, abs=1e-5)


def test_a_pointing_of_date_is_precessed():
    from astropy import units as u
    from astropy.coordinates import FK5, SkyCoord

    there = SkyCoord(200.0 * u.deg, 55.0 * u.deg, frame=FK5(equinox="J2024.3"))
    truth = there.transform_to(FK5(equinox="J2000"))
    ra_deg, dec_deg = to_j2000(200.0, 55.0, 2024.3)
    within_deg = 0.1 / 3600
    assert abs(ra_deg - truth.ra.deg) < within_deg
    assert abs(dec_deg - truth.dec.deg) < within_deg
    seen = frame(("RA", 200.0), ("DEC", 55.0), ("EQUINOX", 2024.3))
    assert seen.ra_deg == pytest.approx(ra_deg)


def test_sexagesimal_angles_in_their_spellings():
    for text in ("-00 27 35", "-0:27:35", "-00d27m35s", "-00° 27' 35\""):
        assert sexagesimal(text) == pytest.approx(-(27 / 60 + 35 / 3600))
    for text in ("31.3", "", "12 75 00", "Bonn", "nan"):
        assert sexagesimal(text) is None


WCS = [
    ("CTYPE1", "RA---TAN"),
    ("CTYPE2", "DEC--TAN"),
    ("CRVAL1", 250.4),
    ("CRVAL2", 36.4),
    ("CRPIX1", 512.0),
    ("CRPIX2", 512.0),
]


@pytest.mark.parametrize(
    "matrix",
    [
        [("CD1_1", -1e-4), ("CD1_2", 1e-4), ("CD2_1", 1e-4), ("CD2_2", 1e-4)],
        [("CDELT1", -1.41421356e-4), ("CDELT2", 1.41421356e-4), ("CROTA2", 30.0)],
        [("CDELT1", 1.0), ("CDELT2", 1.0), ("PC1_1", 1.41421356e-4), ("PC2_2", -1.41421356e-4)],
    ],
)
def test_the_scale_of_a_plausible_wcs_is_taken(matrix):
    seen = frame(*WCS, *matrix, ("PIXSCALE", 9.0))
    assert seen.scale_arcsec_per_pix == pytest.approx(1.41421356e-4 * 3600, rel=1e-6)
    assert (seen.ra_deg, seen.dec_deg) == (250.4, 36.4)


@pytest.mark.parametrize(
    "matrix",
    [
        [("CD1_1", "-1e-4"), ("CD1_2", "0"), ("CD2_1", "0"), ("CD2_2", "1e-4")],
        [("CD1_1", 1.0), ("CD2_2", 1.0)],
        [("CD1_1", 1e-4), ("CD1_2", 1e-4), ("CD2_1", 1e-4), ("CD2_2", 1e-4)],
        [("CD1_1", 0.0), ("CD2_2", 0.0)],
        [],
    ],
)
def test_a_wcs_of_texts_or_nonsense_is_not_taken(matrix):
    seen = frame(*WCS, *matrix, ("PIXSCALE", 9.0))
    assert seen.scale_arcsec_per_pix == 9.0
    assert seen.ra_deg is None


def test_unbinned_pixel_sizes_grow_with_the_binning():
    optics = [("FOCALLEN", 1000.0), ("XBINNING", 2)]
    after = frame(*optics, ("XPIXSZ", 8.0)).scale_arcsec_per_pix
    before = frame(*optics, ("PIXSIZE1", 4.0)).scale_arcsec_per_pix
    assert after == pytest.approx(before) == pytest.approx(206.26481 * 8 / 1000)
    assert frame(("FOCALLEN", 0.0), ("XPIXSZ", 8.0)).scale_arcsec_per_pix is None


def test_names_of_a_target_match_without_separators():
    assert {target_key(n) for n in ("HATP-32", "HAT-P-32", "hat p_32")} == {"hatp32"}
    assert target_key("J0102+03") != target_key("J0102-03")
    assert target_key(" - ") is None


def test_the_configuration_extends_the_table():
    extra = {
        "exposure_s": ["SHUTTER"],
        "bands": {"r": ["rot"]},
        "frame_types": {"light": ["hellbild"]},
        "units": {"SHUTTER": "ms"},
        "profiles": {"mine": {"match": "myprog", "egain_e_per_adu": ["GAIN"]}},
    }
    cards = [("SHUTTER", 2500), ("EXPTIME", 9.0), ("FILTER", "ROT"), ("IMAGETYP", "Hellbild")]
    seen = frame(*cards, ("SWCREATE", "MyProg"), ("GAIN", 2), synonyms=make_synonyms(extra))
    assert (seen.exposure_s, seen.band, seen.frame_type) == (2.5, "r", "light")
    assert seen.egain_e_per_adu == 2
    assert frame(("FILTER", "sdss_r"), synonyms=make_synonyms(extra)).band == "r"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"exposure": ["A"]}, "did you mean 'exposure_s'"),
        ({"exposure_s": 3}, "expected a list"),
        ({"bands": ["r"]}, "expected a table"),
        ({"profiles": {"mine": {}}}, "keywords.toml"),
        ({"only_if_comment_says": {"gain_setting.GAIN": "("}}, "keywords.toml"),
    ],
)
def test_a_faulty_table_is_refused(extra, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        make_synonyms(extra)


KEYWORDS = sorted({card[0] for card in (*NINA, *WCS)} | {"UT-OBS", "LST", "HA", "JD", "TIMESYS"})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KEYWORDS),
            st.one_of(
                st.sampled_from([str(card[1]) for card in NINA]),
                st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
                st.floats().map(str),
                st.integers().map(str),
                st.just(""),
            ),
            st.booleans(),
        ),
        max_size=20,
    ),
    st.text(max_size=30),
)
def test_no_header_breaks_the_normaliser(cards, hint):
    raw = b"".join(
        f"{key:<8}= {repr(value) if is_text else value}"[:80].ljust(80).encode("latin-1", "replace")
        for key, value, is_text in cards
    )
    seen = normalise(parse_header(raw), path_hint=hint)
    for name in ("exposure_s", "ra_deg", "longitude_deg", "scale_arcsec_per_pix", "time_err_s"):
        value = getattr(seen, name)
        assert value is None or abs(value) < 1e9


@pytest.mark.real
def test_hatp32_has_its_utc_site_scale_and_night(real_data):
    rows = [
        dict(explain(path).select("quantity", "value").rows())
        for path in sorted((real_data / "hatp32").iterdir())
    ]
    assert len(rows) == 142
    truth = {
        "frame_type": "light",
        "frame_type_source": "inferred",
        "band": "clear",
        "exposure_s": "60.0",
        "time_source": "UT-OBS",
        "night": "2017-12-19",
        "target_key": "hatp32",
        "scale_arcsec_per_pix": "5.21",
        "latitude_deg": "31.68",
        "longitude_deg": "-110.88",
        "egain_e_per_adu": None,
        "gain_setting": None,
    }
    assert all(row[name] == value for row in rows for name, value in truth.items())
    starts = [datetime.fromisoformat(row["start_utc"]) for row in rows]
    assert starts == sorted(starts)
    assert starts[0] == datetime(2017, 12, 20, 1, 33, 43, 317000)
    assert starts[-1] == datetime(2017, 12, 20, 8, 36, 12, 23000)
