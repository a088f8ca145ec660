"""The model of many transits at once: which parameters there are and what they predict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .joint_curves import TransitCurve
from .limb_darkening import transit_flux
from .limb_darkening_prior import limb_prior
from .orbits import Ephemeris, expected_contacts, orbit_of, shape

Array = NDArray[np.float64]
TimeModel = Literal["free", "linear", "period"]

MOST_RATIO = 0.6
PERIOD_STEP = 1e-3  # of a transit's length over the whole span: natural size of a change


@dataclass(frozen=True, slots=True)
class JointModel:
    """Parameters by name with priors, bounds and steps, shape (n_parameter,) each.

    Names: impact_parameter, a_over_r; for each band radius_ratio, q1, q2; and of the times either
    one offset a transit (free), or offset and slope (linear), or an offset alone (period given).
    Offsets are days from the predicted mid-times, slopes days a transit number from the middle.
    """

    planet: Ephemeris
    curves: tuple[TransitCurve, ...]
    time_model: TimeModel
    period_d: float
    middle_epoch: int
    names: tuple[str, ...]
    start: Array
    centre: Array
    width: Array
    low: Array
    high: Array
    step: Array

    def at(self, theta: Array, name: str) -> float:
        """The value of a parameter."""
        return float(theta[self.names.index(name)])

    def mid_offset_d(self, theta: Array, i: int) -> float:
        """Days of the i-th transit's middle from what the ephemeris predicts."""
        if self.time_model == "free":
            return self.at(theta, f"offset {i}")
        n = self.curves[i].epoch - self.middle_epoch
        slope = self.at(theta, "slope") if self.time_model == "linear" else self.given_slope_d
        return self.at(theta, "offset") + n * slope

    @property
    def given_slope_d(self) -> float:
        """How much longer the period given is than the ephemeris', days."""
        return self.period_d - self.planet.period_d

    def flux(self, theta: Array, i: int) -> Array:
        """Relative flux of the i-th transit, 1 outside it, shape of its times."""
        curve = self.curves[i]
        orbit = orbit_of(
            self.planet,
            self.at(theta, "a_over_r"),
            self.at(theta, "impact_parameter"),
            self.mid_offset_d(theta, i),
        )
        band = curve.depth_band
        ratio, q1, q2 = (self.at(theta, f"{name} {band}") for name in ("radius_ratio", "q1", "q2"))
        offset_d = curve.time_bjd_tdb - curve.predicted_bjd_tdb
        return transit_flux(offset_d, orbit, ratio, q1, q2, exposure_s=curve.exposure_s)


def joint_model(
    planet: Ephemeris,
    curves: Sequence[TransitCurve],
    *,
    time_model: TimeModel = "free",
    period_d: float | None = None,
) -> JointModel:
    """Set up the parameters of a joint fit, with priors on the orbit from the ephemeris."""
    known = shape(planet)
    first, last = expected_contacts(planet)
    window_d = (last - first) / 2 + 3 * _mid_err_d(planet, curves)
    ratio = planet.expected_radius_ratio
    rows: list[tuple[str, float, float, float, float, float]] = [
        # name, centre, width, low, high, step
        ("impact_parameter", known.impact_parameter, known.impact_parameter_err, 0.0, 1.6, 0.05),
        ("a_over_r", known.a_over_r, known.a_over_r_err, 1.01, 20 * known.a_over_r, 0.2),
    ]
    for name, band in {curve.depth_band: curve.band for curve in curves}.items():
        limb = limb_prior(band, planet.star_teff_k, planet.star_logg, planet.star_feh)
        rows += [
            (f"radius_ratio {name}", ratio, math.inf, 0.0, MOST_RATIO, 0.01),
            (f"q1 {name}", *limb.q1, 1e-3, 1.0, 0.1),
            (f"q2 {name}", *limb.q2, 0.0, 1.0, 0.1),
        ]
    epochs = np.array([curve.epoch for curve in curves])
    middle = round(float(epochs.mean()))
    if time_model == "free":
        rows += [
            (f"offset {i}", 0.0, math.inf, -window_d, window_d, 1e-3) for i in range(len(curves))
        ]
    else:
        rows.append(("offset", 0.0, math.inf, -2 * window_d, 2 * window_d, 1e-3))
    if time_model == "linear":
        reach = max(int(np.ptp(epochs)), 1)
        limit = 2 * window_d / reach
        rows.append(("slope", 0.0, math.inf, -limit, limit, PERIOD_STEP / reach))
    names, *columns = zip(*rows, strict=True)
    centre, width, low, high, step = (np.array(column, dtype=float) for column in columns)
    return JointModel(
        planet=planet,
        curves=tuple(curves),
        time_model=time_model,
        period_d=planet.period_d if period_d is None else period_d,
        middle_epoch=middle,
        names=tuple(str(name) for name in names),
        start=np.clip(centre, low, high),
        centre=centre,
        width=width,
        low=low,
        high=high,
        step=step,
    )


def _mid_err_d(planet: Ephemeris, curves: Sequence[TransitCurve]) -> float:
    """Largest error of a predicted mid-time; 0 where the ephemeris has none."""
    reach = max(abs(curve.epoch) for curve in curves)
    return math.hypot(planet.mid_err_d or 0.0, reach * (planet.period_err_d or 0.0))
