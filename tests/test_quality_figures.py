"""Figures and sections about quality, against the error model in SQL and for odd input."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.night_figures import night_figure
from starmuster.analysis.night_lights import frame_table, group_table
from starmuster.analysis.quality_figures import SkyView, error_curves, scatter_figure, size_figure
from starmuster.analysis.quality_sections import Quality, quality_sections
from starmuster.warehouse.store import frame

TERMS = {
    "field_name": "M13",
    "field_id": 1,
    "night": None,
    "band": "g",
    "exposure_s": 80.0,
    "gain_e_per_adu": 1.3,
    "gain_source": "photon transfer",
    "n_pix": 120.0,
    "n_sky_pix": 700,
    "pixel_noise_adu": 17.0,
    "flat_noise": 0.003,
    "fwhm_pix": 4.1,
    "scintillation": 0.0006,
    "profile_err": 0.004,
    "aperture_name": "1.5 fwhm",
}
MAG = np.linspace(-10, -2, 9)


def star_errors() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "field_id": 1,
            "band": "g",
            "level_mag": MAG,
            "scatter_mag": 0.01 * 10 ** (0.3 * (MAG + 8)),
            "quoted_err_mag": 0.009 * 10 ** (0.3 * (MAG + 8)),
            "noise_floor_mag": 0.006,
            "is_constant": [True] * 8 + [False],
        }
    )


def frame_stars() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1000, (2, 50))
    return pl.DataFrame(
        {
            "instrumental_mag": rng.uniform(-9, -4, 50),
            "fwhm_pix": [None if i % 9 == 0 else rng.normal(4, 0.1) for i in range(50)],
            "x_pix": x,
            "y_pix": y,
            "is_clean": np.arange(50) % 5 > 0,
        },
        schema_overrides={"fwhm_pix": pl.Float64},
    )


def test_the_curve_of_all_terms_is_that_of_the_error_model_in_sql(database):
    curve = error_curves(TERMS, MAG)["all terms"]
    for mag, err in zip(MAG, curve, strict=True):
        flux = 10 ** (-0.4 * mag) * TERMS["exposure_s"]
        row = frame(
            database,
            "select flux_err_adu($flux, 1.3, 120.0, 700, 17.0, 0.003, 4.1, 0.0006, "
            "profile_err_adu := profile_err_adu(0.004, $flux, 0)) as err",
            flux=float(flux),
        )
        assert err == pytest.approx(2.5 / np.log(10) * row["err"][0] / flux, rel=1e-9)


def test_terms_that_are_not_known_are_left_out():
    unknown = dict.fromkeys(("gain_e_per_adu", "flat_noise", "scintillation", "profile_err"))
    assert set(error_curves(TERMS | unknown, MAG)) == {"sky and read-out", "all terms"}


def test_the_scatter_of_stars_is_drawn_with_every_term_and_the_floor():
    axes = scatter_figure(star_errors(), TERMS).axes[0]
    axes.figure.draw_without_rendering()
    assert "0.1" in [label.get_text() for label in axes.get_yticklabels()]
    labels = {line.get_label() for line in axes.get_lines()}
    assert {"constant stars", "other stars", "photons", "flat", "all terms"} <= labels
    constant = star_errors().filter("is_constant")  # eight stars are one bin of the audit
    for label, column in (
        ("their median", "scatter_mag"),
        ("quoted error", "quoted_err_mag"),
    ):
        drawn = next(line for line in axes.get_lines() if line.get_label() == label)
        assert list(drawn.get_ydata()) == [constant[column].median()]
    assert "with floor 0.0060" in labels
    points = next(line for line in axes.get_lines() if line.get_label() == "constant stars")
    assert len(points.get_xdata()) == 8


def test_sizes_are_drawn_against_magnitude_and_over_the_field():
    left, right = size_figure(frame_stars()).axes[:2]
    drawn = sum(len(line.get_xdata()) for line in left.get_lines())
    assert drawn == frame_stars()["fwhm_pix"].drop_nulls().len()
    assert len(right.collections[0].get_offsets()) > 30


def test_a_night_without_anything_to_judge_has_no_section():
    assert all(section.is_empty for section in quality_sections(Quality()))


def test_a_night_shows_scatter_sizes_sky_and_what_was_rejected():
    rejected = pl.DataFrame(
        {"mid_utc": None, "band": "g", "field": "M13", "path": "/a/b.fits", "reasons": "2 stars"}
    )
    view = SkyView(
        caption="M13 g",
        background_adu=np.full((20, 30), 80.0),
        smoothed_adu=np.zeros((20, 30)),
        noise_adu=1.0,
        block_pix=10,
        x_pix=np.array([5.0]),
        y_pix=np.array([7.0]),
    )
    quality = Quality(
        star_errors=star_errors(),
        error_terms=pl.DataFrame([TERMS]),
        rejected=rejected,
        stars=(("M13 g", frame_stars()),),
        skies=(view,),
    )
    sections = {section.title: section for section in quality_sections(quality)}
    (table,) = sections["Rejected frames"].tables
    assert table.rows[0][3:] == ("b.fits", "2 stars")
    (scatter,) = sections["Errors"].plots
    assert "Noise floor 0.0060 mag" in scatter.caption
    sizes, sky = sections["Stars and sky of single frames"].plots
    assert sizes.svg.startswith("<svg")
    assert "the 1 detections" in sky.caption


def lights() -> pl.DataFrame:
    """Six frames in three bands, one of them rejected, none with a zero point."""
    return pl.DataFrame(
        {
            "mid_utc": [datetime(2024, 3, 8, 21) + timedelta(minutes=i) for i in range(6)],
            "field_name": "M13",
            "band": ["z", "r", "g", "z", "r", "g"],
            "exposure_s": 30.0,
            "sky_rate": 2.0,
            "sky_adu": 60.0,
            "sky_rms_adu": 6.0,
            "fwhm_pix": [3.0, 3.1, 3.2, 8.0, 3.4, 3.5],
            "ellipticity": 0.1,
            "rms_pix": 0.02,
            "transparency": 0.98765,
            "zero_point_mag": None,
            "offset_pix": 1.0,
            "n_star": 50,
            "gain_source": "header",
            "is_rejected": [False, False, False, True, False, False],
            "verdict": ["", "", "", "blurred: FWHM 8.0 pix, 2.6 times the median", "", ""],
        },
        schema_overrides={"zero_point_mag": pl.Float64},
    )


def test_the_course_of_a_night_marks_rejected_frames_and_orders_bands_by_wavelength():
    panels = night_figure(lights()).axes
    assert [axes.get_ylabel() for axes in panels] == [
        "Sky (ADU/s)", "FWHM (pix)", "Ellipticity", "Transparency", "Stars",
    ]  # fmt: skip
    names = [str(line.get_label()) for line in panels[0].get_lines()]
    assert [name for name in names if len(name) == 1] == ["g", "r", "z"]
    crosses = [line for line in panels[1].get_lines() if line.get_marker() == "x"]
    assert [list(line.get_ydata()) for line in crosses] == [[], [], [8.0]]


def test_every_light_frame_is_listed_with_its_verdict():
    table = frame_table(lights())
    assert table is not None
    assert table.is_folded
    assert "Zero point (mag)" not in [name for name, _ in table.heads]
    assert [row[-1] for row in table.rows] == [
        "good", "good", "good", "blurred: FWHM 8.0 pix, 2.6 times the median", "good", "good",
    ]  # fmt: skip
    assert table.rows[0][:7] == ("21:00:00", "M13", "z", "3.00", "0.10", "60.0", "0.99")
    groups = group_table(lights())
    assert groups is not None
    assert [(row[1], row[3], row[4]) for row in groups.rows] == [
        ("z", "2", "1"), ("r", "2", "0"), ("g", "2", "0"),
    ]  # fmt: skip
    assert frame_table(lights().clear()) is None
