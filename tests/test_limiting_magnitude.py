"""The limiting magnitude of a frame, held against stars of just that magnitude on its pixels."""

import numpy as np
import polars as pl
import pytest

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.photometry import forced_photometry
from starmuster.warehouse.store import frame

GAIN, SKY_ADU, READ_NOISE_ADU, EXPOSURE_S, FWHM = 1.4, 300.0, 6.0, 30.0, 3.5
SIDE_PIX, STEP_PIX = 800, 40
RADII_PIX = {1: 5.0, 2: 8.0}
ANNULUS = {"annulus_inner_pix": 12.0, "annulus_outer_pix": 18.0, "fwhm_pix": FWHM}


def measured(flux_adu: float):
    """Stars of one flux on a grid, drawn with photon and read-out noise, and measured."""
    rng = np.random.default_rng(12)
    at = np.arange(STEP_PIX, SIDE_PIX - STEP_PIX + 1, STEP_PIX)
    x, y = (axis.ravel() + rng.uniform(-0.5, 0.5, at.size**2) for axis in np.meshgrid(at, at))
    image = SKY_ADU + render_stars(
        x, y, np.full(x.size, flux_adu), shape=(SIDE_PIX, SIDE_PIX), fwhm_pix=FWHM
    )
    image = rng.poisson(image * GAIN) / GAIN + rng.normal(0, READ_NOISE_ADU, image.shape)
    sources = pl.DataFrame(
        {"source_id": np.arange(x.size), "x_pix": x, "y_pix": y, "flux_adu": flux_adu}
    )
    background = mesh_background(image, None)
    rows = forced_photometry(image, sources, apertures=RADII_PIX, background=background, **ANNULUS)
    return rows, background


def limiting_flux(small_sky, rows, background) -> dict[int, float]:
    """Flux in the aperture of a star of the limiting magnitude, as the view says."""
    small_sky.expose([1], [small_sky.start], exposure_s=EXPOSURE_S)
    small_sky.con.execute(f"update camera set gain_e_per_adu = {GAIN}")
    small_sky.con.execute(f"update frame_quality set sky_rms_adu = {background.rms_adu}")
    small_sky.put("field_frame", {"frame_id": 1, "field_id": 1})
    small_sky.con.execute("delete from aperture")
    small_sky.put(
        "aperture", *({"aperture_id": i, "kind": "pix", "radius": r} for i, r in RADII_PIX.items())
    )
    kept = rows.measurement.select("source_id", "n_sky_pix").with_columns(frame_id=pl.lit(1))
    small_sky.put("measurement", *kept.to_dicts())
    depth = frame(small_sky.con, "select aperture_id, limiting_mag from frame_depth")
    return {i: EXPOSURE_S * 10 ** (-0.4 * mag) for i, mag in depth.iter_rows()}


def test_stars_of_the_limiting_magnitude_are_measured_at_five_sigma(small_sky):
    first, background = measured(1000.0)
    limit = limiting_flux(small_sky, first, background)
    for aperture_id in RADII_PIX:
        chosen = pl.col("aperture_id") == aperture_id
        share = first.aperture_flux.filter(chosen)["flux_adu"].median() / 1000.0
        rows, _ = measured(limit[aperture_id] / share)
        flux = rows.aperture_flux.filter(chosen)["flux_adu"].to_numpy()
        # 361 stars tell the width to 3.7 %; pixels on the rim, which count in part, have less noise
        assert flux.mean() / flux.std() == pytest.approx(5, rel=3 * 0.037 + 0.03), aperture_id
        assert flux.mean() == pytest.approx(limit[aperture_id], rel=0.04), aperture_id
