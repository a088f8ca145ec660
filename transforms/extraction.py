"""Groups of bright pixels in a smooth image, taken apart where they hold more than one star."""

import numpy as np
import sep
from numpy.typing import NDArray

from ..errors import PhotometryError
from .groups import Layout, count_peaks, lay_out, touching
from .isophotes import MERGED, TRUNCATED, measured
from .shapes import SIGMA_PER_FWHM
from .significance import Runs
from .wings import is_wing

MAX_PART = 8192  # of a group at one level
SPARE_PIXELS = 16  # of the room that sep holds bright pixels in
N_LEVEL = 16  # at which groups are cut to see whether they fall apart


def smoothing_profile(fwhm_pix: float) -> NDArray[np.float32]:
    """Sample a Gaussian of sum one, wide enough for 99 % of a star's signal to noise."""
    reach = max(1, round(0.75 * fwhm_pix))
    step = np.arange(-reach, reach + 1)
    profile = np.exp(-0.5 * (step / (fwhm_pix * SIGMA_PER_FWHM)) ** 2)
    return (profile / profile.sum()).astype(np.float32)


def bright_stars(
    runs: Runs, threshold: float, *, min_area_pix: int, deblend_contrast: float
) -> NDArray:
    """Find groups of connected bright pixels, and the stars that they are made of.

    Only groups with more than one peak can fall apart, which costs far more than measuring a
    group. What is but a bump in the wings of a brighter star is left out.

    Parameters
    ----------
    runs
        Pixels above the threshold in an image smoothed with the profile of stars.
    min_area_pix
        Least number of pixels of a group.
    deblend_contrast
        A peak with less than this share of its group's light is none.

    Returns
    -------
    Record `isophotes.STAR` of each star, in pixels of the frame.

    Raises
    ------
    PhotometryError
        If a group is made of too many stars.
    """
    groups = touching(runs, min_area_pix)
    n_group = groups.first_x.size
    everything = lay_out(groups, np.ones(n_group, dtype=bool))
    single = measured(everything.image, everything.owner, n_group, threshold, min_area_pix)
    is_many = count_peaks(everything, n_group) > 1
    some = lay_out(groups, is_many)
    parts = _taken_apart(some.image, threshold, min_area_pix, deblend_contrast)
    found = [
        _on_frame(single[~is_many], everything, runs.shape),
        _on_frame(parts, some, runs.shape),
    ]
    stars = np.concatenate(found)
    return stars[~is_wing(stars, threshold)]


def _on_frame(stars: NDArray, layout: Layout, shape: tuple[int, int]) -> NDArray:
    """Carry stars from the layout of their groups to the frame, and flag those on its edge."""
    group = layout.owner[stars["y_peak"], stars["x_peak"]]
    for axis, shift in (("x", layout.x_shift), ("y", layout.y_shift)):
        for name in (axis, f"{axis}_peak", f"first_{axis}", f"last_{axis}"):
            stars[name] += shift[group]
    is_cut = (stars["first_x"] == 0) | (stars["first_y"] == 0)
    is_cut |= (stars["last_y"] == shape[0] - 1) | (stars["last_x"] == shape[1] - 1)
    stars["flag"] |= np.where(is_cut, TRUNCATED, 0)
    return stars


def _taken_apart(
    image: NDArray[np.float32], threshold: float, min_area_pix: int, deblend_contrast: float
) -> NDArray:
    """Take groups apart into stars, and measure these."""
    peaks, segment = _extract(
        image,
        threshold,
        minarea=min_area_pix,
        deblend_nthresh=N_LEVEL,
        deblend_cont=deblend_contrast,
    )
    stars = measured(image, segment - 1, peaks.size, threshold, min_area_pix)
    is_merged = (peaks["flag"] & MERGED) != 0
    # of a part that of its core: pixels farther out are shared by lot
    for name in ("x", "y"):
        stars[name] = np.where(is_merged, peaks[name], stars[name])
    stars["flag"] |= np.where(is_merged, MERGED, 0)
    return stars


def _extract(
    image: NDArray[np.float32], threshold: float, **options
) -> tuple[NDArray, NDArray[np.int32]]:
    before = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    # sep fills its room, however little of it is needed
    sep.set_extract_pixstack(int(np.count_nonzero(image)) + SPARE_PIXELS)
    sep.set_sub_object_limit(MAX_PART)
    try:
        return sep.extract(
            image,
            threshold,
            err=1.0,
            filter_kernel=None,
            clean=False,
            segmentation_map=True,
            **options,
        )
    except Exception as error:  # sep raises the bare class
        raise PhotometryError(
            f"{image.shape[1]} x {image.shape[0]} pixels of groups: detection at {threshold:.3g} "
            f"of the noise after smoothing gave up ({error}). Raise detection.threshold_sigma, or "
            "look at the frame: it may hold no stars but structure."
        ) from error
    finally:
        sep.set_extract_pixstack(before[0])
        sep.set_sub_object_limit(before[1])
