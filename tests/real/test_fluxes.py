"""Fluxes, their errors and what frames say of the sky, where no truth but physics is known."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.real


@pytest.mark.parametrize("target", ["lpseb35", "m13"])
def test_the_airmass_computed_is_that_of_the_telescope(reduced, target):
    frames = reduced.sql(
        "select any_value(header::varchar) as header, median(airmass) as airmass "
        "from light_curve join frame using (frame_id) "
        f"where target_key = '{target}' group by frame_id"
    )
    for header, airmass in frames.iter_rows():
        cards = {keyword: value for keyword, value, *_ in json.loads(header)}
        # the telescope's is that of the begin of the exposure: 0.002 off at most
        assert airmass == pytest.approx(float(cards["AIRMASS"]), abs=0.003)


def test_light_is_centred_where_its_stars_were_expected(reduced):
    offset = reduced.sql(
        "select target_key, median(abs(x_offset_pix)) as x_pix, median(abs(y_offset_pix)) as y_pix "
        "from measurement join frame using (frame_id) "
        "where target_key in ('hatp32', 'lpseb35') group by target_key"
    )
    assert offset.height == 2
    # stars of ten sigma are centred to a tenth of a pixel; of FWHM 2.2 and 5 pixels
    assert offset["x_pix"].max() < 0.12
    assert offset["y_pix"].max() < 0.12


def test_frames_with_bright_lonely_stars_have_curves_of_growth(reduced):
    growth = reduced.sql(
        "select target_key, count(distinct frame_id) as n_frame, min(n_star) as n_star, "
        "median(enclosed_fraction) filter (aperture_name = '1.5 fwhm') as share "
        "from curve_of_growth join frame using (frame_id) left join aperture using (aperture_id) "
        "where target_key in ('hatp32', 'lpseb35') group by target_key order by target_key"
    )
    assert growth["n_frame"][0] >= 138
    assert growth["n_frame"][1] == 60
    assert growth["n_star"].min() >= 3
    assert growth["share"].is_between(0.8, 0.99).all()


def test_fluxes_over_the_mesh_are_those_over_the_annulus_where_the_sky_is_even(reduced):
    pair = reduced.sql(
        "select mesh_flux.flux_adu, local_flux_adu, mesh_flux.n_pix, sky_rms_adu from mesh_flux "
        "join measurement using (frame_id, source_id) join frame using (frame_id) "
        "join aperture using (aperture_id) where target_key = 'lpseb35' and is_clean "
        "and aperture_name = '4 arcsec' and local_flux_adu > 0"
    )
    flux, local, n_pix, rms = (column.to_numpy() for column in pair)
    change = (flux - local) / n_pix / rms
    assert pair.height > 1000
    assert np.median(np.abs(change)) < 0.1  # of the noise of a pixel


@pytest.fixture(scope="module")
def audit(reduced) -> pl.DataFrame:
    return pl.DataFrame(reduced.command("sql", "error_audit"))


# M13's two g frames differ by a cloud with structure (0.0123 mag); the other bands reach 0.0105
@pytest.mark.parametrize(("field", "largest_floor_mag"), [("LPSEB35", 0.006), ("M13", 0.014)])
def test_bright_constant_stars_scatter_as_their_errors_and_the_stated_floor_say(
    audit, field, largest_floor_mag
):
    bright = audit.filter((pl.col("field") == field) & (pl.col("median_quoted_err") < 0.0217))
    pooled = (bright["reduced_chi2"] * bright["n_star"]).sum() / bright["n_star"].sum()
    assert bright["n_star"].min() >= 5
    assert 0.7 <= pooled <= 1.5
    assert bright["independent"].all()
    assert bright["noise_floor"].is_between(0, largest_floor_mag).all()


def test_an_audit_by_a_gain_from_the_same_stars_is_no_proof_and_says_so(audit):
    assert not audit.filter(pl.col("field") == "HATP-32")["independent"].any()


def test_the_page_of_a_night_shows_errors_sizes_and_sky(reduced):
    page = Path(reduced.command("report", "night", "2019-05-02")["file"]).read_text("utf-8")
    for text in ("Noise floor", "FWHM against magnitude", "model of the background"):
        assert text in page
