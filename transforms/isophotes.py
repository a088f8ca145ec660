"""What the bright pixels of each star say of it: light, place, size and height."""

import numpy as np
from numpy.typing import NDArray

from .combine import compiled

MERGED = 1  # flag: taken out of a larger group
TRUNCATED = 2  # flag: reaches the edge of the frame
NARROW = 8  # flag: its pixels lie in a line
STAR = np.dtype(
    [
        *((name, np.float64) for name in ("x", "y", "flux", "peak", "height", "xx", "yy", "xy")),
        *((name, np.intp) for name in ("x_peak", "y_peak", "n_pix", "n_half_pix")),
        *((name, np.intp) for name in ("first_x", "last_x", "first_y", "last_y", "flag")),
    ]
)
PIXEL_VARIANCE = 1 / 12  # of a square about its centre
NARROW_AREA2 = PIXEL_VARIANCE**2  # determinant of the variances of what is narrower than a pixel


def measured(
    image: NDArray[np.float32],
    owner: NDArray[np.int32],
    n_star: int,
    threshold: float,
    min_area_pix: int,
) -> NDArray:
    """Measure stars by their pixels.

    Parameters
    ----------
    image
        Bright pixels, shape (n_y, n_x).
    owner
        Number of the star that each pixel belongs to, from 0 on; below: to none. Each star has
        pixels.

    Returns
    -------
    A record `STAR` for each, shape (n_star,): centroid (x, y), light, brightest pixel and where it
    is (peak, x_peak, y_peak), height of the `min_area_pix`-th brightest pixel above the threshold,
    variances of the light (xx, yy, xy; of narrow ones that of a pixel is added), number of pixels
    and of those above the mean of threshold and peak, box, and flag (NARROW).
    """
    stars = np.zeros(n_star, STAR)
    stars["first_x"], stars["first_y"] = image.shape[1], image.shape[0]
    top = np.full((n_star, min_area_pix), np.float32(threshold))  # brightest pixels, falling
    _add_up(image, owner, stars, top)
    _count_half(image, owner, 0.5 * (threshold + stars["peak"]), stars)
    stars["height"] = top[:, -1] - np.float32(threshold)
    return stars


@compiled
def _add_up(image, owner, stars, top):
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            if owner[j, i] < 0:
                continue
            star, value = stars[owner[j, i]], np.float64(image[j, i])
            if value > star.peak:
                star.peak, star.x_peak, star.y_peak = value, i, j
            star.n_pix += 1
            star.flux += value
            star.x += value * i
            star.y += value * j
            star.xx += value * i * i
            star.yy += value * j * j
            star.xy += value * i * j
            star.first_x, star.last_x = min(star.first_x, i), max(star.last_x, i)
            star.first_y, star.last_y = min(star.first_y, j), max(star.last_y, j)
            _keep_brightest(top[owner[j, i]], image[j, i])
    for star in stars:
        star.x /= star.flux
        star.y /= star.flux
        star.xx = star.xx / star.flux - star.x * star.x
        star.yy = star.yy / star.flux - star.y * star.y
        star.xy = star.xy / star.flux - star.x * star.y
        if star.xx * star.yy - star.xy * star.xy < NARROW_AREA2:
            star.xx += PIXEL_VARIANCE
            star.yy += PIXEL_VARIANCE
            star.flag |= NARROW


@compiled
def _keep_brightest(top, value):
    place = top.size
    while place > 0 and value > top[place - 1]:
        if place < top.size:
            top[place] = top[place - 1]
        place -= 1
    if place < top.size:
        top[place] = value


@compiled
def _count_half(image, owner, middle, stars):
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            if owner[j, i] >= 0:
                stars[owner[j, i]].n_half_pix += image[j, i] > middle[owner[j, i]]
