"""Stars on stacks: deeper than any frame, and no more false ones."""

import numpy as np
import polars as pl
import pytest

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect
from starmuster.transforms.flags import Flag
from starmuster.transforms.pairing import pair_points
from starmuster.transforms.reproject import pixel_map
from starmuster.transforms.sightings import significance
from starmuster.transforms.stack import Stack, StackInput, stack
from starmuster.transforms.stack_detection import StackStars, detect_on_stack, with_saturation

SHAPE, NOISE_ADU, FWHM_PIX, N_FRAME = (260, 300), 10.0, 3.0, 9
ONE_SIGMA_ADU = 1 / significance(np.ones(1), fwhm_pix=FWHM_PIX, sky_rms_adu=NOISE_ADU)[0]


def stacked(x, y, flux, *, n_frame=N_FRAME, seed=1) -> Stack:
    """A stack of frames that drift by fractions of a pixel, hit by cosmic rays."""
    rng = np.random.default_rng(seed)
    inputs = []
    for _ in range(n_frame):
        shift = rng.uniform(-2, 2, 2)
        frame = render_stars(x + shift[0], y + shift[1], flux, shape=SHAPE, fwhm_pix=FWHM_PIX)
        frame += rng.normal(0, NOISE_ADU, SHAPE)
        hit = rng.integers(0, SHAPE[0], 30), rng.integers(0, SHAPE[1], 30)
        frame[hit] += 2000
        mapped = pixel_map(lambda x, y, s=shift: (x + s[0], y + s[1]), SHAPE)
        pixels = frame.astype(np.float32)
        variance = np.full(mapped.x_pix.shape, NOISE_ADU**2)
        inputs.append(StackInput(lambda p=pixels: p, mapped, variance, 1.0, 1.0))
    return stack(inputs)


def seen(found: Stack, *, min_coverage: int = 2) -> StackStars:
    return detect_on_stack(
        found.data_adu,
        found.n_used,
        noise_correlation=found.noise_correlation,
        threshold_sigma=5.0,
        mesh_pix=64,
        max_source=5000,
        min_coverage=min_coverage,
    )


@pytest.fixture(scope="module")
def faint():
    """Stars of 4 sigma on a frame, far from each other."""
    rng = np.random.default_rng(4)
    x, y = np.meshgrid(np.arange(20, 285, 22.0), np.arange(20, 245, 22.0))
    x, y = x.ravel() + rng.uniform(-4, 4, x.size), y.ravel() + rng.uniform(-4, 4, x.size)
    return x, y, np.full(x.size, 4 * ONE_SIGMA_ADU)


def test_a_stack_shows_stars_that_its_frames_do_not(faint):
    x, y, flux = faint
    rng = np.random.default_rng(5)
    frame = render_stars(x, y, flux, shape=SHAPE, fwhm_pix=FWHM_PIX)
    frame += rng.normal(0, NOISE_ADU, SHAPE)
    alone = detect(frame, background=mesh_background(frame))
    assert alone.height < 0.4 * len(x)  # their centres are a quarter of a pixel's noise short
    deep = seen(stacked(x, y, flux)).stars
    true = np.column_stack([x, y])
    i, _ = pair_points(deep.select("x_pix", "y_pix").to_numpy(), true, 1.0)
    assert len(i) > 0.95 * len(x)
    assert deep.height - len(i) <= 1


def test_significance_on_a_stack_is_that_of_its_frames_together(faint):
    x, y, _ = faint
    flux = np.full(len(x), 40 * ONE_SIGMA_ADU)
    found = []
    for n_frame in (1, N_FRAME):
        deep = seen(stacked(x, y, flux, n_frame=n_frame), min_coverage=1)
        seen_adu = deep.stars["flux_adu"].to_numpy()
        found.append(significance(seen_adu, fwhm_pix=deep.fwhm_pix, sky_rms_adu=deep.sky_rms_adu))
    assert np.median(found[1]) / np.median(found[0]) == pytest.approx(np.sqrt(N_FRAME), rel=0.15)


def test_an_empty_stack_shows_no_stars():
    nowhere = np.zeros(0)
    counts = [seen(stacked(nowhere, nowhere, nowhere, seed=s)).stars.height for s in (7, 8)]
    assert sum(counts) <= 1


def test_faint_stars_in_the_wings_of_bright_ones_are_told_apart(faint):
    x, y, _ = faint
    flux = np.full(len(x), 30 * ONE_SIGMA_ADU)
    flux[len(x) // 2 - 4 :: 40] = 3e6  # whose wings join hundreds of pixels
    near = np.hypot(x[:, None] - x[flux > 1e6], y[:, None] - y[flux > 1e6]).min(axis=1)
    deep = seen(stacked(x, y, flux, n_frame=5)).stars.select("x_pix", "y_pix").to_numpy()
    far = near > 15
    _, j = pair_points(deep, np.column_stack([x, y]), 1.5)
    assert far[j].sum() > 0.95 * far.sum()


def test_saturation_on_a_frame_is_remembered_on_the_stack():
    place = {"x_pix": [10.0, 50.0], "y_pix": [10.0, 50.0], "flags": [0, 0]}
    stars = pl.DataFrame(place, schema_overrides={"flags": pl.Int32})
    known = stars.with_columns(flags=pl.Series([Flag.SATURATED.value, 0], dtype=pl.Int32))
    flags = with_saturation(stars, known, reach_pix=2.0)["flags"].to_list()
    assert flags == [Flag.SATURATED.value, 0]
