"""Figures are the same bytes for the same night, and say what the night holds."""

import re
import threading
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest

from starmuster.analysis.canvas import NARROW_IN, as_png, as_svg
from starmuster.analysis.field_charts import compass, field_chart
from starmuster.analysis.plots import (
    binned,
    fitted_span,
    measured_panels,
    predicted_span,
    raw_figure,
    systematics_figure,
    transit_figure,
    turns,
)
from starmuster.analysis.transits import TransitFit

MID = 2458107.71
N = 90
SCATTER = 0.003
SVG = "{http://www.w3.org/2000/svg}"


def _fit(*, has_model: bool = True) -> TransitFit:
    rng = np.random.default_rng(11)
    time = MID + np.linspace(-0.12, 0.12, N)
    model = 1 - 0.02 * (np.abs(time - MID) < 0.06)
    residual = rng.normal(0, SCATTER, N)
    residual[[7, 60]] = 0.2, 0.019
    columns = {
        "bjd_tdb": time,
        "flux": 1.01 * (model + residual),
        "flux_err": np.full(N, 1.01 * SCATTER),
        "baseline": np.full(N, 1.01),
        "model": model,
        "detrended_flux": model + residual,
        "detrended_flux_err": np.full(N, SCATTER),
        "residual": residual,
        "is_outlier": np.isin(np.arange(N), [7, 60]),
    }
    points = pl.DataFrame(columns)
    curve = points.select("bjd_tdb", "model")
    fit = TransitFit(
        "transit",
        "a dip",
        N - 2,
        2,
        points,
        curve,
        predicted_mid_bjd_tdb=MID - 0.001,
        mid_bjd_tdb=MID,
        first_contact_bjd_tdb=MID - 0.06,
        fourth_contact_bjd_tdb=MID + 0.06,
        duration_h=2.88,
        baseline="constant",
    )
    if has_model:
        return fit
    nothing = ("baseline", "model", "detrended_flux", "detrended_flux_err", "residual")
    bare = points.with_columns(pl.lit(None, pl.Float64).alias(name) for name in nothing)
    bare = bare.with_columns(is_outlier=pl.lit(value=False))
    return TransitFit("no baseline", "short", N, 0, bare, curve.clear(), predicted_mid_bjd_tdb=MID)


def _light_curve() -> pl.DataFrame:
    points = _fit().points
    return pl.DataFrame(
        {
            "mid_bjd_tdb": points["bjd_tdb"],
            "relative_flux": points["flux"],
            "airmass": np.linspace(1.1, 1.9, N),
            "frame_fwhm_pix": np.full(N, 2.3),
            "x_pix": pl.Series([None] * N, dtype=pl.Float64),
            "pier_side": ["east"] * 40 + [None] + ["west"] * 49,
        }
    )


def _stars() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "x_pix": [20.0, 80.0, 50.0],
            "y_pix": [30.0, 40.0, 70.0],
            "flux_adu": [4e4, 1e4, -5.0],
            "is_used": [True, True, False],
            "label": ["C1", "C2", None],
        }
    )


def _words(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: transit_figure(_fit(), duration_h=3.1),
        lambda: raw_figure(_fit(), _light_curve()),
        lambda: systematics_figure(_light_curve(), span=fitted_span(_fit())),
        lambda: field_chart(_stars(), (50.0, 50.0), rotation_deg=3.0, is_mirrored=False),
        lambda: field_chart(
            _stars(), (50.0, 50.0), image=np.random.default_rng(1).normal(9, 1, (99, 99))
        ),
    ],
    ids=["transit", "raw", "systematics", "chart", "picture"],
)
def test_the_same_figure_is_the_same_bytes_and_loads_nothing(draw):
    svg = as_svg(draw(), name="figure")
    assert svg == as_svg(draw(), name="figure")
    root = ET.fromstring(svg)
    assert root.get("viewBox")
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "<metadata" not in svg
    assert "<!DOCTYPE" not in svg


def test_figures_of_two_names_share_no_id_on_one_page():
    ids = [
        set(re.findall(r'\bid="([^"]+)"', as_svg(transit_figure(_fit()), name=name)))
        for name in ("a", "b")
    ]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_reference_inside_a_figure_leads_to_something():
    svg = as_svg(transit_figure(_fit()), name="curve")
    ids = set(re.findall(r'\bid="([^"]+)"', svg))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= ids


def test_drawing_leaves_the_users_style_alone():
    before = dict(mpl.rcParams)
    as_svg(transit_figure(_fit()), name="a")
    assert dict(mpl.rcParams) == before


def test_a_users_style_does_not_change_a_report():
    plain = as_svg(transit_figure(_fit()), name="a")
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 20, "svg.fonttype": "path"}):
        assert as_svg(transit_figure(_fit()), name="a") == plain


def test_threads_draw_what_one_alone_draws():
    alone = as_svg(transit_figure(_fit()), name="a")
    drawn: list[str] = []
    threads = [
        threading.Thread(target=lambda: drawn.append(as_svg(transit_figure(_fit()), name="a")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [alone] * 4


def test_a_curve_with_a_model_has_residuals_and_one_without_has_none():
    assert "Residual (%)" in _words(as_svg(transit_figure(_fit()), name="a"))
    words = _words(as_svg(transit_figure(_fit(has_model=False)), name="a"))
    assert "Residual (%)" not in words
    assert "transit model" not in words


def test_an_outlier_far_off_does_not_squeeze_the_transit():
    axes = transit_figure(_fit()).axes[0]
    low, high = axes.get_ylim()
    assert high - low < 0.08  # the outlier stands 0.2 above
    assert low < 0.98 - SCATTER


def test_points_not_fitted_are_drawn_hollow():
    curve = _light_curve()
    fit = _fit()
    words = _words(as_svg(raw_figure(fit, curve), name="a"))
    assert "not fitted" not in words
    fewer = replace(fit, points=fit.points.slice(3))
    assert "not fitted" in _words(as_svg(raw_figure(fewer, curve), name="a"))


def test_only_measured_quantities_get_a_panel():
    assert measured_panels(_light_curve()) == ["airmass", "frame_fwhm_pix"]
    words = _words(as_svg(systematics_figure(_light_curve(), width_in=NARROW_IN), name="a"))
    assert "Airmass" in words
    assert "x − median (pix)" not in words


def test_the_meridian_flip_is_between_the_two_sides():
    (turn,) = turns(_light_curve())
    times = _light_curve()["mid_bjd_tdb"]
    assert times[39] < turn < times[41]


def test_the_prediction_takes_the_fitted_length_only_if_none_was_published():
    published, fitted = predicted_span(_fit(), 3.0), predicted_span(_fit(), None)
    assert published is not None
    assert fitted is not None
    assert (published.fourth - published.first) * 24 == pytest.approx(3.0, abs=1e-6)
    assert (fitted.fourth - fitted.first) * 24 == pytest.approx(2.88, abs=1e-6)
    assert predicted_span(_fit(has_model=False), None) is None


def test_bins_average_all_points_but_outliers_with_smaller_errors():
    points = _fit().points
    kept = points.filter(~pl.col("is_outlier"))
    means = binned(points, 0.02)
    per_bin = (SCATTER / means["flux_err"].to_numpy()) ** 2
    assert per_bin.sum() == pytest.approx(kept.height, abs=1)  # a lone last point is no mean
    assert np.abs(means["residual"].to_numpy()).max() < 4 * means["flux_err"].max()


def test_north_is_up_and_east_left_on_an_unturned_picture_of_the_sky():
    north, east = compass(0.0, is_mirrored=False)
    assert np.allclose((north, east), ((0, 1), (-1, 0)))
    north, east = compass(0.0, is_mirrored=True)
    assert np.allclose((north, east), ((0, 1), (1, 0)))


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0.0, 37.0, 178.0, 290.0])
def test_the_y_axis_lies_at_its_position_angle(rotation_deg, is_mirrored):
    north, east = compass(rotation_deg, is_mirrored)
    angle = np.degrees(np.arctan2(east[1], north[1])) % 360  # of y: its parts along north and east
    assert angle == pytest.approx(rotation_deg % 360, abs=1e-9)


def test_a_large_picture_is_averaged_down_to_its_own_extent():
    image = np.random.default_rng(2).normal(100, 3, (1301, 2003))
    image[5, 7] = np.nan
    chart = field_chart(_stars(), None, image=image)
    axes = chart.axes[0]
    (picture,) = axes.get_images()
    assert max(picture.get_size()) <= 640
    assert axes.get_xlim() == (-0.5, 2002.5)
    assert len(as_svg(chart, name="a")) < 600_000


def test_a_png_for_a_readme_has_its_size_and_title():
    png = as_png(transit_figure(_fit(), title="HAT-P-32 b $x$ 2017"), dpi=100)
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 720
    assert png == as_png(transit_figure(_fit(), title="HAT-P-32 b $x$ 2017"), dpi=100)
