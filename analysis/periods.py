"""Periods in the light curve of a star over many nights: Lomb-Scargle, and box least squares."""

import math
from dataclasses import dataclass

import numpy as np
from astropy.timeseries import BoxLeastSquares, LombScargle
from numpy.typing import NDArray

from ..errors import AnalysisError

Array = NDArray[np.float64]

MIN_POINT = 20
SAMPLES_PER_PEAK = 8
N_FINE = 201  # frequencies tried around the best of the grid
MAX_FREQUENCY = 200_000  # of a grid; a longer span has its shortest periods left out
DURATIONS_H = (1.0, 2.0, 3.0, 4.0)
MIN_TRANSITS = 2


@dataclass(frozen=True, slots=True)
class Wave:
    """The best sine of a curve (Zechmeister & Kuerster 2009)."""

    period_d: float
    period_err_d: float
    amplitude_mag: float
    power: float
    false_alarm: float
    frequency: Array
    powers: Array


@dataclass(frozen=True, slots=True)
class Box:
    """The best box-shaped dip of a curve (Kovacs, Zucker & Mazeh 2002).

    `n_dip` counts the dips the data touch; with one alone a period is no more than a guess.
    """

    period_d: float
    mid_bjd_tdb: float
    duration_h: float
    depth: float
    depth_err: float
    signal_to_noise: float
    n_dip: int
    period: Array
    powers: Array


def find_wave(time_d: Array, mag: Array, err: Array, *, min_d: float, max_d: float) -> Wave:
    """Find the best sinusoidal period between two limits.

    Raises
    ------
    AnalysisError
        Fewer than 20 points, or limits that leave no period.
    """
    span_d = _span(time_d, min_d, max_d)
    step = 1 / (SAMPLES_PER_PEAK * span_d)
    high = min(1 / min_d, 1 / max_d + MAX_FREQUENCY * step)
    frequency = np.arange(1 / max_d, high, step)
    fit = LombScargle(time_d - time_d[0], mag, err)
    powers = np.asarray(fit.power(frequency))
    near = frequency[int(np.argmax(powers))]
    fine = np.clip(np.linspace(near - step, near + step, N_FINE), 1 / max_d, high)
    best = float(fine[int(np.argmax(fit.power(fine)))])
    amplitude = math.hypot(*fit.model_parameters(best)[1:3])
    residual = mag - fit.model(time_d - time_d[0], best)
    # Montgomery & O'Donoghue 1999: what white noise leaves open of a frequency
    noise = float(np.std(residual)) / max(amplitude, 1e-12)
    frequency_err = math.sqrt(6 / len(mag)) * noise / (math.pi * span_d)
    power = float(fit.power(best))
    false_alarm = float(fit.false_alarm_probability(power, maximum_frequency=float(frequency[-1])))
    return Wave(
        period_d=1 / best,
        period_err_d=frequency_err / best**2,
        amplitude_mag=amplitude,
        power=power,
        false_alarm=false_alarm,
        frequency=frequency,
        powers=powers,
    )


def find_box(time_d: Array, mag: Array, err: Array, *, min_d: float, max_d: float) -> Box:
    """Find the best box-shaped dip that comes again between two periods.

    Raises
    ------
    AnalysisError
        Fewer than 20 points, or limits that leave no period.
    """
    span_d = _span(time_d, min_d, max_d)
    flux = 10 ** (-0.4 * (mag - np.median(mag)))
    flux_err = flux * err * 0.4 * math.log(10)
    start = time_d[0]
    search = BoxLeastSquares(time_d - start, flux, flux_err)
    durations_d = np.array([h / 24 for h in DURATIONS_H if h / 24 < 0.5 * min_d])
    if not len(durations_d):
        durations_d = np.array([0.25 * min_d])
    # equal steps in frequency, by which a dip moves by a third of the shortest at the far end
    step = durations_d.min() / 3 / span_d / max_d
    n_step = min(math.ceil((1 / min_d - 1 / max_d) / step), MAX_FREQUENCY)
    period = 1 / np.linspace(1 / max_d, 1 / min_d, max(n_step, 2))
    found = search.power(period, durations_d, objective="snr")
    powers = np.nan_to_num(np.asarray(found.power))
    best = int(np.argmax(powers))
    stats = search.compute_stats(found.period[best], found.duration[best], found.transit_time[best])
    return Box(
        period_d=float(found.period[best]),
        mid_bjd_tdb=float(start + found.transit_time[best]),
        duration_h=24 * float(found.duration[best]),
        depth=float(found.depth[best]),
        depth_err=float(found.depth_err[best]),
        signal_to_noise=float(found.depth_snr[best]),
        n_dip=int(np.sum(np.asarray(stats["per_transit_count"]) > 0)),
        period=period,
        powers=powers,
    )


def phase_of(time_d: Array, period_d: float, zero_d: float) -> Array:
    """Phase between -0.5 and 0.5, 0 at `zero_d`."""
    turns = (time_d - zero_d) / period_d
    return turns - np.round(turns)


def _span(time_d: Array, min_d: float, max_d: float) -> float:
    if len(time_d) < MIN_POINT:
        raise AnalysisError(f"{len(time_d)} points; a search for periods needs {MIN_POINT}.")
    span_d = float(np.ptp(time_d))
    if not 0 < min_d < max_d or span_d <= 0:
        raise AnalysisError(
            f"periods from {min_d:g} to {max_d:g} d in {span_d:g} d of data; expected the first "
            f"above 0 and below the second."
        )
    return span_d
