"""Gain: recovered from flats and from stars, and refused where there is none to be had."""

from datetime import date, datetime
from itertools import combinations, pairwise

import numpy as np
import polars as pl
import pytest

from starmuster.errors import CalibrationError
from starmuster.transforms.gain import gain_from_star_scatter, photon_transfer, similar_pairs
from starmuster.transforms.pixels import read_pixels
from starmuster.transforms.steps.gain import gain_of_stars
from starmuster.warehouse.store import shipped

SHAPE = (320, 384)
GAIN, READ_NOISE_ADU, BIAS_ADU = 1.6, 4.0, 800.0


class Camera:
    """A camera of known gain and read noise, with vignetting, pixel response and a bias pattern."""

    def __init__(self, seed: int, full_well_adu: float = 65_535) -> None:
        self.rng = np.random.default_rng(seed)
        self.y, self.x = np.indices(SHAPE) / max(SHAPE) - 0.5
        self.response = (1 - 0.3 * (self.y**2 + self.x**2)) * self.rng.normal(1, 0.02, SHAPE)
        self.pattern = BIAS_ADU + self.rng.normal(0, 3, SHAPE)
        self.full_well_adu = full_well_adu

    def expose(self, light_adu: np.ndarray | float = 0.0) -> np.ndarray:
        photons = self.rng.poisson(light_adu * self.response * GAIN) / GAIN
        # pixels fill up at slightly different levels, but each always at its own
        signal = np.minimum(photons, self.full_well_adu * self.response)
        noise = self.rng.normal(0, READ_NOISE_ADU, SHAPE)
        return np.clip(np.round(self.pattern + signal + noise), 0, 65_535).astype(np.uint16)

    def bias_pairs(self, n: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
        return list(pairwise([self.expose() for _ in range(n)]))


@pytest.fixture
def camera() -> Camera:
    return Camera(seed=42)


def test_gain_and_read_noise_are_recovered_within_their_errors(camera):
    flats = [camera.expose(s) for s in (20_000, 21_000, 19_000)]
    fit = photon_transfer(combinations(flats, 2), camera.bias_pairs())
    assert fit.verdict == "ok"
    assert fit.n_pair == 3
    # 120 tiles of 1021 degrees of freedom: 0.4 %
    assert 0.002 < fit.gain_err_e_per_adu / GAIN < 0.008
    assert abs(fit.gain_e_per_adu - GAIN) < 3 * fit.gain_err_e_per_adu
    assert fit.read_noise_e == pytest.approx(READ_NOISE_ADU * GAIN, rel=0.015)


def test_the_gain_is_not_biased(camera):
    biases = camera.bias_pairs(8)
    gains = [
        photon_transfer([(camera.expose(9_000), camera.expose(9_500))], biases).gain_e_per_adu
        for _ in range(12)
    ]
    assert np.mean(gains) == pytest.approx(GAIN, rel=3 * 0.004 / 12**0.5)


def test_a_lamp_that_drifts_with_a_gradient_does_no_harm(camera):
    first = camera.expose(15_000 * (1 + 0.1 * camera.x))
    second = camera.expose(17_000 * (1 - 0.05 * camera.y))
    fit = photon_transfer([(first, second)], camera.bias_pairs())
    assert fit.gain_e_per_adu == pytest.approx(GAIN, abs=3 * 0.004 * GAIN)


def test_cosmic_rays_and_hot_pixels_do_no_harm(camera):
    pair = camera.expose(10_000), camera.expose(10_400)
    for frame in pair:
        hit = camera.rng.integers(0, frame.size, 300)
        frame.flat[hit] = np.minimum(frame.flat[hit] + 20_000.0, 60_000)
    fit = photon_transfer([pair], camera.bias_pairs())
    assert fit.gain_e_per_adu == pytest.approx(GAIN, abs=3 * 0.004 * GAIN)


@pytest.mark.parametrize(
    ("light_adu", "verdict"),
    [
        ((200_000, 210_000), "saturated"),
        ((2, 2), "too faint"),
        ((10_000, 30_000), "different level: ratio 0.33"),
    ],
)
def test_nonsense_gets_no_gain_but_a_reason(camera, light_adu, verdict):
    pair = tuple(camera.expose(s) for s in light_adu)
    fit = photon_transfer([pair], camera.bias_pairs())
    assert verdict in fit.verdict
    assert (fit.gain_e_per_adu, fit.gain_err_e_per_adu, fit.read_noise_e) == (None, None, None)


def test_full_wells_below_the_converters_limit_are_recognised():
    camera = Camera(seed=2, full_well_adu=40_000)
    pair = camera.expose(70_000), camera.expose(72_000)
    fit = photon_transfer([pair], camera.bias_pairs())
    assert fit.gain_e_per_adu is None
    assert "ADU without photon noise" in fit.verdict
    # half of the frame full, the other half still scatters as it should
    part = (
        camera.expose(25_000 * (1 + camera.x * 1.8)),
        camera.expose(25_200 * (1 + camera.x * 1.8)),
    )
    fit = photon_transfer([part], camera.bias_pairs())
    assert fit.gain_e_per_adu == pytest.approx(GAIN, rel=0.03)


def test_a_lamp_that_lights_differently_is_refused(camera):
    ripple = 1 + 0.03 * np.sin(camera.x * 25) * np.cos(camera.y * 25)
    pair = camera.expose(20_000), camera.expose(20_000 * ripple)
    fit = photon_transfer([pair], camera.bias_pairs())
    assert "lit differently" in fit.verdict
    assert fit.gain_e_per_adu is None


def test_pairs_that_disagree_are_refused(camera):
    pairs = [(camera.expose(20_000), camera.expose(20_000)) for _ in range(2)]
    noisy = [
        tuple(np.clip(f + camera.rng.normal(0, 100, SHAPE), 0, 65_535) for f in pair)
        for pair in pairs
    ]
    fit = photon_transfer([*pairs, *noisy], camera.bias_pairs())
    assert "4 pairs of flats disagree" in fit.verdict
    assert fit.gain_e_per_adu is None


def test_too_few_frames_are_refused(camera):
    assert "no pair of biases" in photon_transfer([], []).verdict
    assert "no pair of flats" in photon_transfer([], camera.bias_pairs()).verdict


def test_flats_of_zeros_or_nan_give_no_gain_and_no_warning(camera):
    for value in (0.0, np.nan):
        frame = np.full(SHAPE, value)
        assert photon_transfer([(frame, frame)], camera.bias_pairs()).gain_e_per_adu is None


def test_frames_of_different_size_are_refused_naming_both(camera):
    small = np.ones((64, 64))
    with pytest.raises(CalibrationError, match="flat of 64 x 64 pixels, biases of 384 x 320"):
        photon_transfer([(small, small)], camera.bias_pairs())
    with pytest.raises(CalibrationError, match="bias of 384 x 320 pixels, biases of 64 x 64"):
        photon_transfer([], [(small, camera.expose())])


def test_flats_are_paired_with_their_neighbour_in_level():
    assert similar_pairs([100.0, 5_000.0, 95.0, 20_000.0, 6_000.0]) == [(2, 0), (1, 4)]
    assert similar_pairs([0.0, 0.0, -3.0]) == []


def stars(
    n_star: int,
    *,
    gain_e_per_adu: float,
    sky_rms_adu: float,
    proportional: float = 0.0,
    seed: int = 0,
    n_frame: int = 120,
) -> pl.DataFrame:
    """Return the scatter of stars whose fluxes were drawn frame by frame."""
    rng = np.random.default_rng(seed)
    flux_adu = np.geomspace(500, 200_000, n_star)
    n_pix = 80.0
    sigma = np.sqrt(
        flux_adu / gain_e_per_adu + n_pix * sky_rms_adu**2 + (proportional * flux_adu) ** 2
    )
    fluxes = flux_adu + sigma * rng.normal(size=(n_frame, n_star))
    return pl.DataFrame(
        {
            "source_id": np.arange(n_star),
            "variance_adu2": (np.diff(fluxes, axis=0) ** 2).mean(axis=0) / 2,
            "n_difference": np.full(n_star, n_frame - 1),
            "flux_adu": fluxes.mean(axis=0),
            "sky_variance_adu2": np.full(n_star, n_pix * sky_rms_adu**2),
        }
    )


def test_the_scatter_of_stars_tells_the_gain():
    pulls = []
    for seed in range(20):
        table = stars(60, gain_e_per_adu=2.0, sky_rms_adu=5.0, proportional=0.002, seed=seed)
        fit = gain_from_star_scatter(table)
        assert (fit.verdict, fit.n_pair, fit.read_noise_e) == ("ok", 60, None)
        assert fit.gain_err_e_per_adu / 2.0 < 0.15
        pulls.append((fit.gain_e_per_adu - 2.0) / fit.gain_err_e_per_adu)
    assert abs(np.mean(pulls)) < 3 / 20**0.5
    # the error leans to the safe side: how much scales with light is hard to tell from photons
    assert 0.4 < np.std(pulls) < 1.3


def test_variable_stars_do_not_drag_the_gain():
    table = stars(60, gain_e_per_adu=2.0, sky_rms_adu=5.0, seed=1).with_columns(
        pl.when(pl.col("source_id") % 6 == 3)
        .then(pl.col("variance_adu2") * 100)
        .otherwise("variance_adu2")
        .alias("variance_adu2")
    )
    fit = gain_from_star_scatter(table)
    assert fit.gain_e_per_adu == pytest.approx(2.0, rel=0.15)


def test_a_bright_sky_hides_the_gain():
    fit = gain_from_star_scatter(stars(60, gain_e_per_adu=2.0, sky_rms_adu=500.0))
    assert fit.gain_e_per_adu is None
    assert "does not stand out" in fit.verdict


def test_few_or_useless_stars_give_no_gain():
    table = stars(60, gain_e_per_adu=2.0, sky_rms_adu=5.0)
    assert "too few: 9 usable stars" in gain_from_star_scatter(table.head(9)).verdict
    useless = table.with_columns(variance_adu2=pl.lit(None, pl.Float64))
    assert "too few: 0 usable stars" in gain_from_star_scatter(useless).verdict
    short = stars(60, gain_e_per_adu=2.0, sky_rms_adu=5.0, n_frame=5)
    assert "too few: 0 usable stars" in gain_from_star_scatter(short).verdict


def test_the_gain_is_that_of_the_aperture_without_light_of_neighbours(database, fill):
    rng = np.random.default_rng(11)
    n_frame, flux_adu = 60, np.geomspace(500, 50_000, 50)
    night = {"camera_id": 1, "night": date(2024, 3, 8), "band": "r"}
    frames = range(1, n_frame + 1)

    def put(table, rows):
        database.register("given", fill(table, rows))
        database.execute(f"insert into {table} by name from given")

    put(
        "frame",
        [
            {"frame_id": i, "content_hash": str(i), "mid_utc": datetime(2024, 3, 8, 20, i % 60)}
            | night
            for i in frames
        ],
    )
    put("frame_quality", [{"frame_id": i, "fwhm_pix": 4.0} for i in frames])
    keys = [{"frame_id": i, "source_id": star} for i in frames for star in range(len(flux_adu))]
    put("measurement", [key | {"sky_rms_adu": 5.0, "n_sky_pix": 300} for key in keys])
    # by aperture: radius, and the scatter of what neighbours add; 1 is too small to be asked
    for aperture_id, radius_pix, neighbour_adu in ((1, 2.0, 0.0), (2, 4.0, 0.0), (3, 8.0, 300.0)):
        n_pix = np.pi * radius_pix**2
        sky = n_pix * (1 + 1.19 * n_pix / 300) * 25
        sigma = np.sqrt(flux_adu / 2.0 + sky + neighbour_adu**2)
        seen = flux_adu + sigma * rng.normal(size=(n_frame, len(flux_adu)))
        own = {"aperture_id": aperture_id, "n_pix": n_pix}
        put("aperture", [{"aperture_id": aperture_id, "kind": "pix", "radius": radius_pix}])
        put(
            "aperture_flux",
            [
                key | own | {"flux_adu": flux}
                for key, flux in zip(keys, seen.ravel().tolist(), strict=True)
            ],
        )

    asked = shipped(database, "scatter_apertures", **night)["aperture_id"].to_list()
    assert asked == [2, 3]
    fit = gain_of_stars(database, night)
    assert fit.gain_e_per_adu == pytest.approx(2.0, abs=4 * fit.gain_err_e_per_adu)
    in_crowd = gain_from_star_scatter(
        shipped(database, "star_scatter", aperture_id=3, **night)
    ).gain_e_per_adu
    assert (in_crowd or 0.0) < 1.0
    database.execute("delete from aperture_flux where aperture_id = 2")
    assert shipped(database, "scatter_apertures", **night)["aperture_id"].to_list() == [3]


def read_all(folder, pattern: str, hdu_index: int) -> list[np.ndarray]:
    return [read_pixels(path, hdu_index) for path in sorted(folder.glob(pattern))]


@pytest.mark.real
def test_m13_has_one_gain_in_four_bands(real_data):
    folder = real_data / "m13_griz"
    bias_pairs = list(combinations(read_all(folder, "Bias*", 1), 2))
    fits = [
        photon_transfer(combinations(read_all(folder, f"domeflat_sdss_{b}*", 1), 2), bias_pairs)
        for b in "griz"
    ]
    gains = [fit.gain_e_per_adu for fit in fits]
    assert all(1.28 <= gain <= 1.32 for gain in gains)
    assert max(gains) / min(gains) < 1.01
    assert all(7.2 <= fit.read_noise_e <= 7.8 for fit in fits)


@pytest.mark.real
def test_lpseb35_pairs_agree_within_one_percent(real_data):
    folder = real_data / "lpseb35"
    bias_pairs = list(pairwise(read_all(folder, "Bias*", 1)))
    fits = [
        photon_transfer([pair], bias_pairs)
        for pair in combinations(read_all(folder, "domeflat*", 1), 2)
    ]
    gains = [fit.gain_e_per_adu for fit in fits]
    assert max(gains) / min(gains) < 1.01
    assert gains[0] == pytest.approx(1.337, rel=0.01)


@pytest.mark.real
def test_st7_gain_is_found_behind_a_drifting_lamp(real_data):
    folder = real_data / "st7_ramp"
    biases = read_all(folder, "bias*", 0)
    flats = read_all(folder, "flat*", 0)
    pairs = similar_pairs([float(np.mean(flat) - np.mean(biases)) for flat in flats])
    fit = photon_transfer([(flats[i], flats[j]) for i, j in pairs], combinations(biases, 2))
    assert 0.43 <= fit.gain_e_per_adu <= 0.46
    assert fit.read_noise_e == pytest.approx(16, rel=0.1)
    assert fit.n_pair < len(pairs)
