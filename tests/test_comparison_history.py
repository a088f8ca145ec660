"""What many nights say of comparison stars: those that change over weeks and years are told."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from starmuster.warehouse.store import shipped

N_STAR, N_FRAME = 12, 8
NIGHTS = [date(2020, 1, 1) + timedelta(days=150 * i) for i in range(6)]
TARGET, JUMPING, DRIFTING, ONCE_REJECTED, OFTEN_REJECTED = 1, 3, 4, 5, 6
SIGMA = 0.002


@pytest.fixture
def sky(database, fill):
    """Six nights over two years; the target itself varies most of all."""
    rng = np.random.default_rng(5)
    late = np.zeros((N_STAR + 1, len(NIGHTS)))
    late[TARGET] = rng.normal(0, 0.2, len(NIGHTS))
    late[JUMPING] = [0.05, -0.05, 0.05, -0.05, 0.05, -0.05]
    late[DRIFTING] = 0.02 * np.arange(len(NIGHTS))
    clouds = 0.5 * rng.random((len(NIGHTS), N_FRAME))
    frames, fluxes = [], []
    for i, night in enumerate(NIGHTS):
        for j in range(N_FRAME):
            number = i * N_FRAME + j + 1
            mid = datetime(night.year, night.month, night.day, 22) + timedelta(minutes=3 * j)
            frame = {"frame_type": "light", "band": "r", "exposure_s": 60.0, "night": night}
            frames.append(frame | {"frame_id": number, "content_hash": str(number), "mid_utc": mid})
            for star in range(1, N_STAR + 1):
                mag = -8 + 0.1 * star + late[star, i] + clouds[i, j] + rng.normal(0, SIGMA)
                key = {"frame_id": number, "source_id": star}
                fluxes.append(key | {"aperture_id": 1, "flux_adu": 60 * 10 ** (-0.4 * mag)})
    tables = {
        "aperture": [{"aperture_id": 1, "kind": "fwhm", "radius": 2.0}],
        "flag": [{"bit": 0, "value": 1, "flag_name": "SATURATED", "is_severe": True}],
        "source": [
            {"source_id": s, "field_id": 1, "flux_adu": 1e5 / s} for s in range(1, N_STAR + 1)
        ],
        "frame": frames,
        "measurement": [{k: row[k] for k in ("frame_id", "source_id")} for row in fluxes],
        "aperture_flux": fluxes,
        "comparison_star": [
            {
                "target_source_id": TARGET,
                "night": night,
                "band": "r",
                "aperture_id": 1,
                "source_id": star,
                "scatter": 0.002,
                "reason": "variable: 3 times its errors" if is_rejected else "steady to 0.2 %",
            }
            for i, night in enumerate(NIGHTS)
            for star, is_rejected in ((ONCE_REJECTED, i == 1), (OFTEN_REJECTED, i > 1))
        ],
    }
    for name, rows in tables.items():
        database.register("given", fill(name, rows))
        database.execute(f"insert into {name} by name from given")
    return database


def history(con, **changes) -> pl.DataFrame:
    asked = {"source_id": TARGET, "night": NIGHTS[0], "band": "r", "max_redder_mag": 1.5}
    return shipped(con, "comparison_history", **asked | changes)


def test_stars_that_jump_drift_or_were_rejected_on_other_nights_are_told_with_the_reason(sky):
    reasons = dict(history(sky).select("source_id", "reason").rows())
    assert set(reasons) == {JUMPING, DRIFTING, OFTEN_REJECTED}
    assert reasons[JUMPING].startswith("varies over 6 nights")
    assert reasons[OFTEN_REJECTED] == "variable on 4 of 5 other nights"
    of_drifting = history(sky).filter(source_id=DRIFTING)["reason"].to_list()
    (drift,) = (reason for reason in of_drifting if reason.startswith("drifts"))
    rate = float(drift.removeprefix("drifts by ").split(" mmag")[0])
    assert rate == pytest.approx(20 * 365.25 / 150, abs=2)


def test_the_targets_own_change_speaks_against_no_star_and_another_band_knows_nothing(sky):
    assert TARGET not in history(sky)["source_id"]
    assert TARGET in history(sky, source_id=2)["source_id"]  # as comparison it is told
    seen = history(sky, band="g")
    assert seen["source_id"].to_list() == [OFTEN_REJECTED]  # rejections count in any band


def test_two_nights_are_no_history(sky):
    sky.execute("delete from frame where night > $last", {"last": NIGHTS[1]})
    told = history(sky)["reason"].to_list()
    assert not [reason for reason in told if reason.startswith(("varies", "drifts"))]
