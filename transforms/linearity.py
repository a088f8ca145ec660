"""Linearity: what a camera should have counted for what it did count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .combine import compiled
from .pixels import Image


@dataclass(frozen=True, slots=True)
class Linearity:
    """A table of factors that light above the bias is multiplied by.

    Between the levels, ascending, the factor is interpolated; below the first it is the first,
    above the last nothing is known: the last is used and the pixel is non-linear.
    """

    level_adu: NDArray[np.float32]
    factor: NDArray[np.float32]

    @property
    def top_adu(self) -> float:
        """The highest level above the bias that was measured."""
        return float(self.level_adu[-1])


def make_linearity(rows: Sequence[tuple[float, float]]) -> Linearity | None:
    """Make a table of (level above the bias in ADU, factor) pairs; None of none.

    Raises
    ------
    ConfigError
        Levels that do not ascend, or factors that are not positive.
    """
    if not rows:
        return None
    table = np.asarray(rows, np.float64).reshape(-1, 2)
    level, factor = table.T
    if not (np.isfinite(table).all() and (np.diff(level) > 0).all() and (factor > 0).all()):
        raise ConfigError(
            f"linearity {[tuple(map(float, row)) for row in rows]}: levels in ADU above the bias, "
            "ascending, each with a positive factor are expected."
        )
    return Linearity(level.astype(np.float32), factor.astype(np.float32))


def linearised(net_adu: Image, linearity: Linearity | None) -> Image:
    """Return light above the bias, of any shape, as a linear camera would have counted it."""
    if linearity is None:
        return net_adu
    values = np.array(net_adu, np.float32, order="C")
    factors = np.empty(values.size, np.float32)
    linearity_factors(values.reshape(-1), linearity.level_adu, linearity.factor, factors)
    values *= factors.reshape(values.shape)
    return values


@compiled
def linearity_factors(net, level, factor, found):
    """Write the factor of each value of a row into `found`."""
    last = level.size - 1
    for i in range(net.size):
        value = net[i]
        if not value > level[0]:
            found[i] = factor[0]
            continue
        k = 1
        while k <= last and value > level[k]:
            k += 1
        if k > last:
            found[i] = factor[last]
        else:
            share = (value - level[k - 1]) / (level[k] - level[k - 1])
            found[i] = factor[k - 1] + share * (factor[k] - factor[k - 1])
