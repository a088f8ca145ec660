"""Fits of profiles: single stars against a naive fit, crowds against the truth and photutils."""

import numpy as np
import polars as pl
import pytest
from astropy.table import Table
from photutils.psf import CircularGaussianSigmaPRF, PSFPhotometry, SourceGrouper
from scipy.optimize import least_squares

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.apertures import circle_sums
from starmuster.transforms.flags import Flag
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.photometry import forced_photometry
from starmuster.transforms.profile_kernels import GAUSSIAN, MOFFAT, pixel_light
from starmuster.transforms.profile_photometry import NOT_FITTED, profile_photometry
from starmuster.transforms.profiles import PROFILE_SCHEMA, fitted_parameters
from starmuster.transforms.psf import PointSpread, fitted_fluxes
from starmuster.transforms.steps.settings import psf_radii
from starmuster.warehouse.config import Photometry

NO_BITS = np.zeros((0, 0), dtype=np.uint8)
SKY, NOISE = 200.0, 6.0
SHAPES = {
    "gaussian": (GAUSSIAN, np.array([0.42, 0.06, 0.36, 3.0])),
    "moffat": (MOFFAT, np.array([0.12, 0.02, 0.10, 2.6])),
}


def draw(model, shape, x, y, flux, size):  # noqa: PLR0917
    image = np.zeros((size, size))
    for k in range(len(x)):
        for j in range(max(0, int(y[k]) - 14), min(size, int(y[k]) + 15)):
            for i in range(max(0, int(x[k]) - 14), min(size, int(x[k]) + 15)):
                image[j, i] += flux[k] * pixel_light(model, i - x[k], j - y[k], shape)
    return image


def star_rows(x, y, flux):
    return pl.DataFrame(
        {
            "source_id": np.arange(len(x)),
            "x_pix": x,
            "y_pix": y,
            "flux_adu": flux,
            "sky_adu_per_pix": np.full(len(x), SKY),
            "sky_rms_adu": np.full(len(x), NOISE),
        }
    )


def test_the_settings_decide_whether_there_is_an_aperture_of_kind_psf():
    assert psf_radii(Photometry()) == ()
    assert psf_radii(Photometry(psf="gaussian")) == (4.0,)
    with pytest.raises(ValueError, match="psf"):
        Photometry.model_validate({"psf": "airy"})


@pytest.mark.parametrize("model", SHAPES)
def test_a_profile_holds_one_unit_of_light(model):
    kernel, shape = SHAPES[model]
    reach = {"gaussian": 12, "moffat": 400}[model]
    i = np.arange(-reach, reach + 1)
    total = sum(pixel_light(kernel, dx + 0.3, dy - 0.2, shape) for dx in i for dy in i)
    assert total == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("model", SHAPES)
def test_a_fit_is_that_of_a_naive_least_squares(model):
    kernel, shape = SHAPES[model]
    rng = np.random.default_rng(31)
    image = SKY + draw(kernel, shape, [20.3], [19.8], [4e4], 41) + rng.normal(0, NOISE, (41, 41))
    found, rows = fitted_parameters(
        model, image, NO_BITS, 0, star_rows([20.0], [20.0], [3e4]), fwhm_pix=3.6
    )
    j, i = np.indices(image.shape)
    near = np.hypot(i - 20, j - 20) <= 7.2
    n_free = 7 if model == "gaussian" else 8

    def misses(p):
        full = np.append(p, 3.0)[:8]
        light = [
            pixel_light(kernel, a - p[1], b - p[2], full[4:])
            for b, a in zip(j[near], i[near], strict=True)
        ]
        return image[near] - p[3] - p[0] * np.array(light)

    start = np.array([4e4, 20.3, 19.8, SKY, *shape])[:n_free]
    scale = np.array([1e4, 1, 1, 10, 0.1, 0.1, 0.1, 1])[:n_free]
    naive = least_squares(misses, start, x_scale=scale, xtol=1e-12, ftol=1e-12)
    np.testing.assert_allclose(found[0, :n_free], naive.x, rtol=2e-3, atol=2e-4)
    row = rows.row(0, named=True)
    assert dict(rows.schema) == PROFILE_SCHEMA
    assert row["rms_adu"] == pytest.approx(NOISE, rel=0.15)
    assert row["reduced_chi2"] is None  # without a gain
    assert row["x_pix"] == pytest.approx(20.3, abs=0.01)


def test_the_quality_of_fits_is_one_for_the_right_profile_and_more_for_the_wrong():
    rng = np.random.default_rng(32)
    gain, size = 1.5, 300
    y, x = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.mgrid[20:281:29, 20:281:29])
    kernel, shape = SHAPES["moffat"]
    light = draw(kernel, shape, x, y, np.full(x.size, 6e4), size)
    image = SKY + rng.poisson(light * gain) / gain + rng.normal(0, NOISE, light.shape)
    rows = star_rows(x, y, np.full(x.size, 5e4))
    right, wrong = (
        fitted_parameters(model, image, NO_BITS, 0, rows, fwhm_pix=3.5, gain_e_per_adu=gain)[1]
        for model in ("moffat", "gaussian")
    )
    assert right["reduced_chi2"].median() == pytest.approx(1, abs=0.05)
    assert wrong["reduced_chi2"].median() > 2
    assert right["flux_adu"].median() == pytest.approx(6e4, rel=0.01)
    assert right["beta"].median() == pytest.approx(2.6, abs=0.1)
    a, b, c, beta = shape
    axes = 2 * np.sqrt((2 ** (1 / beta) - 1) / np.linalg.eigvalsh([[a, b], [b, c]]))
    assert right["fwhm_pix"].median() == pytest.approx(axes.mean(), rel=0.01)
    assert right["ellipticity"].median() == pytest.approx(1 - axes.min() / axes.max(), abs=0.01)


def test_what_is_no_star_gets_no_fit():
    rng = np.random.default_rng(33)
    image = rng.normal(SKY, NOISE, (60, 60))
    image[40:, :] = np.nan
    rows = star_rows([20.0, 50.0, np.nan], [20.0, 50.0, 30.0], [50.0, 1e4, 1e4])
    _, fits = fitted_parameters("gaussian", image, NO_BITS, 0, rows, fwhm_pix=3.0)
    assert fits["flux_adu"][1] is None
    assert fits["flux_adu"][2] is None
    floats = fits.select(pl.selectors.float())
    assert not floats.select(pl.any_horizontal(pl.all().is_nan().any())).item()


def crowd(seed=34, *, size=200, n_star=350, fwhm_pix=3.4):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(2, size - 3, (2, n_star))
    flux = 10 ** rng.uniform(3, 5, n_star)
    image = render_stars(x, y, flux, shape=(size, size), fwhm_pix=fwhm_pix, beta=3.0)
    return rng, x, y, flux, image


def test_fluxes_of_a_crowd_are_right_within_their_noise_where_circles_are_not():
    gain = 2.0
    rng, x, y, flux, light = crowd()
    image = SKY + rng.poisson(light * gain) / gain + rng.normal(0, NOISE, light.shape)
    alpha2 = 3.4**2 / (4 * (2 ** (1 / 3.0) - 1))
    spread = PointSpread("moffat", np.array([1 / alpha2, 0, 1 / alpha2, 3.0]), 3.4, 10)
    fits = fitted_fluxes(
        image, NO_BITS, 0, x, y, spread, annulus_pix=(14.0, 22.0), gain_e_per_adu=gain
    )
    distance = np.hypot(x[:, None] - x, y[:, None] - y) + 99 * np.eye(x.size)
    alone = distance.min(axis=1) > 2.5
    error = np.sqrt(flux / gain + fits.noise_pix * NOISE**2)
    pull = ((fits.flux_adu - flux) / error)[alone]
    assert alone.sum() > 150
    assert abs(np.median(pull)) < 0.4
    # neighbours and sky add to the noise of a lone star
    assert 0.8 < 1.4826 * np.median(np.abs(pull - np.median(pull))) < 2.0
    circles = circle_sums(image - SKY, NO_BITS, 0, x, y, np.array([3.4]))[0][:, 0]
    assert np.median(np.abs(fits.flux_adu / flux - 1)) < 0.2 * np.median(np.abs(circles / flux - 1))


def test_fluxes_of_a_group_are_those_of_photutils():
    x, y = np.array([30.2, 33.1, 31.5, 60.0]), np.array([30.4, 31.0, 34.2, 60.3])
    flux = np.array([2e4, 8e3, 5e3, 1e4])
    sigma = 1.5
    shape = np.array([1 / sigma**2, 0.0, 1 / sigma**2, 3.0])
    rng = np.random.default_rng(35)
    image = draw(GAUSSIAN, shape, x, y, flux, 90) + SKY + rng.normal(0, 3.0, (90, 90))
    spread = PointSpread("gaussian", shape, 2.3548 * sigma, 4)
    ours = fitted_fluxes(image, NO_BITS, 0, x, y, spread, annulus_pix=(15.0, 22.0))
    prf = CircularGaussianSigmaPRF(sigma=sigma)
    prf.x_0.fixed = prf.y_0.fixed = True
    fit = PSFPhotometry(prf, (21, 21), grouper=SourceGrouper(12), aperture_radius=4)
    start = Table({"x": x, "y": y, "flux": flux})
    sky = ours.sky_adu_per_pix.mean()
    theirs = fit(image - sky, init_params=start)
    # two points of quadrature for an error function, and a sky for each star
    np.testing.assert_allclose(ours.flux_adu, theirs["flux_fit"], rtol=4e-3)


def test_stars_on_a_sky_of_one_whole_number_have_fluxes():
    kernel, shape = SHAPES["gaussian"]
    x, y, flux = np.array([30.3, 60.8]), np.array([30.1, 61.2]), np.array([2e4, 3e3])
    image = np.round(SKY + draw(kernel, shape, x, y, flux, 91))
    spread = PointSpread("gaussian", shape, 3.7, 5)
    found = fitted_fluxes(
        image, NO_BITS, 0, x, y, spread, annulus_pix=(15.0, 24.0), gain_e_per_adu=1.5
    )
    assert found.flux_adu == pytest.approx(flux, rel=0.01)
    assert np.isfinite(found.noise_pix).all()


def test_a_fit_does_without_saturated_pixels_and_without_too_few():
    rng, x, y, flux, light = crowd(36, n_star=60)
    image = SKY + light + rng.normal(0, NOISE, light.shape)
    bits = np.zeros(image.shape, dtype=np.uint8)
    brightest = int(np.argmax(flux))
    j, i = round(y[brightest]), round(x[brightest])
    bits[j - 1 : j + 2, i - 1 : i + 2] = PixelMask.SATURATED
    image[j - 1 : j + 2, i - 1 : i + 2] = 4e3
    alpha2 = 3.4**2 / (4 * (2 ** (1 / 3.0) - 1))
    spread = PointSpread("moffat", np.array([1 / alpha2, 0, 1 / alpha2, 3.0]), 3.4, 10)
    options = {"annulus_pix": (14.0, 22.0)}
    fits = fitted_fluxes(image, bits, NOT_FITTED.value, x, y, spread, **options)
    assert fits.missing_fraction[brightest] > 0.4
    if np.isfinite(fits.flux_adu[brightest]):
        assert fits.flux_adu[brightest] == pytest.approx(flux[brightest], rel=0.05)
    bits[j - 4 : j + 5, i - 4 : i + 5] = PixelMask.SATURATED
    fits = fitted_fluxes(image, bits, NOT_FITTED.value, x, y, spread, **options)
    assert np.isnan(fits.flux_adu[brightest])


def test_a_frame_gives_its_own_profile_and_rows_of_all_its_stars():
    rng = np.random.default_rng(37)
    y, x = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.mgrid[40:261:55, 40:261:55])
    flux = 10 ** rng.uniform(4, 5.3, x.size)
    light = render_stars(x, y, flux, shape=(300, 300), fwhm_pix=3.2, beta=3.0)
    image = SKY + light + rng.normal(0, NOISE, light.shape)
    sources = pl.DataFrame(
        {"source_id": np.arange(x.size), "x_pix": x, "y_pix": y, "flux_adu": flux}
    )
    apertures = {1: 4.8, 2: 8.0}
    annulus = {"annulus_inner_pix": 14.0, "annulus_outer_pix": 22.0}
    circles = forced_photometry(image, sources, apertures=apertures, fwhm_pix=3.4, **annulus)
    found = profile_photometry(
        image, None, circles, sources, apertures=apertures, psf_aperture_id=9,
        psf_model="moffat", fit_model="gaussian", annulus_pix=(14.0, 22.0), fwhm_pix=3.4,
        gain_e_per_adu=0.0,
    )  # fmt: skip
    spread = found.point_spread.row(0, named=True)
    assert spread["fwhm_pix"] == pytest.approx(3.2, rel=0.03)
    assert spread["beta"] == pytest.approx(3.0, abs=0.3)
    assert spread["n_star"] >= 15
    rows = found.aperture_flux
    assert rows["aperture_id"].unique().to_list() == [9]
    np.testing.assert_allclose(rows["flux_adu"].to_numpy(), flux, rtol=0.02)
    assert (rows["flags"] == 0).all()
    assert found.profile_fit.height == x.size
    assert found.profile_fit["reduced_chi2"].null_count() == x.size  # a gain of 0 is none
    few = sources.head(2)
    alone = forced_photometry(image, few, apertures=apertures, fwhm_pix=3.4, **annulus)
    nothing = profile_photometry(
        image, None, alone, few, apertures=apertures, psf_aperture_id=9, psf_model="moffat",
        fit_model="none", annulus_pix=(14.0, 22.0), fwhm_pix=3.4,
    )  # fmt: skip
    assert nothing.point_spread is None
    assert nothing.aperture_flux["flux_adu"].null_count() == 2
    assert ((nothing.aperture_flux["flags"] & Flag.BAD_PIXEL) != 0).all()
