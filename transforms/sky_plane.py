"""The sky as a plane, for fields whose own light is extended: clusters, nebulae, galaxies."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_PIX = 16
N_TURN = 20
CLIP_SIGMA = 2.0


def sky_plane(level_adu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit a plane to a map of the sky, without the places where objects lift it.

    A mesh follows everything larger than its boxes, and takes the light of a cluster for sky. Its
    level beside the object is right: what lies more than 2 sigmas above the plane is left out, and
    the fit repeated until the set stays. An object that fills the frame cannot be told from sky.

    Parameters
    ----------
    level_adu
        Level of `mesh_background`, shape (n_y, n_x).

    Returns
    -------
    The plane, same shape.
    """
    n_y, n_x = level_adu.shape
    rows, columns = np.arange(0, n_y, SAMPLE_PIX), np.arange(0, n_x, SAMPLE_PIX)
    grid = np.meshgrid(rows / n_y - 0.5, columns / n_x - 0.5, indexing="ij")
    y, x = (axis.ravel() for axis in grid)
    level = level_adu[::SAMPLE_PIX, ::SAMPLE_PIX].ravel().astype(np.float64)
    terms = np.column_stack([np.ones_like(x), x, y])
    kept = level <= np.median(level)  # objects only ever add light: begin with the darker half
    coefficients = np.array([float(level.mean()), 0.0, 0.0])
    for _ in range(N_TURN):
        coefficients = np.linalg.lstsq(terms[kept], level[kept], rcond=None)[0]
        miss = level - terms @ coefficients
        sigma = 1.4826 * float(np.median(np.abs(miss[kept])))
        now = miss <= CLIP_SIGMA * sigma
        if np.array_equal(now, kept) or np.count_nonzero(now) < len(level) // 10:
            break
        kept = now
    across = coefficients[1] * (np.arange(n_x) / n_x - 0.5)
    along = coefficients[2] * (np.arange(n_y) / n_y - 0.5)
    return (coefficients[0] + along[:, None] + across[None, :]).astype(np.float32)
