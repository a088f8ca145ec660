"""The page an observer sends out: complete, honest about gaps, and closed to the network."""

import re
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.report import TransitReport, derived_warnings, render_transit_report
from starmuster.analysis.result_tables import measured, number, scatter
from starmuster.analysis.transits import Parameter, TransitFit
from starmuster.transforms.flags import Flag

MID = 2458107.71234
N = 60
SCATTER = 0.00471
EVIL = '<script>alert("x")</script>&\'"{{ 7*7 }}$\\frac{1}{2}$'
PLANET = {
    "planet_name": "HAT-P-32 b",
    "period_d": 2.1500082,
    "time_system": "BJD_TDB",
    "radius_ratio": 0.14886,
    "radius_ratio_err": 0.00056,
    "a_over_r": 5.344,
    "a_over_r_err": 0.04,
    "depth": 0.0217,
    "duration_h": 3.108,
    "source": "planets.csv",
}
FITTED = TransitFit(
    "transit",
    "dip of 2.51 % at +2 min from the prediction: BIC +487 against the flat line, 10 needed",
    N - 1,
    1,
    pl.DataFrame(),
    pl.DataFrame(),
    epoch=1042,
    predicted_mid_bjd_tdb=2458107.71129,
    predicted_mid_err_d=0.00014,
    mid_bjd_tdb=MID,
    mid_bjd_tdb_err=0.00087,
    radius_ratio=0.1503,
    radius_ratio_err=0.0019,
    depth=0.02512,
    depth_err=0.00048,
    duration_h=3.092,
    duration_h_err=0.037,
    first_contact_bjd_tdb=2458107.64792,
    fourth_contact_bjd_tdb=2458107.77676,
    o_minus_c_min=1.512,
    o_minus_c_min_err=1.27,
    residual_scatter=SCATTER,
    residual_scatter_all=0.00733,
    red_noise_factor=1.16,
    chi2_reduced=1.38,
    baseline="time + airmass",
    has_flip=True,
    radius_ratio_low=0.147,
    radius_ratio_high=0.155,
    mid_spread_d=1 / 1440,
    limb_darkening="Claret 2013, r",
    baseline_bic={"time + airmass": 0.0, "constant": 12.34, "airmass": None},
    delta_bic_flat=486.9,
    parameters={
        "a_over_r": Parameter(6.07, 0.11, "", "normal 6.1 +- 0.2 (planets.csv)"),
        "impact_parameter": Parameter(0.118, 0.062, "", "normal 0.1 +- 0.1"),
        "omega": Parameter(50.0, None, "deg", "fixed"),
    },
)


def _points(*, has_model: bool) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    time = MID + np.linspace(-0.13, 0.13, N)
    model = 1 - 0.025 * (np.abs(time - MID) < 0.064)
    residual = rng.normal(0, SCATTER, N)
    residual[9] = 0.04
    points = pl.DataFrame(
        {
            "bjd_tdb": time,
            "flux": model + residual,
            "flux_err": np.full(N, SCATTER),
            "baseline": np.ones(N),
            "model": model,
            "detrended_flux": model + residual,
            "detrended_flux_err": np.full(N, SCATTER),
            "residual": residual,
            "is_outlier": np.arange(N) == 9,
        }
    )
    nothing = ("baseline", "model", "detrended_flux", "detrended_flux_err", "residual")
    bare = points.with_columns(pl.lit(None, pl.Float64).alias(name) for name in nothing)
    return points if has_model else bare.with_columns(is_outlier=pl.lit(value=False))


def _fit(verdict: str) -> TransitFit:
    points = _points(has_model=verdict in {"transit", "partial", "no transit"})
    curve = points.select("bjd_tdb", "model").drop_nulls()
    if verdict in {"transit", "partial"}:
        return replace(FITTED, verdict=verdict, points=points, curve=curve)
    epoch = {"epoch": 1042, "predicted_mid_bjd_tdb": 2458107.71129}
    fit = TransitFit(verdict, "3 points before and 1 after", N, 0, points, curve, **epoch)
    if verdict != "no transit":
        return fit
    return replace(fit, baseline="constant", red_noise_factor=1.0, residual_scatter=SCATTER)


def _report(verdict: str = "transit", **changes: object) -> TransitReport:
    fit = _fit(verdict)
    start = datetime(2017, 12, 20, 2, tzinfo=UTC).replace(tzinfo=None)
    times = [start + timedelta(minutes=6 * i) for i in range(N)]
    light_curve = pl.DataFrame(
        {
            "mid_bjd_tdb": fit.points["bjd_tdb"],
            "mid_utc": times,
            "relative_flux": fit.points["flux"],
            "relative_flux_err": np.full(N, SCATTER),
            "airmass": np.linspace(1.02, 1.91, N),
            "sky_adu_per_pix": np.linspace(301, 322, N),
            "exposure_s": np.full(N, 60.0),
            "is_geocentric": [False] * N,
            "position_source": ["source"] * N,
            "gain_source": ["photon transfer"] * N,
            "scintillation": np.full(N, 0.001),
        }
    )
    comparison = pl.DataFrame(
        {
            "source_id": [31, 17, 99],
            "is_used": [True, True, False],
            "weight": [0.25, 0.75, None],
            "scatter": [0.0061, 0.0043, 0.0391],
            "reason": ["constant", "constant", "scatter of 3.9 % is 6 times that expected"],
            "x_pix": [100.5, 300.25, 20.0],
            "y_pix": [50.0, 210.0, 30.0],
            "flux_adu": [12000.0, 45000.0, 800.0],
        }
    )
    frames = pl.DataFrame(
        {
            "path": [f"/home/me/secret/light_{i:03d}.fits" for i in range(N)],
            "content_hash": [f"{i:032x}" for i in range(N)],
            "mid_utc": times,
            "reason": ["no flat of this camera and band"] * (N - 1) + [""],
            "time_source": ["UT-OBS"] * N,
        }
    )
    report = TransitReport(
        target_name="HAT-P-32 b",
        night=date(2017, 12, 19),
        band="clear",
        aperture_name="2 fwhm",
        fit=fit,
        planet=PLANET,
        light_curve=light_curve,
        comparison=comparison,
        frames=frames,
        versions={"starmuster": "0.1.0", "astropy": "8.0.1"},
        command='starmuster report transit "HAT-P-32 b"',
        generated_utc=datetime(2026, 1, 1, 12, tzinfo=UTC).replace(tzinfo=None),
        target_xy_pix=(200.0, 120.0),
    )
    return replace(report, **changes)


@cache
def _html() -> str:
    return render_transit_report(_report())


class _Page(HTMLParser):
    """Collects tags with their attributes, and the text outside of style."""

    VOID = frozenset({"meta", "br", "img", "link", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.parts.append(data)


@pytest.mark.parametrize("verdict", ["transit", "partial", "no transit", "no baseline", "no data"])
def test_each_verdict_is_a_whole_page_with_its_reason_and_its_points(verdict):
    report = _report(verdict)
    page = _Page(render_transit_report(report))
    assert page.open == []
    assert verdict.capitalize() in page.text
    assert report.fit.reason[1:] + "." in page.text
    assert [tag for tag, _ in page.tags].count("svg") >= 4
    is_fitted = verdict in {"transit", "partial"}
    assert ("fitted contacts" in page.text) is is_fitted
    assert ("quadratically limb-darkened" in page.text) is (report.fit.baseline is not None)
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()


def test_nothing_is_loaded_from_anywhere():
    html = render_transit_report(
        _report(field_image=np.random.default_rng(1).normal(9, 1, (260, 350)))
    )
    loading = {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
    }
    page = _Page(html)
    assert not loading & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            if name in {"src", "srcset", "href", "xlink:href", "data", "action", "poster"}:
                is_inside = (value or "").startswith(("#", "data:image/png;base64,"))
                assert is_inside or (tag == "a" and (value or "").startswith("https://doi.org/"))
            assert not name.startswith("on")
    assert "@import" not in html
    assert all(link.startswith("#") for link in re.findall(r"url\(([^)]*)\)", html))
    rest = re.sub(r'xmlns(:xlink)?="[^"]*"|<a href="https://doi\.org/[^"]*"', "", html)
    assert "://" not in rest


def test_the_page_forbids_the_browser_to_load_anything_either():
    html = _html()
    assert "default-src 'none'" in html
    assert html.startswith("<!DOCTYPE html>")


def test_every_name_and_text_is_escaped():
    report = _report()
    n = report.comparison.height
    evil = replace(
        report,
        target_name=EVIL,
        band=EVIL,
        aperture_name=EVIL,
        fit=replace(
            report.fit,
            reason=EVIL,
            baseline=EVIL,
            baseline_bic={EVIL: 0.0},
            parameters={EVIL: Parameter(1.0, 0.1, EVIL, EVIL)},
        ),
        planet=PLANET | {"source": EVIL, "time_system": EVIL},
        comparison=report.comparison.with_columns(reason=pl.lit(EVIL)),
        frames=report.frames.with_columns(
            path=pl.lit(EVIL),
            content_hash=pl.lit(EVIL),
            reason=pl.lit(EVIL),
            time_source=pl.lit(EVIL),
        ),
        light_curve=report.light_curve.with_columns(gain_source=pl.lit(EVIL)),
        versions={EVIL: EVIL},
        command=EVIL,
        warnings=[EVIL],
        observed_with={EVIL: EVIL},
        masters=pl.DataFrame(
            {
                name: [EVIL]
                for name in ("kind", "band", "night", "n_frame", "method", "file_name", "checksum")
            }
            | {"exposure_s": [1.0]}
        ),
    )
    page = _Page(render_transit_report(evil))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("alert(") >= 15 + n
    assert "{{ 7*7 }}" in page.text


def test_a_name_that_utf8_cannot_hold_still_makes_a_page():
    html = render_transit_report(_report(command="report \udcff"))
    assert "report ?" in html
    html.encode("utf-8")


def test_every_number_of_the_fit_is_on_the_page():
    page = _Page(_html()).text
    shown = {
        "verdict": "Transit",
        "reason": "Dip of 2.51 % at +2 min",
        "n_points": "Points fitted 59",
        "n_outliers": "Outliers left out 1",
        "points": "60",
        "curve": "transit model",
        "epoch": "1042",
        "predicted_mid_bjd_tdb": "2458107.71129 ± 0.00014",
        "predicted_mid_err_d": "0.00 ± 0.20",
        "mid_bjd_tdb": "2458107.71234 ± 0.00087",
        "mid_bjd_tdb_err": "± 0.00087",
        "radius_ratio": "0.1503 ± 0.0019",
        "radius_ratio_err": "± 0.0019",
        "depth": "2.512 ± 0.048",
        "depth_err": "± 0.048",
        "duration_h": "3.092 ± 0.037",
        "duration_h_err": "± 0.037",
        "first_contact_bjd_tdb": "2458107.64792",
        "fourth_contact_bjd_tdb": "2458107.77676",
        "o_minus_c_min": "+1.5 ± 1.3",
        "o_minus_c_min_err": "± 1.3",
        "residual_scatter": "0.471 % (4.71 ppt)",
        "residual_scatter_all": "0.733 % (7.33 ppt)",
        "red_noise_factor": "β = 1.16",
        "chi2_reduced": "1.38",
        "baseline": "Baseline time + airmass",
        "baseline_bic": "12.3",
        "delta_bic_flat": "+486.9",
        "parameters": "6.07 ± 0.11",
        "radius_ratio_low": "ranges from 0.1470",
        "radius_ratio_high": "to 0.1550",
        "mid_spread_d": "by up to 1.0 minutes",
        "has_flip": "an offset for the meridian flip",
        "limb_darkening": "priors from Claret 2013, r",
    }
    inner = {  # on the page by what they lead to, or in the document and in SQL
        "mid_permutation_err_d",
        "radius_ratio_permutation_err",
        "error_inflation",
        "baseline_scatter",
        "method",
        "posterior",
        "settled",
        "prior",
    }
    assert set(shown) | inner == {field.name for field in fields(TransitFit)}
    assert [name for name, text in shown.items() if text not in page] == []


def test_the_ephemeris_and_the_injected_truth_stand_beside_the_result():
    plain = _Page(_html()).text
    assert "0.14886 ± 0.00056" in plain
    assert "Injected" not in plain
    demo = _Page(render_transit_report(_report(injected={"radius_ratio": 0.1511}))).text
    assert "Injected" in demo
    assert "0.1511" in demo


def test_comparison_stars_are_listed_by_weight_and_rejected_ones_folded_away():
    html = _html()
    folded = re.findall(r"<details.*?</details>", html, re.DOTALL)
    text = _Page(html).text
    assert "2 comparison stars" in text
    assert re.search(
        r"C1</th><td class=\"n\">17</td>.*C2</th><td class=\"n\">31</td>", html, re.DOTALL
    )
    assert any("1 rejected star<" in part and "6 times that expected" in part for part in folded)
    assert not any("C1</th>" in part for part in folded)


def test_provenance_has_names_and_hashes_but_not_the_observers_folders():
    html = _html()
    assert "light_059.fits" in html
    assert f"{59:032x}" in html
    assert "secret" not in html
    assert "no flat of this camera and band (59 frames); nothing to note (1 frame)" in html
    assert "photon transfer (60 frames)" in html


def test_the_same_night_is_the_same_page():
    assert render_transit_report(_report()) == _html()


def test_each_figure_has_words_and_no_id_is_used_twice():
    html = render_transit_report(_report(field_image=np.ones((260, 350)) * 7.0))
    page = _Page(html)
    pictures = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(pictures) == 8  # three figures for wide and narrow screens, the noise and the chart
    assert all(len(attributes.get("aria-label") or "") > 30 for attributes in pictures)
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert sorted(ids) == sorted(set(ids))


def test_a_night_without_a_single_point_still_says_why():
    report = _report("no data")
    empty = replace(
        report,
        fit=TransitFit(
            "no data", "0 points; a fit needs 10", 0, 0, report.fit.points.clear(), report.fit.curve
        ),
        light_curve=report.light_curve.clear(),
        comparison=report.comparison.clear(),
        frames=report.frames.clear(),
        target_xy_pix=None,
        band=None,
        aperture_name=None,
    )
    page = _Page(render_transit_report(empty))
    assert "0 points; a fit needs 10." in page.text
    assert "svg" not in {tag for tag, _ in page.tags}


def test_points_without_errors_or_airmass_are_shown_with_a_warning():
    report = _report()
    bare = report.light_curve.with_columns(
        pl.lit(None, pl.Float64).alias(name)
        for name in ("relative_flux_err", "airmass", "scintillation")
    )
    points = report.fit.points.with_columns(flux_err=pl.lit(None, pl.Float64))
    page = _Page(
        render_transit_report(
            replace(report, light_curve=bare, fit=replace(report.fit, points=points))
        )
    )
    assert "gain is not known" in page.text
    assert "Not measured: Airmass" in page.text
    assert "Merline & Howell 1995; Collins" not in page.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_geocentric": pl.lit(value=True)}, "centre of the Earth"),
        ({"position_source": pl.lit("host")}, "host star"),
        ({"position_source": pl.lit("field")}, "pointing of the field"),
    ],
)
def test_what_the_times_rest_on_is_warned_of(changes, words):
    report = _report()
    assert not any(words in text for text in derived_warnings(report))
    doubtful = replace(report, light_curve=report.light_curve.with_columns(**changes))
    assert sum(words in text for text in derived_warnings(doubtful)) == 1


@pytest.mark.parametrize(
    ("flag", "words"), [(Flag.SATURATED, "saturated on 100 %"), (Flag.BLENDED, "neighbour's light")]
)
def test_a_saturated_or_blended_target_is_warned_of(flag, words):
    report = _report()
    assert not any(words in text for text in derived_warnings(report))
    flagged = report.light_curve.with_columns(flags=pl.lit(int(flag)))
    assert (
        sum(words in text for text in derived_warnings(replace(report, light_curve=flagged))) == 1
    )


def test_one_comparison_star_alone_is_warned_of():
    report = _report()
    assert not any("alone" in text for text in derived_warnings(report))
    first = report.comparison.filter("is_used")["source_id"][0]
    stars = report.comparison.with_columns(is_used=pl.col("source_id") == first)
    found = derived_warnings(replace(report, comparison=stars))
    assert sum("One comparison star alone" in text for text in found) == 1


@pytest.mark.parametrize(("n_outliers", "is_warned"), [(5, False), (6, True)])
def test_more_than_five_in_a_hundred_outliers_are_warned_of(n_outliers, is_warned):
    report = _report()
    fit = replace(report.fit, n_points=100 - n_outliers, n_outliers=n_outliers)
    found = derived_warnings(replace(report, fit=fit))
    assert any(f"{n_outliers} of 100 points" in text for text in found) is is_warned


def test_a_prediction_without_errors_and_in_doubtful_time_is_warned_of():
    report = _report()
    doubtful = replace(
        report,
        planet=PLANET | {"time_system": "assumed"},
        fit=replace(report.fit, predicted_mid_err_d=None, o_minus_c_min_err=None),
    )
    found = derived_warnings(doubtful)
    assert "assumed" in " ".join(found)
    assert "states no errors" in " ".join(found)
    page = _Page(render_transit_report(doubtful)).text
    assert [warning for warning in found if warning not in page] == []
    assert "+1.5 ± 1.3" in page  # the fit's own 0.00087 d


@pytest.mark.parametrize(
    ("value", "err", "text"),
    [
        (2458107.714007, 0.000856, "2458107.71401 ± 0.00086"),
        (0.1503, 0.0996, "0.15 ± 0.10"),
        (-1.26, 0.00999, "−1.260 ± 0.010"),
        (123.4, 27.0, "123 ± 27"),
        (5.0, 0.0, "5.0000"),
        (5.0, float("nan"), "5.0000"),
        (None, 0.1, "–"),
        (float("nan"), 0.1, "–"),
    ],
)
def test_a_value_has_the_digits_its_error_bears(value, err, text):
    assert measured(value, err, 4) == text


def test_small_numbers_keep_their_sign_and_units():
    assert number(-0.5, 1) == "−0.5"
    assert number(0.5, 1, signed=True) == "+0.5"
    assert scatter(0.0047) == "0.470 % (4.70 ppt)"
