"""How much of a star's light fell on pixels that have no value."""

from math import sqrt

import numpy as np
from numba import njit

from .apertures import pixel_overlap
from .growth import PROFILE_STEP_PIX


@njit(cache=True, nogil=True)
def missing_shares(image, bits, bad_bits, x, y, radius, profile):  # noqa: PLR0917
    """Weigh the pixels without a value by the light that the frame's profile has there.

    Parameters
    ----------
    image, bits, bad_bits, x, y, radius
        As in `circle_sums`; what lies off the frame has no value either.
    profile
        Light of a pixel at multiples of PROFILE_STEP_PIX from the star, any scale.

    Returns
    -------
    Share of the light of each circle that is missing, shape (n, n_radius), 0 to 1.
    """
    n_y, n_x = image.shape
    has_bits = bits.size > 0
    reach = radius.max() + 0.5
    share = np.zeros((x.size, radius.size))
    whole = np.zeros(radius.size)
    for k in range(x.size):
        whole[:] = 0.0
        for j in range(int(np.ceil(y[k] - reach)), int(np.floor(y[k] + reach)) + 1):
            for i in range(int(np.ceil(x[k] - reach)), int(np.floor(x[k] + reach)) + 1):
                is_off = i < 0 or j < 0 or i >= n_x or j >= n_y
                is_missing = is_off or not np.isfinite(image[j, i])
                if not is_missing and has_bits:
                    is_missing = (bits[j, i] & bad_bits) != 0
                step = sqrt((i - x[k]) ** 2 + (j - y[k]) ** 2) / PROFILE_STEP_PIX
                left = min(int(step), profile.size - 2)
                light = profile[left] + (step - left) * (profile[left + 1] - profile[left])
                for m in range(radius.size):
                    part = light * pixel_overlap(i - x[k], j - y[k], radius[m])
                    whole[m] += part
                    if is_missing:
                        share[k, m] += part
        for m in range(radius.size):
            share[k, m] = min(1.0, share[k, m] / whole[m]) if whole[m] > 0.0 else 1.0
    return share
