"""Which frames were clear: those whose zero points follow their night and the airmass."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .robust_scatter import HUBER, excess_scatter

Array = NDArray[Any]

MIN_FRAME = 5
MIN_AIRMASS_RANGE = 0.25
MEAN_EXTINCTION_MAG = 0.2  # per airmass, for a first guess
N_ROUND = 100
SETTLED = 0.01
TINY = 1e-300
FIRST_SCATTER_MAG = 0.02
LEAST_SCATTER_MAG = 0.002  # no air is steadier; of a few frames the scatter can come out as naught
CLOUD_SIGMA = 5.0  # clouds are deeper than clear frames scatter, on average at least so much
CLOUDY_SHARES = 0.005, 0.9
PHYSICAL_MAG = (-0.1, 2.0)  # per airmass
CLEAR_QUANTILE = 0.75


@dataclass(frozen=True, slots=True)
class Air:
    """Airmass of frames, nan where not known, and the number of their level, shape (n_frame,).

    Frames of a level would have one zero point above the air: those of a night.
    """

    airmass: Array
    level: NDArray[np.int64]

    def has_range(self, clear: NDArray[np.bool_] | None = None) -> bool:
        """Say whether any level has enough (clear) frames over enough airmass."""
        known = np.isfinite(self.airmass) & (True if clear is None else clear)
        levels = (self.airmass[known & (self.level == one)] for one in np.unique(self.level))
        return any(len(x) >= MIN_FRAME and np.ptp(x) >= MIN_AIRMASS_RANGE for x in levels)


@dataclass(frozen=True, slots=True)
class Trend:
    """How likely each frame was clear, and how clear ones scatter about level and airmass."""

    weight: Array
    """Of the frames, shape (n_frame,), 0 to 1."""
    scatter_mag: float
    """Beyond the errors of the zero points."""

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Frames that were rather clear than not."""
        return self.weight > 0.5


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Clear frames about a line, and frames in clouds below it by an exponential distribution."""

    scatter_mag: float = FIRST_SCATTER_MAG
    cloudy_share: float = 0.3
    cloud_mag: float = 0.3

    def weights(self, residual: Array, variance: Array) -> Array:
        """Return the probability to be clear; of frames too bright, Huber's weight."""
        spread = np.sqrt(variance + self.scatter_mag**2)
        pull = np.nan_to_num(residual / spread)
        clear = (1 - self.cloudy_share) * np.exp(-0.5 * pull**2) / spread / np.sqrt(2 * np.pi)
        dimming = -np.minimum(pull, 0) * spread
        cloudy = self.cloudy_share / self.cloud_mag * np.exp(-dimming / self.cloud_mag)
        is_dim = pull < 0
        # clouds only ever take light
        chance = np.where(is_dim, clear / np.where(is_dim, clear + cloudy + TINY, 1.0), 1.0)
        return np.where(np.isfinite(residual), chance * HUBER / np.maximum(pull, HUBER), 0.0)

    def refined(self, residual: Array, variance: Array, weight: Array, n_lost: int) -> "_Mixture":
        """Return the mixture that these weights make most likely."""
        known = np.isfinite(residual)
        residual, variance, weight = residual[known], variance[known], weight[known]
        left = max(1 - n_lost / weight.sum(), 1 / len(weight))
        scatter = excess_scatter(residual, variance, weight=weight, freedom=left)
        scatter = max(scatter, LEAST_SCATTER_MAG)
        cloudy = np.where(residual < 0, 1 - weight, 0.0)
        depth = -np.sum(cloudy * residual) / max(cloudy.sum(), TINY)
        share = min(max(cloudy.mean(), CLOUDY_SHARES[0]), CLOUDY_SHARES[1])
        return _Mixture(scatter, float(share), float(max(depth, CLOUD_SIGMA * scatter)))


def find_trend(zero_point_mag: Array, variance: Array, air: Air) -> Trend | None:
    """Find the frames that follow a level of each night, less extinction times airmass.

    A mixture of clear and cloudy frames is fitted by expectation and maximisation. So no frame is
    cut off where the clear ones thin out, which would make them look steadier than they are.

    Parameters
    ----------
    zero_point_mag, variance
        Of each frame, shape (n_frame,).

    Returns
    -------
    None without a range of airmass among the clear frames, or with a slope that no air has.

    References
    ----------
    Hogg, Bovy & Lang 2010, arXiv:1008.4686, section 3, for mixtures with outliers.
    """
    if not air.has_range():
        return None
    mixture = _Mixture()
    weight = _first_guess(zero_point_mag, air).astype(float)
    slope = 0.0
    for _ in range(N_ROUND):
        before = weight
        spread2 = variance + mixture.scatter_mag**2
        residual, slope, n_level = _line(zero_point_mag, weight / spread2, air)
        weight = mixture.weights(residual, variance)
        mixture = mixture.refined(residual, variance, weight, n_level + 1)
        if np.abs(weight - before).max() < SETTLED:
            break
    trend = Trend(weight, mixture.scatter_mag)
    if not air.has_range(trend.clear) or not PHYSICAL_MAG[0] < slope < PHYSICAL_MAG[1]:
        return None
    return trend


def clear_level(zero_point_mag: Array, air: Air) -> tuple[float, float, int]:
    """Return the zero point of the upper quartile of frames, their mean airmass and their number.

    It stands for clear sky where no extinction is known. Frames of unknown airmass count only
    where none is known; the airmass then is 1.
    """
    known = np.isfinite(air.airmass)
    airmass = air.airmass[known] if known.any() else np.ones(len(zero_point_mag))
    values = zero_point_mag[known] if known.any() else zero_point_mag
    top = values >= np.quantile(values, CLEAR_QUANTILE)
    return float(np.median(values[top])), float(airmass[top].mean()), int(top.sum())


def _first_guess(zero_point: Array, air: Air) -> NDArray[np.bool_]:
    """Take for clear, at first, the better half of the frames of each night after a mean slope."""
    corrected = zero_point + MEAN_EXTINCTION_MAG * air.airmass
    clear = np.zeros(len(zero_point), bool)
    for one in np.unique(air.level):
        of_level = (air.level == one) & np.isfinite(corrected)
        if of_level.any():
            clear |= of_level & (corrected >= np.median(corrected[of_level]))
    return clear


def _line(zero_point: Array, weight: Array, air: Air) -> tuple[Array, float, int]:
    """Fit level of each night and common slope.

    Returns
    -------
    Residuals of all frames, nan without a level or an airmass; extinction; number of levels.
    """
    airmass = np.nan_to_num(air.airmass)
    _, index = np.unique(air.level, return_inverse=True)
    total = np.bincount(index, weight)
    with np.errstate(invalid="ignore"):
        mean_air = np.bincount(index, weight * airmass) / total
        mean_zero = np.bincount(index, weight * zero_point) / total
    within = np.where(weight > 0, airmass - mean_air[index], 0.0)
    change = np.where(weight > 0, zero_point - mean_zero[index], 0.0)
    slope = -float(np.sum(weight * within * change) / max(np.sum(weight * within**2), TINY))
    expected = mean_zero[index] - slope * (air.airmass - mean_air[index])
    return zero_point - expected, slope, int((total > 0).sum())
