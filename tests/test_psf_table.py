"""Profiles corrected by their own frame: against the truth of stars no analytic profile fits."""

import numpy as np
import pytest
from astropy.table import Table as Start
from photutils.psf import ImagePSF, PSFPhotometry

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.profile_kernels import MOFFAT
from starmuster.transforms.psf import FittedFluxes, PointSpread, fitted_fluxes, point_spread
from starmuster.transforms.psf_table import empty_table
from tests.test_psf import NO_BITS, NOISE, SKY, star_rows

GAIN, FWHM_PIX = 1.5, 3.4
# a trail along the diagonal and the tail of a coma: share of the light, shift in x and y, width
PIECES = ((0.3, -0.8, -0.8, 1), (0.3, 0.0, 0.0, 1), (0.25, 0.8, 0.8, 1), (0.15, 2.6, 0.4, 1.5))
SHAPE = (320, 320)


def light_of(x, y, flux, pieces=PIECES, shape=SHAPE):
    image = np.zeros(shape)
    for share, dx, dy, width in pieces:
        image += render_stars(
            x + dx, y + dy, flux * share, shape=shape, fwhm_pix=width * 2.8, beta=3.0
        )
    return image


def field(seed: int, *, n_bright: int = 60, n_faint: int = 240):
    """Place bright stars apart from each other, and faint ones anywhere."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n_bright)))
    grid = (np.arange(side) + 0.5) * SHAPE[0] / side
    x, y = (a.ravel()[:n_bright] for a in np.meshgrid(grid, grid))
    x, y = (a + rng.uniform(-6, 6, a.size) for a in (x, y))
    more_x, more_y = rng.uniform(3, SHAPE[0] - 4, (2, n_faint))
    flux = np.concatenate([10 ** rng.uniform(4.7, 5.5, n_bright), 10 ** rng.uniform(3, 4, n_faint)])
    return rng, np.append(x, more_x), np.append(y, more_y), flux


def observed(rng, light):
    return SKY + rng.poisson(light * GAIN) / GAIN + rng.normal(0, NOISE, light.shape)


def fit(image, x, y, bright, *, with_table: bool) -> FittedFluxes:
    rows = star_rows(x, y, np.full(x.size, 1e5))[: bright.size]
    spread = point_spread("moffat", image, NO_BITS, 0, rows, fwhm_pix=FWHM_PIX)
    assert spread is not None
    return fitted_fluxes(
        image, NO_BITS, 0, x, y, spread, annulus_pix=(15.0, 24.0), gain_e_per_adu=GAIN,
        bright=bright, with_table=with_table,
    )  # fmt: skip


def spread_of(values) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def test_stars_that_no_analytic_profile_fits_are_measured_to_their_noise():
    rng, x, y, flux = field(41)
    image = observed(rng, light_of(x, y, flux))
    bright = np.arange(60)
    analytic, table = (fit(image, x, y, bright, with_table=told) for told in (False, True))
    assert table.table.n_star == 60
    assert analytic.table.n_star == 0
    left = [np.nanmedian(found.residual_fraction[bright]) for found in (analytic, table)]
    assert left[1] < 0.4 * left[0]
    # the unit of light is that within the reach of the profile: one factor for all stars
    factor = np.median(table.flux_adu[bright] / flux[bright])
    assert factor == pytest.approx(1, abs=0.02)
    error = np.sqrt(flux / GAIN + table.noise_pix * NOISE**2)
    pull = (table.flux_adu / factor - flux) / error
    assert 0.75 < spread_of(pull[bright]) < 1.3
    assert abs(np.median(pull[60:])) < 0.25
    wrong = (analytic.flux_adu / np.median(analytic.flux_adu[bright] / flux[bright]) - flux) / error
    assert np.mean(pull[bright] ** 2) < np.mean(wrong[bright] ** 2)
    assert table.profile_err == pytest.approx(0, abs=2e-3)  # all stars are alike


def test_fluxes_are_those_of_photutils_with_the_true_image_of_a_star():
    rng, x, y, flux = field(42)
    image = observed(rng, light_of(x, y, flux))
    found = fit(image, x, y, np.arange(60), with_table=True)
    over, reach = 4, 13
    steps = np.arange(-reach * over, reach * over + 1) / over
    true = np.zeros((steps.size, steps.size))
    # a star of which each node sees what a pixel there would
    for j in range(over):
        for i in range(over):
            mid = np.array([float(reach)])
            stamp = light_of(
                mid - i / over, mid - j / over, np.ones(1), shape=(2 * reach + 1, 2 * reach + 1)
            )
            part = true[j::over, i::over]
            part[:] = stamp[: part.shape[0], : part.shape[1]]
    lone = np.array([k for k in range(60) if np.sort(np.hypot(x - x[k], y - y[k]))[1] > 9])
    psf = ImagePSF(true, oversampling=over)
    psf.x_0.fixed = psf.y_0.fixed = True
    near = PSFPhotometry(psf, (9, 9), aperture_radius=4)
    start = Start({"x": x[lone], "y": y[lone], "flux": flux[lone]})
    theirs = np.asarray(near(image - SKY, init_params=start)["flux_fit"])
    ratio = found.flux_adu[lone] / theirs
    assert lone.size > 20
    # photutils weighs all pixels alike and takes no neighbours off
    noise = np.sqrt(flux[lone] / GAIN + 2 * found.noise_pix[lone] * NOISE**2) / flux[lone]
    assert spread_of(ratio) < 1.5 * np.median(noise)
    assert np.median(ratio) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("varies", [False, True])
def test_the_table_changes_over_the_field_where_the_stars_do(varies):
    rng, x, y, flux = field(43)
    u = 2 * x / SHAPE[1] - 1
    light = np.zeros(SHAPE)
    for share, dx, dy, width in PIECES:
        # the tail points outwards on either side
        light += light_of(
            x + (dx * (u - 0.25) if varies else dx), y + dy, flux * share, ((1, 0, 0, width),)
        )
    found = fit(observed(rng, light), x, y, np.arange(60), with_table=True)
    assert found.table.n_term == (3 if varies else 1)
    total = (found.table.analytic + found.table.values[0]).sum() / found.table.per_pix**2
    assert total == pytest.approx(1, abs=0.02)
    for term in found.table.values[1:]:
        assert abs(term.sum()) / found.table.per_pix**2 < 1e-9


def test_a_profile_that_is_right_or_has_few_stars_stays_analytic():
    rng, x, y, flux = field(44, n_faint=0)
    moffat = observed(rng, light_of(x, y, flux, ((1, 0, 0, 1),)))
    right = fit(moffat, x, y, np.arange(60), with_table=True)
    assert right.profile_err == pytest.approx(0, abs=1.5e-3)
    few = fit(observed(rng, light_of(x, y, flux)), x, y, np.arange(8), with_table=True)
    assert few.table.n_star == 0
    assert few.profile_err is None


def test_what_differs_from_star_to_star_is_in_the_error_of_bright_stars():
    rng, x, y, flux = field(45, n_faint=0)
    flux *= 10
    light = np.zeros(SHAPE)
    for k in range(x.size):
        wide = 1 + rng.normal(0, 0.03)  # seeing is not the same for all
        light += light_of(x[k : k + 1], y[k : k + 1], flux[k : k + 1], ((1, 0, 0, wide),))
    found = fit(observed(rng, light), x, y, np.arange(60), with_table=True)
    noise = np.sqrt(flux / GAIN + found.noise_pix * NOISE**2) / flux
    off = found.flux_adu / flux
    assert spread_of(off) > 1.5 * np.median(noise)
    assert found.profile_err is not None
    quoted = np.sqrt(np.median(noise) ** 2 + found.profile_err**2)
    assert spread_of(off) / quoted == pytest.approx(1, abs=0.5)


def test_close_pairs_have_the_noise_of_both():
    rng = np.random.default_rng(46)
    x, y = (a.ravel() for a in np.meshgrid(np.arange(30, 291, 26.0), np.arange(30, 291, 26.0)))
    x, y = (a + rng.uniform(-0.5, 0.5, a.size) for a in (x, y))
    angle = rng.uniform(0, 2 * np.pi, x.size)
    x, y = np.append(x, x + 2.2 * np.cos(angle)), np.append(y, y + 2.2 * np.sin(angle))
    flux = np.full(x.size, 3e3)
    light = render_stars(x, y, flux, shape=SHAPE, fwhm_pix=3.4, beta=3.0)
    scale2 = 3.4**2 / (4 * (2 ** (1 / 3.0) - 1))
    spread = PointSpread("moffat", np.array([1 / scale2, 0, 1 / scale2, 3.0]), 3.4, 10)
    found = fitted_fluxes(
        observed(rng, light), NO_BITS, 0, x, y, spread, annulus_pix=(15.0, 24.0),
        gain_e_per_adu=GAIN,
    )  # fmt: skip
    error = np.sqrt(flux / GAIN + found.noise_pix * NOISE**2)
    pull = (found.flux_adu - flux) / error
    assert np.std(pull) == pytest.approx(1, abs=0.2)  # 242 stars: 0.045 for one sigma, sky apart
    assert found.neighbour_adu == pytest.approx(flux * 0.6, rel=0.35)


@pytest.mark.parametrize(("fwhm_pix", "per_pix"), [(1.8, 4), (2.4, 4), (3.4, 2), (8.0, 1)])
def test_the_nodes_of_a_table_are_as_fine_as_the_stars_ask(fwhm_pix, per_pix):
    scale2 = fwhm_pix**2 / (4 * (2 ** (1 / 3.0) - 1))
    shape = np.array([1 / scale2, 0.0, 1 / scale2, 3.0])
    table = empty_table(MOFFAT, shape, fwhm_pix=fwhm_pix, reach_pix=10)
    assert table.per_pix == per_pix
    assert table.analytic.shape == (20 * per_pix + 1,) * 2
    middle = 10 * per_pix
    assert table.analytic[middle, middle] == table.analytic.max()
