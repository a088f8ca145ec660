"""Verdicts on frames from limits, and what becomes of the measurements of rejected ones."""

from datetime import date, datetime, timedelta

import pytest

from starmuster.sql import scripts
from starmuster.transforms.flags import Flag
from starmuster.warehouse.store import frame, shipped

NIGHT = date(2024, 3, 8)
LIMITS = {
    "max_fwhm_ratio": "2.0",
    "max_ellipticity": "0.4",
    "min_transparency": "0.3",
    "max_cloud_mag": "",
    "max_sky_ratio": "5.0",
    "min_star": "3",
    "max_offset_pix": "",
}
GOOD = {"fwhm_pix": 3.0, "elongation": 1.1, "sky_adu": 100.0, "n_star": 50}
# frame -> what is odd about it, and the word that tells
ODD = {
    6: ({"fwhm_pix": 6.6}, "blurred: FWHM 6.6 pix, 2.2 times the median"),
    7: ({"elongation": 2.0}, "trailed: ellipticity 0.50"),
    8: ({"sky_adu": 900.0}, "bright sky: 9.0 times the median"),
    9: ({"n_star": 2}, "2 stars"),
}
CLOUDY, SHIFTED = 10, 11
THIN = 5  # of the good frames, with a zero point below the others


@pytest.fixture
def night(database, fill):
    """Eleven frames of which five are good, each with one star."""

    def put(table, rows):
        database.register("given", fill(table, rows))
        database.execute(f"insert into {table} by name from given")

    ids = range(1, 12)
    put("setting", [{"setting_name": f"quality.{k}", "value": v} for k, v in LIMITS.items()])
    bit = Flag.REJECTED_FRAME.bit_length() - 1
    put("flag", [{"bit": bit, "value": int(Flag.REJECTED_FRAME), "is_severe": True}])
    put("camera", [{"camera_id": 1, "gain_e_per_adu": 1.0}])
    put("field", [{"field_id": 1, "field_name": "f"}])
    put("source", [{"source_id": 1, "field_id": 1}])
    put("aperture", [{"aperture_id": 1, "kind": "pix", "radius": 5.0}])
    times = {i: datetime(2024, 3, 8, 21) + timedelta(minutes=i) for i in ids}
    shared = {"night": NIGHT, "band": "r", "exposure_s": 30.0, "camera_id": 1}
    put(
        "frame",
        [{"frame_id": i, "content_hash": str(i), "mid_utc": times[i]} | shared for i in ids],
    )
    put("path", [{"path": f"/{i}.fits", "frame_id": i} for i in ids])
    put("field_frame", [{"frame_id": i, "field_id": 1} for i in ids])
    put("frame_quality", [{"frame_id": i} | GOOD | ODD.get(i, ({},))[0] for i in ids])
    shift = {SHIFTED: 400.0}
    put("registration", [{"frame_id": i, "x_shift_pix": shift.get(i, i)} for i in ids])
    dim = {CLOUDY: 2.0}
    put(
        "frame_transparency",
        [{"frame_id": i, "aperture_id": 1, "dimming_mag": dim.get(i, 0.0)} for i in ids],
    )
    named = {"catalogue_name": "a", "photometric_system": "b", "aperture_id": 1}
    season = {"scope": "season", "first_night": date(2024, 1, 1), "last_night": NIGHT}
    season |= {"camera_id": 1, "band": "r", "clear_zero_point_mag": 21.5, "clear_airmass": 1.2}
    put("photometric_solution", [season | named])
    thin = {THIN: 20.8}
    put(
        "zero_point",
        [
            {"frame_id": i, "zero_point_mag": thin.get(i, 21.4), "method": "joint"}
            | {"season_night": season["first_night"]}
            | named
            for i in ids
        ],
    )
    put("measurement", [{"frame_id": i, "source_id": 1, "n_sky_pix": 100} for i in ids])
    put(
        "aperture_flux",
        [{"frame_id": i, "source_id": 1, "aperture_id": 1, "flux_adu": 1000.0} for i in ids],
    )
    return database


def verdicts(con) -> dict[int, list[str]]:
    return dict(con.sql("select frame_id, reasons from frame_verdict").fetchall())


def test_good_frames_pass_and_each_odd_one_is_told_why(night):
    found = verdicts(night)
    assert [found[i] for i in (1, 2, 3, 4, 5)] == [[]] * 5
    for frame_id, (_, reason) in ODD.items():
        assert found[frame_id] == [reason]
    assert found[CLOUDY] == ["cloudy: 16 % of the clear light"]
    assert found[SHIFTED] == []  # no limit is set


def test_limits_are_settings(night):
    night.execute("update setting set value = '100' where setting_name = 'quality.max_offset_pix'")
    night.execute(
        "update setting set value = '0.1' where setting_name = 'quality.min_transparency'"
    )
    found = verdicts(night)
    assert found[SHIFTED] == ["off by 394 pix"]
    assert found[CLOUDY] == []
    assert found[THIN] == []
    night.execute("update setting set value = '0.5' where setting_name = 'quality.max_cloud_mag'")
    found = verdicts(night)
    assert found[THIN] == ["cloudy: zero point 0.70 mag below clear sky"]
    assert found[1] == []


def test_nothing_of_a_rejected_frame_is_clean_and_nothing_is_dropped(night):
    rows = night.sql("select frame_id, flags, is_clean from light_curve").fetchall()
    assert len(rows) == 11
    for frame_id, flags, is_clean in rows:
        rejected = frame_id in ODD or frame_id == CLOUDY
        assert is_clean is not rejected
        assert bool(flags & Flag.REJECTED_FRAME) is rejected
        assert bool(flags & Flag.LOW_TRANSPARENCY) is (frame_id == CLOUDY)


def test_a_cloud_is_still_measured_on_the_frame_it_rejects(night):
    rows = shipped(night, "common_stars", frame_ids=[1, 2, CLOUDY])
    assert rows["frame_id"].to_list() == [1, 2, CLOUDY]


def test_rejected_frames_are_listed_with_their_files(night):
    rows = shipped(night, "rejected_frames")
    assert rows["path"].to_list() == ["/6.fits", "/7.fits", "/8.fits", "/9.fits", "/10.fits"]


@pytest.mark.parametrize("flag", [Flag.REJECTED_FRAME, Flag.LOW_TRANSPARENCY])
def test_the_bit_in_sql_is_that_of_the_registry(night, flag):
    macro = f"{str(flag.name).lower()}_bit"
    assert macro in scripts("macros")
    assert frame(night, f"select {macro}() as bit")["bit"][0] == flag.value
