"""Light curves and times that others published, beside ours."""

import polars as pl
import pytest

pytestmark = pytest.mark.real


def test_half_of_the_transit_times_of_wasp_4_predicts_the_other_half(real_data, tmp_path, command):
    """Within the propagated errors, or else the quadratic term must be called significant."""
    lines = (real_data / "lightcurves" / "wasp_4b_transit_times.csv").read_text().splitlines()
    folder = tmp_path / "warehouse"
    command(folder, "init")
    for name, rows in (("one", lines[1::2]), ("other", lines[2::2])):
        (tmp_path / name).write_text("\n".join([lines[0], *rows]))
    words = ("--planet", "WASP-4 b", "--time-system", "BJD_TDB")
    command(folder, "import", "transit-times", str(tmp_path / "one"), *words)
    half = command(folder, "transits", "ephemeris", "WASP-4 b", "--adopt")
    refined = half["refined"]
    command(folder, "import", "transit-times", str(tmp_path / "other"), *words)
    times = pl.DataFrame(command(folder, "transits", "times", "WASP-4 b"))
    other = times.filter(pl.col("transit_name").str.starts_with("other"))
    assert other.height == 20
    both = command(folder, "transits", "ephemeris", "WASP-4 b")
    assert both["refined"]["n_time"] == 41
    # after adoption epochs count from the refined ephemeris, where its errors are independent;
    # the published errors are too small for their own line (chi-square 52 of 39)
    ahead = refined["mid_err_d"] ** 2 + (other["epoch"] * refined["period_err_d"]) ** 2
    measured = (both["refined"]["error_scale"] * other["mid_err_d"]) ** 2
    pull = other["o_minus_c_min"] / 1440 / (ahead + measured).sqrt()
    # 37.6: by chance in 1 % of 20 degrees
    assert float((pull**2).sum()) < 37.6 or both["is_quadratic"]


@pytest.mark.parametrize(
    ("name", "n_point", "words"),
    [
        ("EXOTIC_sampledata_lightcurve.json", 140, ("--time-system", "BJD_TDB")),
        ("wasp10b_lemon_golden.txt", 182, ("--time-system", "BJD_TDB", "--target", "WASP-10")),
        ("hats-46_data_SWOPE.txt", 64, ("--time-system", "BJD_TDB", "--target", "HATS-46")),
    ],
)
def test_light_curves_of_others_are_read_whole(reduced, real_data, name, n_point, words):
    path = str(real_data / "lightcurves" / name)
    found = reduced.command("import", "light-curve", path, *words)
    assert (found["n_point"], found["n_left_out"]) == (n_point, 0)
    rows = reduced.sql(
        "select relative_flux from combined_light_curve "
        f"where origin = 'foreign' and curve_name = '{name}'"
    )
    assert rows.height == n_point
    assert rows["relative_flux"].median() == pytest.approx(1)


@pytest.mark.parametrize(
    "times", [("--times", "free"), ("--times", "linear"), ("--period", "4.7423")]
)
def test_transits_of_hats_46_seen_by_two_instruments_are_fitted_together(
    real_data, tmp_path, times, command
):
    folder = tmp_path / "warehouse"
    command(folder, "init")
    planets = tmp_path / "planets.csv"
    # rounded, so that the period is for the fit to find; the later transit is epoch 0
    planets.write_text(
        "pl_name,hostname,pl_orbper,pl_tranmid,pl_trandur,pl_ratror,pl_tsystemref\n"
        "HATS-46 b,HATS-46,4.7423,2457632.75,2.9,0.11,BJD-TDB\n"
    )
    command(folder, "import", "ephemerides", str(planets))
    for name in ("LCOGT", "SWOPE"):
        path = str(real_data / "lightcurves" / f"hats-46_data_{name}.txt")
        words = ("--target", "HATS-46", "--time-system", "BJD_TDB", "--observer", name)
        command(folder, "import", "light-curve", path, *words)
    fit = command(folder, "transits", "fit", "HATS-46 b", *times)
    assert [each["epoch"] for each in fit["transits"]] == [-135, 0]
    assert [each["n_point"] for each in fit["transits"]] == [64, 55]
    for transit in fit["transits"]:
        assert transit["radius_ratio"] == pytest.approx(0.107, abs=0.01)
        assert transit["residual_scatter"] < 0.0018
    if "--period" in times:
        assert fit["period_d"] == 4.7423
        return
    first, second = (each["mid_bjd_tdb"] for each in fit["transits"])
    assert fit["period_d"] == pytest.approx((second - first) / 135, abs=3e-6)
    assert 5e-6 < fit["period_err_d"] < 3e-5
