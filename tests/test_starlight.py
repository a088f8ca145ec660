"""The sky of faint stars is free of the light of the stars around them."""

import numpy as np
import polars as pl
import pytest

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.flags import Flag
from starmuster.transforms.mask import NO_BITS, PixelMask
from starmuster.transforms.photometry import forced_photometry
from starmuster.transforms.starlight import FAINTEST_SIGMA, STARLIT, starlight_marked

FWHM = 4.5
SKY, RMS = 50.0, 9.0
SHAPE = (600, 600)
RADIUS, INNER, OUTER = FWHM, 4 * FWHM, 7 * FWHM


def field(n_star: int, *, side: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places and fluxes of stars over four magnitudes, many faint ones."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(10, side - 10, (2, n_star))
    return x, y, 10 ** rng.uniform(2.6, 4.6, n_star)


def observed(x, y, flux, *, side: int = 600) -> np.ndarray:
    image = render_stars(x, y, flux, shape=(side, side), fwhm_pix=FWHM)
    return SKY + image + np.random.default_rng(2).normal(0, RMS, image.shape)


def measured(image: np.ndarray, x, y):
    sources = pl.DataFrame(
        {"source_id": np.arange(len(x)), "x_pix": x, "y_pix": y, "flux_adu": 1e3}
    )
    return forced_photometry(
        image,
        sources,
        apertures={1: RADIUS},
        annulus_inner_pix=INNER,
        annulus_outer_pix=OUTER,
        fwhm_pix=FWHM,
        background=mesh_background(image),
    )


def marked_bits(image, bits, *stars):
    with starlight_marked(image, bits, *stars, fwhm_pix=FWHM) as marked:
        return marked.copy()


def test_the_sky_between_stars_is_that_without_them():
    x, y, flux = field(350)  # one on a thousand pixels
    sky = measured(observed(x, y, flux), x, y).measurement["sky_adu_per_pix"].to_numpy()
    # clipping alone leaves 1.06 ADU, in this aperture as much as its noise
    assert abs(np.mean(sky) - SKY) < 0.15
    empty = measured(observed(x, y, 0 * flux), x, y).measurement["sky_adu_per_pix"].to_numpy()
    assert np.std(sky) < 2.5 * np.std(empty)


def test_a_disc_ends_where_the_light_falls_below_its_share_of_the_noise():
    image = SKY + render_stars(
        np.array([300.0]), np.array([300.0]), np.array([3e4]), shape=SHAPE, fwhm_pix=FWHM, beta=3.0
    )
    place = np.array([300.0]), np.array([300.0])
    sky = np.array([SKY]), np.array([RMS])
    marked = marked_bits(image, NO_BITS, *place, *sky) == STARLIT
    assert (image - SKY)[~marked].max() < 1.3 * FAINTEST_SIGMA * RMS
    assert (image - SKY)[marked].min() > 0.7 * FAINTEST_SIGMA * RMS
    bits = np.full(SHAPE, PixelMask.HOT.value, np.uint8)
    both = marked_bits(image, bits, *place, *sky)
    assert (both[marked] == PixelMask.HOT.value | STARLIT).all()
    assert (bits == PixelMask.HOT.value).all()


def test_what_was_bad_before_stays_bad_when_the_marks_of_stars_are_gone():
    rng = np.random.default_rng(5)
    x, y, flux = field(350)
    image = observed(x, y, flux)
    bits = np.where(rng.random(SHAPE) < 0.3, PixelMask.BAD.value, 0).astype(np.uint8)
    before = bits.copy()
    sky = np.full(x.size, SKY), np.full(x.size, RMS)

    def fail():
        with starlight_marked(image, bits, x, y, *sky, fwhm_pix=FWHM):
            assert np.count_nonzero(bits) > np.count_nonzero(before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (bits == before).all()


def test_a_crowded_annulus_counts_as_a_whole_and_places_without_light_mark_nothing():
    x, y, flux = field(1600, side=250)
    crowded = measured(observed(x, y, flux, side=250), x, y).measurement
    assert crowded["sky_adu_per_pix"].is_not_null().all()
    assert (crowded["n_sky_pix"] > 100).all()
    has_little = crowded["flags"].to_numpy() & Flag.CROWDED_SKY.value != 0
    assert has_little.any()
    nobody = np.array([np.nan, -50.0]), np.array([20.0, 20.0])
    sky = np.array([SKY, SKY]), np.array([RMS, RMS])
    assert not marked_bits(np.full(SHAPE, SKY), NO_BITS, *nobody, *sky).any()
