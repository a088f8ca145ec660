"""Which pointing a light frame belongs to."""

from datetime import date

import polars as pl
import pytest

from starmuster.transforms.fields import assign_fields

NO_FIELDS = pl.DataFrame(
    schema={
        "field_id": pl.Int32,
        "field_name": pl.String,
        "field_key": pl.String,
        "ra_deg": pl.Float64,
        "dec_deg": pl.Float64,
    }
)
FRAME = {
    "camera_id": 1,
    "night": date(2024, 3, 8),
    "target_name": "M 37",
    "target_key": "m37",
    "ra_deg": 88.07,
    "dec_deg": 32.55,
    "scale_arcsec_per_pix": 0.61,
    "n_x_pix": 4788,
    "n_y_pix": 3194,
}
SCHEMA = {"frame_id": pl.Int32, "ra_deg": pl.Float64, "dec_deg": pl.Float64}


def frames(*changes: dict) -> pl.DataFrame:
    rows = [FRAME | {"frame_id": i + 1} | change for i, change in enumerate(changes)]
    return pl.DataFrame(rows, schema_overrides=SCHEMA, infer_schema_length=None)


def assigned(*changes: dict, known: pl.DataFrame = NO_FIELDS) -> tuple[pl.DataFrame, list[int]]:
    new, members = assign_fields(frames(*changes), known, next_field_id=known.height + 1)
    assert members["frame_id"].to_list() == list(range(1, len(changes) + 1))
    return new, members["field_id"].to_list()


def test_frames_of_one_pointing_share_a_field_whatever_their_object_says():
    new, field_id = assigned({}, {"target_name": "NGC2099", "target_key": "ngc2099"})
    assert field_id == [1, 1]
    assert new["field_name"].to_list() == ["M 37"]
    assert not new["is_on_sky"].any()


def test_frames_of_one_object_at_two_pointings_make_two_fields():
    _, field_id = assigned({}, {"dec_deg": 33.55})
    assert field_id == [1, 2]


def test_a_field_reaches_half_the_short_side_of_a_frame():
    half_deg = 3194 * 0.61 / 3600 / 2
    _, field_id = assigned(
        {}, {"dec_deg": 32.55 + 0.95 * half_deg}, {"dec_deg": 32.55 - 1.05 * half_deg}
    )
    assert field_id == [1, 1, 2]


def test_right_ascensions_on_both_sides_of_zero_are_neighbours():
    _, field_id = assigned({"ra_deg": 359.95}, {"ra_deg": 0.05})
    assert field_id == [1, 1]


def test_meridians_crowd_together_at_the_pole():
    _, field_id = assigned({"ra_deg": 0.0, "dec_deg": 89.95}, {"ra_deg": 180.0, "dec_deg": 89.95})
    assert field_id == [1, 1]


def test_frames_without_a_pointing_go_by_their_name_and_then_by_camera_and_night():
    lost = {"ra_deg": None, "dec_deg": None}
    nameless = lost | {"target_name": None, "target_key": None}
    new, field_id = assigned(lost, lost, nameless, nameless, nameless | {"camera_id": 2})
    assert field_id == [1, 1, 2, 2, 3]
    assert new["field_name"].to_list()[1:] == [
        "camera 1 on 2024-03-08",
        "camera 2 on 2024-03-08",
    ]


def test_a_known_field_takes_new_frames_and_keeps_its_number():
    known = pl.DataFrame(
        [
            {
                "field_id": 7,
                "field_name": "M 37",
                "field_key": "m37",
                "ra_deg": 88.1,
                "dec_deg": 32.5,
            }
        ],
        schema=NO_FIELDS.schema,
    )
    new, members = assign_fields(frames({}, {"dec_deg": 0.0}), known, next_field_id=8)
    assert members["field_id"].to_list() == [7, 8]
    assert new["field_id"].to_list() == [8]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_the_number_of_fields_does_not_depend_on_the_order_of_rows(order):
    rows = frames({}, {"dec_deg": 40.0}, {"dec_deg": 40.01})[order]
    _, members = assign_fields(rows, NO_FIELDS, next_field_id=1)
    assert dict(members.iter_rows()) == {1: 1, 2: 2, 3: 2}
