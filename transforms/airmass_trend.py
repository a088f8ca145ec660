"""What the air takes: zero points of clear frames against airmass, clouds left aside."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MIN_FRAME = 5
MIN_AIRMASS_RANGE = 0.25
N_ROUND = 20
SIGMA_PER_MAD = 1.4826
LEAST_SCATTER_MAG = 0.005
CLOUD_SIGMA, BRIGHT_SIGMA = 2.5, 4.0  # clouds only ever take light, so that side is cut closer
PHYSICAL_MAG = (-0.1, 2.0)  # per airmass


@dataclass(frozen=True, slots=True)
class Extinction:
    """Extinction, and the zero point of clear frames at an airmass."""

    extinction_mag: float | None
    extinction_err_mag: float | None
    clear_zero_point_mag: float
    clear_airmass: float
    n_clear_frame: int


@dataclass(frozen=True, slots=True)
class _Line:
    level: Array  # of each night, above the air; nan without clear frames
    slope: float
    slope_err: float
    residual: Array  # nan in nights without clear frames
    scatter: float


def find_extinction(
    zero_point_mag: Array, err_mag: Array, airmass: Array, night: NDArray[np.int64]
) -> Extinction | None:
    """Fit the zero points of clear frames by a level of each night, less extinction times airmass.

    Frames that lie below the line are taken for cloudy and left out, round by round. Without a
    range of airmass there is no extinction, and the clear zero point is that of the upper
    quartile at the mean airmass.

    Parameters
    ----------
    zero_point_mag, err_mag, airmass, night
        Of each frame, shape (n_frame,); airmass nan where not known, night any number.

    Returns
    -------
    None without frames. The clear zero point is the median over the nights.
    """
    known = np.isfinite(airmass)
    if not known.any():
        return None if not len(airmass) else _level(zero_point_mag, np.ones_like(zero_point_mag))
    zero_point, air = zero_point_mag[known], airmass[known]
    _, index = np.unique(night[known], return_inverse=True)
    variance = err_mag[known] ** 2 + LEAST_SCATTER_MAG**2
    clear = _first_guess(zero_point, air, index)
    if not _has_range(air, index, clear):
        return _level(zero_point, air)
    line = _fit(zero_point, air, index, variance, clear)
    for _ in range(N_ROUND):
        kept = (line.residual > -CLOUD_SIGMA * line.scatter) & (
            line.residual < BRIGHT_SIGMA * line.scatter
        )
        if not _has_range(air, index, kept):
            return _level(zero_point, air)
        if np.array_equal(kept, clear):
            break
        clear = kept
        line = _fit(zero_point, air, index, variance, clear)
    if not PHYSICAL_MAG[0] < line.slope < PHYSICAL_MAG[1]:
        return _level(zero_point, air)
    return Extinction(
        extinction_mag=line.slope,
        extinction_err_mag=line.slope_err * max(line.scatter / np.sqrt(np.median(variance)), 1.0),
        clear_zero_point_mag=float(np.nanmedian(line.level)),
        clear_airmass=0.0,
        n_clear_frame=int(clear.sum()),
    )


def _first_guess(zero_point: Array, air: Array, index: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Take for clear, at first, the better half of the frames of each night after a mean slope."""
    corrected = zero_point + 0.2 * air
    clear = np.zeros(len(air), bool)
    for one in np.unique(index):
        of_night = index == one
        clear |= of_night & (corrected >= np.median(corrected[of_night]))
    return clear


def _has_range(air: Array, index: NDArray[np.intp], clear: NDArray[np.bool_]) -> bool:
    """Say whether any night has enough clear frames over enough airmass."""
    nights = (air[clear & (index == one)] for one in np.unique(index))
    return any(len(x) >= MIN_FRAME and np.ptp(x) >= MIN_AIRMASS_RANGE for x in nights)


def _fit(zero_point: Array, air: Array, index: Array, variance: Array, clear: Array) -> "_Line":
    """Fit level of each night and common slope to the clear frames, by weighted least squares."""
    weight = np.where(clear, 1 / variance, 0.0)
    total = np.bincount(index, weight)
    with np.errstate(invalid="ignore"):
        mean_air = np.bincount(index, weight * air) / total
        mean_zero = np.bincount(index, weight * zero_point) / total
    within = np.where(clear, air - mean_air[index], 0.0)
    change = np.where(clear, zero_point - mean_zero[index], 0.0)
    spread = float(np.sum(weight * within**2))
    slope = -float(np.sum(weight * within * change)) / spread
    level = mean_zero + slope * mean_air
    residual = zero_point + slope * air - level[index]
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(residual[clear])))
    return _Line(level, slope, spread**-0.5, residual, max(scatter, LEAST_SCATTER_MAG))


def _level(zero_point: Array, air: Array) -> Extinction:
    top = zero_point >= np.quantile(zero_point, 0.75)
    return Extinction(
        extinction_mag=None,
        extinction_err_mag=None,
        clear_zero_point_mag=float(np.median(zero_point[top])),
        clear_airmass=float(air[top].mean()),
        n_clear_frame=int(top.sum()),
    )
