"""Pixels that hold the light of known stars, and hence no sky."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .apertures import circle_sums
from .mask import UNUSABLE, PixelMask

CORE_FWHM = 0.5  # radius of the circle whose light says how bright a star is
CORE_SHARE = 0.72  # mean of a Gaussian star within it, over its peak
FAINTEST_SIGMA = 0.15  # light per pixel that is left among the sky, in sigmas of a sky pixel
BETA = 3.0  # of the Moffat profile: wings wider than those of most telescopes
STARLIT = PixelMask.BAD.value


def starlit_bits(  # noqa: PLR0917
    image, bits, x, y, level, rms, *, fwhm_pix: float
) -> NDArray[np.uint8]:
    """Mark the pixels around stars where their light is more than a share of the sky's noise.

    A smaller share leaves less light of stars in the sky, and fewer pixels to measure it with.

    A clipped midmean is lifted by the wings that clipping leaves: with a star on every thousandth
    pixel by a tenth of a sigma, and on all stars alike, which faint ones cannot bear.

    Parameters
    ----------
    image, bits
        As in `circle_sums`.
    x, y
        Places of all known stars, shape (n,), pixels.
    level, rms
        Sky and its noise at these places, shape (n,), ADU; roughly.

    Returns
    -------
    Copy of the bits, shape (n_y, n_x), the pixels of stars marked BAD.
    """
    total, area, _, _ = circle_sums(
        image, bits, UNUSABLE.value, x, y, np.array([CORE_FWHM * fwhm_pix])
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        peak_sigma = (total[:, 0] / area[:, 0] - level) / rms / CORE_SHARE
    steps = np.maximum(np.nan_to_num(peak_sigma, posinf=0.0) / FAINTEST_SIGMA, 1.0)
    core_pix = fwhm_pix / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    marked = bits.copy() if bits.size else np.zeros(image.shape, np.uint8)
    _mark_discs(marked, x, y, core_pix * np.sqrt(steps ** (1 / BETA) - 1))
    return marked


@njit(cache=True, nogil=True)
def _mark_discs(bits, x, y, radius):
    n_y, n_x = bits.shape
    for k in range(x.size):
        r = radius[k]
        if not r > 0:
            continue
        for j in range(max(0, int(np.ceil(y[k] - r))), min(n_y, int(np.floor(y[k] + r)) + 1)):
            reach = np.sqrt(r * r - (j - y[k]) ** 2)
            first = max(0, int(np.ceil(x[k] - reach)))
            for i in range(first, min(n_x, int(np.floor(x[k] + reach)) + 1)):
                bits[j, i] |= STARLIT
