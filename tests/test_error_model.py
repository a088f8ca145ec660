"""The error model from pixels to SQL: on synthetic frames the pulls are those of a unit normal.

Every term is put in once (photons, sky, read-out, digitisation, flat noise, scintillation), so a
term that is missing or counted twice shows in the width of the pulls.
"""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from photutils.aperture import CircularAperture
from scipy.special import erf

from starmuster.transforms.photometry import forced_photometry
from starmuster.warehouse import packages

CELL_PIX, N_CELL, N_FRAME = 22, 24, 180
FWHM_PIX, RADIUS_PIX = 2.4, 4.5
GAIN, READ_NOISE_E, SKY_E, BIAS_ADU = 1.4, 5.0, 80.0, 500.0
SKY = {"sky_adu": SKY_E / GAIN, "sky_rms_adu": np.hypot(SKY_E**0.5, READ_NOISE_E) / GAIN}
SATURATION_ADU = 65_535
FLAT_NOISE = 0.004  # of one pixel of the master
EXPOSURE_S, APERTURE_M = 60.0, 0.4
SCINTILLATION = np.sqrt(1e-5 * 1.5**2 * APERTURE_M ** (-4 / 3) / EXPOSURE_S)  # at the zenith
FAINTEST_E, BRIGHTEST_E = 300.0, 5.8e5
NIGHT, START = date(2024, 3, 8), datetime(2024, 3, 8, 20)


def gaussian_stars(x: np.ndarray, y: np.ndarray, flux_e: np.ndarray) -> np.ndarray:
    """Round stars integrated over pixels, each in its own cell of the grid."""
    width = FWHM_PIX / 2.3548 * np.sqrt(2)
    image = np.zeros((CELL_PIX * N_CELL,) * 2)
    for i, (x0, y0, flux) in enumerate(zip(x, y, flux_e, strict=True)):
        row, column = divmod(i, N_CELL)
        cell = (row * CELL_PIX, column * CELL_PIX)
        edges = [at + np.arange(CELL_PIX + 1) - 0.5 for at in cell]
        along_y, along_x = (
            np.diff(erf((edge - centre) / width)) / 2
            for edge, centre in zip(edges, (y0, x0), strict=True)
        )
        image[cell[0] : cell[0] + CELL_PIX, cell[1] : cell[1] + CELL_PIX] = flux * np.outer(
            along_y, along_x
        )
    return image


@pytest.fixture(scope="module")
def measured() -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Rows of measurement and aperture_flux of all frames, and the true fluxes in ADU."""
    rng = np.random.default_rng(12)
    grid = (np.arange(N_CELL) + 0.5) * CELL_PIX
    x, y = (axis.ravel() + rng.uniform(-1, 1, N_CELL**2) for axis in np.meshgrid(grid, grid))
    flux_e = 10 ** rng.uniform(np.log10(FAINTEST_E), np.log10(BRIGHTEST_E), N_CELL**2)
    stars_e = gaussian_stars(x, y, flux_e)
    assert stars_e.max() / GAIN + BIAS_ADU > 0.6 * SATURATION_ADU
    assert stars_e.max() / GAIN + BIAS_ADU < 0.97 * SATURATION_ADU
    truth, _ = CircularAperture(np.column_stack([x, y]), RADIUS_PIX).do_photometry(stars_e)
    sources = pl.DataFrame(
        {"source_id": np.arange(N_CELL**2), "x_pix": x, "y_pix": y, "flux_adu": flux_e / GAIN}
    )
    parts = []
    for frame_id in range(1, N_FRAME + 1):
        twinkle = 1 + rng.normal(0, SCINTILLATION, (N_CELL, N_CELL))
        light_e = rng.poisson(stars_e * np.kron(twinkle, np.ones((CELL_PIX,) * 2)) + SKY_E)
        raw = np.round((light_e + rng.normal(0, READ_NOISE_E, light_e.shape)) / GAIN + BIAS_ADU)
        flat = 1 + rng.normal(0, FLAT_NOISE, raw.shape)
        rows = forced_photometry(
            ((raw - BIAS_ADU) / flat).astype(np.float32),
            sources,
            apertures={1: RADIUS_PIX},
            annulus_inner_pix=8.0,
            annulus_outer_pix=13.0,
            fwhm_pix=FWHM_PIX,
        )
        number = pl.lit(frame_id, pl.Int32).alias("frame_id")
        parts.append(
            [table.with_columns(number) for table in (rows.measurement, rows.aperture_flux)]
        )
    measurement, aperture_flux = (pl.concat(tables) for tables in zip(*parts, strict=True))
    return measurement, aperture_flux, truth / GAIN


@pytest.fixture
def pulls(database, fill, measured) -> pl.DataFrame:
    """Flux less truth over the error that SQL gives, of every star on every frame."""

    def put(table, rows):
        database.register("given", packages.conform(table, rows))
        database.execute(f"insert into {table} by name from given")

    measurement, aperture_flux, truth_adu = measured
    put("measurement", measurement)
    put("aperture_flux", aperture_flux)
    ids = range(1, N_FRAME + 1)
    shared = {"night": NIGHT, "band": "r", "exposure_s": EXPOSURE_S, "camera_id": 1, "site_id": 1}
    rows = {
        "site": [{"site_id": 1, "elevation_m": 0.0}],
        "camera": [{"camera_id": 1, "aperture_m": APERTURE_M, "gain_e_per_adu": GAIN}],
        "field": [{"field_id": 1, "ra_deg": 0.0, "dec_deg": 0.0}],
        "source": [{"source_id": i, "field_id": 1} for i in range(N_CELL**2)],
        "master": [{"master_id": 1, "kind": "flat", "level_adu": 1.0, "noise_adu": FLAT_NOISE}],
        "calibration": [{"frame_id": i, "flat_master_id": 1} for i in ids],
        "frame_quality": [{"frame_id": i, "fwhm_pix": FWHM_PIX} | SKY for i in ids],
        "field_frame": [{"frame_id": i, "field_id": 1} for i in ids],
        "vantage": [
            {"frame_id": i, "zenith_x": 1.0, "zenith_y": 0.0, "zenith_z": 0.0} for i in ids
        ],
        "frame": [
            {"frame_id": i, "content_hash": str(i), "mid_utc": START + timedelta(minutes=i)}
            | shared
            for i in ids
        ],
    }
    for table, given in rows.items():
        put(table, fill(table, given))
    truth = pl.DataFrame({"source_id": np.arange(N_CELL**2), "truth_adu": truth_adu})
    database.register("truth", truth)
    return database.sql(
        "select truth_adu, flux_err_adu, (flux_adu - truth_adu) / flux_err_adu as pull, "
        "scintillation from light_curve join truth using (source_id)"
    ).pl()


def test_pulls_are_unit_normal_from_the_sky_limit_to_saturation(pulls):
    assert pulls.height >= 100_000
    assert pulls["pull"].null_count() == 0
    assert pulls["scintillation"][0] == pytest.approx(SCINTILLATION, rel=1e-3)
    signal_to_noise = pulls["truth_adu"] / pulls["flux_err_adu"]
    assert signal_to_noise.min() < 5
    assert signal_to_noise.max() > 400
    assert abs(pulls["pull"].mean()) < 0.05
    assert 0.95 < pulls["pull"].std() < 1.05
    assert (pulls["pull"].abs() > 4).mean() < 3e-4  # 6e-5 of a normal distribution


def test_so_they_are_for_faint_and_bright_stars_alone(pulls):
    ordered = pulls.sort("truth_adu")
    n_part = ordered.height // 5
    for part in (ordered.slice(i * n_part, n_part) for i in range(5)):
        faintest = part["truth_adu"][0]
        # counts are skewed, so the midmean of 80 e of sky is 0.1 ADU low: 0.09 for the faintest
        assert abs(part["pull"].mean()) < 0.11, faintest
        assert 0.94 < part["pull"].std() < 1.06, faintest


@pytest.mark.parametrize(
    ("sky_adu", "scatter_adu", "gain", "noise_adu"),
    [
        (100.0, 12.0, 2.0, 12.0),  # the sky of the frame: what was measured there
        (108.0, 30.0, 2.0, 30.0),  # less than the noise above it: a corner where the flat is low
        (600.0, 90.0, 2.0, np.sqrt(10.0**2 + 500 / 2)),  # a core: its photons, not its shape
        (600.0, 17.0, 2.0, 17.0),  # never more than measured
        (600.0, 90.0, None, 90.0),
        (600.0, None, 2.0, None),
    ],
)
def test_the_shape_of_a_bright_sky_is_no_noise(database, sky_adu, scatter_adu, gain, noise_adu):
    found = database.execute(
        "select pixel_noise_adu($1, $2, 100.0, 10.0, $3)", [sky_adu, scatter_adu, gain]
    ).fetchone()[0]
    assert found == (None if noise_adu is None else pytest.approx(noise_adu))
