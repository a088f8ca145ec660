"""Transits injected into synthetic nights come back, with errors that mean what they say."""

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from astropy.time import Time

from starmuster.analysis import synthetic_transits
from starmuster.analysis.baselines import COVARIATES
from starmuster.analysis.limb_darkening import Q1_PRIOR, Q2_PRIOR, transit_flux
from starmuster.analysis.orbits import Ephemeris, orbit_of, shape
from starmuster.analysis.synthetic_transits import EXPOSURE_S, synthetic_night
from starmuster.analysis.transits import fit_transit
from starmuster.errors import UsageError
from starmuster.transforms.vantage import vantage

PLANET = replace(synthetic_transits.PLANET, mid_err_d=1e-4)
EPOCH = 1000
MID = PLANET.mid_bjd_tdb + EPOCH * PLANET.period_d


def night(seed, *, sigma=0.003, radius_ratio=0.1, late_d=0.0, hours=(-3.0, 3.0), n_point=140):
    """One seeded night: an orbit and limb darkening drawn from the priors, airmass, white noise."""
    generator = np.random.default_rng(seed)
    offset = np.sort(generator.uniform(hours[0] / 24, hours[1] / 24, n_point))
    known = shape(PLANET)
    a_over_r = known.a_over_r + known.a_over_r_err * generator.normal()
    b = abs(known.impact_parameter + known.impact_parameter_err * generator.normal())
    q1, q2 = (np.clip(p[0] + p[1] * generator.normal(), 0.01, 0.99) for p in (Q1_PRIOR, Q2_PRIOR))
    flux = np.ones(n_point)
    if radius_ratio:
        orbit = orbit_of(PLANET, a_over_r, b, late_d)
        flux = transit_flux(offset, orbit, radius_ratio, q1, q2, exposure_s=EXPOSURE_S)
    airmass = 1.1 + 4 * (offset + 0.1) ** 2
    err = sigma * np.sqrt(airmass / airmass.mean())
    flux = 1.3 * flux * (1 - 0.02 * (airmass - 1.1)) * (1 + err * generator.normal(size=n_point))
    return pl.DataFrame({"bjd": MID + offset, "flux": flux, "err": 1.3 * err, "airmass": airmass})


def fit(rows: pl.DataFrame, planet=PLANET, **options):
    return fit_transit(
        rows["bjd"],
        rows["flux"],
        rows["err"],
        rows.select("airmass"),
        planet=planet,
        exposure_s=EXPOSURE_S,
        **options,
    )


def test_pulls_of_forty_nights_are_those_of_a_normal_distribution():
    mids, ratios = [], []
    for seed in range(40):
        late_d = 0.005 * np.random.default_rng(1000 + seed).normal()
        found = fit(night(seed, late_d=late_d))
        assert found.verdict == "transit", found.reason
        mids.append((found.mid_bjd_tdb - MID - late_d) / found.mid_bjd_tdb_err)
        ratios.append((found.radius_ratio - 0.1) / found.radius_ratio_err)
    for pulls in (mids, ratios):
        assert abs(np.mean(pulls)) < 0.35
        assert 0.75 < np.std(pulls) < 1.25


def test_nights_without_a_transit_are_told_from_those_with_one():
    verdicts = [fit(night(seed, radius_ratio=0.0)).verdict for seed in range(25)]
    assert verdicts.count("no transit") >= 24


def test_slow_noise_is_not_taken_for_a_transit_and_widens_the_errors():
    verdicts, factors = [], []
    for seed in range(12):
        rows = night(seed, radius_ratio=0.0)
        generator = np.random.default_rng(seed + 500)
        phase = 2 * np.pi * (rows["bjd"].to_numpy() - MID) / 0.06
        wave = 0.003 * np.sin(phase + generator.uniform(0, 2 * np.pi))
        found = fit(rows.with_columns(pl.col("flux") * (1 + wave)))
        verdicts.append(found.verdict)
        factors.append(found.red_noise_factor)
    assert verdicts.count("no transit") >= 11
    assert np.median(factors) > 1.3


def test_a_fit_states_all_it_found():
    found = fit(night(1, sigma=0.001, late_d=0.004))
    assert found.verdict == "transit"
    assert found.epoch == EPOCH
    assert found.predicted_mid_bjd_tdb == pytest.approx(MID)
    assert found.predicted_mid_err_d == pytest.approx(math.hypot(1e-4, EPOCH * 1e-7))
    assert found.o_minus_c_min == pytest.approx(5.76, abs=4 * 1440 * found.mid_bjd_tdb_err)
    expected = 1440 * math.hypot(found.mid_bjd_tdb_err, found.predicted_mid_err_d)
    assert found.o_minus_c_min_err == pytest.approx(expected)
    span_h = 24 * (found.fourth_contact_bjd_tdb - found.first_contact_bjd_tdb)
    assert found.duration_h == pytest.approx(span_h, abs=1e-4)
    assert found.duration_h_err > 0
    assert found.depth == pytest.approx(1 - found.curve["model"].min(), abs=2e-5)
    assert found.depth > found.radius_ratio**2  # the limb is darker than the centre
    assert found.n_points + found.n_outliers == found.points.height == 140
    kept = found.points.filter(~pl.col("is_outlier"))
    assert found.residual_scatter == pytest.approx(float(np.std(kept["residual"].to_numpy())))
    assert found.chi2_reduced == pytest.approx(1, abs=5 * math.sqrt(2 / 140))
    product = kept["baseline"] * (kept["model"] + kept["residual"])
    assert np.allclose(product, kept["flux"])
    assert found.baseline == "airmass"
    assert found.baseline_bic["airmass"] == 0
    assert min(found.baseline_bic.values()) == 0
    assert json.dumps({name: p.value for name, p in found.parameters.items()})


def test_the_eccentric_orbit_of_the_ephemeris_sets_the_duration():
    eccentric = Ephemeris(
        "X-1 b", 3.2, 2459000.0, 1e-7, 1e-4, 0.1, None, 8.5, 0.05, 88.5, 0.2, None, 0.3, 60.0
    )
    offset = np.linspace(-0.12, 0.12, 160)
    known = shape(eccentric)
    orbit = orbit_of(eccentric, known.a_over_r, known.impact_parameter)
    flux = transit_flux(offset, orbit, 0.1, 0.4, 0.3, exposure_s=EXPOSURE_S)
    flux += 0.001 * np.random.default_rng(5).normal(size=160)
    rows = pl.DataFrame({"bjd": MID + offset, "flux": flux, "err": 0.001, "airmass": None})
    own = fit(rows, eccentric)
    circular = fit(
        rows,
        Ephemeris(
            **{f: getattr(eccentric, f) for f in Ephemeris.__slots__} | {"eccentricity": 0.0}
        ),
    )
    assert own.residual_scatter == pytest.approx(0.001, rel=0.15)
    assert circular.residual_scatter > 1.02 * own.residual_scatter
    assert own.parameters["a_over_r"].value == pytest.approx(8.5, abs=0.15)
    assert own.parameters["eccentricity"].value == 0.3


def test_outliers_are_left_out_and_counted_but_never_tighter_than_four_sigma():
    rows = night(3)
    bad = np.zeros(140, bool)
    bad[[10, 50, 51, 90, 130]] = True
    spoiled = rows.with_columns(flux=pl.col("flux") * pl.Series(np.where(bad, 0.93, 1.0)))
    found, clean = fit(spoiled), fit(rows.filter(~pl.Series(bad)))
    assert found.points["is_outlier"].to_numpy()[bad].all()
    assert found.n_outliers <= 6
    assert found.radius_ratio == pytest.approx(clean.radius_ratio, abs=0.3 * clean.radius_ratio_err)
    residual = found.points["residual"].to_numpy()
    limit = 4 * 1.4826 * np.median(np.abs(residual - np.median(residual)))
    assert np.abs(residual[found.points["is_outlier"].to_numpy()]).min() > limit
    assert found.residual_scatter_all > 2 * found.residual_scatter
    with pytest.raises(UsageError, match="expected 4 or more"):
        fit(rows, outlier_sigma=3)


@pytest.mark.parametrize("hours", [(-3.5, 0.2), (-0.2, 3.5)])
def test_half_a_transit_is_partial(hours):
    found = fit(night(4, sigma=0.002, hours=hours))
    assert found.verdict == "partial", found.reason
    assert "gress" in found.reason
    assert found.mid_bjd_tdb == pytest.approx(MID, abs=5 * found.mid_bjd_tdb_err)


def test_a_gap_over_egress_is_partial():
    rows = night(4, sigma=0.002).filter(~(pl.col("bjd") - MID).is_between(0.02, 0.08))
    found = fit(rows)
    assert found.verdict == "partial"
    assert "egress" in found.reason


def test_a_night_within_the_transit_has_no_baseline():
    found = fit(night(5, hours=(-1.1, 1.1)))
    assert found.verdict == "no baseline"
    assert found.mid_bjd_tdb is None
    assert found.points["residual"].null_count() == 140
    assert found.curve.is_empty()


@pytest.mark.parametrize("hours", [(5.0, 9.0), (-9.0, -5.0)])
def test_a_night_beside_the_transit_has_no_data(hours):
    found = fit(night(6, hours=hours))
    assert found.verdict == "no data"
    assert "0 points inside" in found.reason


def test_a_handful_of_points_is_no_data():
    assert fit(night(7, n_point=9)).verdict == "no data"
    empty = fit(night(7).clear())
    assert (empty.verdict, empty.n_points, empty.epoch) == ("no data", 0, None)


def test_points_without_time_or_flux_are_left_out_and_order_does_not_matter():
    rows = night(8)
    found = fit(rows)
    holes = pl.DataFrame(
        {"bjd": [None, MID, MID], "flux": [1.0, None, math.nan], "err": 0.1, "airmass": 1.2},
        schema=rows.schema,
    )
    again = fit(pl.concat([rows, holes]).sample(fraction=1, shuffle=True, seed=1))
    assert again.n_points == found.n_points
    assert again.mid_bjd_tdb == pytest.approx(found.mid_bjd_tdb, abs=1e-6)
    assert again.points["bjd_tdb"].is_sorted()


def test_equal_times_are_points_like_any_other():
    """Two cameras, or a clock that stood still: each time twice, with noise of its own."""
    once, again = night(21), night(21, sigma=0.0030001)
    noise = np.random.default_rng(3).normal(0, 0.0039, again.height)
    twice = pl.concat([once, again.with_columns(flux=pl.col("flux") + noise)]).sort("bjd")
    found = fit(twice)
    assert found.verdict == "transit"
    assert found.n_points + found.n_outliers == 2 * once.height
    assert abs(found.mid_bjd_tdb - MID) < 4 * found.mid_bjd_tdb_err
    assert abs(found.radius_ratio - 0.1) < 4 * found.radius_ratio_err


def test_errors_follow_the_residuals_whatever_was_quoted():
    rows = night(9)
    truth = fit(rows)
    for factor in (0.2, 5.0):
        found = fit(rows.with_columns(pl.col("err") * factor))
        assert found.mid_bjd_tdb_err == pytest.approx(truth.mid_bjd_tdb_err, rel=0.1)
        assert found.chi2_reduced == pytest.approx(truth.chi2_reduced / factor**2, rel=0.1)
    unquoted = fit(rows.with_columns(err=pl.lit(None, pl.Float64)))
    assert unquoted.chi2_reduced is None
    assert unquoted.mid_bjd_tdb_err == pytest.approx(truth.mid_bjd_tdb_err, rel=0.2)


def test_a_light_curve_without_noise_gives_back_what_was_put_in():
    found = fit(night(10, sigma=1e-9))
    assert found.verdict == "transit"
    assert found.radius_ratio == pytest.approx(0.1, abs=2e-3)  # the shape is held by its priors
    assert found.mid_bjd_tdb == pytest.approx(MID, abs=1e-5)


def test_odd_light_curves_are_judged_or_refused_never_fitted_blindly():
    rows = night(13)
    for seed in range(4):
        assert fit(night(seed).with_columns(flux=pl.lit(1.0))).verdict == "no transit"
    clouds = np.random.default_rng(13).choice([1.0, 0.3, 0.7], rows.height)
    assert fit(rows.with_columns(pl.col("flux") * pl.Series(clouds))).verdict == "no transit"
    assert fit(rows.with_columns(bjd=pl.lit(MID))).verdict == "no baseline"
    with pytest.raises(UsageError, match="relative flux around 1"):
        fit(rows.with_columns(-pl.col("flux")))


def test_a_baseline_whose_column_has_gaps_is_not_tried():
    rows = night(11).with_columns(airmass=pl.lit(None, pl.Float64))
    found = fit(rows)
    assert found.baseline_bic["airmass"] is None
    assert found.baseline in {"constant", "time", "time + time^2"}
    with pytest.raises(UsageError, match="none has all its columns"):
        fit(rows, baselines=["airmass"])


def test_a_planet_of_which_only_period_and_mid_time_are_known_is_fitted():
    bare = Ephemeris("X-1 b", PLANET.period_d, PLANET.mid_bjd_tdb)
    found = fit(night(12, sigma=0.001), bare)
    assert found.verdict == "transit"
    assert found.radius_ratio == pytest.approx(0.1, abs=4 * found.radius_ratio_err)
    assert found.o_minus_c_min is not None
    assert found.o_minus_c_min_err is None  # the prediction has no error
    assert "assumed" in found.parameters["a_over_r"].prior


def drifting(seed, **options):
    """One night with red noise, clouds, a drifting field and airmass trends, and its fit."""
    made = synthetic_night(PLANET, seed, **options)
    found = fit_transit(
        made.rows["bjd"],
        made.rows["flux"],
        made.rows["err"],
        made.rows.select(COVARIATES),
        planet=PLANET,
        exposure_s=EXPOSURE_S,
    )
    return made, found


def test_red_noise_clouds_drift_and_trends_leave_the_errors_honest():
    pulls = []
    for seed in range(20):
        made, found = drifting(seed, radius_ratio=0.12)
        assert found.verdict in {"transit", "partial"}, found.reason
        pulls.append(
            (
                (found.mid_bjd_tdb - made.mid_bjd_tdb) / found.mid_bjd_tdb_err,
                (found.radius_ratio - 0.12) / found.radius_ratio_err,
            )
        )
    mean, width = np.mean(pulls, axis=0), np.std(pulls, axis=0)
    assert np.abs(mean).max() < 0.6  # 20 nights tell a mean to 0.22, a width to 0.16
    assert 0.6 < width.min() <= width.max() < 1.5


def test_errors_hold_the_largest_red_noise_and_the_choice_of_the_baseline():
    _, found = drifting(3, radius_ratio=0.1)
    assert found.error_inflation >= found.red_noise_factor
    assert found.mid_bjd_tdb_err > found.baseline_scatter[0]
    assert found.radius_ratio_low <= found.radius_ratio <= found.radius_ratio_high
    assert found.mid_permutation_err_d > 0
    within = [name for name, bic in found.baseline_bic.items() if bic is not None and bic < 10]
    assert len(found.baseline_bic) == 48
    assert found.baseline in within


def test_a_meridian_flip_is_an_offset_whatever_the_baseline():
    rows = night(21, sigma=0.001)
    after = (rows["bjd"] > MID + 0.02).to_numpy()
    rows = rows.with_columns(
        flux=pl.col("flux") * pl.Series(np.where(after, 1.01, 1.0)),
        pier_side=pl.Series(np.where(after, "West", "East")),
    )
    found = fit_transit(
        rows["bjd"],
        rows["flux"],
        rows["err"],
        rows.select("airmass", "pier_side"),
        planet=PLANET,
        exposure_s=EXPOSURE_S,
    )
    assert found.has_flip
    assert "baseline pier side" in found.parameters
    assert found.radius_ratio == pytest.approx(0.1, abs=4 * found.radius_ratio_err)
    blind = fit(rows)
    assert not blind.has_flip
    assert blind.residual_scatter > 1.5 * found.residual_scatter


def test_a_drift_over_the_detector_is_taken_out_with_the_transit():
    rows = night(22, sigma=0.001)
    wander = np.cumsum(np.random.default_rng(2).normal(size=rows.height))
    wander /= np.abs(wander).max()
    rows = rows.with_columns(
        x_pix=pl.Series(300 + 20 * wander), flux=pl.col("flux") * pl.Series(1 + 0.01 * wander)
    )
    found = fit_transit(
        rows["bjd"],
        rows["flux"],
        rows["err"],
        rows.select("airmass", "x_pix"),
        planet=PLANET,
        exposure_s=EXPOSURE_S,
    )
    assert "x_pix" in found.baseline
    assert found.radius_ratio == pytest.approx(0.1, abs=4 * found.radius_ratio_err)
    assert found.residual_scatter == pytest.approx(0.001, rel=0.25)


def test_a_known_star_in_a_known_band_has_limb_darkening_from_models():
    known = replace(PLANET, star_teff_k=6000.0, star_logg=4.4)
    rows = night(23, sigma=0.002)
    for band, words in (("r", "Claret"), ("H-alpha", "no models of band H-alpha")):
        found = fit_transit(
            rows["bjd"], rows["flux"], rows["err"], None, planet=known, exposure_s=60, band=band
        )
        assert words in found.limb_darkening
        assert words in found.parameters["q1"].prior


@pytest.mark.parametrize("inclination_deg", [83.6, 83.2])
def test_a_grazing_transit_is_fitted_or_refused_never_a_crash(inclination_deg):
    grazing = replace(PLANET, inclination_deg=inclination_deg, inclination_err_deg=0.1)
    known = shape(grazing)
    offset = np.linspace(-0.1, 0.1, 150)
    orbit = orbit_of(grazing, known.a_over_r, known.impact_parameter)
    flux = transit_flux(offset, orbit, 0.1, 0.4, 0.3, exposure_s=EXPOSURE_S)
    flux += 3e-4 * np.random.default_rng(6).normal(size=150)
    rows = pl.DataFrame({"bjd": MID + offset, "flux": flux, "err": 3e-4, "airmass": 1.0})
    found = fit(rows, grazing)
    assert found.verdict in {"transit", "partial", "no transit"}
    if found.mid_bjd_tdb is not None:
        assert found.mid_bjd_tdb == pytest.approx(MID, abs=5 * found.mid_bjd_tdb_err)


@pytest.mark.real
def test_the_light_curve_exotic_stored_of_hatp32_gives_exotics_result(real_data, hatp32):
    path = real_data / "lightcurves" / "EXOTIC_sampledata_lightcurve.json"
    stored = json.loads(path.read_text())
    bjd = np.array(stored["time"])
    found = fit_transit(
        bjd, stored["flux"], None, {"airmass": airmass_of_hatp32(bjd)}, planet=hatp32, exposure_s=60
    )
    assert found.verdict == "transit"
    assert found.epoch == 1042
    assert found.residual_scatter < 0.0060
    mid_err = math.hypot(found.mid_bjd_tdb_err, 0.000856)
    assert found.mid_bjd_tdb == pytest.approx(2458107.714007, abs=2 * mid_err)
    ratio_err = math.hypot(found.radius_ratio_err, 0.0009)
    assert found.radius_ratio == pytest.approx(0.1503, abs=2 * ratio_err)
    assert found.radius_ratio == pytest.approx(0.1489, abs=0.012)


def airmass_of_hatp32(bjd):
    """Airmass at the site of EXOTIC's sample, to a minute of light travel time."""
    first = Time(bjd[0], format="jd", scale="tdb").utc.to_datetime()
    mids = [first + timedelta(days=float(d)) for d in bjd - bjd[0]]
    assert isinstance(mids[0], datetime)
    rows = vantage(mids, latitude_deg=31.68, longitude_deg=-110.88)
    ra, dec = math.radians(31.0427), math.radians(46.6879)
    star = [math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)]
    return 1 / (rows.select("zenith_x", "zenith_y", "zenith_z").to_numpy() @ star)


def test_a_light_curve_without_any_noise_is_fitted():
    found = fit(night(5, sigma=0.0).with_columns(err=pl.lit(1e-9)))
    assert found.verdict == "transit"
    assert found.radius_ratio == pytest.approx(0.1, abs=2e-3)
    assert found.mid_bjd_tdb == pytest.approx(MID, abs=1e-5)
