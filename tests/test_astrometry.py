"""The sky in pixels: which WCS is trusted, how it is carried, and what the solver may do."""

import json
import os
import re
import stat
import time

import numpy as np
import polars as pl
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from starmuster.errors import RegistrationError
from starmuster.transforms.astrometry import (
    carried_wcs,
    orientation,
    pixel_positions,
    separation_deg,
    sky_positions,
    wcs_cards,
    wcs_from_cards,
    wcs_row,
)
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect
from starmuster.transforms.header_wcs import trusted_wcs
from starmuster.transforms.registration import Registration, apply_registration
from starmuster.transforms.solver import Hints, is_solver_installed, solve_field

N_X, N_Y = 1024, 800
SCALE = 0.668


def cards_of(scale=SCALE, angle_deg=20.0, mirrored=False, ra=250.42, dec=36.46, **more):
    """Cards of a TAN WCS; the angle is the position angle of the y axis."""
    t, s = np.radians(angle_deg), scale / 3600
    east = 1 if mirrored else -1
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": ra,
        "CRVAL2": dec,
        "CRPIX1": (N_X + 1) / 2,
        "CRPIX2": (N_Y + 1) / 2,
        "CD1_1": east * s * np.cos(t),
        "CD1_2": s * np.sin(t),
        "CD2_1": -east * s * np.sin(t),
        "CD2_2": s * np.cos(t),
        **more,
    }
    return [[keyword, value, ""] for keyword, value in cards.items() if value is not None]


SIP = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2}


def judge(cards, **options):
    return trusted_wcs(cards, N_X, N_Y, **options)


def test_a_plain_wcs_is_trusted_and_gives_the_right_sky():
    verdict = judge(cards_of(), scale_hint_arcsec_per_pix=0.7, pointing_deg=(250.4, 36.5))
    assert verdict.wcs is not None
    ra, dec = sky_positions(verdict.wcs, [(N_X - 1) / 2], [(N_Y - 1) / 2])
    assert (ra[0], dec[0]) == pytest.approx((250.42, 36.46), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"CRVAL1": "250.42"}, "CRVAL1 is '250.42': a number expected"),
        ({"CD1_1": "-1.8E-4", "CD2_2": "1.8E-4"}, "a number expected"),
        ({"CRVAL2": float("nan")}, "CRVAL2 is nan"),
        ({"CRVAL2": 95.0}, "not on the sky|makes? no WCS"),
        ({"CTYPE1": None}, "CTYPE1 missing"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "a projection of the sky expected"),
        ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "too coarse|no WCS"),
        ({"CD1_1": -2e-4, "CD1_2": 2e-4, "CD2_1": -2e-4, "CD2_2": 2e-4}, "perpendicular|no WCS"),
        ({"CD1_1": -3e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4}, "scales of x and y differ"),
        ({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 5e-3, "B_0_2": 5e-3}, "diverging|corners"),
        ({"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}, "neither a CD matrix"),
    ],
)
def test_a_wcs_that_cannot_be_true_is_refused_with_its_reason(change, reason):
    verdict = judge(cards_of(angle_deg=0.0, **change))
    assert verdict.wcs is None
    assert re.search(reason, verdict.reason)


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        (cards_of(scale=0.01), "too fine"),
        (cards_of(scale=3600.0), "too coarse"),
        (cards_of(scale=1.3), "0.668 expected"),
        (cards_of(ra=254.0), "degrees from where the telescope pointed"),
    ],
)
def test_a_wcs_against_the_hints_is_refused(cards, reason):
    verdict = judge(cards, scale_hint_arcsec_per_pix=SCALE, pointing_deg=(250.42, 36.46))
    assert verdict.wcs is None
    assert reason in verdict.reason


def test_old_and_private_cards_beside_a_wcs_change_nothing():
    clean = judge(cards_of()).wcs
    cluttered = judge(
        [
            *cards_of(),
            ["CDELT1", 1.0],
            ["CDELT2", 1.0],
            ["CROTA2", 45.0],
            ["RADECSYS", "FK5"],
            ["EQUINOX", "J2000"],
            ["TR1_0", 512.0],
            ["TR2_14", -7.2],
            ["PA", 359.9],
            ["CRVAL1", 0.0],  # a second one: the first wins
        ]
    ).wcs
    assert clean is not None
    assert cluttered is not None
    ours, theirs = (sky_positions(w, [0.0, 900.0], [0.0, 700.0]) for w in (clean, cluttered))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_the_older_description_by_cdelt_and_crota_is_understood():
    none = {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}
    old = judge(cards_of(**none, CDELT1=-SCALE / 3600, CDELT2=SCALE / 3600, CROTA2=20.0)).wcs
    assert old is not None
    assert orientation(old, N_X, N_Y).scale_arcsec_per_pix == pytest.approx(SCALE)
    assert min(abs(orientation(old, N_X, N_Y).rotation_deg - a) for a in (20, 340)) < 0.01


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, 180.0, 271.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_scale_angle_and_parity_are_those_of_the_cards(angle_deg, mirrored):
    wcs = judge(cards_of(angle_deg=angle_deg, mirrored=mirrored)).wcs
    assert wcs is not None
    seen = orientation(wcs, N_X, N_Y)
    assert seen.scale_arcsec_per_pix == pytest.approx(SCALE, rel=1e-5)
    assert abs((seen.rotation_deg - angle_deg + 180) % 360 - 180) < 0.01
    assert seen.is_mirrored is mirrored


@pytest.mark.parametrize("dec", [-89.9, 0.0, 36.46, 89.95])
def test_pixels_go_to_the_sky_and_back_with_distortion(dec):
    distortion = {**SIP, "A_2_0": 2e-6, "A_1_1": -1e-6, "B_0_2": 3e-6, "A_0_2": 0.0, "B_2_0": 0.0}
    wcs = judge(cards_of(dec=dec, ra=359.99, **distortion)).wcs
    assert wcs is not None
    x, y = np.random.default_rng(1).uniform(0, 800, (2, 200))
    back = pixel_positions(wcs, *sky_positions(wcs, x, y))
    np.testing.assert_allclose(back, [x, y], atol=1e-3)
    straight = judge(cards_of(dec=dec, ra=359.99)).wcs
    assert (
        np.abs(np.array(pixel_positions(straight, *sky_positions(wcs, x, y))) - [x, y]).max() > 0.1
    )


def test_the_far_side_of_the_sky_has_no_pixel():
    wcs = judge(cards_of()).wcs
    x, y = pixel_positions(wcs, [250.42, 70.42, 250.42, np.nan], [36.46, -36.46, -50.0, 0.0])
    assert np.isfinite(x[0])
    assert np.isnan(x[1:]).all()
    assert np.isnan(y[1:]).all()


def test_separation_agrees_with_astropy():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, (2, 50)), rng.uniform(-90, 90, (2, 50))
    here, there = SkyCoord(ra[0], dec[0], unit="deg"), SkyCoord(ra[1], dec[1], unit="deg")
    ours = separation_deg(ra[0], dec[0], ra[1], dec[1])
    np.testing.assert_allclose(ours, here.separation(there).deg, rtol=1e-9)


def test_a_wcs_survives_the_table():
    distortion = {**SIP, "A_2_0": 2e-6, "A_1_1": -1e-6, "B_0_2": 3e-6, "A_0_2": 0.0, "B_2_0": 0.0}
    wcs = judge(cards_of(**distortion)).wcs
    row = wcs_row(wcs, N_X, N_Y, method="header").row(0, named=True)
    assert (row["method"], row["n_star"], row["rms_arcsec"]) == ("header", None, None)
    assert all(len(card) == 2 for card in json.loads(row["cards"]))
    again = wcs_from_cards(row["cards"])
    x, y = np.random.default_rng(3).uniform(0, 800, (2, 50))
    np.testing.assert_allclose(sky_positions(again, x, y), sky_positions(wcs, x, y), atol=1e-9)


def test_a_field_s_wcs_is_carried_to_a_frame_by_its_registration():
    distortion = {**SIP, "A_2_0": 2e-6, "A_1_1": -1e-6, "B_0_2": 3e-6, "A_0_2": 0.0, "B_2_0": 0.0}
    field = judge(cards_of(**distortion)).wcs
    registration = Registration(
        2, (270.0, -0.999, 0.02, 1e-6, 2e-6, 0.0), (760.0, -0.02, -0.999, 0.0, 1e-6, 2e-6), 99, 0.1
    )
    frame = carried_wcs(field, registration, N_X, N_Y)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-500, 270, 20), np.linspace(0, 760, 20)))
    there = np.array(apply_registration(registration, x, y))
    seen = np.all((there > 0) & (there < [[N_X], [N_Y]]), axis=0)
    assert seen.sum() > 50
    truth, found = sky_positions(field, x, y), sky_positions(frame, *there)
    assert (3600 * separation_deg(*truth, *found))[seen].max() < 0.01 * SCALE
    verdict = trusted_wcs(json.loads(wcs_cards(frame)), N_X, N_Y)
    assert verdict.wcs is not None


def stars_of(n_star, seed=4):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "x_pix": rng.uniform(0, N_X, n_star),
            "y_pix": rng.uniform(0, N_Y, n_star),
            "flux_adu": 10 ** rng.uniform(2, 5, n_star),
        }
    )


def pretend_solver(folder, script, monkeypatch):
    """Put a shell script called solve-field first on the path."""
    program = folder / "solve-field"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_without_the_program_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_solver_installed()
    with pytest.raises(RegistrationError, match="Debian: apt install"):
        solve_field(stars_of(50), N_X, N_Y)


def test_a_hanging_solver_is_killed_with_its_children(tmp_path, monkeypatch):
    pid_file = tmp_path / "child.pid"
    pretend_solver(tmp_path, f"sleep 600 &\necho $! > {pid_file}\nwait\n", monkeypatch)
    start = time.monotonic()
    with pytest.raises(RegistrationError, match="no solution within 1 s"):
        solve_field(stars_of(50), N_X, N_Y, timeout_s=1.0)
    assert time.monotonic() - start < 5
    child = int(pid_file.read_text())
    for _ in range(50):
        if not os.path.exists(f"/proc/{child}") or "Z" in _state(child):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the solver's child is still alive")


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo Field 1 did not solve; exit 0", "match no part of the sky"),
        ("echo You must list at least one index in the config file; exit 255", "no index files"),
        ("echo something broke; exit 3", "something broke"),
    ],
)
def test_why_the_solver_failed_is_told(tmp_path, monkeypatch, script, message):
    pretend_solver(tmp_path, script, monkeypatch)
    with pytest.raises(RegistrationError, match=message):
        solve_field(stars_of(50), N_X, N_Y)


def test_a_solution_against_the_hints_is_refused(tmp_path, monkeypatch):
    wcs = WCS(fits.Header([(k, v) for k, v, _ in cards_of()]))
    fits.PrimaryHDU(header=wcs.to_header()).writeto(tmp_path / "answer.wcs")
    script = (
        'while [ $# -gt 0 ]; do [ "$1" = --dir ] && cp '
        f'{tmp_path}/answer.wcs "$2/stars.wcs"; shift; done\n'
    )
    pretend_solver(tmp_path, script, monkeypatch)
    solution = solve_field(stars_of(50), N_X, N_Y, hints=Hints(ra_deg=250.0, dec_deg=36.0))
    assert solution.n_star is None
    with pytest.raises(RegistrationError, match="solution refused"):
        solve_field(stars_of(50), N_X, N_Y, hints=Hints(ra_deg=10.0, dec_deg=36.0))


def test_a_damaged_answer_of_the_solver_is_no_solution(tmp_path, monkeypatch):
    script = (
        'while [ $# -gt 0 ]; do [ "$1" = --dir ] && echo rubbish > "$2/stars.wcs"; shift; done\n'
    )
    pretend_solver(tmp_path, script, monkeypatch)
    with pytest.raises(RegistrationError, match="cannot be read"):
        solve_field(stars_of(50), N_X, N_Y)


def test_too_few_stars_are_not_sent_to_the_solver(tmp_path, monkeypatch):
    pretend_solver(tmp_path, "exit 0", monkeypatch)
    with pytest.raises(RegistrationError, match="3 stars seen"):
        solve_field(stars_of(3), N_X, N_Y)


@pytest.mark.real
def test_a_frame_of_hat_p_32_is_solved_with_hints_that_are_off(real_data):
    if not is_solver_installed():
        pytest.skip("solve-field is not installed")
    path = sorted((real_data / "hatp32").glob("*.FITS"))[0]
    image = np.asarray(fits.getdata(path), dtype=np.float32)
    solution = solve_field(
        detect(image, background=mesh_background(image)),
        650,
        500,
        hints=Hints(5.21, ra_deg=31.3121, dec_deg=46.7691),
    )
    seen = orientation(solution.wcs, 650, 500)
    assert seen.scale_arcsec_per_pix == pytest.approx(5.16, abs=0.02)
    x, y = pixel_positions(solution.wcs, 31.0427, 46.6879)
    assert (x, y) == pytest.approx((423, 286), abs=2)
    assert solution.n_star is not None
    assert solution.rms_arcsec is not None
    assert solution.n_star >= 10
    assert solution.rms_arcsec < 5.16


@pytest.mark.real
def test_headers_of_both_arcsat_nights_are_judged_rightly(real_data):
    n_trusted = 0
    paths = [*(real_data / "m13_griz").glob("M13*"), *(real_data / "lpseb35").glob("LPS*")]
    for path in paths:
        header = fits.getheader(path, 1)
        cards = [[card.keyword, card.value] for card in header.cards]
        pointing = SkyCoord(header["OBJCTRA"], header["OBJCTDEC"], unit=("hourangle", "deg"))
        verdict = trusted_wcs(
            cards,
            1024,
            1024,
            scale_hint_arcsec_per_pix=206.265 * 13 / header["FOCALLEN"],
            pointing_deg=(pointing.ra.deg, pointing.dec.deg),
            pointing_tolerance_deg=0.2,
        )
        assert (verdict.wcs is not None) == ("CTYPE1" in header), (path.name, verdict.reason)
        if verdict.wcs is not None:
            n_trusted += 1
            assert orientation(verdict.wcs, 1024, 1024).is_mirrored
    assert n_trusted >= 12 + 47
