"""The points of a night as text for other programs."""

import io

import numpy as np
import polars as pl

from starmuster.analysis.exports import COLUMNS, points_csv
from starmuster.analysis.transits import TransitFit

N = 12
TIME = 2458107.6 + np.arange(N) / 480


def _light_curve() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "mid_bjd_tdb": TIME,
            "mid_jd_utc": TIME - 0.0031,
            "relative_flux": 1 + 0.001 * np.arange(N),
            "relative_flux_err": np.full(N, 0.002),
            "airmass": 1.2 + 0.01 * np.arange(N),
            "flags": [1 if i == 3 else 0 for i in range(N)],
        }
    )


def _fit(rows: pl.DataFrame) -> TransitFit:
    flux = rows["relative_flux"]
    points = pl.DataFrame(
        {
            "bjd_tdb": rows["mid_bjd_tdb"],
            "flux": flux,
            "flux_err": rows["relative_flux_err"],
            "baseline": flux * 0 + 2.0,
            "model": flux * 0 + 1.0,
            "detrended_flux": flux / 2,
            "detrended_flux_err": rows["relative_flux_err"] / 2,
            "residual": flux / 2 - 1,
            "is_outlier": [i == 5 for i in range(rows.height)],
        }
    )
    curve = pl.DataFrame(schema={"bjd_tdb": pl.Float64, "model": pl.Float64})
    return TransitFit("no transit", "flat", rows.height - 1, 1, points, curve)


def _read(text: str) -> pl.DataFrame:
    return pl.read_csv(io.StringIO(text), comment_prefix="#")


def test_every_point_of_the_night_comes_out_with_its_own_fit():
    rows = _light_curve()
    read = _read(points_csv(_fit(rows.filter(pl.col("flags") == 0)), rows.sample(N, shuffle=True)))
    assert read.columns == list(COLUMNS)
    assert read["bjd_tdb"].to_list() == [round(t, 8) for t in TIME]
    fitted = read.filter(pl.col("model").is_not_null())
    assert fitted.height == N - 1
    assert np.allclose(fitted["detrended_flux"], fitted["relative_flux"] / 2, atol=1e-7)


def test_a_flagged_point_stays_in_the_file_without_a_model():
    rows = _light_curve()
    read = _read(points_csv(_fit(rows.filter(pl.col("flags") == 0)), rows))
    flagged = read.row(3, named=True)
    assert flagged["flags"] == 1
    assert flagged["model"] is None
    assert flagged["is_outlier"] is None
    assert flagged["relative_flux"] == 1.003


def test_the_outlier_of_the_fit_is_marked_and_no_other():
    rows = _light_curve()
    read = _read(points_csv(_fit(rows), rows))
    assert read["is_outlier"].to_list() == [i == 5 for i in range(N)]


def test_two_points_of_one_moment_do_not_become_four():
    twice = pl.concat([_light_curve(), _light_curve()])
    fit = _fit(twice.sort("mid_bjd_tdb"))
    assert _read(points_csv(fit, twice)).height == 2 * N


def test_each_column_says_its_meaning_above_the_points():
    lines = points_csv(_fit(_light_curve()), _light_curve()).splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert [line[2:].split(":")[0] for line in comments] == list(COLUMNS)
    assert lines[len(comments)] == ",".join(COLUMNS)


def test_a_name_with_a_line_break_cannot_leave_the_comments():
    text = points_csv(_fit(_light_curve()), _light_curve(), header={"target": "WASP\n1,2,3\r\n b"})
    assert text.splitlines()[0] == "# target: WASP 1,2,3 b"
    assert _read(text).height == N


def test_a_night_without_errors_and_airmass_leaves_the_cells_empty():
    rows = _light_curve().with_columns(
        pl.lit(None, pl.Float64).alias("relative_flux_err"),
        pl.lit(None, pl.Float64).alias("airmass"),
    )
    first = points_csv(_fit(_light_curve()), rows).splitlines()[len(COLUMNS) + 1].split(",")
    assert first[3] == first[7] == ""
