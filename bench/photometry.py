"""Sky, stars and apertures of a frame of 2048 x 2048 with 1,000 stars."""

from typing import Any

import numpy as np
from measure import Row, measured, show

SHAPE = (2048, 2048)
N_STAR, FWHM_PIX = 1000, 3.5
SKY_ADU, NOISE_ADU = 400.0, 12.0
RADII_PIX = {1: 4.0, 2: 6.0, 3: 8.0, 4: 10.0}


def make_frame() -> dict[str, Any]:
    """Draw a frame with known stars."""
    rng = np.random.default_rng(6)
    image = rng.normal(SKY_ADU, NOISE_ADU, SHAPE).astype(np.float32)
    x, y = rng.uniform(20, SHAPE[1] - 20, N_STAR), rng.uniform(20, SHAPE[0] - 20, N_STAR)
    peak = 10 ** rng.uniform(2.2, 4.5, N_STAR)
    grid = np.arange(-12, 13)
    for star_x, star_y, star_peak in zip(x, y, peak, strict=True):
        column, row = round(star_x), round(star_y)
        r2 = (grid[None, :] + column - star_x) ** 2 + (grid[:, None] + row - star_y) ** 2
        stamp = star_peak * np.exp(-r2 / (2 * (FWHM_PIX / 2.3548) ** 2))
        image[row - 12 : row + 13, column - 12 : column + 13] += stamp
    return {"image": image, "x": x, "y": y, "flux": peak}


def our_sky(made: dict[str, Any]) -> Any:
    from starmuster.transforms.background import mesh_background

    return mesh_background(made["image"], mesh_pix=64)


def their_sky(made: dict[str, Any]) -> Any:
    from photutils.background import Background2D, MedianBackground

    return Background2D(made["image"], 64, filter_size=3, bkg_estimator=MedianBackground())


def our_stars(made: dict[str, Any]) -> Any:
    from starmuster.transforms.detection import detect

    return detect(made["image"], background=our_sky(made))


def their_stars(made: dict[str, Any]) -> Any:
    from astropy.convolution import convolve
    from photutils.segmentation import SourceCatalog, SourceFinder, make_2dgaussian_kernel

    sky = their_sky(made)
    net = made["image"] - sky.background
    smooth = convolve(net, make_2dgaussian_kernel(FWHM_PIX, size=7))
    finder = SourceFinder(n_pixels=5, progress_bar=False)
    segments = finder(smooth, 2 * sky.background_rms)
    catalogue = SourceCatalog(net, segments, convolved_data=smooth)
    return catalogue.to_table(columns=("label", "x_centroid_win", "y_centroid_win", "segment_flux"))


def our_apertures(made: dict[str, Any]) -> Any:
    import polars as pl

    from starmuster.transforms.photometry import forced_photometry

    sources = pl.DataFrame(
        {
            "source_id": np.arange(N_STAR),
            "x_pix": made["x"],
            "y_pix": made["y"],
            "flux_adu": made["flux"],
        }
    )
    return forced_photometry(
        made["image"],
        sources,
        apertures=RADII_PIX,
        annulus_inner_pix=14,
        annulus_outer_pix=24,
        fwhm_pix=FWHM_PIX,
    )


def their_apertures(made: dict[str, Any]) -> Any:
    from astropy.stats import SigmaClip
    from photutils.aperture import (
        ApertureStats,
        CircularAnnulus,
        CircularAperture,
        aperture_photometry,
    )

    positions = np.column_stack([made["x"], made["y"]])
    circles = [CircularAperture(positions, radius) for radius in RADII_PIX.values()]
    sums = aperture_photometry(made["image"], circles)
    annulus = CircularAnnulus(positions, 14, 24)
    sky = ApertureStats(made["image"], annulus, sigma_clip=SigmaClip(3.0))
    return sums, sky.median, sky.std


WORK = (
    ("sky on a mesh of 64 pixels", "photutils Background2D", their_sky, our_sky),
    ("sky, stars, centroids", "photutils SourceFinder, SourceCatalog", their_stars, our_stars),
    (
        f"{N_STAR} stars x {len(RADII_PIX)} radii, clipped sky",
        "photutils aperture_photometry, ApertureStats",
        their_apertures,
        our_apertures,
    ),
)


def main() -> None:
    rows = [
        Row(
            what,
            reference,
            measured(make_frame, theirs, n_run=2),
            measured(make_frame, ours, n_run=3),
            "",
        )
        for what, reference, theirs, ours in WORK
    ]
    show(f"Photometry, frame of {SHAPE[1]} x {SHAPE[0]} with {N_STAR} stars", rows)


if __name__ == "__main__":
    main()
