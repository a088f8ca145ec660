"""Pixels that hold the light of known stars, and hence no sky."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def starlight_marked(  # noqa: PLR0917
    image, bits, x, y, level, rms, *, fwhm_pix: float
) -> Iterator[NDArray[np.uint8]]:
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
    The bits, shape (n_y, n_x), the pixels of stars BAD in them as long as the context lasts: to
    copy the mask of a large frame takes longer than all its skies.
    """
    total, area, _, _ = circle_sums(
        image, bits, UNUSABLE.value, x, y, np.array([CORE_FWHM * fwhm_pix])
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        peak_sigma = (total[:, 0] / area[:, 0] - level) / rms / CORE_SHARE
    steps = np.maximum(np.nan_to_num(peak_sigma, posinf=0.0) / FAINTEST_SIGMA, 1.0)
    core_pix = fwhm_pix / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    marked = bits if bits.size else np.zeros(image.shape, np.uint8)
    if not marked.flags.writeable:
        marked = marked.copy()
    spans, before = _mark_discs(marked, x, y, core_pix * np.sqrt(steps ** (1 / BETA) - 1))
    try:
        yield marked
    finally:
        _restore(marked.reshape(-1), spans, before)


@njit(cache=True, nogil=True)
def _mark_discs(bits, x, y, radius):
    """Mark discs; return their rows, (start in the flat bits, size), and what was in them."""
    n_y, n_x = bits.shape
    spans, n_span = np.empty((1024, 2), np.intp), 0
    before, n_before = np.empty(1 << 16, np.uint8), 0
    for k in range(x.size):
        r = radius[k]
        if not r > 0:
            continue
        for j in range(max(0, int(np.ceil(y[k] - r))), min(n_y, int(np.floor(y[k] + r)) + 1)):
            reach = np.sqrt(r * r - (j - y[k]) ** 2)
            first = max(0, int(np.ceil(x[k] - reach)))
            row = bits[j, first : max(first, min(n_x, int(np.floor(x[k] + reach)) + 1))]
            if n_before + row.size > before.size:
                before = np.concatenate((before, np.empty(before.size + n_x, np.uint8)))
            if n_span == len(spans):
                spans = np.concatenate((spans, np.empty_like(spans)))
            for i in range(row.size):
                before[n_before + i] = row[i]
            for i in range(row.size):
                row[i] |= STARLIT
            spans[n_span, 0], spans[n_span, 1] = j * n_x + first, row.size
            n_span, n_before = n_span + 1, n_before + row.size
    return spans[:n_span], before[:n_before]


@njit(cache=True, nogil=True)
def _restore(bits, spans, before):
    """Put back what was in the rows of discs, the last first: discs overlap."""
    stop = before.size
    for k in range(len(spans) - 1, -1, -1):
        start, size = spans[k]
        stop -= size
        for i in range(size):
            bits[start + i] = before[stop + i]
