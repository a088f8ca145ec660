"""Mid-transit times, refined ephemerides and the quadratic term, against numpy and the truth."""

import json
import math
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.timing import adopted, predicted, residual_times, timing
from starmuster.analysis.timing_figures import timing_figure
from starmuster.cli import main
from starmuster.errors import NotFoundError

T0, PERIOD = 2455000.25, 2.150001
PLANET = {
    "planet_id": 1,
    "planet_name": "X-1 b",
    "planet_key": "x1b",
    "host_name": "X-1",
    "period_d": PERIOD,
    "mid_bjd_tdb": T0,
    "imported_utc": datetime(2024, 1, 1),
}


@pytest.fixture
def sky(database, fill):
    """A database with a planet; call it with epochs, times and errors to add published times."""

    def put(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    def publish(mid_bjd_tdb, err_d):
        put(
            "published_transit",
            *(
                {"planet_key": "x1b", "mid_bjd_tdb": t, "mid_err_d": e, "line_number": n}
                for n, (t, e) in enumerate(zip(mid_bjd_tdb, err_d, strict=True), 1)
            ),
        )
        return timing(database, "X-1 b")

    put("planet", PLANET)
    publish.put = put
    publish.con = database
    return publish


def drawn(rng, epochs, err_d, *, bend_d=0.0):
    """Times of a planet with a slightly other period than published, with noise."""
    truth = T0 + 0.002 + (PERIOD + 3e-6) * epochs + bend_d * epochs**2
    return truth + rng.normal(0, err_d)


def test_the_line_is_that_of_numpy_with_its_covariance(sky):
    rng = np.random.default_rng(1)
    epochs = np.array([-400, -399, -120, 3, 3, 250, 601])
    err = np.array([4, 9, 3, 5, 2, 8, 3]) * 1e-4
    mids = drawn(rng, epochs, err)
    refined = sky(mids, err).refined
    late = mids - T0 - PERIOD * epochs
    n = epochs - refined["epoch"]
    design = np.column_stack([np.ones(7), n]) / err[:, None]
    cov = np.linalg.inv(design.T @ design)
    best = cov @ design.T @ (late / err)
    chi2 = np.sum((late / err - design @ best) ** 2)
    scale = max(1.0, math.sqrt(chi2 / 5))
    assert refined["chi2"] == pytest.approx(chi2, rel=1e-5)
    assert refined["period_d"] == pytest.approx(PERIOD + best[1], abs=1e-11)
    assert refined["mid_bjd_tdb"] == pytest.approx(
        T0 + PERIOD * refined["epoch"] + best[0], abs=2e-9
    )
    assert refined["mid_err_d"] == pytest.approx(scale * math.sqrt(cov[0, 0]), rel=1e-6)
    assert refined["period_err_d"] == pytest.approx(scale * math.sqrt(cov[1, 1]), rel=1e-6)
    assert refined["covariance_d2"] == pytest.approx(scale**2 * cov[0, 1], rel=1e-4)


def test_the_parabola_is_that_of_numpy(sky):
    rng = np.random.default_rng(2)
    epochs = np.sort(rng.choice(np.arange(-900, 900), 30, replace=False))
    err = rng.uniform(1e-4, 4e-4, 30)
    mids = drawn(rng, epochs, err, bend_d=-2e-9)
    found = sky(mids, err)
    design = np.vander(epochs / 1000, 3, increasing=True) / err[:, None]
    late = (mids - T0 - PERIOD * epochs) / err
    cov = np.linalg.inv(design.T @ design)
    best = cov @ design.T @ late
    chi2 = np.sum((late - design @ best) ** 2)
    scale = max(1.0, math.sqrt(chi2 / 27))
    assert found.refined["quadratic_d"] == pytest.approx(best[2] / 1e6, rel=1e-6)
    assert found.refined["quadratic_err_d"] == pytest.approx(
        scale * math.sqrt(cov[2, 2]) / 1e6, rel=1e-6
    )
    assert found.refined["chi2_quadratic"] == pytest.approx(chi2, rel=1e-5)
    assert found.refined["period_change_ms_per_yr"] == pytest.approx(
        2 * best[2] / 1e6 / PERIOD * 365.25 * 86400e3
    )


def test_a_changing_period_is_significant_and_said(sky):
    rng = np.random.default_rng(3)
    epochs = np.arange(-500, 501, 40)
    err = np.full(len(epochs), 2e-4)
    found = sky(drawn(rng, epochs, err, bend_d=-4e-9), err)
    assert found.is_quadratic
    assert found.refined["delta_bic_quadratic"] > 10
    assert "SIGNIFICANT" in found.verdict


def test_noise_alone_is_called_a_changing_period_as_rarely_as_promised(sky):
    """In 400 draws 0.27 % are expected: 1.1, and more than 6 by chance in 0.1 %."""
    from starmuster.analysis.timing import quadratic_chance

    rng = np.random.default_rng(4)
    chances = []
    for _ in range(400):
        n_time = int(rng.integers(5, 12))
        x = rng.uniform(-1, 1, n_time)
        noise = rng.normal(0, rng.choice([0.8, 1.0, 2.5]), n_time)
        line = noise - np.polynomial.Polynomial.fit(x, noise, 1)(x)
        curve = noise - np.polynomial.Polynomial.fit(x, noise, 2)(x)
        chi2 = float(curve @ curve)
        gain = float(line @ line) - chi2
        scale2 = max(1.0, chi2 / (n_time - 3))
        row = {"n_time": n_time, "quadratic_d": 1.0, "chi2_quadratic": chi2}
        chances.append(quadratic_chance(row | {"quadratic_sigma": math.sqrt(gain / scale2)}))
    assert sum(chance < 0.0027 for chance in chances) <= 8
    assert 0.3 < np.median(chances) < 0.7


def test_half_of_the_times_predicts_the_other_half_within_its_errors(sky):
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(60):
        sky.con.execute("delete from published_transit")
        epochs = np.sort(rng.choice(np.arange(0, 900), 12, replace=False))
        err = rng.uniform(2e-4, 6e-4, 12)
        mids = drawn(rng, epochs, err)
        refined = sky(mids[::2], err[::2]).refined
        for n, mid, sigma in zip(epochs[1::2], mids[1::2], err[1::2], strict=True):
            ahead, ahead_err = predicted(refined, int(n))
            pulls.append((mid - ahead) / math.hypot(sigma, ahead_err))
    # six times fix the scale of the errors to 30 % only, and it is never below 1
    assert 0.75 < np.std(pulls) < 1.15
    assert abs(np.mean(pulls)) < 0.2


def test_two_times_lie_on_their_line_whatever_the_rounding(sky):
    rng = np.random.default_rng(12)
    for _ in range(20):
        sky.con.execute("delete from published_transit")
        mids = T0 + PERIOD * np.array([0, 40]) + rng.normal(0, 1e-3, 2)
        refined = sky(mids, rng.uniform(1e-4, 1e-3, 2)).refined
        assert refined["chi2"] < 1e-6
        assert refined["period_d"] == pytest.approx((mids[1] - mids[0]) / 40, abs=1e-10)
        assert refined["quadratic_sigma"] is None


def test_one_time_or_one_transit_leaves_the_period_as_it_was(sky):
    found = sky([T0 + PERIOD * 10 + 0.001, T0 + PERIOD * 10 + 0.002], [1e-3, 1e-3])
    assert found.refined["period_d"] == PERIOD
    assert found.refined["period_err_d"] is None
    assert found.refined["mid_bjd_tdb"] == pytest.approx(T0 + PERIOD * 10 + 0.0015, abs=1e-8)
    with pytest.raises(NotFoundError, match="nothing to adopt"):
        adopted(found)
    assert residual_times(found)["residual_min"].to_list() == [None, None]
    labels = timing_figure(found).axes[0].get_legend_handles_labels()[1]
    assert labels == ["published"]


def test_times_of_one_transit_with_unlike_errors_leave_the_period_as_it_was(sky):
    """Their mean epoch is the epoch but for rounding, and a slope through it would be anything."""
    mids = T0 + PERIOD * 1042 + np.array([0.001, 0.003, 0.002])
    rng = np.random.default_rng(13)
    for _ in range(12):
        sky.con.execute("delete from published_transit")
        err = rng.uniform(5e-4, 2e-3, 3)
        refined = sky(mids, err).refined
        assert refined["period_d"] == PERIOD
        assert refined["covariance_d2"] is None
        middle = np.average(mids, weights=err**-2)
        assert refined["mid_bjd_tdb"] == pytest.approx(middle, abs=1e-8)
        assert refined["mid_err_d"] >= 0.999999 * np.sum(err**-2) ** -0.5


def test_times_without_errors_are_listed_and_do_not_count(sky):
    found = sky([T0 + 1e-3, T0 + PERIOD], [None, None])
    assert found.refined is None
    assert "nothing can be refined" in found.verdict
    rows = residual_times(found)
    assert rows["o_minus_c_min"].to_list() == [
        pytest.approx(1.44, abs=1e-4),
        pytest.approx(0, abs=1e-4),
    ]
    assert rows["residual_min"].to_list() == [None, None]


def test_a_new_fit_of_a_night_updates_the_ephemeris_and_the_newest_fit_counts(sky):
    def fit(number, mid, utc, verdict="transit"):
        return {
            "transit_fit_id": number,
            "planet_id": 1,
            "verdict": verdict,
            "mid_bjd_tdb": mid,
            "mid_err_d": 1e-3,
            "band": "r",
            "fitted_utc": utc,
        }

    sky([T0, T0 + 100 * PERIOD], [1e-3, 1e-3])
    sky.put("transit_fit", fit(1, T0 + 200 * PERIOD + 0.1, datetime(2024, 1, 1)))
    sky.put("transit_fit", fit(2, T0 + 200 * PERIOD + 0.003, datetime(2024, 1, 2)))
    found = timing(sky.con, "X-1 b")
    assert found.refined["n_time"] == 3
    assert found.times["origin"].to_list() == ["published", "published", "night"]
    assert found.times["o_minus_c_min"][2] == pytest.approx(4.32, abs=1e-4)
    sky.put("transit_fit", fit(3, None, datetime(2024, 1, 3), "no transit"))
    assert timing(sky.con, "X-1 b").refined["n_time"] == 2


def test_two_planets_of_one_star_keep_their_times_apart(sky):
    sky.put(
        "planet",
        PLANET | {"planet_id": 2, "planet_key": "x1c", "planet_name": "X-1 c", "period_d": 5.0},
    )
    assert sky([T0, T0 + PERIOD], [1e-3, 1e-3]).refined["n_time"] == 2
    assert timing(sky.con, "X-1 c").times.is_empty()
    with pytest.raises(NotFoundError, match="name the planet"):
        timing(sky.con, "X-1")


def test_the_figure_is_drawn_with_and_without_a_refined_ephemeris(sky):
    epochs = np.arange(0, 400, 20)
    found = sky(T0 + PERIOD * epochs - 4e-8 * epochs**2, np.full(len(epochs), 2e-4))
    assert found.is_quadratic
    labels = timing_figure(found).axes[0].get_legend_handles_labels()[1]
    assert "parabola" in labels
    sky.con.execute("update published_transit set mid_err_d = null")
    labels = timing_figure(timing(sky.con, "X-1 b")).axes[0].get_legend_handles_labels()[1]
    assert labels == ["published"]


# --- through the command line


@pytest.fixture
def run(warehouse, capsys, monkeypatch):
    warehouse.close()
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(warehouse.folder))

    def command(*words, status=0):
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == status
        document = json.loads(capsys.readouterr().out)
        return document["message"] if status else document

    command.warehouse = warehouse
    return command


def write_times(path, rows):
    pl.DataFrame(rows, schema=["time", "error", "epoch"], orient="row").write_csv(path)
    return path


def test_numbered_times_give_a_first_ephemeris_that_can_be_refined_and_adopted(run, tmp_path):
    rng = np.random.default_rng(6)
    epochs = np.arange(5, 65, 3)
    err = np.full(len(epochs), 5e-4)
    rows = list(zip(drawn(rng, epochs, err), err, epochs, strict=True))
    half = write_times(tmp_path / "half.csv", rows[::2])
    document = run("import", "transit-times", half, "--planet", "X-1 b", "--time-system", "BJD_TDB")
    assert "period 2.1500" in document["ephemeris"]
    rest = write_times(tmp_path / "rest.csv", rows[1::2])
    for _ in range(2):  # the second time changes nothing
        run("import", "transit-times", rest, "--planet", "x-1b", "--time-system", "BJD_TDB")
    before = run("transits", "ephemeris", "X-1 b", "--adopt")
    assert before["refined"]["n_time"] == len(epochs)
    after = run("transits", "ephemeris", "X-1 b")
    assert len(after["versions"]) == 2
    assert after["versions"][0]["period_d"] == before["refined"]["period_d"]
    assert "20 mid-transit times" in after["versions"][0]["source"]
    plot = tmp_path / "oc.svg"
    times = run("transits", "times", "X-1 b", "--plot", plot)
    assert len(times) == len(epochs)
    assert plot.read_text(encoding="utf-8").startswith("<svg")
    assert run.warehouse.sql("select planet_id from planet").height == 2


def test_what_cannot_be_asked_is_told(run, tmp_path):
    assert "import ephemerides" in run("transits", "times", "X-1 b", status=2)
    path = write_times(tmp_path / "t.csv", [(T0, 1e-3, 0), (T0 + PERIOD, 1e-3, 1)])
    words = ("import", "transit-times", path, "--planet", "X-1 b", "--time-system")
    assert "expected one of" in run(*words, "HJD", status=2)
    assert "needs ra and dec" in run(*words, "HJD_UTC", status=2)
    run(*words, "BJD_TDB")
    assert ".svg or .png" in run("transits", "times", "X-1 b", "--plot", "x.gif", status=2)
