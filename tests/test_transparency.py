"""Factors between frames from the stars they share."""

import numpy as np
import polars as pl
import pytest

from starmuster.errors import CalibrationError
from starmuster.transforms.transparency import flux_factors


def rows(flux) -> pl.DataFrame:
    """Make rows of a matrix of fluxes, frame by star; nan was not measured."""
    frame, star = np.nonzero(np.isfinite(flux))
    return pl.DataFrame(
        {"frame_id": frame, "source_id": star, "flux_adu": flux[frame, star]},
        schema_overrides={"frame_id": pl.Int32, "source_id": pl.Int32},
    )


def night(n_star: int = 60, noise: float = 0.01):
    """Fluxes through changing air, and the factor of each frame to the first."""
    rng = np.random.default_rng(3)
    brightness = 10 ** rng.uniform(3, 5, n_star)
    through = np.array([0.8, 1.0, 0.5, 0.2, 1.3, 0.9])
    flux = through[:, None] * brightness * (1 + noise * rng.normal(size=(6, n_star)))
    return flux, through[0] / through


def test_factors_undo_clouds_within_the_noise_of_the_stars():
    flux, expected = night()
    found = flux_factors(rows(flux), 0)
    assert found["flux_factor"][0] == 1
    # the median of 60 stars, against that of another frame
    np.testing.assert_allclose(found["flux_factor"], expected, rtol=4 * 1.25 * 0.014 / np.sqrt(60))
    np.testing.assert_allclose(found["flux_factor_scatter"], 0.01, rtol=0.5)
    assert found["n_star"].to_list() == [60] * 6


def test_variable_stars_do_no_harm():
    flux, expected = night()
    flux[:3, :15] *= 1.5
    found = flux_factors(rows(flux), 0)
    np.testing.assert_allclose(found["flux_factor"], expected, rtol=0.012)


def test_frames_are_tied_over_others_where_the_field_has_drifted():
    flux, expected = night()
    for frame in range(6):  # frame 0 has stars 0 to 14, frame 5 has 45 to 59: none in common
        flux[frame, : 9 * frame] = flux[frame, 9 * frame + 15 :] = np.nan
    found = flux_factors(rows(flux), 0)
    np.testing.assert_allclose(found["flux_factor"], expected, rtol=0.05)


def test_a_frame_with_hardly_a_star_gets_no_factor():
    flux, _ = night()
    flux[3, 2:] = np.nan
    assert flux_factors(rows(flux), 0)["frame_id"].to_list() == [0, 1, 2, 4, 5]
    with pytest.raises(CalibrationError, match="frame 3: fewer than 3 clean bright stars"):
        flux_factors(rows(flux), 3)
    with pytest.raises(CalibrationError, match="in common"):
        flux_factors(rows(flux)[:0], 0)
