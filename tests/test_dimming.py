"""The light that frames lost, against clouds and gradients that were put in."""

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.dimming import frame_dimming

CENTRE_PIX = (500.0, 400.0)
CLOUD_MAG = np.array([0.0, 0.02, 0.36, 1.1, 0.01, 0.0, 0.05, 0.0, 0.0, 0.03])


def night(
    seed: int,
    *,
    n_star: int = 60,
    cloud_mag: np.ndarray = CLOUD_MAG,
    gradient_mag: float = 0.02,
    missing_share: float = 0.0,
) -> pl.DataFrame:
    """Stars under clouds; the third frame has a gradient in x."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(-9, -4, n_star)
    x, y = rng.uniform(0, 1000, n_star), rng.uniform(0, 800, n_star)
    rows = []
    for i, cloud in enumerate(cloud_mag):
        err = 0.003 + 0.05 * 10 ** (0.3 * (level + 4 + cloud))
        slope = gradient_mag if i == 2 else 0.0
        mag = level + cloud + slope * (x - CENTRE_PIX[0]) / 1000 + rng.normal(0, err)
        seen = rng.random(n_star) >= missing_share
        rows.append(
            pl.DataFrame(
                {
                    "frame_id": i + 1,
                    "source_id": np.arange(n_star),
                    "mag": mag,
                    "mag_err": err,
                    "x_pix": x,
                    "y_pix": y,
                }
            ).filter(pl.Series(seen))
        )
    return pl.concat(rows)


def clouds(found: pl.DataFrame) -> np.ndarray:
    dimming = found["dimming_mag"].to_numpy()
    return dimming - dimming[0]


def test_clouds_and_the_gradient_of_one_frame_come_out():
    found = frame_dimming(night(1), centre_pix=CENTRE_PIX)
    assert found["frame_id"].to_list() == list(range(1, 11))
    assert clouds(found) == pytest.approx(CLOUD_MAG, abs=0.005)
    gradient, err = found["x_gradient_mag"].to_numpy(), found["gradient_err_mag"].to_numpy()
    assert gradient[2] - gradient[0] == pytest.approx(0.02, abs=4 * err[2])
    assert err.max() < 0.01
    assert found["n_star"].to_list() == [60] * 10


def test_the_clearest_quarter_of_the_frames_is_where_dimming_begins():
    found = frame_dimming(night(2), centre_pix=CENTRE_PIX)
    assert np.quantile(found["dimming_mag"].to_numpy(), 0.25) == pytest.approx(0, abs=1e-9)


def test_variable_stars_and_missing_stars_make_no_step():
    rows = night(3, missing_share=0.2)
    brightest = pl.col("source_id").is_in([0, 1, 2, 3])
    rows = rows.with_columns(
        mag=pl.col("mag") + pl.when(brightest & (pl.col("frame_id") > 5)).then(0.5).otherwise(0)
    )
    found = frame_dimming(rows, centre_pix=CENTRE_PIX)
    assert clouds(found) == pytest.approx(CLOUD_MAG, abs=0.008)


def test_errors_are_those_of_repeated_nights():
    pulls = []
    for seed in range(30):
        found = frame_dimming(night(50 + seed, gradient_mag=0.0), centre_pix=CENTRE_PIX)
        change = found["dimming_mag"][3] - found["dimming_mag"][1] - 1.08
        err = np.hypot(found["dimming_err_mag"][3], found["dimming_err_mag"][1])
        pulls.append(change / err)
    assert 0.7 < np.std(pulls) < 1.35
    assert abs(np.mean(pulls)) < 0.6


def test_few_stars_give_no_gradient():
    found = frame_dimming(night(4, n_star=8), centre_pix=CENTRE_PIX)
    assert found["x_gradient_mag"].null_count() == 10
    assert clouds(found) == pytest.approx(CLOUD_MAG, abs=0.02)


def test_a_frame_of_two_stars_is_left_out():
    rows = night(5).filter((pl.col("frame_id") != 4) | (pl.col("source_id") < 2))
    assert 4 not in frame_dimming(rows, centre_pix=CENTRE_PIX)["frame_id"].to_list()


def test_no_stars_in_common_are_no_rows():
    assert frame_dimming(night(6).head(60), centre_pix=CENTRE_PIX).is_empty()


def test_errors_that_are_not_known_do_no_harm():
    rows = night(7).with_columns(mag_err=pl.lit(None, pl.Float64))
    found = frame_dimming(rows, centre_pix=CENTRE_PIX)
    assert clouds(found) == pytest.approx(CLOUD_MAG, abs=0.02)
