"""The level at which a camera clips, recognised from its frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_BIT, MAX_BIT = 8, 32
BLOCK_PIX = 1 << 18  # looked at together: they stay in the processor's caches


def estimate_saturation_adu(raw_adu: NDArray[Any]) -> float | None:
    """Recognise the level at which a camera clips, from the pixels of one frame.

    Saturated pixels share exactly one value, and hardly any lie just below it: in the highest
    hundredth of the range above the median (at least 3 ADU). The largest value of the frame is
    taken as saturation if

    - it is 2^n - 1, at least two pixels have it, and at least as many as lie just below; or
    - at least ten pixels have it, and at least five times as many as lie just below.

    None if nothing of the kind is seen, which does not say that nothing is saturated: wells
    that fill below the converter's limit have no sharp edge.
    """
    if raw_adu.size == 0:
        return None
    top = raw_adu.max()
    if not np.isfinite(top):  # nan or inf somewhere: only a frame with blank pixels pays for this
        finite = raw_adu[np.isfinite(raw_adu)]
        return estimate_saturation_adu(finite) if finite.size else None
    top_adu = float(top)
    if top_adu < 2**MIN_BIT - 1:
        return None
    is_converter_limit = top_adu in {2.0**n - 1 for n in range(MIN_BIT, MAX_BIT + 1)}
    median_adu = float(np.median(raw_adu.ravel()[:: max(1, raw_adu.size // 100_000)]))
    if median_adu == top_adu:
        return top_adu if is_converter_limit else None
    margin_adu = max(3.0, 0.01 * (top_adu - median_adu))
    high = _values_from(raw_adu, top_adu - margin_adu)
    n_top = int(np.count_nonzero(high == top))
    n_below = high.size - n_top
    if is_converter_limit and n_top >= 2 and n_top >= n_below:
        return top_adu
    return top_adu if n_top >= 10 and n_top >= 5 * n_below else None


def _values_from(raw_adu: NDArray[Any], least_adu: float) -> NDArray[Any]:
    """Return the pixels at or above a level."""
    flat = raw_adu.reshape(-1)
    # compared with a number of its own kind: else every pixel is made a float
    is_integer = raw_adu.dtype.kind in "iu"
    least: Any = raw_adu.dtype.type(np.ceil(least_adu) if is_integer else least_adu)
    blocks = (flat[start : start + BLOCK_PIX] for start in range(0, flat.size, BLOCK_PIX))
    return np.concatenate([block[block >= least] for block in blocks])
