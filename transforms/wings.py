"""Bumps in the wings of bright stars, which are no stars of their own."""

import numpy as np
from numpy.typing import NDArray

from .combine import compiled

REACH_SIZES = 10.0  # sizes of both stars, as far as wings are believed in
LARGEST_FACTOR = 1e10  # by which wings are below the peak


def is_wing(stars: NDArray, threshold: float) -> NDArray[np.bool_]:
    """Tell which stars do not stand out of the wings of a brighter one, shape (n,).

    Wings fall as a Moffat profile of exponent 1 does: its peak is that of a Gaussian with the
    star's light and the smaller of the two areas that moments and isophotes tell, and it comes
    down to the threshold where the star's bright pixels end. A star that is lower than the wings of
    another at its place is left out, and has no wings of its own.

    Parameters
    ----------
    stars
        Record of `isophotes.measured`, shape (n,).
    threshold
        What its pixels are above.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393, section 6.
    """
    xx, yy, xy, n_pix = (stars[name] for name in ("xx", "yy", "xy", "n_pix"))
    determinant = xx * yy - xy**2
    area = np.pi * np.sqrt(determinant)
    size = np.sqrt(0.5 * (xx + yy) + np.hypot(0.5 * (xx - yy), xy))  # along the longer axis
    n_between = np.maximum(n_pix - stars["n_half_pix"], 1)
    decline = np.log(0.5 * (1 + stars["peak"] / threshold))
    peak = stars["flux"] / np.minimum(2 * area, n_between / decline)
    slope = (peak / threshold - 1) * area / n_pix
    form = np.stack([yy, xx, -2 * xy], axis=-1) / determinant[:, None]
    brightest_first, upwards = np.argsort(-stars["flux"], kind="stable"), np.argsort(stars["y"])
    return _is_wing(
        *(stars[name].copy() for name in ("x", "y", "height")),
        *(size, form, peak, slope),
        *(brightest_first, upwards),
    )


@compiled
def _is_wing(x, y, height, size, form, peak, slope, order, by_y):  # noqa: PLR0917
    rank = np.empty(x.size, np.intp)
    for place in range(x.size):
        rank[order[place]] = place
    rising = y[by_y]
    largest = size.max() if size.size else 0.0
    is_wing = np.zeros(x.size, np.bool_)
    for k in order:
        if is_wing[k]:
            continue
        reach = REACH_SIZES * (size[k] + largest)
        for place in range(np.searchsorted(rising, y[k] - reach), x.size):
            other = by_y[place]
            dx, dy = x[k] - x[other], y[k] - y[other]
            if -dy > reach:
                break
            near = REACH_SIZES * (size[k] + size[other])
            if dx * dx + dy * dy > near * near or rank[other] <= rank[k]:
                continue
            form2 = form[k, 0] * dx * dx + form[k, 1] * dy * dy + form[k, 2] * dx * dy
            factor = 1.0 + slope[k] * form2
            if 1.0 < factor < LARGEST_FACTOR and peak[k] / factor > height[other]:
                is_wing[other] = True
    return is_wing
