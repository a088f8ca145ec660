"""The stars of a frame are found where they were put."""

import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from photutils.detection import DAOStarFinder
from scipy.spatial import KDTree

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.calibrate import PixelMask
from starmuster.transforms.detection import detect, frame_quality, whole_stars
from starmuster.transforms.flags import Flag
from starmuster.transforms.registration import apply_registration
from starmuster.transforms.shapes import FWHM_PER_SIGMA, centred_shapes
from starmuster.transforms.starmatch import match_stars

SIGMA = 10.0
SKY = 300.0


def grid_of_stars(shape, step, seed):
    """Isolated stars: a grid, each moved by up to half a pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[step : shape[0] - step : step, step : shape[1] - step : step]
    return x.ravel() + rng.uniform(-0.5, 0.5, x.size), y.ravel() + rng.uniform(-0.5, 0.5, y.size)


def frame_of(x, y, flux, *, shape, fwhm_pix, seed):
    rng = np.random.default_rng(seed)
    light = render_stars(x, y, flux, shape=shape, fwhm_pix=fwhm_pix)
    return (SKY + light + rng.normal(0, SIGMA, shape)).astype(np.float32)


def find(frame, **options):
    return detect(frame, background=mesh_background(frame), **options)


def recovered(stars, x, y, radius_pix):
    distance, _ = KDTree(stars.select("x_pix", "y_pix").to_numpy()).query(np.column_stack([x, y]))
    return distance < radius_pix


@pytest.mark.parametrize("fwhm_pix", [1.6, 2.3, 4.0, 9.0])
def test_every_bright_star_is_found_once_from_undersampled_to_defocused(fwhm_pix):
    x, y = grid_of_stars((500, 600), 50, 1)
    # a matched filter sees flux / (2 sqrt(pi) s_star SIGMA): 40 sigma
    flux = np.full(x.size, 40 * 2 * np.sqrt(np.pi) * fwhm_pix / FWHM_PER_SIGMA * SIGMA)
    stars = find(frame_of(x, y, flux, shape=(500, 600), fwhm_pix=fwhm_pix, seed=2))
    assert recovered(stars, x, y, 0.1 * fwhm_pix).all()
    assert stars.height - x.size <= 1
    assert stars["fwhm_pix"].median() == pytest.approx(np.hypot(fwhm_pix, 0.6), rel=0.15)
    assert stars["elongation"].median() < 1.1


def test_the_threshold_is_the_significance_of_a_star():
    x, y = grid_of_stars((1000, 1000), 40, 3)
    unit = 2 * np.sqrt(np.pi) * 3.0 / FWHM_PER_SIGMA * SIGMA
    for level, low, high in ((3.0, 0.0, 0.2), (10.0, 0.97, 1.0)):
        flux = np.full(x.size, level * unit)
        stars = find(frame_of(x, y, flux, shape=(1000, 1000), fwhm_pix=3.0, seed=4))
        assert low <= recovered(stars, x, y, 2.0).mean() <= high


def test_empty_sky_holds_almost_no_stars():
    frame = np.random.default_rng(5).normal(SKY, SIGMA, (1000, 1000)).astype(np.float32)
    # 5 sigma of a filtered field: 2.9e-7 for each of some 2e5 independent patches
    assert find(frame).height <= 2
    assert find(np.full((100, 100), 7.0)).height == 0


def test_stars_come_brightest_first_with_the_columns_of_the_contract():
    x, y = grid_of_stars((300, 300), 60, 6)
    flux = np.linspace(3000, 30000, x.size)
    stars = find(frame_of(x, y, flux, shape=(300, 300), fwhm_pix=3.0, seed=7))
    assert stars.columns == [
        "x_pix", "y_pix", "flux_adu", "peak_adu", "fwhm_pix", "elongation", "flags",
    ]  # fmt: skip
    assert stars["flux_adu"].is_sorted(descending=True)
    assert not any(stars[name].is_nan().any() for name in stars.columns[:-1])


def test_centroids_come_near_the_photon_limit():
    gain, sky_e, fwhm_pix = 1.0, 100.0, 3.0
    shape = (800, 800)
    x, y = grid_of_stars(shape, 32, 8)
    flux = np.full(x.size, 5000.0)
    light = render_stars(x, y, flux, shape=shape, fwhm_pix=fwhm_pix, beta=20)
    miss = []
    for seed in range(4):
        frame = np.random.default_rng(seed).poisson(light + sky_e) / gain - sky_e
        shapes = centred_shapes(frame, np.rint(x), np.rint(y), fwhm_pix=fwhm_pix, leash_pix=3)
        assert shapes.is_converged.all()
        miss += [shapes.x_pix - x, shapes.y_pix - y]
    # Cramer and Rao: Fisher information of one star's x, from its own rendered pixels
    star = np.array([30.0])
    ahead, behind = (
        render_stars(star + d, star, flux[:1], shape=(61, 61), fwhm_pix=fwhm_pix, beta=20)
        for d in (0.01, -0.01)
    )
    variance = 0.5 * (ahead + behind) + sky_e
    limit_pix = 1 / np.sqrt(np.sum(((ahead - behind) / 0.02) ** 2 / variance))
    assert np.std(miss) < 1.15 * limit_pix
    assert abs(np.mean(miss)) < 5 * limit_pix / np.sqrt(np.size(miss))


def test_hot_pixels_and_cosmic_rays_are_no_stars():
    x, y = grid_of_stars((400, 400), 50, 9)
    frame = frame_of(x, y, np.full(x.size, 20000.0), shape=(400, 400), fwhm_pix=2.3, seed=10)
    rng = np.random.default_rng(11)
    column, row = rng.integers(2, 398, (2, 60))
    frame[row, column] += rng.uniform(500, 20000, 60)
    stars = find(frame)
    assert recovered(stars, x, y, 1.0).mean() > 0.95
    assert stars.height <= x.size + 2


def test_hot_pixels_alone_are_no_stars():
    frame = np.random.default_rng(12).normal(SKY, SIGMA, (300, 300)).astype(np.float32)
    column, row = np.random.default_rng(13).integers(2, 298, (2, 100))
    frame[row, column] += 3000
    assert find(frame).height <= 3


def test_a_bright_first_row_and_a_cosmic_ray_give_a_field_no_stars():
    x, y = grid_of_stars((300, 400), 50, 11)
    frame = frame_of(x, y, np.full(x.size, 20_000.0), shape=(300, 400), fwhm_pix=5.0, seed=12)
    rng = np.random.default_rng(13)
    frame[:2] += rng.normal(8 * SIGMA, 4 * SIGMA, (2, 400))  # the first rows read are bright
    frame[120:122, 170:173] += 3_000  # a hit of six pixels, wider than one hot pixel
    found = find(frame)
    assert (found["y_pix"] < 2).sum() > 5  # else the row would show nothing
    stars = whole_stars(found, fwhm_pix=found["fwhm_pix"].median())
    assert stars.height == x.size
    assert recovered(stars, x, y, 0.5).all()


def test_a_saturated_star_is_found_and_flagged():
    x, y, flux = np.array([100.0, 200.0]), np.array([120.0, 60.0]), np.array([2e6, 3e4])
    frame = frame_of(x, y, flux, shape=(300, 300), fwhm_pix=3.0, seed=14)
    mask = np.where(frame >= 60000, PixelMask.SATURATED, 0).astype(np.uint8)
    frame = np.minimum(frame, 60000)
    stars = detect(frame, background=mesh_background(frame, mask), mask=mask)
    bright, faint = (
        stars.filter((pl.col("x_pix") - x[k]).abs() + (pl.col("y_pix") - y[k]).abs() < 2)
        for k in (0, 1)
    )
    assert bright["flags"][0] & Flag.SATURATED
    assert not faint["flags"][0] & Flag.SATURATED


def test_two_stars_two_widths_apart_are_told_apart():
    x, y = np.array([100.0, 106.0]), np.array([100.0, 100.0])
    frame = frame_of(x, y, np.array([30000.0, 15000]), shape=(200, 200), fwhm_pix=3.0, seed=15)
    stars = find(frame)
    assert recovered(stars, x, y, 0.2).all()
    assert stars.height == 2


def test_one_star_and_a_masked_frame_do_not_crash():
    frame = frame_of(
        np.array([50.0]),
        np.array([50.0]),
        np.array([9000.0]),
        shape=(100, 100),
        fwhm_pix=3,
        seed=16,
    )
    assert find(frame).height == 1
    mask = np.ones(frame.shape, dtype=bool)
    mask[:5, :5] = False
    assert detect(frame, background=mesh_background(frame, mask), mask=mask).height == 0


def test_positions_agree_with_photutils():
    x, y = grid_of_stars((400, 400), 40, 17)
    frame = frame_of(x, y, np.full(x.size, 20000.0), shape=(400, 400), fwhm_pix=3.0, seed=18)
    theirs = DAOStarFinder(threshold=5 * SIGMA, fwhm=3.0)(frame - SKY)
    xy = np.column_stack([theirs["x_centroid"], theirs["y_centroid"]])
    ours = find(frame).select("x_pix", "y_pix").to_numpy()
    distance, _ = KDTree(xy).query(ours)
    assert np.median(distance) < 0.1
    truth = KDTree(np.column_stack([x, y]))
    assert np.median(truth.query(ours)[0]) <= np.median(truth.query(xy)[0])


def test_quality_of_a_frame_sums_up_its_stars():
    x, y = grid_of_stars((400, 400), 50, 19)
    frame = frame_of(x, y, np.full(x.size, 20000.0), shape=(400, 400), fwhm_pix=3.0, seed=20)
    mask = np.zeros(frame.shape, dtype=np.uint8)
    mask[3, 4:9] = PixelMask.SATURATED
    sky = mesh_background(frame)
    row = frame_quality(find(frame), sky, mask=mask, saturation_adu=6e4, saturation_source="header")
    quality = row.row(0, named=True)
    assert quality["n_star"] == x.size
    assert quality["n_saturated_pix"] == 5
    assert quality["sky_rms_adu"] == pytest.approx(SIGMA, rel=0.03)
    nothing = frame_quality(find(frame).clear(), sky).row(0, named=True)
    assert (nothing["n_star"], nothing["fwhm_pix"]) == (0, None)


def calibrated(path):
    """A light frame of M13 with its night's bias, dark and flat taken out, in plain numpy."""
    folder, header = path.parent, fits.getheader(path, 1)

    def median(pattern):
        return np.median([fits.getdata(f) for f in sorted(folder.glob(pattern))], axis=0)

    bias = median("Bias*")
    (exposure_s,) = {fits.getheader(f, 1)["EXPTIME"] for f in folder.glob("Dark*")}
    dark = (median("Dark*") - bias) * header["EXPTIME"] / exposure_s
    flat = median(f"domeflat_{header['FILTER'].strip()}*") - bias
    net = (fits.getdata(path) - bias - dark) / (flat / np.median(flat))
    return net.astype(np.float32)


@pytest.mark.real
def test_green_and_red_frames_of_m13_share_more_than_900_stars(real_data):
    folder = real_data / "m13_griz"
    green, red = (
        find(calibrated(folder / f"M13_sdss_{name}.fits.fz"))
        for name in ("g_20190503_090311", "r_20190503_085306")
    )
    match = match_stars(green, red)
    assert match.registration.rms_pix < 0.1
    x, y = apply_registration(match.registration, green["x_pix"], green["y_pix"])
    distance, _ = KDTree(red.select("x_pix", "y_pix").to_numpy()).query(np.column_stack([x, y]))
    common = distance < 2.0
    assert np.count_nonzero(common) >= 900
    # the fainter ones have centroid errors of their own
    assert np.median(distance[:1200][common[:1200]]) * 0.668 < 0.11


def test_every_second_pixel_of_the_sky_is_enough_for_detection():
    shape = (512, 512)
    rng = np.random.default_rng(42)
    x, y = rng.uniform(5, 505, 100), rng.uniform(5, 505, 100)
    frame = render_stars(x, y, 10 ** rng.uniform(3.5, 5, 100), shape=shape, fwhm_pix=3.2)
    truth = 300 + np.linspace(0, 60, 512)
    frame += rng.normal(0, 8, shape) + truth
    fine, coarse = (mesh_background(frame, mesh_pix=32, step_pix=step) for step in (1, 2))
    assert coarse.level.shape == (256, 256)
    assert np.sqrt(np.mean((coarse.level - truth[::2]) ** 2)) < 0.15 * 8
    # the slope within a wider box counts as noise
    assert coarse.rms_adu == pytest.approx(fine.rms_adu, rel=0.05)
    counts = [detect(frame, background=sky).height for sky in (fine, coarse)]
    assert abs(counts[0] - counts[1]) <= 2
