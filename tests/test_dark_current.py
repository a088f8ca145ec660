"""Dark current from the master darks of a ramp: its rise with exposure, and with temperature."""

from datetime import date, timedelta

import pytest

from starmuster.analysis.camera_figures import dark_figure, doubling_kelvin
from starmuster.warehouse.store import shipped

NIGHT, BIAS_ADU, GAIN, DOUBLES_K = date(2024, 3, 8), 300.0, 1.5, 6.0


def rate_adu(degc: float) -> float:
    return 0.05 * 2 ** ((degc + 10) / DOUBLES_K)


@pytest.fixture
def con(database, fill):
    """Darks at four temperatures: with their bias, without it, and of one exposure alone."""

    def put(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    put("camera", {"camera_id": 1, "camera_name": "c"})
    put("gain_fit", {"camera_id": 1, "night": NIGHT, "gain_e_per_adu": GAIN, "x_binning": 1})
    number = iter(range(1, 100))
    plan = [
        (-20.0, (60.0, 300.0), True),
        (-10.0, (60.0, 120.0, 600.0), False),
        (-5.0, (300.0,), True),
        (0.0, (300.0,), False),  # its bias cannot be told from its current
    ]
    for degc, exposures_s, is_bare in plan:
        for exposure_s in exposures_s:
            level = rate_adu(degc) * exposure_s + (0 if is_bare else BIAS_ADU)
            put(
                "master",
                {
                    "master_id": next(number),
                    "kind": "dark",
                    "camera_id": 1,
                    "night": NIGHT + timedelta(days=degc == -5),
                    "x_binning": 1,
                    "sensor_degc": degc + 0.2,
                    "exposure_s": exposure_s,
                    "is_bias_subtracted": is_bare,
                    "level_adu": level,
                },
            )
    return database


def test_the_rise_with_exposure_is_the_dark_current_whether_or_not_the_bias_is_in_it(con):
    rows = con.sql("from dark_current order by temperature_degc").pl()
    assert rows["temperature_degc"].to_list() == [-20, -10, -5]
    assert rows["n_exposure"].to_list() == [2, 3, 1]
    assert rows["longest_s"].to_list() == [300, 600, 300]
    for row in rows.iter_rows(named=True):
        assert row["dark_adu_rate"] == pytest.approx(rate_adu(row["temperature_degc"]))
        assert row["dark_e_rate"] == pytest.approx(GAIN * row["dark_adu_rate"])


def test_the_temperature_over_which_it_doubles_is_found_from_three(con):
    darks = con.sql("from dark_current").pl()
    assert doubling_kelvin(darks) == pytest.approx(DOUBLES_K)
    assert doubling_kelvin(darks.head(2)) is None
    levels = shipped(con, "dark_levels", camera="c")
    assert levels.height == 7
    left, right = dark_figure(darks, levels).axes
    assert len(left.lines) == 4
    assert len(right.lines) == 2


def test_darks_with_their_bias_do_not_count_beside_those_without(con, fill):
    row = con.sql("from master where exposure_s = 300 and sensor_degc < -15").pl()
    con.register("other", row.with_columns(master_id=99, is_bias_subtracted=False, level_adu=999.0))
    con.execute("insert into master by name from other")
    found = con.sql("from dark_current where temperature_degc = -20").pl()
    assert found["dark_adu_rate"].to_list() == [pytest.approx(rate_adu(-20))]
