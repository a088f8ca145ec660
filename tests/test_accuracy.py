"""Sky, places and widths against the truth of synthetic frames, and photutils beside them."""

import warnings

import numpy as np
import pytest
from astropy.stats import SigmaClip
from photutils.background import Background2D, MedianBackground
from photutils.segmentation import SourceCatalog, SourceFinder
from scipy.spatial import KDTree

from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect
from starmuster.transforms.mask import PixelMask

SHAPE = (480, 520)
NOISE, FWHM, SATURATION = 9.0, 3.4, 20_000.0


def drawn(kind: str, seed: int = 61):
    """Draw a frame: its pixels, mask, sky, and the places of its stars."""
    rng = np.random.default_rng(seed)
    n_star = {"crowded": 900}.get(kind, 150)
    x, y = rng.uniform(15, SHAPE[1] - 16, n_star), rng.uniform(15, SHAPE[0] - 16, n_star)
    flux = 10 ** rng.uniform(3.3, 6.0 if kind == "saturated" else 5.2, n_star)
    j, i = np.indices(SHAPE)
    r2 = ((i - SHAPE[1] / 2) ** 2 + (j - SHAPE[0] / 2) ** 2) / (0.5 * SHAPE[1]) ** 2
    sky = {
        "vignetted": 500 * (1 - 0.15 * r2),
        "gradient": 400 + 0.15 * i + 0.05 * j,
    }.get(kind, np.full(SHAPE, 450.0))
    # an exponent of 50 makes a Gaussian, whose width by moments and by definition are one
    image = sky + render_stars(x, y, flux, shape=SHAPE, fwhm_pix=FWHM, beta=50.0)
    image += rng.normal(0, NOISE, SHAPE)
    mask = np.where(image >= SATURATION, PixelMask.SATURATED.value, 0).astype(np.uint8)
    return np.minimum(image, SATURATION), mask, sky, np.column_stack([x, y])


KINDS = ("vignetted", "gradient", "crowded", "saturated")


@pytest.fixture(scope="module", params=KINDS)
def frame(request):
    image, mask, sky, places = drawn(request.param)
    return request.param, image, mask, sky, places


@pytest.fixture(scope="module")
def theirs(frame):
    """Sky and catalogue of photutils, as a tutorial calls it."""
    _, image, *_ = frame
    sky = Background2D(
        image, (300, 300), filter_size=(3, 3), sigma_clip=SigmaClip(3.0),
        bkg_estimator=MedianBackground(), exclude_percentile=90,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = image - sky.background
        segments = SourceFinder(n_pixels=10, progress_bar=False)(net, 3 * sky.background_rms)
        found = SourceCatalog(net, segments).to_table(
            columns=("x_centroid_win", "y_centroid_win", "fwhm", "segment_flux")
        )
    return sky, found


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_the_sky_is_at_least_as_near_to_the_truth(frame, theirs):
    _, image, mask, truth, _ = frame
    ours = mesh_background(image, mask)
    assert rms(ours.level - truth) < rms(theirs[0].background - truth)
    limit = {"crowded": 1.0, "vignetted": 0.5}.get(frame[0], 0.3)
    assert rms(ours.level - truth) < limit * NOISE


def test_places_and_widths_are_at_least_as_near_to_the_truth(frame, theirs):
    kind, image, mask, _, places = frame
    stars = detect(image, background=mesh_background(image, mask), mask=mask)
    whole = stars.filter(stars["flags"] == 0)
    bright = whole.head(int(0.7 * whole.height))
    found = theirs[1]
    finite = np.isfinite(found["x_centroid_win"]) & np.isfinite(found["y_centroid_win"])
    kept = found[finite]
    tree = KDTree(places)
    ours, star = tree.query(bright.select("x_pix", "y_pix").to_numpy())
    other, other_star = tree.query(
        np.column_stack([kept["x_centroid_win"], kept["y_centroid_win"]])
    )
    common, i, j = np.intersect1d(star, other_star, return_indices=True)
    assert common.size > 60
    # of the same stars; both are at the limit that photons set
    assert np.median(ours[i]) < 1.05 * np.median(other[j])
    assert np.median(ours[i]) < 0.06
    seen = 2.3548 * np.hypot(FWHM / 2.3548, 12**-0.5)
    widths = bright["fwhm_pix"].to_numpy()[i]
    measured = np.isfinite(widths)
    assert measured.mean() > 0.95
    error = np.median(np.abs(widths[measured] - seen))
    assert error <= np.median(np.abs(np.asarray(kept["fwhm"])[j][measured] - seen))
    assert error < (0.15 if kind == "crowded" else 0.05) * seen
