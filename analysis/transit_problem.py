"""What is fitted to a night: points in order, baselines that can be tried, priors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .baselines import covariate_columns, design, flip_offset
from .limb_darkening_prior import LimbPrior, limb_prior
from .orbits import Ephemeris, Shape, expected_contacts, shape
from .transit_fit import TransitFit
from .transit_solver import Light, Prior, Solution, prior_of, solve_flat, solve_transit

Array = NDArray[np.float64]

PIER_SIDE = "pier_side"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is fitted: light with quoted errors, baselines to try, priors, predicted duration."""

    light: Light
    is_quoted: bool
    bases: dict[str, Array]
    missing: tuple[str, ...]
    prior: Prior
    known: Shape
    limb: LimbPrior
    duration_d: float
    has_flip: bool

    def solve(self, light: Light, basis: Array, start: Array | None) -> Solution:
        return solve_transit(light, basis, self.prior, start)


def pose(
    data: pl.DataFrame,
    planet: Ephemeris,
    empty: TransitFit,
    *,
    exposure_s: float,
    baselines: Sequence[str],
    band: str | None,
) -> Problem:
    numbers = data.drop(PIER_SIDE, strict=False)
    columns = {name: numbers[name].to_numpy() for name in numbers.columns}
    designs = {name: design(name, columns) for name in baselines}
    bases = {name: basis for name, basis in designs.items() if basis is not None}
    flip = flip_offset(data[PIER_SIDE].to_list()) if PIER_SIDE in data.columns else None
    if flip is not None:  # the star fell on other pixels: a step that needs no proof
        bases = {name: np.column_stack([basis, flip]) for name, basis in bases.items()}
    if not bases:
        raise UsageError(
            f"baselines {', '.join(baselines) or '(none)'}: none has all its columns complete; "
            "expected 'constant' among them."
        )
    first, last = expected_contacts(planet)
    window_d = (last - first) / 2 + 3 * (empty.predicted_mid_err_d or 0.0)
    err, flux = columns["flux_err"], columns["flux"]
    is_quoted = bool(np.all(np.isfinite(err) & (err > 0)))
    if not is_quoted:
        err = np.full_like(flux, abs(float(np.median(flux))) or 1.0)
    offset_d = columns["bjd_tdb"] - empty.predicted_mid_bjd_tdb
    known = shape(planet)
    limb = limb_prior(band, planet.star_teff_k, planet.star_logg, planet.star_feh)
    return Problem(
        light=Light(offset_d, flux, err, exposure_s),
        is_quoted=is_quoted,
        bases=bases,
        missing=tuple(name for name in designs if name not in bases and "+" not in name),
        prior=prior_of(planet, known, limb, window_d=window_d),
        known=known,
        limb=limb,
        duration_d=last - first,
        has_flip=flip is not None,
    )


def gather(
    bjd_tdb: ArrayLike,
    flux: ArrayLike,
    flux_err: ArrayLike | None,
    covariates: Mapping[str, object] | pl.DataFrame | None,
) -> pl.DataFrame:
    """Gather the points in time order; those without time or flux are gone, null is nan."""
    time = np.array(bjd_tdb, dtype=float)
    given = pl.DataFrame({} if covariates is None else covariates)
    columns = covariate_columns(time, given.drop(PIER_SIDE, strict=False))
    columns |= {"bjd_tdb": time, "flux": np.array(flux, dtype=float)}
    columns["flux_err"] = (
        np.full(time.shape, np.nan) if flux_err is None else np.array(flux_err, float)
    )
    for name in ("flux", "flux_err"):
        if len(columns[name]) != len(time):
            raise UsageError(
                f"{name}: {len(columns[name])} values for {len(time)} times; expected one a time."
            )
    frame = pl.DataFrame(columns)
    if PIER_SIDE in given.columns:
        frame = frame.with_columns(given[PIER_SIDE].cast(pl.String))
    frame = frame.filter(pl.all_horizontal(pl.col("bjd_tdb", "flux").is_finite()))
    middle = frame["flux"].median()
    if isinstance(middle, float) and middle <= 0:
        raise UsageError(
            f"flux: median {middle:g} of {frame.height} points; expected a relative flux around 1, "
            "not magnitudes or a flux with the sky taken off twice."
        )
    return frame.sort("bjd_tdb", maintain_order=True)


def only_baseline(light: Light, basis: Array, _start: Array | None) -> Solution:
    return solve_flat(light, basis)
