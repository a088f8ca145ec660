"""Parameters of an isochrone fit: their ranges, priors, and which of them are held."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError

# Name -> what it is; the order is that of a fit's vector. Age in Gyr, magnitudes, shares.
MEANINGS = {
    "age": "Gyr",
    "feh": "dex",
    "dm": "mag",
    "av": "mag",
    "colour_offset": "mag",
    "mag_offset": "mag",
    "binaries": "",
    "field": "",
    "jitter": "mag",
}
RANGES = {
    "dm": (-5.0, 30.0),
    "av": (0.0, 10.0),
    "colour_offset": (-20.0, 20.0),
    "mag_offset": (-40.0, 60.0),
    "binaries": (0.0, 0.95),
    "field": (0.0, 0.95),
    "jitter": (0.0, 0.1),
}
START = {"av": 0.1, "binaries": 0.3, "field": 0.2, "jitter": 0.005}


@dataclass(frozen=True, slots=True)
class Prior:
    """Normal, where a mean is given; else even between two limits. On a quantity of the user.

    Attributes
    ----------
    quantity
        A parameter, or `distance` in pc, which stands for `dm`.
    """

    quantity: str
    low: float
    high: float
    mean: float | None = None
    sigma: float | None = None

    @property
    def parameter(self) -> str:
        """Parameter it speaks of."""
        return "dm" if self.quantity == "distance" else self.quantity

    def log_density(self, value: float) -> float:
        """Return the logarithm of the density of a parameter, up to a constant."""
        given, volume = value, 0.0
        if self.quantity == "distance":
            given = distance_pc(value)
            volume = math.log(given)  # distance per distance modulus, up to a factor
        if not self.low <= given <= self.high:
            return -math.inf
        if self.mean is None or self.sigma is None:
            return volume
        return volume - 0.5 * ((given - self.mean) / self.sigma) ** 2

    def described(self) -> str:
        """Return the prior as it is given on the command line."""
        if self.mean is None:
            return f"{self.quantity}={self.low:g}:{self.high:g}"
        return f"{self.quantity}={self.mean:g},{self.sigma:g}"


def parse_prior(text: str) -> Prior:
    """Read a prior: `distance=7100,200` is normal, `av=0:0.3` even between two limits.

    Raises
    ------
    UsageError
        It is neither, or of no parameter.
    """
    found = re.fullmatch(r"\s*(\w+)\s*=\s*([-+.\deE]+)\s*([:,])\s*([-+.\deE]+)\s*", text)
    known = (*MEANINGS, "distance")
    try:
        if not found or found[1] not in known:
            raise ValueError
        name, first, kind, second = found[1], float(found[2]), found[3], float(found[4])
        if (kind == ":" and first >= second) or (kind == "," and second <= 0):
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"prior {text!r}: expected NAME=MEAN,SIGMA or NAME=LOW:HIGH with a name of "
            f"{', '.join(known)}; as distance=7100,200 or av=0:0.3."
        ) from error
    if kind == ":":
        return Prior(name, first, second)
    return Prior(name, -math.inf, math.inf, first, second)


def distance_pc(dm_mag: float) -> float:
    """Distance of a distance modulus without extinction."""
    return 10 ** (dm_mag / 5 + 1)


def distance_modulus(pc: float) -> float:
    """Distance modulus of a distance.

    Raises
    ------
    UsageError
        It is not positive.
    """
    if pc <= 0:
        raise UsageError(f"a distance of {pc:g} pc; expected a positive number of parsecs.")
    return 5 * math.log10(pc / 10)


def log_prior(values: Mapping[str, float], priors: tuple[Prior, ...]) -> float:
    """Return the logarithm of all priors and ranges together, up to a constant."""
    for name, (low, high) in RANGES.items():
        if name in values and not low <= values[name] <= high:
            return -math.inf
    return sum(prior.log_density(values[prior.parameter]) for prior in priors)
