"""The choice of an aperture in SQL, from stored fluxes of known scatter."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.apertures import find_aperture
from starmuster.errors import NotFoundError
from starmuster.transforms.aperture_choice import choose_aperture
from starmuster.warehouse.store import shipped

NIGHT, START = date(2024, 3, 8), datetime(2024, 3, 8, 20)
N_FRAME, N_STAR, VARIABLE = 150, 8, 1
NOISE_MAG = {1: 0.02, 2: 0.005, 3: 0.01}  # by aperture
GROWTH = {1: 0.6, 2: 0.93, 3: 0.995}


@pytest.fixture
def night(database, fill):
    """Eight stars under clouds in three apertures; the first star fades by a magnitude."""

    def put(table, rows):
        database.register("given", fill(table, rows))
        database.execute(f"insert into {table} by name from given")

    rng = np.random.default_rng(5)
    ids = range(1, N_FRAME + 1)
    cloud = rng.uniform(0, 0.5, N_FRAME)
    put("field", [{"field_id": 1, "field_name": "Made up"}])
    put("camera", [{"camera_id": 1}])
    put("source", [{"source_id": i, "field_id": 1} for i in range(1, N_STAR + 1)])
    put("aperture", [{"aperture_id": i, "aperture_name": f"{i} fwhm"} for i in NOISE_MAG])
    shared = {
        "night": NIGHT,
        "band": "r",
        "exposure_s": 10.0,
        "camera_id": 1,
        "n_x_pix": 9,
        "n_y_pix": 9,
    }
    put(
        "frame",
        [
            {"frame_id": i, "content_hash": str(i), "mid_utc": START + timedelta(minutes=i)}
            | shared
            for i in ids
        ],
    )
    put("frame_quality", [{"frame_id": i, "fwhm_pix": 3.0, "elongation": 1.0} for i in ids])
    put("field_frame", [{"frame_id": i, "field_id": 1} for i in ids])
    keys = [{"frame_id": i, "source_id": star} for i in ids for star in range(1, N_STAR + 1)]
    put("measurement", keys)
    for aperture_id, noise_mag in NOISE_MAG.items():
        own = {"aperture_id": aperture_id}
        put(
            "frame_transparency",
            [{"frame_id": i, "dimming_mag": cloud[i - 1]} | own for i in ids],
        )
        fluxes = []
        for key in keys:
            i, star = key["frame_id"], key["source_id"]
            fade = i / N_FRAME if star == VARIABLE else 0.0
            mag = -8 + 0.2 * star + cloud[i - 1] + fade + rng.normal(0, noise_mag)
            fluxes.append(key | own | {"flux_adu": 10.0 * 10 ** (-0.4 * mag)})
        put("aperture_flux", fluxes)
        put(
            "curve_of_growth",
            [{"frame_id": i, "enclosed_fraction": GROWTH[aperture_id]} | own for i in ids],
        )
    return database


@pytest.fixture
def judged(night, fill):
    """The same night with its choice stored, as the step does."""
    common = shipped(night, "common_stars", frame_ids=list(range(1, N_FRAME + 1)))
    dimming = night.table("frame_transparency").pl()
    found = choose_aperture(common, dimming, centre_pix=(4.0, 4.0))
    rows = found.with_columns(field_id=pl.lit(1), night=pl.lit(NIGHT), band=pl.lit("r"))
    night.register("given", fill("aperture_choice", rows.to_dicts()))
    night.execute("insert into aperture_choice by name from given")
    return night


def test_the_steadiest_aperture_of_a_field_comes_first_with_its_scatter(judged):
    rows = shipped(judged, "apertures", field="made up")
    assert rows["aperture"].to_list() == ["2 fwhm", "3 fwhm", "1 fwhm"]
    assert rows["step_scatter_mag"].to_list() == pytest.approx([0.005, 0.01, 0.02], rel=0.2)
    assert rows["enclosed_fraction"].to_list() == pytest.approx([0.93, 0.995, 0.6])
    assert shipped(judged, "steadiest_aperture", field_id=1)["aperture_id"].to_list() == [2]


def test_what_is_stored_of_a_field_is_what_the_view_says_of_its_stars(judged):
    bright = judged.sql(
        "from aperture_scatter where source_id <= 5"  # of eight, brightest first
    ).aggregate("aperture_id, median(step_scatter_mag) as step_scatter_mag")
    stored = judged.table("aperture_choice").order("aperture_id").pl()
    assert stored["n_star"].to_list() == [5, 5, 5]
    np.testing.assert_allclose(
        stored["step_scatter_mag"], bright.order("aperture_id").pl()["step_scatter_mag"], rtol=1e-9
    )


def test_a_choice_for_frames_that_are_gone_is_not_shown(judged):
    judged.execute("delete from frame_transparency where aperture_id = 2 and frame_id > 1")
    assert shipped(judged, "apertures", field="made up")["aperture"][0] == "3 fwhm"
    judged.execute("update frame set band = 'g'")
    assert shipped(judged, "apertures", field="made up").is_empty()


def test_slow_change_of_a_star_does_not_hide_its_best_aperture(night):
    rows = shipped(night, "apertures", star=VARIABLE)
    assert rows["aperture"][0] == "2 fwhm"
    assert rows["step_scatter_mag"][0] == pytest.approx(
        np.hypot(0.005, 1 / N_FRAME / np.sqrt(2)), rel=0.2
    )


def test_an_unknown_star_has_no_aperture(night):
    assert shipped(night, "apertures", star=99).is_empty()


def test_an_aperture_is_named_by_name_or_number_and_a_wrong_name_tells_all(night):
    assert find_aperture(night, "2 fwhm") == find_aperture(night, "2") == (2, "2 fwhm")
    with pytest.raises(NotFoundError, match=r"'9 pix'; there are: 1 fwhm, 2 fwhm, 3 fwhm\."):
        find_aperture(night, "9 pix")
