"""The page of a camera: distortion of a sky solution, flats on both sides of the pier."""

import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip

from starmuster.analysis.camera_figures import GRID, distortion_figure
from starmuster.cli import main

SHAPE = (96, 128)
SCALE_ARCSEC, BEND = 1.2, 2e-6


def solution(bend: float) -> WCS:
    """A turned and mirrored solution whose x is bent by the square of x."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if bend else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [10.0, 40.0]
    wcs.wcs.crpix = [500.5, 400.5]
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    wcs.wcs.cd = turn @ np.diag([-SCALE_ARCSEC, SCALE_ARCSEC]) / 3600
    if bend:
        a = np.zeros((3, 3))
        a[2, 0] = bend
        wcs.sip = Sip(a, np.zeros((3, 3)), None, None, [500.5, 400.5])
    return wcs


def test_distortion_is_what_no_affine_solution_can_make_up_for():
    _, largest = distortion_figure(solution(BEND), (800, 1000))
    u = np.linspace(0, 999, GRID) - 499.5
    expected = BEND * np.abs(u**2 - (u**2).mean()).max() * SCALE_ARCSEC
    # to 1 %: the solution's own centre is bent, too
    assert largest == pytest.approx(expected, rel=0.01)


def test_a_solution_without_distortion_has_none():
    _, largest = distortion_figure(solution(0.0), (800, 1000))
    assert largest < 1e-4  # its tangent point is a pixel off the centre of the frame


def test_flats_of_both_sides_of_the_pier_are_compared(tmp_path, warehouse):
    rng = np.random.default_rng(4)
    tilt = 1 + 0.02 * np.linspace(-1, 1, SHAPE[1])  # of the light on the other side

    def write(name, light, kind, minute, **cards):
        data = np.round(500 + rng.poisson(np.broadcast_to(light, SHAPE)) + rng.normal(0, 3, SHAPE))
        at = f"2024-03-08T20:{minute:02d}:00"
        common = {"INSTRUME": "c", "IMAGETYP": kind, "EXPTIME": 2.0, "DATE-OBS": at}
        header = fits.Header(common | cards)
        fits.PrimaryHDU(data.astype(np.uint16), header).writeto(tmp_path / f"{name}.fits")

    for i in range(3):
        write(f"bias{i}", 0.0, "bias", i)
        write(f"east{i}", 20_000.0, "flat", 10 + i, FILTER="r", PIERSIDE="East")
        write(f"west{i}", 20_000.0 * tilt, "flat", 20 + i, FILTER="r", PIERSIDE="West")
    folder = str(warehouse.folder)
    assert main(["ingest", str(tmp_path), "--warehouse", folder]) == 0
    page = tmp_path / "page.html"
    assert main(["camera", "c", "--output", str(page), "--warehouse", folder]) == 0
    text = page.read_text(encoding="utf-8")
    found = re.search(r"pier west over r, [\d-]+, pier east: rms ([\d.]+)%", text)
    assert found is not None
    assert float(found[1]) == pytest.approx(100 * tilt.std(), abs=0.2)  # photons: 0.1 % a box
