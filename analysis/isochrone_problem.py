"""An isochrone fit as a function of a vector: from parameters to curve and likelihood."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError, UsageError
from .extinction import Extinction
from .isochrone_cloud import Cloud, cloud
from .isochrone_likelihood import Mixture, Stars, star_likelihood
from .isochrone_parameters import MEANINGS, Prior, log_prior
from .isochrones import Grid, Isochrone

Array = NDArray[np.float64]

MAX_PHASE = 2  # what follows the giant branch depends on more than age and metallicity


@dataclass(frozen=True, slots=True)
class Track:
    """An isochrone as it would be seen: colour and magnitude, shape (n_eep,)."""

    colour: Array
    mag: Array
    eep: NDArray[np.int64]
    mass_msun: Array
    phase: NDArray[np.int64]


@dataclass(slots=True)
class Problem:
    """Stars, the isochrones, and what is known beforehand.

    Attributes
    ----------
    values
        All parameters: those held, and where the fit begins.
    free
        Names of those fitted, in the order of the vector.
    """

    stars: Stars
    grid: Grid
    extinction: Extinction
    values: dict[str, float]
    free: tuple[str, ...]
    priors: tuple[Prior, ...] = ()
    max_phase: int = MAX_PHASE
    _coefficients: tuple[float, float] = field(init=False)
    _cloud: tuple[tuple[float, float], Cloud] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        blue, red, mag = (
            self.extinction.coefficient(self.grid.photometric_system, band)
            for band in self.grid.bands
        )
        self._coefficients = (blue - red, mag)

    def named(self, vector: Array) -> dict[str, float]:
        """Return all parameters, those of a vector put in."""
        return self.values | dict(zip(self.free, (float(value) for value in vector), strict=True))

    def vector(self) -> Array:
        """Return where the fit begins."""
        return np.array([self.values[name] for name in self.free])

    def isochrone(self, values: dict[str, float]) -> Isochrone:
        """Return the isochrone of an age and metallicity; see `Grid.at`."""
        return self.grid.at(values["age"], values["feh"])

    def shift(self, values: dict[str, float]) -> tuple[float, float]:
        """Return what reddening, distance, extinction and zero points add to colour and magnitude.

        Offsets are added to instrumental magnitudes, hence taken off the isochrone.
        """
        reddening, absorption = self._coefficients
        return (
            reddening * values["av"] - values["colour_offset"],
            values["dm"] + absorption * values["av"] - values["mag_offset"],
        )

    def track(self, values: dict[str, float]) -> Track:
        """Return the isochrone as it would be seen."""
        found, (colour, mag) = self.isochrone(values), self.shift(values)
        return Track(
            found.colour + colour, found.mag + mag, found.eep, found.mass_msun, found.phase
        )

    def populated(self, values: dict[str, float]) -> Cloud:
        """Return where stars of an age and metallicity lie; the last one is kept."""
        key = values["age"], values["feh"]
        if self._cloud is None or self._cloud[0] != key:
            self._cloud = key, cloud(self.isochrone(values), max_phase=self.max_phase)
        return self._cloud[1]

    def log_likelihood(self, values: dict[str, float]) -> float:
        """Return the logarithm of the likelihood of all stars."""
        density, _ = self.of_stars(values)
        return float(np.log(np.maximum(density, 1e-300)).sum())

    def of_stars(self, values: dict[str, float]) -> tuple[Array, Array]:
        """Return the density of each star's colour, and its probability of being a member."""
        mixture = Mixture(values["binaries"], values["field"], values["jitter"])
        return star_likelihood(self.stars, self.populated(values), self.shift(values), mixture)

    def log_posterior(self, vector: Array) -> float:
        """Return the logarithm of the posterior density, up to a constant; -inf outside."""
        values = self.named(vector)
        before = log_prior(values, self.priors)
        if not math.isfinite(before) or not self.is_inside(values):
            return -math.inf
        try:
            return before + self.log_likelihood(values)
        except UsageError:  # a corner of the grid that no file covers
            return -math.inf

    def is_inside(self, values: dict[str, float]) -> bool:
        """Whether age and metallicity lie within the grid."""
        ages, fehs = self.grid.ages_gyr, self.grid.fehs_dex
        near = 1e-6
        return (
            ages[0] * (1 - near) <= values["age"] <= ages[-1] * (1 + near)
            and fehs[0] - near <= values["feh"] <= fehs[-1] + near
        )

    def begun(self, **values: float) -> "Problem":
        """Return the same problem beginning elsewhere."""
        return replace(self, values=self.values | values)


def check_problem(problem: Problem) -> None:
    """Refuse what cannot be fitted.

    Raises
    ------
    UsageError
        A value outside the grid, or offsets together with what they cannot be told from.
    FitError
        Too few stars.
    """
    free = set(problem.free)
    for offset, same in (("colour_offset", "av"), ("mag_offset", "dm")):
        if {offset, same} <= free:
            raise UsageError(
                f"{offset} and {same} shift the isochrone alike: with instrumental magnitudes "
                f"--distance and --av must be given, and are held."
            )
    if unknown := free - set(MEANINGS):
        raise UsageError(f"no parameter {', '.join(sorted(unknown))} in an isochrone fit.")
    n_star = len(problem.stars.mag)
    if n_star < 10 + len(free):
        raise FitError(
            f"{n_star} stars with both bands; an isochrone needs {10 + len(free)} at least. Widen "
            f"the selection, or overlay one by hand."
        )
    problem.isochrone(problem.values)
