"""Many transits in one fit: what was put in comes out, with errors that tell how well."""

import json
import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.joint_curves import TransitCurve
from starmuster.analysis.joint_figures import joint_figure
from starmuster.analysis.joint_fit import fit_jointly
from starmuster.analysis.joint_model import joint_model
from starmuster.analysis.joint_rows import joint_rows
from starmuster.analysis.limb_darkening import transit_flux
from starmuster.analysis.orbits import Ephemeris, Orbit
from starmuster.cli import main
from starmuster.errors import FitError

PERIOD, T0 = 3.2, 2455000.5
TRUTH = {"a_over_r": 8.0, "b": 0.3, "g": 0.115, "r": 0.105}
PLANET = Ephemeris(
    "X-1 b",
    PERIOD,
    T0,
    period_err_d=2e-5,
    mid_err_d=1e-3,
    radius_ratio=0.11,
    a_over_r=8.0,
    a_over_r_err=0.3,
    impact_parameter=0.35,
)
NOISE = 0.001


def transit(rng, epoch, band, *, late_d=0.0, slope=0.0, n=90, span_d=0.22, name=None):
    """A transit with a slope in time, white noise, and times around the prediction."""
    predicted = T0 + PERIOD * epoch
    time = np.linspace(-span_d / 2, span_d / 2, n)
    orbit = Orbit(PERIOD, late_d, TRUTH["a_over_r"], TRUTH["b"])
    flux = transit_flux(time, orbit, TRUTH[band], 0.4, 0.3, exposure_s=120.0)
    flux = flux * (1 + slope * time) + rng.normal(0, NOISE, n)
    return TransitCurve(
        name=name or f"{epoch} {band}",
        night=date(2020, 1, 1),
        band=band,
        depth_band=band,
        epoch=epoch,
        predicted_bjd_tdb=predicted,
        time_bjd_tdb=predicted + time,
        flux=flux,
        err=np.full(n, 0.0007),  # too small, as quoted errors are
        exposure_s=120.0,
        covariates={},
        source_id=1,
    )


@pytest.fixture(scope="module")
def free():
    rng = np.random.default_rng(1)
    late = {0: 0.0010, 40: -0.0015, 90: 0.0004}
    curves = [
        transit(rng, 0, "r", late_d=late[0], slope=0.1),
        transit(rng, 40, "g", late_d=late[40]),
        transit(rng, 90, "r", late_d=late[90], slope=-0.1),
    ]
    return late, fit_jointly(joint_model(PLANET, curves))


def test_each_transit_gets_its_own_time_and_each_band_its_depth(free):
    late, fit = free
    assert fit.is_settled
    for found in fit.transits:
        expected = found.curve.predicted_bjd_tdb + late[found.curve.epoch]
        assert abs(found.mid_bjd_tdb - expected) < 4 * found.mid_err_d
        assert 1e-4 < found.mid_err_d < 6e-4
        assert found.error_scale == pytest.approx(NOISE / 0.0007, rel=0.2)
    for band in "gr":
        ratio, err = fit.value[f"radius_ratio {band}"], fit.err[f"radius_ratio {band}"]
        assert abs(ratio - TRUTH[band]) < 3.5 * err
        assert err < 0.005
    depths = {found.curve.band: found.radius_ratio for found in fit.transits}
    assert depths["g"] > depths["r"] + 0.004


def test_a_slope_of_a_night_is_part_of_its_baseline(free):
    _, fit = free
    assert [found.baseline for found in fit.transits] == ["time", "constant", "time"]
    assert fit.value["a_over_r"] == pytest.approx(8.0, abs=3 * fit.err["a_over_r"])


def test_free_times_give_the_line_through_them(free):
    _, fit = free
    epochs = np.array([found.curve.epoch for found in fit.transits])
    mids = np.array([found.mid_bjd_tdb for found in fit.transits])
    errs = np.array([found.mid_err_d for found in fit.transits])
    line = np.polynomial.Polynomial.fit(epochs - 40, mids - T0, 1, w=1 / errs).convert()
    # the common shape ties the times a little, which the line through them as they stand ignores
    assert fit.period_d == pytest.approx(line.coef[1], abs=2e-6)
    assert fit.period_err_d == pytest.approx(math.hypot(errs[0], errs[2]) / 90, rel=0.3)


def test_one_ephemeris_for_all_is_found_with_its_errors():
    pulls = []
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        curves = [
            transit(rng, n, "r", late_d=0.0008 + 1.5e-5 * (n - 50), n=60) for n in (0, 30, 100)
        ]
        fit = fit_jointly(joint_model(PLANET, curves, time_model="linear"))
        ahead = T0 + PERIOD * fit.epoch + 0.0008 + 1.5e-5 * (fit.epoch - 50)
        pulls.append((fit.period_d - PERIOD - 1.5e-5) / fit.period_err_d)
        pulls.append((fit.mid_bjd_tdb - ahead) / fit.mid_err_d)
    assert abs(np.mean(pulls)) < 0.6  # 24 pulls: 3 sigma
    assert 0.6 < np.std(pulls) < 1.45


def test_a_given_period_is_kept_and_only_its_zero_is_fitted():
    rng = np.random.default_rng(7)
    curves = [transit(rng, n, "r", late_d=2e-5 * n, n=60) for n in (0, 50)]
    model = joint_model(PLANET, curves, time_model="period", period_d=PERIOD + 2e-5)
    fit = fit_jointly(model)
    assert fit.period_d == PERIOD + 2e-5
    assert fit.period_err_d is None
    (first, second) = fit.transits
    assert second.mid_bjd_tdb - first.mid_bjd_tdb == pytest.approx(50 * fit.period_d, abs=1e-8)
    assert first.mid_bjd_tdb == pytest.approx(T0, abs=4 * first.mid_err_d)


def test_outliers_of_one_night_are_left_out_and_marked():
    rng = np.random.default_rng(8)
    curves = [transit(rng, 0, "r", n=60), transit(rng, 1, "r", n=60)]
    curves[1].flux[[5, 50]] += [0.02, -0.03]
    fit = fit_jointly(joint_model(PLANET, curves))
    assert np.flatnonzero(~fit.transits[1].kept).tolist() == [5, 50]
    row, transits = joint_rows(fit, 3)
    assert (row["n_outlier"], row["n_transit"], row["planet_id"]) == (2, 2, 3)
    assert [each["n_outlier"] for each in transits] == [0, 2]
    assert set(json.loads(row["parameters"])) == {*fit.value, "inclination_deg"}
    assert len(joint_figure(fit).axes[0].texts) == 2


def test_too_few_points_for_the_parameters_are_refused():
    rng = np.random.default_rng(9)
    with pytest.raises(FitError, match="more parameters"):
        fit_jointly(joint_model(PLANET, [transit(rng, 0, "r", n=7)]))


# --- through the command line, from foreign light curves


def test_curves_of_two_instruments_are_fitted_together_and_join_the_o_minus_c(
    warehouse, tmp_path, capsys, monkeypatch
):
    warehouse.close()
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(warehouse.folder))

    def command(*words):
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    planets = tmp_path / "planets.csv"
    planets.write_text(
        "pl_name,hostname,pl_orbper,pl_tranmid,pl_tsystemref,pl_ratror,pl_ratdor,pl_imppar\n"
        f"X-1 b,X-1,{PERIOD},{T0},BJD-TDB,0.11,8.0,0.35\n"
    )
    command("import", "ephemerides", planets)
    rng = np.random.default_rng(11)
    for epoch, target in ((0, "X-1"), (40, "X-1 b")):
        curve = transit(rng, epoch, "r", late_d=0.001, n=60)
        shuffled = rng.permutation(60)  # frames out of order
        points = pl.DataFrame({"t": curve.time_bjd_tdb, "f": curve.flux, "e": curve.err})
        path = tmp_path / f"{epoch}.txt"
        points[shuffled].write_csv(path, separator=" ", include_header=False)
        where = ("--target", target, "--time-system", "BJD_TDB", "--band", "r")
        command("import", "light-curve", path, *where)
    again = tmp_path / "40 reduced again.txt"  # the same frames, fewer of them
    points[:50].with_columns(pl.col("f") + 1e-4, pl.col("t") + 3e-7).write_csv(
        again, separator=" ", include_header=False
    )
    command("import", "light-curve", again, *where)
    quiet = tmp_path / "quiet.txt"
    quiet.write_text("".join(f"{T0 + 1.5 + i / 500} 1.0 0.001\n" for i in range(30)))
    command("import", "light-curve", quiet, "--target", "X-1", "--time-system", "BJD_TDB")
    plot = tmp_path / "joint.png"
    fit = command("transits", "fit", "X-1 b", "--plot", plot)
    newest = "40 reduced again.txt"
    assert [each["curve_name"] for each in fit["transits"]] == ["0.txt", newest]
    assert fit["left_out"] == [
        "quiet.txt: no predicted transit with 3 points in it",
        f"40.txt: of the same frames as {newest}, which counts once",
    ]
    assert plot.read_bytes().startswith(b"\x89PNG")
    times = command("transits", "times", "X-1 b")
    assert [each["origin"] for each in times] == ["joint", "joint"]
    assert all(abs(each["o_minus_c_min"] - 1.44) < 2.5 for each in times)
    command("transits", "fit", "X-1 b")  # the same again adds nothing
    assert warehouse.sql("from joint_fit").height == 1
    given = command("transits", "fit", "X-1 b", "--period", PERIOD)
    assert (given["time_model"], given["period_d"], given["period_err_d"]) == (
        "period",
        PERIOD,
        None,
    )
    refined = command("transits", "ephemeris", "X-1 b")["refined"]
    assert refined["n_time"] == 2  # a fit with one ephemeris gives no independent times
