"""Isochrones of any age and metallicity within a grid, along equal evolutionary points.

At one age and [Fe/H] a curve is a table by EEP; between those of the grid every magnitude and mass
is interpolated linearly in log age and [Fe/H] at equal EEP (Dotter 2016, ApJS 222, 8), never at
equal mass, where the giant branch of one curve would meet the turn-off of another.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[np.float64]

Node = tuple[float, float]  # age in Gyr, [Fe/H]


@dataclass(frozen=True, slots=True)
class Isochrone:
    """Stars of one age; arrays of shape (n_eep,).

    Attributes
    ----------
    blue_mag, red_mag, mag
        Absolute magnitudes in the bands of the colour and of the magnitude.
    mass_msun
        At birth.
    phase
        0 main sequence, 2 giant branch, 3 helium core, 4 and 5 asymptotic branch.
    """

    age_gyr: float
    feh_dex: float
    v_over_vcrit: float
    eep: NDArray[np.int64]
    mass_msun: Array
    phase: NDArray[np.int64]
    blue_mag: Array
    red_mag: Array
    mag: Array

    @property
    def colour(self) -> Array:
        """Blue less red magnitude."""
        return self.blue_mag - self.red_mag


@dataclass(frozen=True, slots=True)
class Grid:
    """Curves of one rotation in one photometric system, by age and [Fe/H].

    Attributes
    ----------
    eep
        First and last common point are those of each curve; shape (n_eep,).
    curves
        By age and [Fe/H], columns mass, blue, red, mag; shape (n_eep, 4), nan where a curve has
        no such point.
    """

    grid_name: str
    is_synthetic: bool
    photometric_system: str
    v_over_vcrit: float
    bands: tuple[str, str, str]
    eep: NDArray[np.int64]
    phase: NDArray[np.int64]
    curves: dict[Node, Array]

    @property
    def ages_gyr(self) -> list[float]:
        """Ages, growing."""
        return sorted({age for age, _ in self.curves})

    @property
    def fehs_dex(self) -> list[float]:
        """Metallicities, growing."""
        return sorted({feh for _, feh in self.curves})

    def at(self, age_gyr: float, feh_dex: float) -> Isochrone:
        """Return the isochrone of an age and [Fe/H].

        Raises
        ------
        UsageError
            Either is outside the grid, or a curve that the place needs is missing.
        """
        ages = _around(self.ages_gyr, age_gyr, "age", "Gyr")
        fehs = _around(self.fehs_dex, feh_dex, "[Fe/H]", "dex")
        columns = np.zeros((len(self.eep), 4))
        for age, age_weight in _weights(ages, age_gyr, math.log10):
            for feh, feh_weight in _weights(fehs, feh_dex, float):
                columns = columns + age_weight * feh_weight * self._curve(age, feh)
        here = np.isfinite(columns).all(axis=1)
        if here.sum() < 2:
            raise UsageError(
                f"isochrone of {age_gyr:g} Gyr, [Fe/H] {feh_dex:g}: its neighbours in "
                f"{self.grid_name} have no evolutionary points in common."
            )
        return Isochrone(
            age_gyr,
            feh_dex,
            self.v_over_vcrit,
            self.eep[here],
            columns[here, 0],
            self.phase[here],
            columns[here, 1],
            columns[here, 2],
            columns[here, 3],
        )

    def _curve(self, age_gyr: float, feh_dex: float) -> Array:
        found = self.curves.get((age_gyr, feh_dex))
        if found is None:
            raise UsageError(
                f"{self.grid_name}: no isochrone of {age_gyr:g} Gyr and [Fe/H] {feh_dex:g}, which "
                f"the place between its neighbours needs. Import its file."
            )
        return found


def grids(points: pl.DataFrame, photometric_system: str, bands: tuple[str, str, str]) -> list[Grid]:
    """Make a grid of each name and rotation.

    Parameters
    ----------
    points
        Rows of the query `isochrone_points`.
    bands
        Blue and red of the colour, and the magnitude.
    """
    found: list[Grid] = []
    keys = ["grid_name", "is_synthetic", "v_over_vcrit", "alpha_fe_dex"]
    for (name, is_synthetic, v_over_vcrit, _), rows in points.group_by(keys, maintain_order=True):
        eep = np.unique(rows["eep"].cast(pl.Int64).to_numpy())
        phases = rows.group_by("eep").agg(pl.col("phase").mode().min().fill_null(0)).sort("eep")
        curves: dict[Node, Array] = {}
        for (age, feh), curve in rows.group_by("age_gyr", "feh_dex", maintain_order=True):
            columns = np.full((len(eep), 4), np.nan)
            place = np.searchsorted(eep, curve["eep"].cast(pl.Int64).to_numpy())
            columns[place] = curve.select(
                "initial_mass_msun", "blue_mag", "red_mag", "mag"
            ).to_numpy()
            curves[float(age), float(feh)] = columns  # pyright: ignore[reportArgumentType]
        found.append(
            Grid(
                str(name),
                bool(is_synthetic),
                photometric_system,
                float(v_over_vcrit),  # pyright: ignore[reportArgumentType]
                bands,
                eep,
                phases["phase"].cast(pl.Int64).to_numpy(),
                curves,
            )
        )
    return found


def choose_grid(
    found: Iterable[Grid], *, name: str | None = None, v_over_vcrit: float | None = None
) -> Grid:
    """Choose the grid of a name and rotation; else a published before a synthetic one.

    Raises
    ------
    UsageError
        There is none, or several rotations to choose from.
    """
    known = list(found)
    wanted = [grid for grid in known if name is None or grid.grid_name == name]
    if name is None and any(not grid.is_synthetic for grid in wanted):
        wanted = [grid for grid in wanted if not grid.is_synthetic]
    if v_over_vcrit is not None:
        wanted = [grid for grid in wanted if abs(grid.v_over_vcrit - v_over_vcrit) < 1e-6]
    if not wanted:
        listed = ", ".join(f"{grid.grid_name} v/vcrit {grid.v_over_vcrit:g}" for grid in known)
        raise UsageError(
            f"no isochrones {name or ''} of v/vcrit {v_over_vcrit} in these bands; there are: "
            f"{listed or 'none'}. Import some: starmuster import isochrones FILE."
        )
    if len({grid.v_over_vcrit for grid in wanted}) > 1:
        spins = ", ".join(f"{grid.v_over_vcrit:g}" for grid in wanted)
        raise UsageError(
            f"isochrones of several rotations, v/vcrit {spins}: choose with --v-vcrit."
        )
    return max(wanted, key=lambda grid: len(grid.curves))


def _around(nodes: list[float], value: float, quantity: str, unit: str) -> list[float]:
    """Return the one or two nodes that a value lies at or between."""
    near = min(nodes, key=lambda node: abs(node - value))
    if abs(near - value) <= 1e-6 * max(1.0, abs(value)):
        return [near]
    if not nodes[0] < value < nodes[-1]:
        reach = f"{nodes[0]:g}" if len(nodes) == 1 else f"{nodes[0]:g} to {nodes[-1]:g}"
        raise UsageError(
            f"{quantity} {value:g} {unit} is outside the isochrones at hand, {reach} {unit}. "
            f"Import others: starmuster import isochrones FILE."
        )
    above = next(i for i, node in enumerate(nodes) if node > value)
    return nodes[above - 1 : above + 1]


def _weights(nodes: list[float], value: float, scale) -> list[tuple[float, float]]:
    if len(nodes) == 1:
        return [(nodes[0], 1.0)]
    low, high = nodes
    share = (scale(value) - scale(low)) / (scale(high) - scale(low))
    return [(low, 1 - share), (high, share)]
