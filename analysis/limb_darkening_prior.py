"""What models of stellar atmospheres say of a star's limb darkening, and how far to believe it."""

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from .limb_darkening import Q1_PRIOR, Q2_PRIOR

Array = NDArray[np.float64]

TEFF_ERR_K = 150.0  # catalogues of hosts seldom give the error of the star they rest on
LOGG_ERR = 0.1
MODEL_ERR = 0.1  # of q1 and q2: what is allowed for models of other atmospheres and for real bands
MAX_METALLICITY_DEX = 0.5  # the models are of solar composition
CITATION = "Claret, Hauschildt & Witte 2013"


@dataclass(frozen=True, slots=True)
class LimbPrior:
    """Centre and 1-sigma width of the priors on Kipping's q1 and q2, and where they came from."""

    q1: tuple[float, float]
    q2: tuple[float, float]
    source: str


def limb_prior(
    band: str | None, teff_k: float | None, logg: float | None, feh: float | None = None
) -> LimbPrior:
    """Return the priors of a star in a band.

    They come from the shipped table, interpolated in temperature and log g, where it knows the
    band and the star; else they are broad, and `source` says what was missing. Their width
    propagates 150 K and 0.1 dex and allows 0.1 for the models.

    Parameters
    ----------
    band
        As in table `frame`; a clear filter, or one the table does not hold, has a broad prior.
    teff_k, logg, feh
        Of the host: K, log10 of cm/s2, dex; None where unknown. Without a metallicity the solar
        one is taken.
    """
    grid = _grids().get(band or "")
    if grid is None:
        return _broad(f"no models of band {band}" if band else "no band")
    if teff_k is None or logg is None:
        return _broad("temperature or gravity of the star unknown")
    if feh is not None and abs(feh) > MAX_METALLICITY_DEX:
        return _broad(f"no models of metallicity {feh:+.2f}")
    centre = _kipping(grid(np.array([[teff_k, logg]]))[0])
    if not np.isfinite(centre).all():
        return _broad(f"no models of {teff_k:.0f} K, log g {logg:.2f}")
    around = np.array([[teff_k, logg]] * 4) + _STEPS
    near = np.array([_kipping(u) for u in grid(around)])
    shift = np.nan_to_num(near - centre)
    slope = np.maximum(np.abs(shift[0::2]), np.abs(shift[1::2]))
    width = np.sqrt((slope**2).sum(axis=0) + MODEL_ERR**2)
    source = f"{CITATION}: {band}, {teff_k:.0f} K, log g {logg:.2f}"
    return LimbPrior(
        (float(centre[0]), float(width[0])), (float(centre[1]), float(width[1])), source
    )


_STEPS = np.array([[-TEFF_ERR_K, 0], [TEFF_ERR_K, 0], [0, -LOGG_ERR], [0, LOGG_ERR]])


def _kipping(u: Array) -> Array:
    """Turn u1, u2 into q1, q2, kept within 0 ... 1 (Kipping 2013, MNRAS 435, 2152)."""
    total = float(u.sum())
    if not math.isfinite(total) or total <= 0:
        return np.array([np.nan, np.nan])
    return np.clip([total**2, u[0] / (2 * total)], 0.0, 1.0)


def _broad(why: str) -> LimbPrior:
    return LimbPrior(Q1_PRIOR, Q2_PRIOR, f"stellar models, broad: {why}")


@cache
def _grids() -> dict[str, RegularGridInterpolator]:
    """Interpolators of u1, u2 by band; nan outside the table and beside its gaps."""
    text = files(__package__ or "").joinpath("limb_darkening.csv").read_text("utf-8")
    table = pl.read_csv(text.encode(), comment_prefix="#").sort("teff_k", "logg")
    teff, logg = (table[name].unique().sort().to_numpy() for name in ("teff_k", "logg"))
    grids = {}
    for name in table.columns:
        if name.startswith("u1_"):
            band = name.removeprefix("u1_")
            values = table.select(f"u1_{band}", f"u2_{band}").cast(pl.Float64).fill_null(np.nan)
            grid = values.to_numpy().reshape(len(teff), len(logg), 2)
            grids[band] = RegularGridInterpolator((teff, logg), grid, bounds_error=False)
    return grids
