"""What the profile of a frame misses of its stars, as an error of the fluxes by fit."""

import numpy as np
from numpy.typing import NDArray

from .apertures import circle_sums
from .psf_system import System
from .psf_table import Table, light_within

MIN_STAR = 12
INNER_SHARE = 0.5  # of the core's radius: light that is moved within the core shows there
NO_BITS = np.zeros((0, 0), dtype=np.uint8)
SIGMA_PER_MAD = 1.4826


def profile_error(  # noqa: PLR0917
    system: System, table: Table, residual: NDArray, sky, flux, flux_variance, noise2: float, stars
) -> float | None:
    """Measure how far the shapes of stars differ from the profile of their frame.

    A fit leaves no light over in the whole core. In the inner half it leaves what this star has
    more, or less, than the profile says: seeing and guiding are not the same for all stars, and a
    profile is never quite right. The scatter of that light over the flux, robust and less its
    noise, is the relative error of a bright star's flux that no photon statistics know.

    Parameters
    ----------
    residual
        Frame without its stars, shape (n_y, n_x).
    sky, flux, flux_variance
        Of all stars, shape (n,); the variance by noise, ADU squared.
    noise2
        Variance of a sky pixel.
    stars
        The bright ones that tell, indices.

    Returns
    -------
    Relative to the flux, 0 where noise explains all; None with fewer than 12 stars.
    """
    known = stars[np.isfinite(flux[stars]) & (flux[stars] > 0)]
    radius = np.array([INNER_SHARE * system.core_pix])
    x, y = system.x[known], system.y[known]
    with np.errstate(divide="ignore"):
        variance = np.where(system.weight > 0, noise2 / system.weight, np.nan)
    left, area, lost, _ = circle_sums(residual, NO_BITS, 0, x, y, radius)
    noise, _, _, _ = circle_sums(variance, NO_BITS, 0, x, y, radius)
    known, whole = known[lost[:, 0] == 0], lost[:, 0] == 0
    if known.size < MIN_STAR:
        return None
    share = (left[whole, 0] - sky[known] * area[whole, 0]) / flux[known]
    # the fit has taken its own error out of what is left
    explained = light_within(table, radius[0]) ** 2 * flux_variance[known]
    by_noise = np.median(np.maximum(noise[whole, 0] - explained, 0) / flux[known] ** 2)
    scatter = SIGMA_PER_MAD * np.median(np.abs(share - np.median(share)))
    return float(np.sqrt(max(scatter**2 - by_noise, 0.0)))
