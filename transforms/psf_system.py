"""The linear system of the fluxes of all stars of a frame, each by the pixels of its own core."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import bicgstab, spsolve
from scipy.spatial import KDTree

from .psf_kernels import add_stars, core_sums, pair_sums

TOLERANCE = 1e-8
MAX_SHARED = 0.98  # of two stars' profiles: nearer ones are told apart no better


@dataclass(frozen=True, slots=True)
class System:
    """Stamps of unit stars, pairs that overlap, weights of pixels.

    Attributes
    ----------
    stamps, corner
        As of `star_stamps`.
    x, y
        Places, shape (n,), pixels.
    core_pix
        Radius of the pixels that a star's own flux is taken from.
    pairs
        First and second star of each pair whose second has light in the core of the first.
    is_good, weight
        Pixels with a value, 0 or 1; and what each counts, shape (n_y, n_x).
    """

    stamps: NDArray[np.float64]
    corner: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    core_pix: float
    pairs: NDArray[np.intp]
    is_good: NDArray[np.float64]
    weight: NDArray[np.float64]

    def weighed(self, flux: NDArray, noise2: float, gain_e_per_adu: float) -> "System":
        """Weigh each pixel by its noise: that of the sky and of the light the fit puts there."""
        light = np.zeros(self.is_good.shape)
        add_stars(light, self.stamps, self.corner, np.maximum(flux, 0.0))
        return replace(self, weight=self.is_good * noise2 / (noise2 + light / gain_e_per_adu))

    def core_sums(self, image: NDArray) -> NDArray[np.float64]:
        """Weigh image and stamps in the cores, see `psf_kernels.core_sums`."""
        return core_sums(
            self.stamps, self.corner, self.x, self.y, self.core_pix, image, self.weight
        )

    def shared(self) -> NDArray[np.float64]:
        """Return the light that the second star of each pair puts into the fit of the first."""
        first, second = self.pairs[:, 0], self.pairs[:, 1]
        return pair_sums(
            self.stamps, self.corner, self.x, self.y, self.core_pix, first, second, self.weight
        )

    def solve(self, image: NDArray, sky: NDArray, start: NDArray) -> NDArray[np.float64]:
        """Solve for all fluxes; a star without good pixels or sky gets 0."""
        data = np.where(self.is_good > 0, image, 0.0).astype(np.float64)
        light, own, _, _, sky_light, _ = self.core_sums(data)
        right = light - np.nan_to_num(sky) * sky_light
        right[own <= 0] = 0.0
        own = np.where(own > 0, own, 1.0)
        each = np.arange(own.size)
        rows = np.concatenate([self.pairs[:, 0], each])
        columns = np.concatenate([self.pairs[:, 1], each])
        values = np.concatenate([self.shared(), own])
        matrix = csr_array(coo_array((values, (rows, columns)), shape=(own.size, own.size)))
        first = start if start.any() else right / own
        flux, failed = bicgstab(matrix, right, x0=first, rtol=TOLERANCE, M=diags_array(1 / own))
        return np.asarray(spsolve(matrix.tocsc(), right)) if failed else flux

    def neighbours(self, flux: NDArray) -> tuple[NDArray, NDArray]:
        """Tell what neighbours do to each flux.

        Returns
        -------
        The light of theirs that is taken off each star, in quadrature; and by how much the
        variance of a flux is larger for those it shares pixels with, exact for pairs; shape (n,).
        """
        own = self.core_sums(self.is_good)[1]
        own = np.where(own > 0, own, 1.0)
        shared = self.shared()
        first, second = self.pairs[:, 0], self.pairs[:, 1]
        taken = np.nan_to_num(flux[second]) * shared / own[first]
        light = np.sqrt(np.bincount(first, taken**2, own.size))
        alike2 = np.clip(shared, 0, None) ** 2 / (own[first] * own[second])
        lost = -np.log1p(-np.minimum(alike2, MAX_SHARED**2))
        return light, np.exp(np.bincount(first, lost, own.size))


def near_pairs(x: NDArray, y: NDArray, reach_pix: float) -> NDArray[np.intp]:
    """List both ways the pairs of stars within a reach along each axis, shape (n_pair, 2)."""
    near = KDTree(np.column_stack([x, y])).query_pairs(reach_pix, p=np.inf, output_type="ndarray")
    return np.concatenate([near, near[:, ::-1]])
