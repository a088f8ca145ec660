"""Frames that no observer wants: null and flag, never a wrong number."""

import numpy as np
import polars as pl
import pytest

from starmuster.errors import PhotometryError
from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect, frame_quality
from starmuster.transforms.flags import Flag
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.photometry import Photometry, forced_photometry

SKY, NOISE = 300.0, 6.0
SHAPE = (160, 180)
APERTURES = {1: 4.0, 2: 7.0}


def noise(shape=SHAPE, seed=51):
    return np.random.default_rng(seed).normal(SKY, NOISE, shape)


def measured(image, x, y, *, mask=None, fwhm_pix=3.2, apertures=APERTURES) -> Photometry:
    sources = pl.DataFrame(
        {
            "source_id": np.arange(len(x)),
            "x_pix": np.asarray(x, dtype=float),
            "y_pix": np.asarray(y, dtype=float),
            "flux_adu": np.full(len(x), 1e4),
        }
    )
    inner = max(12.0, max(apertures.values()) + 1)
    return forced_photometry(
        image, sources, apertures=apertures, annulus_inner_pix=inner,
        annulus_outer_pix=inner + 8, fwhm_pix=fwhm_pix, mask=mask,
        background=mesh_background(image, mask),
    )  # fmt: skip


def has(rows: pl.DataFrame, flag: Flag) -> list[bool]:
    return ((rows["flags"] & flag.value) != 0).to_list()


def test_an_empty_field_has_no_stars_and_its_fluxes_are_noise():
    image = noise()
    sky = mesh_background(image)
    stars = detect(image, background=sky)
    assert stars.height <= 1
    quality = frame_quality(stars.clear(), sky).row(0, named=True)
    assert (quality["n_star"], quality["fwhm_pix"], quality["elongation"]) == (0, None, None)
    assert measured(image, [], []).measurement.is_empty()
    places = np.linspace(30, 130, 6)
    seen = measured(image, places, places)
    error = np.sqrt(np.pi * 16) * NOISE * 1.1
    assert seen.aperture_flux.filter(aperture_id=1)["flux_adu"].abs().max() < 4 * error
    for name in ("fwhm_pix", "ellipticity", "x_offset_pix"):
        assert seen.measurement[name].null_count() == 6
    assert seen.curve_of_growth.is_empty()


def test_one_star_is_found_and_measured():
    image = noise() + render_stars([80.3], [70.6], [5e4], shape=SHAPE, fwhm_pix=3.2)
    stars = detect(image, background=mesh_background(image))
    assert stars.height == 1
    seen = measured(image, stars["x_pix"], stars["y_pix"])
    assert seen.measurement["flags"].to_list() == [0]
    assert seen.measurement["fwhm_pix"][0] == pytest.approx(3.3, rel=0.12)
    assert seen.aperture_flux["flux_adu"].is_between(4e4, 5.1e4).all()


def test_a_frame_that_is_all_saturated_gives_no_flux():
    image = np.full(SHAPE, 65535.0)
    mask = np.full(SHAPE, PixelMask.SATURATED.value, dtype=np.uint8)
    assert detect(image, background=mesh_background(image, mask), mask=mask).is_empty()
    seen = measured(image, [60.0, 90.0], [60.0, 90.0], mask=mask)
    assert seen.aperture_flux["flux_adu"].null_count() == 4
    assert all(has(seen.aperture_flux, Flag.SATURATED))
    assert all(has(seen.measurement, Flag.CROWDED_SKY))
    assert seen.measurement["sky_adu_per_pix"].null_count() == 2


def test_negative_pixels_are_numbers_and_nan_pixels_are_not():
    star = render_stars([60.0], [60.0], [3e4], shape=SHAPE, fwhm_pix=3.2)
    below = noise() - 2 * SKY + star
    above = noise() + star
    flux = [measured(image, [60.0], [60.0]).aperture_flux for image in (below, above)]
    np.testing.assert_allclose(flux[0]["flux_adu"], flux[1]["flux_adu"], atol=0.5)
    assert measured(below, [60.0], [60.0]).measurement["sky_adu_per_pix"][0] < 0
    above[55:66, 55:66] = np.nan
    gone = measured(above, [60.0], [60.0])
    assert gone.aperture_flux["flux_adu"].null_count() == 2
    assert all(has(gone.aperture_flux, Flag.BAD_PIXEL))
    assert gone.measurement["fwhm_pix"][0] is None
    with pytest.raises(PhotometryError, match="0 good pixels"):
        mesh_background(np.full(SHAPE, np.nan))


def test_a_frame_smaller_than_the_mesh_and_the_annulus_is_measured_or_null():
    image = noise((30, 26)) + render_stars([13.0], [15.0], [2e4], shape=(30, 26), fwhm_pix=3.0)
    seen = measured(image, [13.0], [15.0])
    assert has(seen.measurement, Flag.EDGE) == [True]
    flux = seen.aperture_flux.filter(aperture_id=1)["flux_adu"][0]
    assert flux == pytest.approx(1.7e4, rel=0.1)
    tiny = measured(noise((9, 8)), [4.0], [4.0])
    assert tiny.aperture_flux["flux_adu"].null_count() == 2  # no sky, and half of it off the frame
    assert has(tiny.measurement, Flag.CROWDED_SKY) == [True]


def test_sources_off_the_frame_or_nowhere_have_no_row():
    seen = measured(noise(), [-50.0, 1e9, np.nan, 90.0, -0.6], [50.0, 50.0, 50.0, 90.0, 40.0])
    assert seen.measurement["source_id"].to_list() == [3]
    assert seen.n_off_frame == 4


@pytest.mark.parametrize("fwhm_pix", [1.2, 1.6, 2.0])
def test_undersampled_stars_keep_their_light_and_their_place(fwhm_pix):
    rng = np.random.default_rng(52)
    y, x = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.mgrid[30:131:50, 30:151:60])
    star = render_stars(x, y, np.full(x.size, 4e4), shape=SHAPE, fwhm_pix=fwhm_pix)
    image = noise() + star
    stars = detect(image, background=mesh_background(image))
    assert stars.height == x.size
    seen = measured(image, x, y, fwhm_pix=max(1.2, fwhm_pix))
    assert seen.measurement["flags"].to_list() == [0] * x.size
    offset = seen.measurement.select("x_offset_pix", "y_offset_pix").to_numpy()
    assert np.nanmax(np.abs(offset)) < 0.15
    flux = seen.aperture_flux.filter(aperture_id=2)["flux_adu"].to_numpy()
    truth = measured(star + SKY, x, y, fwhm_pix=max(1.2, fwhm_pix)).aperture_flux
    truth = truth.filter(aperture_id=2)["flux_adu"].to_numpy()
    assert np.abs(flux - truth).max() < 5 * np.sqrt(np.pi * 49) * NOISE


def test_defocused_stars_keep_their_light_and_have_no_false_shape():
    rng = np.random.default_rng(53)
    y, x = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.mgrid[50:251:66, 50:251:66])
    j, i = np.indices((300, 300))
    image = np.zeros((300, 300))
    for x0, y0 in zip(x, y, strict=True):
        r = np.hypot(i - x0, j - y0)
        image += 100 / (1 + np.exp((r - 9) / 0.6)) - 100 / (1 + np.exp((r - 4) / 0.6))
    truth = 100 * np.pi * (9**2 - 4**2 + 0)
    image += rng.normal(SKY, NOISE, image.shape)
    seen = measured(image, x, y, fwhm_pix=12.0, apertures={1: 8.0, 2: 14.0})
    flux = seen.aperture_flux.filter(aperture_id=2)["flux_adu"].to_numpy()
    np.testing.assert_allclose(flux, truth, rtol=0.03)
    assert not any(has(seen.aperture_flux, Flag.OFF_FRAME))
    # a ring is wider than any star under the window: no width, or one near the ring's
    width = seen.measurement["fwhm_pix"].drop_nulls()
    assert width.is_between(10, 30).all()
    growth = seen.curve_of_growth
    assert growth["n_star"].max() >= 9
    inner = growth.filter(pl.col("radius_pix") < 3.5)["enclosed_fraction"]
    assert inner.max() < 0.05  # the hole is dark
    # a bad pixel in the hole costs nothing, one in the ring what it held
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[round(y[0]), round(x[0])] = PixelMask.BAD
    mask[round(y[1]), round(x[1] + 6)] = PixelMask.BAD
    missing = measured(image, x, y, mask=mask, fwhm_pix=12.0, apertures={1: 14.0}).aperture_flux
    share = missing["missing_fraction"]
    assert share[0] < 3e-4
    assert share[1] == pytest.approx(100 / truth, rel=0.3)
