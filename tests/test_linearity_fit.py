"""Linearity from a ramp: a known bend is recovered, and only a lamp that was steady tells."""

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.linearity_fit import LinearityLimits, find_linearity

UP = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 160.0, 200.0, 240.0, 280.0]
RATE_ADU, DELAY_S, FULL_ADU = 100.0, 0.03, 30_000.0


def level_of(light_adu, bend: float, curl: float):
    """Level that a camera counts for light: its response to little light is 1."""
    part = np.asarray(light_adu) / FULL_ADU
    return light_adu * (1 + bend * part + curl * part**2)


def flats(exposures_s, *, bend=0.0, curl=0.0, scatter=0.0, seed=1) -> pl.DataFrame:
    """Expose flats one a minute, with a shutter that opens late and a lamp that flickers."""
    exposure = np.array(exposures_s)
    lamp = np.random.default_rng(seed).normal(1, scatter, exposure.size)
    level = level_of(RATE_ADU * (exposure + DELAY_S) * lamp, bend, curl)
    return pl.DataFrame(
        {"exposure_s": exposure, "level_adu": level, "mid_s": 60.0 * np.arange(exposure.size)}
    )


def true_factor(level_adu, bend, curl):
    light = np.linspace(1, 1.5 * FULL_ADU, 200_000)
    return np.interp(level_adu, level_of(light, bend, curl), light) / level_adu


@pytest.mark.parametrize(("bend", "curl"), [(-0.03, 0.0), (-0.01, -0.05), (0.02, -0.08)])
@pytest.mark.parametrize("scatter", [0.0003, 0.001])
def test_a_known_bend_is_recovered_within_its_errors(bend, curl, scatter):
    found = find_linearity(flats(UP + UP[::-1], bend=bend, curl=curl, scatter=scatter))
    assert found.is_correctable
    assert found.verdict.endswith("; corrected")
    level, factor, err = (found.points[name].to_numpy() for name in found.points.columns)
    truth = true_factor(level, bend, curl)
    assert np.abs((factor - truth) / err).max() < 3.5  # of 12 points of one curve
    assert err.max() < 5 * scatter
    assert found.departure == pytest.approx(np.abs(1 / truth - 1).max(), abs=4 * scatter)
    bent = level_of(light := np.linspace(100, FULL_ADU, 10_000), bend, curl)
    first = bent[np.abs(bent / light - 1) > 0.01][0]
    # the crossing moves by the error of the factor over the slope of the departure
    assert found.nonlinear_adu == pytest.approx(first, abs=600 + 3e6 * scatter)


@pytest.mark.parametrize("scatter", [0.0, 0.001])
def test_a_linear_camera_with_a_slow_shutter_is_linear(scatter):
    found = find_linearity(flats(UP + UP[::-1], scatter=scatter))
    assert found.departure == pytest.approx(0, abs=max(1e-9, 4 * scatter))
    assert found.verdict.startswith("linear within 0.")
    assert found.points.is_empty()
    assert (found.nonlinear_adu, found.is_correctable) == (None, False)


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        (flats([*UP, 280.0], bend=-0.03), "stretch over 8% of its time"),
        (flats(UP + UP[::-1], bend=-0.03).drop("mid_s"), "times of the flats are not known"),
        (flats([5.0, 40.0, 120.0, 200.0, 280.0, 5.0], bend=-0.03), "5 exposures, at least 6"),
        (flats(UP + UP[::-1], bend=-0.03, scatter=0.0025), "its error is"),
    ],
)
def test_a_bend_that_is_not_sure_is_flagged_and_not_corrected(levels, why):
    limits = LinearityLimits(max_lamp_scatter=0.02, max_table_err=0.001)
    found = find_linearity(levels, limits=limits)
    assert found.departure > 0.02
    assert found.nonlinear_adu is not None
    assert not found.is_correctable
    assert "flagged, not corrected" in found.verdict
    assert why in found.verdict


def test_a_lamp_that_drifts_tells_nothing_of_linearity():
    drifting = flats([1.0, 5.0, 29.5, 29.5, 80.0]).with_columns(
        pl.col("level_adu") * pl.Series([1.0, 1.0, 1.0, 1.13, 1.0])
    )
    found = find_linearity(drifting)
    assert found.departure is None
    assert found.lamp_scatter == pytest.approx(0.122, abs=0.001)
    assert "2 flats of 29.5 s differ by 12.2%, so the lamp drifted" in found.verdict


def test_without_a_repeated_exposure_nothing_is_said():
    found = find_linearity(flats([1.0, 5.0, 29.5, 80.0]))
    assert (found.departure, found.lamp_scatter) == (None, None)
    assert "no exposure was repeated" in found.verdict


def test_full_flats_do_not_count_against_linearity():
    full = flats([10.0, 10.0, 50.0, 100.0, 200.0, 500.0]).with_columns(
        pl.col("level_adu").clip(upper_bound=FULL_ADU)
    )
    assert find_linearity(full, top_adu=FULL_ADU).departure == pytest.approx(0, abs=1e-9)
    assert find_linearity(full).departure > 0.05


@pytest.mark.parametrize("value", [0.0, np.nan, -5.0])
def test_flats_without_light_give_no_linearity_and_no_warning(value):
    found = find_linearity(flats(UP).with_columns(level_adu=pl.lit(value)))
    assert found.departure is None
