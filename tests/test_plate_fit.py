"""A plate is fitted to the stars that agree, however wrong the others are."""

import numpy as np
import pytest

from starmuster.transforms.astrometry import (
    fitted_wcs,
    orientation,
    separation_deg,
    sky_positions,
    wcs_from_cards,
)
from starmuster.transforms.plate_fit import fit_plate

N_X, N_Y, SCALE = 650, 500, 5.163
CENTRE = (31.13, 46.80)
NOISE_ARCSEC = 0.5


def truth(bend=0.0):
    """A mirrored plate whose corners are shifted by up to `bend` pixels."""
    x, y = np.meshgrid(np.linspace(0, N_X - 1, 20), np.linspace(0, N_Y - 1, 20))
    u, v = x.ravel() - (N_X - 1) / 2, y.ravel() - (N_Y - 1) / 2
    r2 = (u**2 + v**2) / ((N_X / 2) ** 2 + (N_Y / 2) ** 2)
    u, v = u + bend * r2, v - bend * r2
    eta, xi = np.radians(-v * SCALE / 3600), np.radians(-u * SCALE / 3600)
    dec0 = np.radians(CENTRE[1])
    below = np.cos(dec0) - eta * np.sin(dec0)
    ra = CENTRE[0] + np.degrees(np.arctan2(xi, below))
    dec = np.degrees(np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, below)))
    return fitted_wcs((x.ravel(), y.ravel()), (ra, dec), N_X, N_Y, centre_deg=CENTRE, sip_order=3)


def pairs(wcs, n_star, *, n_wrong=0, seed=1):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, N_X - 1, n_star), rng.uniform(0, N_Y - 1, n_star)
    ra, dec = sky_positions(wcs, x, y)
    dec = dec + rng.normal(0, NOISE_ARCSEC / np.sqrt(2), n_star) / 3600
    ra = ra + rng.normal(0, NOISE_ARCSEC / np.sqrt(2), n_star) / 3600 / np.cos(np.radians(dec))
    ra[:n_wrong] += 34 / 3600
    return (x, y), (ra, dec)


def worst_arcsec(wcs, other):
    x, y = np.meshgrid(np.linspace(0, N_X - 1, 9), np.linspace(0, N_Y - 1, 9))
    places = sky_positions(wcs, x.ravel(), y.ravel()), sky_positions(other, x.ravel(), y.ravel())
    return 3600 * separation_deg(*places[0], *places[1]).max()


@pytest.mark.parametrize("n_wrong", [0, 1, 2])
def test_wrong_pairs_among_fourteen_do_not_bend_the_plate(n_wrong):
    true = truth()
    pixels, sky = pairs(true, 14, n_wrong=n_wrong)
    bent = fitted_wcs(pixels, sky, N_X, N_Y, centre_deg=CENTRE, sip_order=2)
    plate = fit_plate(bent if n_wrong < 2 else true, pixels, sky, N_X, N_Y)
    assert plate is not None
    assert 14 - n_wrong - 1 <= plate.n_star <= 14 - n_wrong
    assert plate.rms_arcsec == pytest.approx(NOISE_ARCSEC, rel=0.4)
    # 12 stars fix the scale to 0.5 arcsec / (1000 arcsec sqrt(12))
    seen = orientation(plate.wcs, N_X, N_Y)
    assert seen.scale_arcsec_per_pix == pytest.approx(SCALE, rel=5e-4)
    assert seen.is_mirrored
    assert worst_arcsec(plate.wcs, true) < 4 * NOISE_ARCSEC


def test_a_distortion_is_fitted_where_the_stars_show_it_and_nowhere_else():
    flat, bent = truth(), truth(bend=2.0)
    for wcs, has_sip in ((flat, False), (bent, True)):
        pixels, sky = pairs(wcs, 60, seed=3)
        plate = fit_plate(wcs, pixels, sky, N_X, N_Y)
        assert plate is not None
        assert plate.wcs.wcs.ctype[0].endswith("SIP") == has_sip
        assert plate.n_star >= 58
        assert worst_arcsec(plate.wcs, wcs) < 4 * NOISE_ARCSEC


def test_where_hardly_a_star_agrees_there_is_no_plate():
    pixels, sky = pairs(truth(), 5)
    assert fit_plate(truth(), pixels, sky, N_X, N_Y) is None


def test_a_plate_across_the_zero_of_right_ascension_is_like_any_other():
    pixels, (ra, dec) = pairs(truth(), 20)
    sky = (ra - CENTRE[0]) % 360, dec
    start = fitted_wcs(pixels, sky, N_X, N_Y, centre_deg=(0.0, CENTRE[1]), sip_order=1)
    plate = fit_plate(start, pixels, sky, N_X, N_Y)
    assert plate is not None
    assert plate.rms_arcsec == pytest.approx(NOISE_ARCSEC, rel=0.4)


def distorted(cards):
    """A plate of the same centre with SIP coefficients of third order."""
    cd = SCALE / 3600
    return wcs_from_cards([
        *(["CTYPE1", "RA---TAN-SIP"], ["CTYPE2", "DEC--TAN-SIP"]),
        *(["CRVAL1", CENTRE[0]], ["CRVAL2", CENTRE[1]]),
        *(["CRPIX1", N_X / 2], ["CRPIX2", N_Y / 2], ["CD1_1", -cd], ["CD2_2", cd]),
        *(["A_ORDER", 3], ["B_ORDER", 3], *cards.items()),
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("cards", "is_radial"),
    [
        ({"A_3_0": 2e-7, "A_1_2": 2e-7, "B_2_1": 2e-7, "B_0_3": 2e-7, "A_2_0": 3e-5}, True),
        ({"A_3_0": 3e-7, "B_2_1": -2e-7}, False),  # no optics, but stars say so
    ],
)
def test_a_cubic_is_radial_unless_the_stars_say_more(cards, is_radial):
    true = distorted(cards)
    pixels, sky = pairs(true, 300)
    plate = fit_plate(true, pixels, sky, N_X, N_Y, max_sip_order=3)
    assert plate is not None
    # of 300 stars 20 parameters leave 0.26 of one star's noise on the whole frame, 0.7 in a corner
    assert worst_arcsec(plate.wcs, true) < 1.4 * NOISE_ARCSEC
    a = plate.wcs.sip.a
    same = a[3, 0] == pytest.approx(a[1, 2], rel=0.01) and abs(a[2, 1]) < 0.01 * abs(a[3, 0])
    assert bool(same) is is_radial
