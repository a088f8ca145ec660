"""Clouds, trails, satellites, a flipped mount, a wrong pointing: frames fare as they deserve."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from starmuster.cli import main
from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.astrometry import sky_positions
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect, frame_quality, whole_stars
from starmuster.transforms.flags import Flag
from starmuster.transforms.registration import identity_registration
from starmuster.transforms.sightings import Sighting, merge_sightings
from starmuster.warehouse.store import Warehouse

pytestmark = pytest.mark.long  # each rests on a whole night, reduced

N_X, N_Y, SCALE = 260, 200, 1.0
RA_DEG, DEC_DEG = 210.0, 30.0
START = datetime(2024, 3, 8, 21)
SKY_ADU, NOISE_ADU, FWHM_PIX = 400.0, 8.0, 3.0
FAR = 150.0  # pixels: three quarters of the short side, where another field begins


@dataclass(frozen=True)
class Shot:
    """One exposure: where the mount points, and what happens to the light."""

    name: str
    x_off: float = 0.0
    y_off: float = 0.0
    transmission: float = 1.0
    fwhm_pix: float = FWHM_PIX
    trail_pix: int = 0
    has_satellite: bool = False
    is_flipped: bool = False
    has_wcs: bool = True


# Every second one is looked at when the field is searched: of these two thirds are spoiled.
SHOTS = (
    Shot("sharp"),
    Shot("second", 2.3, -1.7),
    Shot("trailed", 1.0, 3.0, trail_pix=40, has_wcs=False),
    Shot("third", -2.1, 1.2),
    Shot("satellite", 1.4, 0.6, has_satellite=True),
    Shot("fourth", 0.4, 2.2),
    Shot("defocused", -1.0, -2.0, fwhm_pix=13.0, has_wcs=False),
    Shot("clouded", 0.5, 0.5, transmission=0.004, has_wcs=False),
    Shot("flipped", 2.0, 1.0, is_flipped=True, has_wcs=False),
    Shot("far", FAR, 20.0),
    Shot("far again", FAR + 2.6, 18.5),
)


def true_stars() -> pl.DataFrame:
    """Places in arcsec (or pixels) west and north of the first pointing's corner, and light."""
    rng = np.random.default_rng(11)
    places: list[np.ndarray] = []
    while len(places) < 95:
        place = rng.uniform((-20, -20), (N_X + FAR + 25, N_Y + 45))
        if all(np.hypot(*(place - other)) > 14 for other in places):
            places.append(place)
    flux = 10 ** rng.uniform(3.5, 5.0, len(places))
    return pl.DataFrame(np.column_stack([np.array(places), flux]), schema=["u", "v", "flux_adu"])


def pointed(shot: Shot) -> WCS:
    """A plane around the first pointing: its pixels are those of the first frame, shifted."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = RA_DEG, DEC_DEG
    wcs.wcs.crpix = [(N_X + 1) / 2 - shot.x_off, (N_Y + 1) / 2 - shot.y_off]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return wcs


def exposed(shot: Shot, stars: pl.DataFrame, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, y = stars["u"].to_numpy() - shot.x_off, stars["v"].to_numpy() - shot.y_off
    flux = stars["flux_adu"].to_numpy() * shot.transmission
    n_step = max(1, shot.trail_pix)
    light = np.zeros((N_Y, N_X))
    for step in range(n_step):
        light += render_stars(
            x + 0.8 * step, y + 0.6 * step, flux / n_step, shape=(N_Y, N_X), fwhm_pix=shot.fwhm_pix
        )
    if shot.has_satellite:
        j, i = np.mgrid[:N_Y, :N_X]
        across = (j - 25 - 0.6 * i) / np.hypot(1, 0.6)
        light += 300 * np.exp(-0.5 * (across / 1.4) ** 2)
    image = light + SKY_ADU + rng.normal(0, 1, light.shape) * np.sqrt(NOISE_ADU**2 + light / 2)
    return image[::-1, ::-1] if shot.is_flipped else image


def write_shot(folder: Path, shot: Shot, stars: pl.DataFrame, i: int) -> None:
    wcs = pointed(shot)
    (ra_deg,), (dec_deg,) = sky_positions(wcs, [(N_X - 1) / 2], [(N_Y - 1) / 2])
    cards = {
        "IMAGETYP": "LIGHT",
        "OBJECT": "",
        "FILTER": "r",
        "EXPTIME": 30.0,
        "INSTRUME": "Test camera",
        "DATE-OBS": (START + timedelta(minutes=2 * i)).isoformat(),
        "RA": float(ra_deg),
        "DEC": float(dec_deg),
        "XPIXSZ": 4.848,
        "FOCALLEN": 1000.0,
    }
    header = fits.Header(list(cards.items()))
    if shot.has_wcs:
        header.update(wcs.to_header())
    pixels = np.clip(exposed(shot, stars, i), 0, 65535).astype(np.uint16)
    fits.writeto(folder / f"{shot.name.replace(' ', '_')}.fits", pixels, header)


@dataclass(frozen=True)
class Hard:
    """A warehouse with the night, and where its stars truly are."""

    folder: Path
    stars: pl.DataFrame
    code: int

    def sql(self, query: str) -> pl.DataFrame:
        """Ask the warehouse."""
        return Warehouse(self.folder).sql(query)

    def of_frame(self, name: str) -> str:
        """Return the condition that a row is of this frame."""
        return f"frame_id in (select frame_id from path where path like '%/{name}.fits')"

    def true_places(self) -> np.ndarray:
        """RA and Dec of all stars, degrees."""
        places = sky_positions(pointed(SHOTS[0]), self.stars["u"], self.stars["v"])
        return np.column_stack(places)


@pytest.fixture(scope="module")
def hard(tmp_path_factory, new_warehouse) -> Hard:
    place = tmp_path_factory.mktemp("hard")
    frames, folder, stars = place / "frames", place / "warehouse", true_stars()
    frames.mkdir()
    for i, shot in enumerate(SHOTS):
        write_shot(frames, shot, stars, i)
    new_warehouse(folder)
    code = main(["-w", str(folder), "ingest", str(frames), "--jobs", "1"])
    return Hard(folder, stars, code)


def nearest_arcsec(hard: Hard, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each place is from the nearest star, and which that is."""
    true = hard.true_places()
    east = (places[:, :1] - true[:, 0]) * np.cos(np.radians(DEC_DEG))
    apart = 3600 * np.hypot(east, places[:, 1:] - true[:, 1])
    return apart.min(axis=1), apart.argmin(axis=1)


def test_what_spoiled_frames_show_makes_no_stars(hard):
    places = hard.sql("select ra_deg, dec_deg from source").to_numpy()
    off_arcsec, star = nearest_arcsec(hard, places)
    assert off_arcsec.max() < 0.5
    assert len(set(star)) == len(star)


def test_stars_in_two_fields_that_overlap_are_one_source_each(hard):
    assert hard.sql("from field").height == 2
    both = hard.sql(
        "select source_id, ra_deg, dec_deg from source semi join "
        "(select source_id from field_source group by source_id having count(*) = 2) "
        "using (source_id)"
    )
    u, v = hard.stars["u"].to_numpy(), hard.stars["v"].to_numpy()
    overlap = (u > FAR + 8) & (u < N_X - 8) & (v > 28) & (v < N_Y - 8)
    off_arcsec, star = nearest_arcsec(hard, both.select("ra_deg", "dec_deg").to_numpy())
    assert off_arcsec.max() < 0.5
    assert set(np.flatnonzero(overlap)) <= set(star)
    # and each has its light from frames of both
    frames = hard.sql("select source_id, field_id from light_curve group by all")
    fields = frames.filter(pl.col("source_id").is_in(both["source_id"].implode()))
    assert fields.group_by("source_id").len()["len"].min() == 2


@pytest.mark.parametrize("name", ["clouded", "trailed", "defocused"])
def test_a_spoiled_frame_is_left_out_with_its_reason_or_rejected(hard, name):
    failed = hard.sql(f"select message from failure where {hard.of_frame(name)}")
    verdict = hard.sql(
        f"select is_rejected, reasons from frame_verdict where {hard.of_frame(name)}"
    )
    told = failed.height > 0 or bool(verdict["is_rejected"].any())
    assert told, (failed, verdict)
    clean = hard.sql(f"select 1 from light_curve where is_clean and {hard.of_frame(name)}")
    assert clean.is_empty()


def test_the_night_goes_on_around_them(hard):
    measured = hard.sql("select distinct path from measurement join path using (frame_id)")["path"]
    names = {Path(path).stem for path in measured}
    good = {"sharp", "second", "third", "fourth", "satellite", "flipped", "far", "far_again"}
    assert good <= names
    assert main(["-w", str(hard.folder), "check"]) == 0


@pytest.mark.parametrize("name", ["second", "satellite", "flipped"])
def test_stars_are_measured_where_they_are(hard, name):
    rows = hard.sql(
        "select source.ra_deg, source.dec_deg, aperture_flux.flux_adu, measurement.flags "
        "from measurement join aperture_flux using (frame_id, source_id) "
        "join aperture using (aperture_id) join source using (source_id) "
        f"where aperture_name = '2.5 fwhm' and {hard.of_frame(name)}"
    )
    _, star = nearest_arcsec(hard, rows.select("ra_deg", "dec_deg").to_numpy())
    is_whole = ((rows["flags"] & int(Flag.OFF_FRAME)) == 0).to_numpy()
    true = hard.stars["flux_adu"].to_numpy()[star]
    ratio = (rows["flux_adu"].to_numpy() / true)[is_whole & (true > 1.5e4)]
    assert len(ratio) > 12
    # 1 % is the noise of the faintest; the trail and its annuli touch some stars, not the others
    is_right = np.abs(ratio - np.median(ratio)) < 0.04
    assert np.mean(is_right) > (0.7 if name == "satellite" else 0.95)


@pytest.mark.parametrize(("name", "n_least"), [("satellite", 25), ("trailed", 0)])
def test_the_streaks_of_a_lone_frame_are_no_sure_stars(name, n_least):
    (shot,) = (shot for shot in SHOTS if shot.name == name)
    stars = true_stars()
    image = exposed(shot, stars, 1)
    sky = mesh_background(image)
    found = detect(image, background=sky)
    fwhm_pix = frame_quality(found, sky)["fwhm_pix"][0]
    sighting = Sighting(
        *(1, whole_stars(found, fwhm_pix=fwhm_pix), identity_registration()),
        *(N_X, N_Y, fwhm_pix, sky.rms_adu),
    )
    merged = merge_sightings([sighting], sure_sigma=8.0, expected_sigma=10.0)
    sure = merged.filter("is_confirmed").select("x_pix", "y_pix").to_numpy()
    true = np.column_stack([stars["u"] - shot.x_off, stars["v"] - shot.y_off])
    apart = np.hypot(*(sure[:, None, :] - true[None]).transpose(2, 0, 1)).min(axis=1)
    assert n_least <= len(sure) <= 2 * n_least
    assert apart.max(initial=0.0) < 2
