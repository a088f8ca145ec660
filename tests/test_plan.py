"""What an ingest would do, without doing it."""

from datetime import date, datetime

import polars as pl

from starmuster.transforms.plan import plan
from starmuster.warehouse.packages import table_schemas

NIGHT = {
    "size_byte": 1,
    "hdu_index": 0,
    "n_x_pix": 100,
    "n_y_pix": 80,
    "frame_type_source": "header",
    "mid_utc": datetime(2024, 3, 8, 22),
    "night": date(2024, 3, 8),
    "x_binning": 1,
    "y_binning": 1,
    "gain_setting": 26.0,
    "sensor_degc": -10.0,
    "camera_id": 1,
    "header": "[]",
}


def frames(*kinds: tuple[str, str | None, float]) -> pl.DataFrame:
    rows = [
        NIGHT
        | {
            "frame_id": i + 1,
            "content_hash": f"{i:032x}",
            "frame_type": frame_type,
            "band": band,
            "exposure_s": exposure_s,
        }
        for i, (frame_type, band, exposure_s) in enumerate(kinds)
    ]
    return pl.DataFrame(rows, schema=table_schemas()["frame"])


def test_a_plan_names_the_masters_and_how_far_off_they_are(warehouse):
    found = plan(
        warehouse,
        frames(
            *[("bias", None, 0.0)] * 3,
            *[("dark", None, 120.0)] * 2,
            *[("flat", "g", 3.0)] * 4,
            ("light", "g", 60.0),
            ("light", "g", 120.0),
            ("light", "r", 120.0),
        ),
    )
    assert found["frames"]["n_frames"].to_list() == [3, 2, 4, 1, 1, 1]
    assert found["masters to make"].select("kind", "n_frame").rows() == [
        ("bias", 3),
        ("dark", 2),
        ("flat", 4),
    ]
    lights = found["calibration of lights"].select(
        "band", "exposure_s", "dark_scale", "flat_night", "missing_or_off"
    )
    night = date(2024, 3, 8)
    assert lights.rows()[0][:4] == ("g", 60.0, 0.5, night)
    assert "120 s scaled" in lights.rows()[0][4]
    assert lights.rows()[1] == ("g", 120.0, None, night, "")
    assert lights.rows()[2][:4] == ("r", 120.0, None, None)
    assert "no flat" in lights.rows()[2][4]


def test_a_plan_changes_nothing(warehouse):
    before = warehouse.database.read_bytes()
    plan(warehouse, frames(("light", "g", 60.0)))
    assert warehouse.database.read_bytes() == before


def test_a_plan_of_nothing_is_empty(warehouse):
    assert all(rows.is_empty() for rows in plan(warehouse, frames()).values())
