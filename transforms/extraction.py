"""Groups of bright pixels in a smooth image, taken apart where they hold more than one star."""

import numpy as np
import sep
from numba import njit
from numpy.typing import NDArray

from ..errors import PhotometryError
from .shapes import SIGMA_PER_FWHM

PIXEL_STACK = 300_000  # pixels above the threshold sep has room for; more only when needed
N_LEVEL = 16  # at which groups are cut to see whether they fall apart
MERGED = 1  # bit of sep: taken out of a larger group
LARGEST_SHARE = 0.1  # of the image, that the groups to be taken apart may cover by themselves


def smoothing_profile(fwhm_pix: float) -> NDArray[np.float32]:
    """Sample a Gaussian of sum one, wide enough for 99 % of a star's signal to noise."""
    reach = max(1, round(0.75 * fwhm_pix))
    step = np.arange(-reach, reach + 1)
    profile = np.exp(-0.5 * (step / (fwhm_pix * SIGMA_PER_FWHM)) ** 2)
    return (profile / profile.sum()).astype(np.float32)


def bright_groups(
    smooth: NDArray[np.float32],
    threshold: float,
    *,
    min_area_pix: int,
    deblend_contrast: float,
) -> NDArray:
    """Find groups of connected pixels above a threshold, and the stars that they are made of.

    Only groups with more than one peak can fall apart; where they are few, they are copied next to
    each other and sep takes those apart, which costs three times as much as finding groups.

    Parameters
    ----------
    smooth
        Image smoothed with the profile of stars, shape (n_y, n_x).
    min_area_pix
        Least number of pixels of a group.
    deblend_contrast
        A peak with less than this share of its group's light is none.

    Returns
    -------
    sep's record of each star: x, y, xpeak, ypeak (pixels), cflux, flag ...

    Raises
    ------
    PhotometryError
        If the image is so crowded or noisy that detection runs out of room.
    """

    def found(image: NDArray[np.float32], n_level: int) -> NDArray:
        return _extract(
            image,
            threshold,
            minarea=min_area_pix,
            deblend_nthresh=n_level,
            deblend_cont=deblend_contrast,
        )

    groups = found(smooth, 1)
    corner = np.stack([groups[name] for name in ("xmin", "xmax", "ymin", "ymax")], axis=-1)
    is_many = _has_peaks(smooth, np.float32(threshold), corner.astype(np.intp))
    many = groups[is_many]
    if many.size == 0:
        return groups
    width = int(np.max(many["xmax"] - many["xmin"])) + 3
    top = np.concatenate([[0], np.cumsum(many["ymax"] - many["ymin"] + 2)])
    if width * (top[-1] + 1) > LARGEST_SHARE * smooth.size:
        return found(smooth, N_LEVEL)
    copied = np.zeros((top[-1] + 1, width), np.float32)
    seed = np.stack([many["xpeak"], many["ypeak"]], axis=-1).astype(np.intp)
    _copy_groups(smooth, np.float32(threshold), corner[is_many].astype(np.intp), seed, top, copied)
    stars = found(copied, N_LEVEL)
    group = many[np.searchsorted(top, stars["ypeak"], side="right") - 1]
    here = top[np.searchsorted(top, stars["ypeak"], side="right") - 1]
    for axis, shift in (("x", group["xmin"] - 1), ("y", group["ymin"] - 1 - here)):
        for name in (axis, f"{axis}peak"):
            stars[name] += shift
    stars["flag"] |= group["flag"]
    return np.concatenate([groups[~is_many], stars])


def _extract(image: NDArray[np.float32], threshold: float, **options) -> NDArray:
    sep.set_sub_object_limit(8192)
    reason = ""
    for n_pixel in (PIXEL_STACK, image.size):
        sep.set_extract_pixstack(max(PIXEL_STACK, n_pixel))
        try:
            return sep.extract(image, threshold, err=1.0, filter_kernel=None, **options)
        except Exception as error:  # sep raises the bare class
            reason = str(error)
            if "pixel buffer full" not in reason:
                break
    raise PhotometryError(
        f"{image.shape[1]} x {image.shape[0]} pixels: detection at {threshold:.3g} of the noise "
        f"after smoothing gave up ({reason}). Raise detection.threshold_sigma, or look at the "
        "frame: it may hold no stars but structure."
    )


@njit(cache=True, nogil=True)
def _has_peaks(smooth, threshold, corner):
    """Tell which boxes (first and last x, first and last y) hold more than one local maximum."""
    n_y, n_x = smooth.shape
    is_many = np.zeros(len(corner), dtype=np.bool_)
    for k in range(len(corner)):
        n_peak = 0
        for j in range(corner[k, 2], corner[k, 3] + 1):
            for i in range(corner[k, 0], corner[k, 1] + 1):
                here = smooth[j, i]
                if here <= threshold:
                    continue
                is_peak = True
                for v in range(max(0, j - 1), min(n_y, j + 2)):
                    for u in range(max(0, i - 1), min(n_x, i + 2)):
                        if smooth[v, u] > here:
                            is_peak = False
                n_peak += is_peak
        is_many[k] = n_peak > 1
    return is_many


@njit(cache=True, nogil=True)
def _copy_groups(smooth, threshold, corner, seed, top, out):  # noqa: PLR0917
    """Copy the pixels that hang together with each seed, one group below the other."""
    for k in range(len(corner)):
        first_x, last_x, first_y, last_y = corner[k]
        column, row = 1 - first_x, top[k] + 1 - first_y
        waiting = [(seed[k, 0], seed[k, 1])]
        out[seed[k, 1] + row, seed[k, 0] + column] = smooth[seed[k, 1], seed[k, 0]]
        while waiting:
            x, y = waiting.pop()
            for v in range(max(first_y, y - 1), min(last_y, y + 1) + 1):
                for u in range(max(first_x, x - 1), min(last_x, x + 1) + 1):
                    if smooth[v, u] > threshold and out[v + row, u + column] == 0:
                        out[v + row, u + column] = smooth[v, u]
                        waiting.append((u, v))
