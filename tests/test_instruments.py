"""Instruments: frames of one camera and one site find each other, whatever came first."""

import polars as pl

from starmuster.ingest.instruments import (
    CAMERA_SCHEMA,
    SITE_SCHEMA,
    UNKNOWN_CAMERA,
    Numbered,
    assign_ids,
)
from starmuster.ingest.intake import FRAME_SCHEMA, PATH_SCHEMA

KNOWN_FRAME = pl.DataFrame(schema={"frame_id": pl.Int32, "content_hash": pl.String})
KNOWN_CAMERA = pl.DataFrame(schema=CAMERA_SCHEMA)
KNOWN_SITE = pl.DataFrame(schema=SITE_SCHEMA)


def number(*rows: dict, frame=KNOWN_FRAME, camera=KNOWN_CAMERA, site=KNOWN_SITE) -> Numbered:
    named = [
        dict.fromkeys(FRAME_SCHEMA) | {"content_hash": f"{i:x}", "size_byte": 1} | row
        for i, row in enumerate(rows)
    ]
    frames = pl.DataFrame(named, schema=FRAME_SCHEMA)
    paths = frames.select(
        pl.format("/n/{}.fits", "content_hash").alias("path"), "content_hash", "size_byte"
    ).with_columns(mtime_ns=pl.lit(1, pl.Int64), seen_utc=pl.lit(None, pl.Datetime("us")))
    return assign_ids(
        frames,
        paths.select(*PATH_SCHEMA),
        known_frame=frame,
        known_camera=camera,
        known_site=site,
    )


def cam(name: str | None, telescope: str | None = None, **more) -> dict:
    return {"camera_name": name, "telescope_name": telescope} | more


def pairs(numbered: Numbered) -> list[tuple]:
    return numbered.camera.select("camera_id", "camera_name", "telescope_name").rows()


def test_numbers_continue_those_known():
    known = pl.DataFrame({"frame_id": [7], "content_hash": ["0"]}, schema=KNOWN_FRAME.schema)
    numbered = number(cam("a"), cam("a"), cam("a"), frame=known)
    assert numbered.frame["frame_id"].to_list() == [8, 9]
    assert numbered.path["frame_id"].to_list() == [7, 8, 9]


def test_a_camera_is_a_name_on_a_telescope():
    numbered = number(cam("a", "t1"), cam("a", "t2"), cam("b", "t1"), cam("a", "t1"))
    first, second, third, fourth = numbered.frame["camera_id"]
    assert {first, second, third} == {1, 2, 3}
    assert fourth == first


def test_calibration_frames_without_a_telescope_join_their_camera():
    numbered = number(cam("a"), cam("a", "t1"))
    assert numbered.frame["camera_id"].to_list() == [1, 1]
    assert pairs(numbered) == [(1, "a", "t1")]


def test_a_telescope_named_later_completes_the_camera():
    first = number(cam("a"))
    assert pairs(first) == [(1, "a", None)]
    later = number(cam("a", "t1"), cam("a"), camera=first.camera)
    assert later.frame["camera_id"].to_list() == [1, 1]
    assert pairs(later) == [(1, "a", "t1")]


def test_a_nameless_telescope_between_two_is_a_camera_of_its_own():
    first = number(cam("a", "t1"), cam("a", "t2"))
    later = number(cam("a"), camera=first.camera)
    assert later.frame["camera_id"].to_list() == [3]
    assert pairs(later) == [(3, "a", None)]


def test_unknown_cameras_are_not_taken_for_one():
    numbered = number(cam(None), cam(None, "t1"), cam(None))
    assert numbered.frame["camera_id"].n_unique() == 2
    assert set(numbered.camera["camera_name"]) == {UNKNOWN_CAMERA}
    assert numbered.frame["camera_id"][0] == numbered.frame["camera_id"][2]


def place(latitude_deg, longitude_deg, elevation_m=None, name=None) -> dict:
    return cam("a") | {
        "latitude_deg": latitude_deg,
        "longitude_deg": longitude_deg,
        "elevation_m": elevation_m,
        "site_name": name,
        "site_source": "header",
    }


def test_a_site_is_a_place_and_takes_the_elevation_any_frame_knows():
    numbered = number(
        place(50.7, 7.1), place(50.70001, 7.09999, 60.0, "Bonn"), place(-30, 20), place(None, None)
    )
    assert numbered.frame["site_id"].to_list() == [1, 1, 2, None]
    assert numbered.site.rows()[0] == (1, "Bonn", 50.7, 7.1, 60.0, "header")


def test_what_is_known_whole_is_not_loaded_again():
    first = number(place(50.7, 7.1))
    again = number(place(50.7, 7.1), camera=first.camera, site=first.site)
    assert again.frame["site_id"].to_list() == [1]
    assert again.camera.is_empty()
    assert again.site.is_empty()
    higher = number(place(50.7, 7.1, 60.0), camera=first.camera, site=first.site)
    assert higher.site.select("site_id", "elevation_m").rows() == [(1, 60.0)]
