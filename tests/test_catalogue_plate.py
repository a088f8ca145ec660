"""A frame solved by known stars alone."""

import numpy as np
import polars as pl
import pytest
from astropy.wcs import WCS

from starmuster.errors import RegistrationError
from starmuster.transforms.astrometry import (
    orientation,
    pixel_positions,
    sky_positions,
    wcs_from_cards,
)
from starmuster.transforms.catalogue_plate import solve_with_catalogue
from starmuster.transforms.solver import Hints

N_X, N_Y, SCALE = 9576, 6388, 0.303
POINTING = 132.8, 11.8


def true_wcs(*, n_x=N_X, n_y=N_Y, scale=SCALE, off_arcmin=(2.3, -1.9), angle=163.0, mirrored=False):
    """A telescope: turned, pointed some minutes off, with a distortion of third order."""
    turn = np.radians(angle)
    cd = scale / 3600 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if mirrored:
        cd[:, 0] *= -1
    ra, dec = POINTING
    reach = max(n_x, n_y) / 2
    cubic, quadratic = 25 * n_x / N_X / reach**3, 6 * n_x / N_X / reach**2
    cards = [
        *(["CTYPE1", "RA---TAN-SIP"], ["CTYPE2", "DEC--TAN-SIP"]),
        ["CRVAL1", ra + off_arcmin[0] / 60 / np.cos(np.radians(dec))],
        ["CRVAL2", dec + off_arcmin[1] / 60],
        *(["CRPIX1", n_x / 2], ["CRPIX2", n_y / 2]),
        *([f"CD{a + 1}_{b + 1}", float(cd[a, b])] for a in (0, 1) for b in (0, 1)),
        *(["A_ORDER", 3], ["A_3_0", cubic], ["A_1_2", cubic], ["A_2_0", quadratic]),
        *(["B_ORDER", 3], ["B_0_3", cubic], ["B_2_1", cubic], ["B_1_1", -quadratic]),
    ]
    return wcs_from_cards(cards)


def sky(rng, n_star, radius_deg=0.75):
    """A catalogue around the pointing; faint stars are many."""
    ra, dec = POINTING
    distance, angle = radius_deg * np.sqrt(rng.random(n_star)), 2 * np.pi * rng.random(n_star)
    return pl.DataFrame(
        {
            "ra_deg": ra + distance * np.sin(angle) / np.cos(np.radians(dec)),
            "dec_deg": dec + distance * np.cos(angle),
            "rank_mag": 16 + np.log10(rng.random(n_star)) / 0.35,
        }
    )


def seen_stars(rng, wcs, catalogue, *, n_x=N_X, n_y=N_Y, n_false=10, lost=0.15, noise_pix=0.1):
    x, y = pixel_positions(wcs, catalogue["ra_deg"], catalogue["dec_deg"])
    inside = (x > 0) & (x < n_x - 1) & (y > 0) & (y < n_y - 1) & (rng.random(len(x)) > lost)
    magnitude = catalogue["rank_mag"].to_numpy()[inside] + rng.normal(0, 0.2, inside.sum())
    real = np.column_stack([x[inside], y[inside], 10 ** (-0.4 * (magnitude - 22))])
    real[:, :2] += rng.normal(0, noise_pix, (len(real), 2))
    false = rng.random((n_false, 3)) * [n_x, n_y, 0] + [0, 0, np.quantile(real[:, 2], 0.9)]
    both = rng.permutation(np.vstack([real, false]))
    return pl.DataFrame(both, schema=["x_pix", "y_pix", "flux_adu"])


def errors_pix(found: WCS, truth: WCS, n_x=N_X, n_y=N_Y):
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, n_x, 15), np.linspace(0, n_y, 11)))
    there = pixel_positions(found, *sky_positions(truth, x, y))
    return np.hypot(there[0] - x, there[1] - y)


@pytest.mark.parametrize(("seed", "angle", "mirrored"), [(1, 163, False), (2, 5, True)])
def test_a_field_of_the_telescope_is_solved_to_a_tenth_of_a_pixel(seed, angle, mirrored):
    rng = np.random.default_rng(seed)
    wcs, catalogue = true_wcs(angle=angle, mirrored=mirrored), sky(rng, 2500)
    stars = seen_stars(rng, wcs, catalogue)
    solution = solve_with_catalogue(
        stars, catalogue, N_X, N_Y, hints=Hints(SCALE * 1.01, 0.1, *POINTING)
    )
    error_pix = errors_pix(solution.wcs, wcs)
    assert np.sqrt(np.mean(error_pix**2)) < 0.05
    assert error_pix.max() < 0.12  # in the corners, where few stars are
    n_real = stars.height - 10
    assert solution.n_star > 0.97 * n_real
    assert solution.rms_arcsec == pytest.approx(np.sqrt(2) * 0.1 * SCALE, rel=0.1)
    assert orientation(solution.wcs, N_X, N_Y).is_mirrored == orientation(wcs, N_X, N_Y).is_mirrored
    assert solution.residuals is not None
    assert solution.residuals.filter("is_used").height == solution.n_star


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_hundred_stars_hold_the_corners_by_the_radius(seed):
    rng = np.random.default_rng(seed)
    wcs, catalogue = true_wcs(angle=40 * seed), sky(rng, 550)
    stars = seen_stars(rng, wcs, catalogue)
    solution = solve_with_catalogue(
        stars, catalogue, N_X, N_Y, hints=Hints(SCALE * 1.01, 0.1, *POINTING)
    )
    error_pix = errors_pix(solution.wcs, wcs).reshape(11, 15)
    assert np.sqrt(np.mean(error_pix**2)) < 0.08
    # noise in a corner: 0.1 pix for each coordinate, times sqrt(28 / n) for 13 parameters, where
    # the cubic of 20 has sqrt(70 / n)
    corner_pix = error_pix[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.sqrt(np.mean(corner_pix**2)) < 2 * 0.1 * np.sqrt(2 * 28 / (stars.height - 10))


def test_a_pointing_that_is_half_a_field_off_is_found_around_it():
    rng = np.random.default_rng(5)
    wcs, catalogue = true_wcs(n_x=1200, n_y=800, scale=1.0, off_arcmin=(11, 8)), sky(rng, 4000)
    stars = seen_stars(rng, wcs, catalogue, n_x=1200, n_y=800)
    hints = Hints(1.03, 0.1, *POINTING)
    solution = solve_with_catalogue(stars, catalogue, 1200, 800, hints=hints)
    assert errors_pix(solution.wcs, wcs, 1200, 800).max() < 0.3


def test_without_a_scale_the_field_is_found_too():
    rng = np.random.default_rng(6)
    wcs, catalogue = true_wcs(), sky(rng, 2500)
    solution = solve_with_catalogue(
        seen_stars(rng, wcs, catalogue), catalogue, N_X, N_Y, hints=Hints(None, 0.1, *POINTING)
    )
    assert errors_pix(solution.wcs, wcs).max() < 0.2


def test_another_piece_of_sky_is_refused_with_the_numbers():
    rng = np.random.default_rng(7)
    stars = seen_stars(rng, true_wcs(), sky(rng, 2500))
    with pytest.raises(RegistrationError, match="compared in vain at 7 places"):
        solve_with_catalogue(
            stars, sky(rng, 700, 0.5), N_X, N_Y, hints=Hints(SCALE, 0.1, *POINTING)
        )


@pytest.mark.parametrize(
    ("hints", "n_star", "message"),
    [
        (Hints(SCALE), 2500, "pointing is not known"),
        (Hints(SCALE, 0.1, *POINTING), 5, "at least 8"),
    ],
)
def test_what_is_missing_is_told(hints, n_star, message):
    rng = np.random.default_rng(8)
    stars = seen_stars(rng, true_wcs(), sky(rng, 600))
    with pytest.raises(RegistrationError, match=message):
        solve_with_catalogue(stars, sky(rng, n_star), N_X, N_Y, hints=hints)


def test_a_header_that_is_mirrored_or_a_degree_off_does_not_mislead():
    rng = np.random.default_rng(9)
    wcs, catalogue = true_wcs(), sky(rng, 2500)
    stars = seen_stars(rng, wcs, catalogue)
    for header in (true_wcs(mirrored=True), true_wcs(off_arcmin=(60, 5)), true_wcs(scale=0.5)):
        solution = solve_with_catalogue(
            stars, catalogue, N_X, N_Y, hints=Hints(SCALE, 0.1, *POINTING), header=header
        )
        assert errors_pix(solution.wcs, wcs).max() < 0.2
