"""Which masters a frame gets, and which frames are still to be measured."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from starmuster.warehouse.store import shipped

NIGHT = date(2024, 3, 8)
SETTINGS = {
    "masters.max_days": "400",
    "masters.max_dark_kelvin": "5.0",
    "masters.max_dark_stretch": "10.0",
    "masters.scale_darks": "true",
    "recipe.photometry": "r1",
}
DETECTOR = {
    "camera_id": 1,
    "x_binning": 1,
    "y_binning": 1,
    "n_x_pix": 100,
    "n_y_pix": 80,
    "gain_setting": 100.0,
    "offset_setting": 10.0,
    "readout_mode": "slow",
}


class Library:
    """An open database with one light frame, and the means to add masters."""

    def __init__(self, con: duckdb.DuckDBPyConnection, fill: Callable[..., Any]) -> None:
        self.con = con
        self.fill = fill

    def put(self, table: str, **row: Any) -> None:
        self.con.register("given", self.fill(table, [row]))
        self.con.execute(f"insert into {table} by name from given")

    def master(self, master_id: int, kind: str, **changes: Any) -> None:
        """Add a master that suits the light frame in everything but the changes."""
        suited = DETECTOR | {
            "night": NIGHT,
            "band": "r" if kind == "flat" else None,
            "exposure_s": {"bias": 0.0, "dark": 60.0, "flat": 2.0}[kind],
            "sensor_degc": -10.0,
            "is_bias_subtracted": kind == "dark",
        }
        self.put("master", master_id=master_id, kind=kind, **(suited | changes))

    def choice(self, frame_id: int = 1) -> dict[str, Any]:
        found = self.con.sql("from calibration_choice").filter(f"frame_id = {frame_id}").pl()
        return found.row(0, named=True)

    def pending(self) -> list[int]:
        found = self.con.sql("from pending_photometry").order("frame_id").project("frame_id")
        return [frame_id for (frame_id,) in found.fetchall()]

    def finish(self, frame_id: int, state: str = "done") -> None:
        """Note that a frame was measured, or could not be, with what is expected of it now."""
        self.con.execute("delete from product where frame_id = $1", [frame_id])
        self.con.execute(
            "insert into product select frame_id, 'photometry', recipe, $2 "
            "from pending_photometry where frame_id = $1",
            [frame_id, state],
        )


@pytest.fixture
def library(database, fill) -> Library:
    """A light of 60 s at -10 degrees in r, with limits and without masters."""
    library = Library(database, fill)
    for name, value in SETTINGS.items():
        library.put("setting", setting_name=name, value=value)
    light(library, 1)
    library.put("field", field_id=1, reference_frame_id=1)
    return library


def light(library: Library, frame_id: int, **changes: Any) -> None:
    frame = DETECTOR | {
        "frame_type": "light",
        "band": "r",
        "exposure_s": 60.0,
        "sensor_degc": -10.0,
        "night": NIGHT,
    }
    library.put("frame", frame_id=frame_id, content_hash=str(frame_id), **(frame | changes))
    library.put("field_frame", frame_id=frame_id, field_id=1)


def test_a_light_without_masters_says_what_is_missing(library):
    row = library.choice()
    assert [row[f"{kind}_master_id"] for kind in ("bias", "dark", "flat")] == [None] * 3
    assert row["reason"] == (
        "no bias of this camera and setting; no dark of this camera, setting and temperature; "
        "no flat of this camera and band"
    )


def test_masters_of_the_same_night_are_taken_without_remark(library):
    for master_id, kind in enumerate(("bias", "dark", "flat"), start=1):
        library.master(master_id, kind)
    row = library.choice()
    assert [row[f"{kind}_master_id"] for kind in ("bias", "dark", "flat")] == [1, 2, 3]
    assert row["dark_scale"] is None
    assert (row["dark_days"], row["dark_kelvin"], row["flat_days"]) == (0, 0, 0)
    assert row["reason"] == ""


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
@pytest.mark.parametrize(
    "other",
    [
        {"camera_id": 2},
        {"x_binning": 2},
        {"y_binning": 2},
        {"x_binning": None},
        {"n_x_pix": 50},
        {"n_y_pix": 40},
        {"gain_setting": 0.0},
        {"gain_setting": None},
        {"offset_setting": 50.0},
        {"readout_mode": "fast"},
        {"night": NIGHT - timedelta(days=401)},
    ],
    ids=str,
)
def test_a_master_of_another_camera_or_setting_is_never_taken(library, kind, other):
    library.master(1, kind, **other)
    assert library.choice()[f"{kind}_master_id"] is None


def test_settings_that_neither_header_gives_are_the_same(library):
    unknown = {"gain_setting": None, "offset_setting": None, "readout_mode": None}
    light(library, 2, **unknown)
    library.master(1, "bias", **unknown)
    assert library.choice(2)["bias_master_id"] == 1


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_the_nearest_night_is_taken_before_or_after(library, kind):
    library.master(1, kind, night=NIGHT - timedelta(days=9))
    library.master(2, kind, night=NIGHT + timedelta(days=2))
    library.master(3, kind, night=NIGHT - timedelta(days=5))
    row = library.choice()
    assert row[f"{kind}_master_id"] == 2
    assert f"{kind} of 2 nights away" in row["reason"]


def test_of_two_nights_as_near_the_earlier_is_taken(library):
    library.master(1, "flat", night=NIGHT + timedelta(days=2))
    library.master(2, "flat", night=NIGHT - timedelta(days=2))
    assert library.choice()["flat_master_id"] == 2


def test_a_flat_of_another_band_is_never_taken(library):
    library.master(1, "flat", band="g")
    library.master(2, "flat", band=None)
    assert library.choice()["flat_master_id"] is None
    light(library, 2, band=None)
    assert library.choice(2)["flat_master_id"] == 2


def test_a_dark_of_the_same_exposure_comes_before_a_nearer_one_to_be_scaled(library):
    library.master(1, "dark", exposure_s=300.0)
    library.master(2, "dark", night=NIGHT - timedelta(days=30), sensor_degc=-7.0)
    row = library.choice()
    assert row["dark_master_id"] == 2
    assert row["dark_scale"] is None
    assert row["dark_kelvin"] == -3.0
    assert "dark of 30 nights away" in row["reason"]


def test_a_dark_within_two_per_cent_is_of_the_same_exposure(library):
    library.master(1, "dark", exposure_s=60.9, is_bias_subtracted=False)
    assert library.choice()["dark_scale"] is None
    assert library.choice()["dark_master_id"] == 1


def test_a_scaled_dark_says_by_how_much(library):
    library.master(1, "dark", exposure_s=300.0)
    row = library.choice()
    assert (row["dark_master_id"], row["dark_scale"]) == (1, 0.2)
    assert "dark of 300 s scaled" in row["reason"]


def test_of_darks_to_be_scaled_the_nearest_exposure_is_taken(library):
    library.master(1, "dark", exposure_s=300.0)
    library.master(2, "dark", exposure_s=120.0)
    library.master(3, "dark", exposure_s=10.0)
    assert library.choice()["dark_master_id"] == 2


def test_the_nearest_temperature_comes_before_the_nearest_night(library):
    library.master(1, "dark", sensor_degc=-13.0)
    library.master(2, "dark", sensor_degc=-10.3, night=NIGHT - timedelta(days=50))
    assert library.choice()["dark_master_id"] == 2


def test_temperatures_half_a_degree_apart_are_the_same(library):
    library.master(1, "dark", sensor_degc=-10.0, night=NIGHT - timedelta(days=50))
    library.master(2, "dark", sensor_degc=-9.7)
    assert library.choice()["dark_master_id"] == 2


def test_a_dark_of_unknown_temperature_comes_last(library):
    library.master(1, "dark", sensor_degc=None)
    assert library.choice()["dark_master_id"] == 1
    library.master(2, "dark", sensor_degc=-14.0, night=NIGHT - timedelta(days=50))
    assert library.choice()["dark_master_id"] == 2


def test_a_dark_that_holds_its_bias_is_not_scaled(library):
    library.master(1, "dark", exposure_s=300.0, is_bias_subtracted=False)
    assert library.choice()["dark_master_id"] is None


@pytest.mark.parametrize(
    ("name", "value", "change"),
    [
        ("masters.max_dark_kelvin", "2.5", {"sensor_degc": -7.0}),
        ("masters.max_dark_stretch", "1.9", {"exposure_s": 30.0}),
        ("masters.max_days", "20", {"night": NIGHT - timedelta(days=21)}),
        ("masters.scale_darks", "False", {"exposure_s": 300.0}),
    ],
)
def test_limits_come_from_the_settings(library, name, value, change):
    library.master(1, "dark", **change)
    assert library.choice()["dark_master_id"] == 1
    library.con.execute("update setting set value = $1 where setting_name = $2", [value, name])
    assert library.choice()["dark_master_id"] is None


@pytest.mark.parametrize("exposure_s", [0.0, -1.0, None])
def test_a_frame_of_no_exposure_gets_no_dark_and_does_no_harm(library, exposure_s):
    light(library, 2, exposure_s=exposure_s)
    library.put(
        "frame", frame_id=3, content_hash="3", frame_type="bias", exposure_s=0.0, **DETECTOR
    )
    library.master(1, "dark")
    library.master(2, "dark", exposure_s=0.0)
    library.master(3, "dark", exposure_s=None)
    assert library.choice(2)["dark_master_id"] is None
    assert library.choice(1)["dark_master_id"] == 1


@pytest.mark.parametrize(
    ("frame_type", "expected"),
    [
        ("light", [1, 2, 3]),
        ("flat", [1, 2, None]),
        ("dark", [1, None, None]),
        ("darkflat", [1, None, None]),
        ("bias", [None, None, None]),
    ],
)
def test_each_type_of_frame_gets_what_is_taken_out_of_it(library, frame_type, expected):
    for master_id, kind in enumerate(("bias", "dark", "flat"), start=1):
        library.master(master_id, kind)
    light(library, 2, frame_type=frame_type)
    row = library.choice(2)
    assert [row[f"{kind}_master_id"] for kind in ("bias", "dark", "flat")] == expected
    assert row["reason"] == ""


def test_a_frame_of_unknown_type_has_no_choice_and_every_other_exactly_one(library):
    light(library, 2, frame_type=None)
    for master_id in range(1, 4):
        library.master(master_id, "dark")
        library.master(master_id + 3, "bias")
    found = library.con.table("calibration_choice").project("frame_id").fetchall()
    assert found == [(1,)]
    assert library.choice()["dark_master_id"] == 1


# Pending ------------------------------------------------------------------------------------------


def test_a_light_is_pending_until_it_is_measured(library):
    assert library.pending() == [1]
    library.finish(1)
    assert library.pending() == []


def test_another_recipe_makes_all_pending_again(library):
    light(library, 2)
    for frame_id in (1, 2):
        library.finish(frame_id)
    library.con.execute("update setting set value = 'r2' where setting_name = 'recipe.photometry'")
    assert library.pending() == [1, 2]


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_a_better_master_makes_the_frames_that_would_use_it_pending(library, kind):
    light(library, 2, gain_setting=0.0)
    for frame_id in (1, 2):
        library.finish(frame_id)
    library.master(1, kind)
    assert library.pending() == [1]
    library.finish(1)
    library.master(2, kind, night=NIGHT - timedelta(days=1))
    assert library.pending() == []


def test_another_reference_frame_makes_the_field_pending(library):
    light(library, 2)
    for frame_id in (1, 2):
        library.finish(frame_id)
    library.con.execute("update field set reference_frame_id = 2")
    assert library.pending() == [1, 2]


def test_a_frame_that_failed_is_tried_again_only_when_something_changed(library):
    library.finish(1, "failed")
    assert library.pending() == []
    library.put("setting", setting_name="masters.low_sigma", value="4")
    assert library.pending() == []
    library.master(1, "flat")
    assert library.pending() == [1]


def test_nothing_is_pending_before_its_field_has_a_reference_or_the_recipe_is_known(library):
    library.con.execute("update field set reference_frame_id = null")
    assert library.pending() == []
    library.con.execute("update field set reference_frame_id = 1")
    library.con.execute("delete from setting where setting_name = 'recipe.photometry'")
    assert library.pending() == []


def test_other_steps_of_a_frame_do_not_count_as_measured(library):
    library.put("product", frame_id=1, step="vantage", state="done")
    assert library.pending() == [1]


def test_a_light_is_pending_for_a_field_until_it_has_one(library):
    library.con.execute("delete from field_frame")
    library.put("frame", frame_id=2, content_hash="2", frame_type="flat")
    assert library.con.table("pending_field").project("frame_id").fetchall() == [(1,)]


def test_a_vantage_is_pending_when_the_time_or_the_site_becomes_known_or_better(library):
    def pending() -> list[tuple[Any, ...]]:
        return library.con.table("pending_vantage").project("frame_id").fetchall()

    def finish() -> None:
        library.con.execute("delete from product where step = 'vantage'")
        library.con.execute(
            "insert into product select frame_id, 'vantage', recipe, 'done' from pending_vantage"
        )

    assert pending() == []  # without a time there is no vantage
    library.con.execute("update frame set mid_utc = timestamp '2024-03-08 23:00:00'")
    assert pending() == [(1,)]
    finish()
    assert pending() == []
    library.put("site", site_id=1, latitude_deg=50.7, longitude_deg=7.1)
    library.con.execute("update frame set site_id = 1")
    assert pending() == [(1,)]
    finish()
    for better in (
        "update site set elevation_m = 60",
        "update frame set mid_utc = timestamp '2024-03-08 23:00:30'",
    ):
        library.con.execute(better)
        assert pending() == [(1,)]
        finish()
        assert pending() == []


def test_the_library_of_masters_counts_the_lights_that_each_calibrated(library):
    library.put("camera", camera_id=1, camera_name="QHY600M")
    for master_id, kind in enumerate(("bias", "dark", "flat"), start=1):
        library.master(master_id, kind, night=NIGHT - timedelta(days=master_id))
    library.put("calibration", frame_id=1, bias_master_id=1, flat_master_id=3)
    library.put("calibration", frame_id=2, bias_master_id=1)
    rows = shipped(library.con, "masters")
    assert dict(rows.select("master_id", "n_light").iter_rows()) == {1: 2, 2: 0, 3: 1}
    assert rows["kind"].to_list() == ["bias", "dark", "flat"]


# The nearest that does not fit, and retired masters -----------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("bias", {"gain_setting": 0.0}, "(nearest: bias 1, gain setting 0.0)"),
        ("bias", {"night": NIGHT - timedelta(days=500)}, "500 nights away, at most 400 allowed"),
        ("dark", {"sensor_degc": -2.0}, "(nearest: dark 1, 8.0 K off, at most 5 allowed)"),
        ("dark", {"exposure_s": 5.0, "is_bias_subtracted": False}, "5 s, and it holds its bias"),
        ("dark", {"exposure_s": None}, "an exposure is unknown or zero"),
        ("flat", {"band": "g"}, "(nearest: flat 1, band g)"),
        ("flat", {"band": "g", "n_x_pix": 50}, "(nearest: flat 1, 50 x 80 pixels, band g)"),
        ("flat", {"readout_mode": None}, "read-out mode unknown"),
    ],
)
def test_the_nearest_master_that_does_not_fit_is_named(library, kind, change, expected):
    library.master(1, kind, **change)
    library.master(2, kind, **(change | {"x_binning": 2, "offset_setting": 11.0}))
    assert expected in library.choice()["reason"]
    assert library.choice()[f"{kind}_master_id"] is None


SUB_FRAME = {"n_x_pix": 40, "n_y_pix": 30, "x_first_pix": 60, "y_first_pix": 50}


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_a_sub_frame_gets_the_masters_of_the_frame_it_is_part_of(library, kind):
    library.master(1, kind)
    light(library, 2, **SUB_FRAME)
    assert library.choice(2)[f"{kind}_master_id"] == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"x_first_pix": 61}, "100 x 80 pixels"),
        ({"y_first_pix": None}, "100 x 80 pixels"),
        ({"n_x_pix": 100, "x_first_pix": 0, "n_y_pix": 81}, "100 x 80 pixels"),
        ({"n_x_pix": 100, "n_y_pix": 80, "x_first_pix": 7, "y_first_pix": 0}, "begins at"),
    ],
)
def test_what_a_master_does_not_show_it_does_not_calibrate(library, change, fault):
    library.master(1, "flat", x_first_pix=0, y_first_pix=0)
    light(library, 2, **(SUB_FRAME | change))
    choice = library.choice(2)
    assert choice["flat_master_id"] is None
    assert f"nearest: flat 1, {fault}" in choice["reason"]


def test_a_master_without_its_overscan_is_never_cut(library):
    library.master(1, "flat")
    library.put("master_file", master_id=1, trim="[1:90,1:80]")
    light(library, 2, **SUB_FRAME)
    assert library.choice(2)["flat_master_id"] is None
    assert library.choice(1)["flat_master_id"] == 1


def test_of_one_night_the_master_of_the_same_part_comes_first(library):
    library.master(1, "flat")
    library.master(2, "flat", **SUB_FRAME)
    light(library, 2, **SUB_FRAME)
    assert library.choice(2)["flat_master_id"] == 2
    assert library.choice(1)["flat_master_id"] == 1


def test_another_cameras_master_is_not_even_named(library):
    library.master(1, "flat", camera_id=2)
    assert "nearest" not in library.choice()["reason"]


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_a_retired_master_gives_way_to_the_next_and_only_its_lights_are_pending(library, kind):
    light(library, 2, gain_setting=0.0)
    library.master(1, kind)
    library.master(2, kind, night=NIGHT - timedelta(days=1))
    for frame_id in (1, 2):
        library.finish(frame_id)
    library.put("retired_master", master_id=2)
    assert library.pending() == []
    library.put("retired_master", master_id=1)
    assert library.pending() == [1]
    assert library.choice()[f"{kind}_master_id"] is None
    assert "nearest" not in library.choice()["reason"]
