"""Isochrones of no real star, in the format of MIST: for tests, benchmarks and tutorials.

Their shapes are a sketch of those of an old cluster: main sequence, turn-off, giant branch,
horizontal branch. What age, metallicity and rotation do to them is stated here, so that what a fit
should find is known. Every file says that it is synthetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .isochrones import SYNTHETIC

Array = NDArray[np.float64]

AGE_GYR, FEH_DEX, V_OVER_VCRIT = 12.0, -1.35, 0.4  # of the sketch itself
# EEP, initial mass, absolute g, g - r, r - i: after the look of published ones
SKETCH = (
    (250, 0.10, 13.8, 1.44, 0.75),
    (300, 0.30, 10.2, 1.28, 0.60),
    (340, 0.55, 7.6, 0.85, 0.36),
    (370, 0.68, 6.0, 0.52, 0.21),
    (400, 0.74, 5.0, 0.36, 0.14),
    (430, 0.778, 4.3, 0.26, 0.09),
    (454, 0.790, 3.9, 0.245, 0.08),
    (470, 0.797, 3.55, 0.29, 0.10),
    (500, 0.803, 3.2, 0.45, 0.16),
    (540, 0.807, 1.9, 0.54, 0.20),
    (580, 0.810, -0.3, 0.72, 0.27),
    (605, 0.812, -2.4, 1.15, 0.48),
    (631, 0.813, 0.75, 0.10, 0.02),
    (670, 0.814, 0.60, 0.25, 0.08),
    (707, 0.815, 0.45, 0.38, 0.14),
)
PHASES = ((454, 0), (606, 2), (708, 3))  # up to this EEP


@dataclass(frozen=True, slots=True)
class Curve:
    """One isochrone: arrays of shape (n_eep,); magnitudes of shape (n_eep, n_band)."""

    age_gyr: float
    feh_dex: float
    v_over_vcrit: float
    eep: Array
    mass_msun: Array
    phase: Array
    mag: Array
    columns: tuple[str, ...]


def sketched() -> Curve:
    """Return the sketch of 12 Gyr and [Fe/H] -1.35 in Pan-STARRS g, r, i."""
    points = np.array(SKETCH)
    eep = np.arange(points[0, 0], points[-1, 0] + 1)
    mass, g, g_r, r_i = (np.interp(eep, points[:, 0], points[:, i]) for i in range(1, 5))
    phase = np.select([eep <= last for last, _ in PHASES], [number for _, number in PHASES])
    return Curve(
        AGE_GYR,
        FEH_DEX,
        V_OVER_VCRIT,
        eep,
        mass,
        phase.astype(float),
        np.column_stack([g, g - g_r, g - g_r - r_i]),
        ("PS_g", "PS_r", "PS_i"),
    )


def shifted(curve: Curve, *, age_gyr: float, feh_dex: float, v_over_vcrit: float) -> Curve:
    """Return a curve as it would be at another age, metallicity and rotation, by stated shifts.

    With d the change of log10(age) and w a step from the main sequence (0) to the giants (1) at
    EEP 420: magnitudes grow by 2.2 w d, and by 0.25 per dex of metallicity; the bluest band gains
    1.0 w d and 0.18 per dex, for colours; masses fall by 10**(-0.28 w d); rotation dims the
    turn-off by 0.1 per unit.
    """
    log_age = np.log10(age_gyr / curve.age_gyr)
    w = 1 / (1 + np.exp(-(curve.eep - 420) / 12))
    feh, spin = feh_dex - curve.feh_dex, v_over_vcrit - curve.v_over_vcrit
    all_bands = 2.2 * w * log_age + 0.25 * feh + 0.1 * w * (1 - w) * 4 * spin
    blueness = np.linspace(1, 0, curve.mag.shape[1])
    by_band = np.outer(1.0 * w * log_age + 0.18 * feh, blueness)
    return replace(
        curve,
        age_gyr=age_gyr,
        feh_dex=feh_dex,
        v_over_vcrit=v_over_vcrit,
        mass_msun=curve.mass_msun * 10 ** (-0.28 * w * log_age),
        mag=curve.mag + all_bands[:, None] + by_band,
    )


def grid(
    curve: Curve, ages_gyr: Sequence[float], feh_dex: float, v_over_vcrit: float = V_OVER_VCRIT
) -> list[Curve]:
    """Return one curve an age, of one metallicity and rotation: what one file holds."""
    return [
        shifted(curve, age_gyr=age, feh_dex=feh_dex, v_over_vcrit=v_over_vcrit) for age in ages_gyr
    ]


def mist_text(curves: Sequence[Curve], *, published_system: str = "PanSTARRS (AB)") -> str:
    """Write curves of one metallicity and rotation as MIST 1.2 writes them, marked as synthetic."""
    first = curves[0]
    rule = "# " + "-" * 86
    lines = [
        "# MIST version number  = 1.2",
        f"# {SYNTHETIC}: made by stated shifts, no model of stars",
        f"# photometric system   = {published_system}",
        rule,
        "#  Yinit        Zinit   [Fe/H]   [a/Fe]  v/vcrit",
        f"# 0.2500  0.00000E-04    {first.feh_dex:.2f}     0.00     {first.v_over_vcrit:.2f}",
        rule,
        f"# number of isochrones = {len(curves):5d}",
        "# CCM89 extinction: Av =  0.000",
        rule,
    ]
    for curve in curves:
        lines += [*_block(curve), "", ""]
    return "\n".join(lines) + "\n"


def _block(curve: Curve) -> list[str]:
    names = ["EEP", "isochrone_age_yr", "initial_mass", *curve.columns, "phase"]
    lines = [
        f"# number of EEPs, cols = {len(curve.eep):5d} {len(names):4d}",
        "# " + " ".join(f"{i:>18d}" for i in range(1, len(names) + 1)),
        "# " + " ".join(f"{name:>18s}" for name in names),
    ]
    for i, eep in enumerate(curve.eep):
        magnitudes = " ".join(f"{mag:18.6f}" for mag in curve.mag[i])
        lines.append(
            f"{int(eep):5d} {curve.age_gyr * 1e9:24.16E} {curve.mass_msun[i]:24.16E} "
            f"{magnitudes} {curve.phase[i]:18.6f}"
        )
    return lines
