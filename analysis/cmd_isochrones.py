"""Bring a diagram and an isochrone together: which grid, what is free, what limits it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import polars as pl

from ..errors import UsageError
from ..warehouse.store import shipped
from .canvas import floats
from .colour_magnitude import Diagram
from .colour_terms import seen_through
from .extinction import FIXED, Extinction
from .isochrone_fit import ENOUGH, IsochroneFit
from .isochrone_likelihood import Stars
from .isochrone_parameters import START, Prior, distance_modulus, distance_pc
from .isochrone_problem import MAX_PHASE, Problem
from .isochrones import Grid, choose_grid, grids

DEFAULT_DM = 10.0
MAX_STAR = 3000  # beyond, a fit takes a random share
LITTLE_GAIN = 0.3  # logarithm of how much likelier a star is with the isochrone; clusters: 1 to 3
SAFE_ERR_MAG = 0.2  # stars less well measured tell an isochrone nothing
BELIEVABLE = {"binaries": 0.8, "field": 0.8, "jitter": 0.08}  # most of the fitted; jitter in mag


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked of an isochrone; None is free in a fit, or the grid's only value.

    Attributes
    ----------
    held
        Parameters that a fit leaves at their values.
    """

    age_gyr: float | None = None
    feh_dex: float | None = None
    v_over_vcrit: float | None = None
    distance_pc: float | None = None
    a_v_mag: float | None = None
    grid_name: str | None = None
    extinction: Extinction = field(default_factory=Extinction)
    held: tuple[str, ...] = ()
    priors: tuple[Prior, ...] = ()
    max_phase: int = MAX_PHASE
    max_star: int = MAX_STAR
    seed: int = 1


def load_grids(con: duckdb.DuckDBPyConnection, diagram: Diagram) -> list[Grid]:
    """Return every grid with the bands of a diagram, on its photometric system.

    Of an instrumental diagram, on any one system that has its bands; of a natural one, as the
    instrument sees it.

    Raises
    ------
    UsageError
        There is none; the systems at hand are told.
    """
    bands = (diagram.blue, diagram.red, diagram.mag_band)
    held = shipped(con, "isochrone_grids").drop_nulls("photometric_system")
    systems = [
        row["photometric_system"]
        for row in held.iter_rows(named=True)
        if set(bands) <= set(row["bands"].split())
    ]
    wanted = diagram.photometric_system
    systems = [s for s in dict.fromkeys(systems) if wanted in (None, s)]
    if not systems:
        known = "; ".join(
            f"{row['grid_name']} on {row['photometric_system']}: {row['bands']}"
            for row in held.iter_rows(named=True)
        )
        raise UsageError(
            f"no isochrones with {', '.join(bands)} on {wanted or 'any system'}; there are: "
            f"{known or 'none'}. Systems are never mixed: import isochrones on "
            f"{wanted or 'the system of these bands'}."
        )
    if len(systems) > 1:
        raise UsageError(
            f"isochrones with {', '.join(bands)} on {', '.join(systems)}, and the diagram is "
            f"instrumental: choose with --system."
        )
    points = shipped(
        con,
        "isochrone_points",
        photometric_system=systems[0],
        blue=diagram.blue,
        red=diagram.red,
        mag=diagram.mag_band,
    )
    found = grids(points, systems[0], bands)
    return found if diagram.terms is None else [diagram.terms.of_grid(grid) for grid in found]


def make_problem(diagram: Diagram, found: Sequence[Grid], wanted: Wanted, *, fit: bool) -> Problem:
    """Set up an overlay or a fit.

    With instrumental magnitudes the zero points are floated: one constant for the colour and one
    for the magnitude are fitted, at the distance and reddening given, which are held.

    Raises
    ------
    UsageError
        No such grid; or of an instrumental diagram no distance or reddening was given.
    """
    grid = choose_grid(found, name=wanted.grid_name, v_over_vcrit=wanted.v_over_vcrit)
    stars = diagram_stars(diagram, wanted) if fit else _none()
    values = START | {
        "age": _chosen(wanted.age_gyr, grid.ages_gyr),
        "feh": _chosen(wanted.feh_dex, grid.fehs_dex),
        "dm": DEFAULT_DM if wanted.distance_pc is None else distance_modulus(wanted.distance_pc),
        "av": START["av"] if wanted.a_v_mag is None else wanted.a_v_mag,
        "colour_offset": 0.0,
        "mag_offset": 0.0,
    }
    free = ["dm", "av"] if diagram.is_calibrated else ["colour_offset", "mag_offset"]
    if not diagram.is_calibrated and (wanted.distance_pc is None or wanted.a_v_mag is None):
        raise UsageError(
            "the magnitudes are instrumental: distance and reddening cannot be told from their "
            "zero points. Give both (--distance PC --av MAG); the zero points are then fitted."
        )
    free = [
        *(["age"] if len(grid.ages_gyr) > 1 else []),
        *(["feh"] if len(grid.fehs_dex) > 1 else []),
        *free,
        "binaries",
        "field",
        "jitter",
    ]
    return Problem(
        stars,
        grid,
        seen_through(wanted.extinction, diagram.terms),
        values,
        tuple(name for name in free if name not in wanted.held),
        tuple(prior for prior in wanted.priors if prior.parameter in free),
        wanted.max_phase,
    )


def diagram_stars(diagram: Diagram, wanted: Wanted) -> Stars:
    """Return the stars that a fit takes, a random share of very many."""
    rows = fitted_rows(diagram, wanted)
    blue_err, red_err = floats(rows["blue_mag_err"]), floats(rows["red_mag_err"])
    mag_err = floats(rows["mag_err"])
    covariance = np.zeros(rows.height)
    if diagram.mag_band == diagram.blue:
        covariance = np.nan_to_num(blue_err**2)
    elif diagram.mag_band == diagram.red:
        covariance = -np.nan_to_num(red_err**2)
    colour_err = floats(rows["colour_err"])
    covariance = np.clip(covariance, -0.98 * colour_err * mag_err, 0.98 * colour_err * mag_err)
    return Stars(floats(rows["colour"]), floats(rows["mag"]), colour_err, mag_err, covariance)


def fitted_rows(diagram: Diagram, wanted: Wanted) -> pl.DataFrame:
    """Return the rows of the stars that a fit takes; those without errors get 0.02 mag."""
    has_err = diagram.stars["colour_err"].is_not_null().any()
    rows = diagram.stars
    if has_err:
        rows = rows.filter(pl.col("colour_err") < SAFE_ERR_MAG, pl.col("mag_err") < SAFE_ERR_MAG)
    else:
        rows = rows.with_columns(colour_err=pl.lit(0.03), mag_err=pl.lit(0.02))
    if rows.height > wanted.max_star:
        rows = rows.sample(wanted.max_star, seed=wanted.seed).sort("mag")
    return rows


def what_limits(diagram: Diagram, fit: IsochroneFit) -> list[str]:
    """Say plainly what a fit can and cannot tell."""
    grid, values, found = fit.problem.grid, fit.values, list(diagram.warnings)
    if grid.is_synthetic:
        found.append("the isochrones are synthetic, made by shifts: no model of stars")
    for name, nodes, unit in (("age", grid.ages_gyr, "Gyr"), ("[Fe/H]", grid.fehs_dex, "dex")):
        if len(nodes) == 1:
            found.append(
                f"one {name} at hand, {nodes[0]:g} {unit}: it was not fitted, and the errors of "
                f"the others leave out what it would change"
            )
    for name, nodes in (("age", grid.ages_gyr), ("feh", grid.fehs_dex)):
        edge = min(abs(values[name] - nodes[0]), abs(values[name] - nodes[-1]))
        if name in fit.errors and edge < fit.errors[name]:
            found.append(f"{name} lies at the edge of the grid, {nodes[0]:g} to {nodes[-1]:g}")
    if not diagram.is_calibrated:
        found.append(
            f"zero points were floated: constants of {values['colour_offset']:+.3f} in colour and "
            f"{values['mag_offset']:+.3f} in magnitude carry every error of the distance, the "
            f"reddening and the isochrone"
        )
    if fit.method == "by hand":
        return found
    if fit.gain_per_star is not None and fit.gain_per_star < LITTLE_GAIN:
        found.append(
            "the isochrone tells the colours of these stars hardly better than chance: field "
            "stars, or no cluster; the parameters mean nothing then"
        )
    if fit.method == "least squares":
        found.append(
            "least squares takes pairs for single stars, which pulls it bright by some 0.05 mag; "
            "its errors leave that out. Take the posterior"
        )
    found += [*_of_shares(fit), *_of_chain(fit)]
    if fit.problem.extinction.law != FIXED and grid.photometric_system.startswith("Gaia"):
        found.append("one extinction coefficient a band: in Gaia's wide bands it depends on colour")
    return found


def _of_shares(fit: IsochroneFit) -> list[str]:
    """Say which share or scatter came out as no cluster has it: it takes up what is wrong."""
    told = {
        "binaries": "{:.0%} of the stars are taken for unresolved pairs",
        "field": "{:.0%} of the stars are taken for field stars",
        "jitter": "every star is given {:.3f} mag of scatter beyond its error",
    }
    return [
        f"{told[name].format(fit.values[name]).replace('%', ' %')}, more than is believable: "
        f"neighbours' light, errors that are too small, or an isochrone that does not fit; all "
        f"other parameters lean on it. Limit the stars, or --hold {name}"
        for name, most in BELIEVABLE.items()
        if name in fit.errors and fit.values[name] > most
    ]


def _of_chain(fit: IsochroneFit) -> list[str]:
    found: list[str] = []
    if fit.n_independent is not None and fit.n_independent < ENOUGH:
        found.append(
            f"the chain is {fit.n_independent:.0f} autocorrelation times long, {ENOUGH} are wished "
            f"for: errors are good to some {100 / math.sqrt(2 * fit.n_independent):.0f} % (--steps)"
        )
    names = fit.problem.free
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            if fit.correlation.shape == (len(names),) * 2 and abs(fit.correlation[i, j]) > 0.9:
                found.append(f"{other} and {one} can hardly be told apart: one rises as the other")
    return found


def fit_row(diagram: Diagram, fit: IsochroneFit, warnings: Sequence[str]) -> dict[str, Any]:
    """Return the row of table `isochrone_fit`, without its number and time."""
    import json

    values, errors, problem = fit.values, fit.errors, fit.problem
    is_fit = fit.method != "by hand"
    return {
        "field_id": diagram.field_id,
        "catalogue_name": diagram.catalogue_name if diagram.field_id is None else None,
        "blue_band": diagram.blue,
        "red_band": diagram.red,
        "mag_band": diagram.mag_band,
        "aperture_id": diagram.selection.aperture_id,
        "photometric_system": problem.grid.photometric_system,
        "is_calibrated": diagram.is_calibrated,
        "grid_name": problem.grid.grid_name,
        "is_synthetic": problem.grid.is_synthetic,
        "method": fit.method,
        "n_star": len(problem.stars.mag),
        "n_point": len(fit.track.mag),
        "age_gyr": values["age"],
        "age_err_gyr": errors.get("age"),
        "feh_dex": values["feh"],
        "feh_err_dex": errors.get("feh"),
        "v_over_vcrit": problem.grid.v_over_vcrit,
        "distance_modulus_mag": values["dm"],
        "distance_modulus_err_mag": errors.get("dm"),
        "distance_pc": distance_pc(values["dm"]),
        "a_v_mag": values["av"],
        "a_v_err_mag": errors.get("av"),
        "extinction_law": problem.extinction.law,
        "r_v": problem.extinction.r_v,
        "binary_fraction": values["binaries"] if "binaries" in errors else None,
        "field_fraction": values["field"] if "field" in errors else None,
        "colour_offset_mag": None if diagram.is_calibrated else values["colour_offset"],
        "mag_offset_mag": None if diagram.is_calibrated else values["mag_offset"],
        "log_likelihood": fit.log_likelihood if is_fit else None,
        "parameters": json.dumps(_parameters(fit)),
        "selection": json.dumps(diagram.selection.described()),
        "warnings": json.dumps(list(warnings)),
    }


def _parameters(fit: IsochroneFit) -> Mapping[str, Any]:
    percentiles = (
        np.percentile(fit.samples, [2.5, 15.87, 50, 84.13, 97.5], axis=0)
        if len(fit.samples)
        else None
    )
    return {
        "values": fit.values,
        "errors": fit.errors,
        "free": list(fit.problem.free),
        "percentiles_2.5_16_50_84_97.5": None
        if percentiles is None
        else {name: percentiles[:, i].tolist() for i, name in enumerate(fit.problem.free)},
        "correlation": np.nan_to_num(fit.correlation).tolist(),
        "priors": [prior.described() for prior in fit.problem.priors],
        "max_phase": fit.problem.max_phase,
        "acceptance": fit.acceptance,
        "n_independent": fit.n_independent,
    }


def _chosen(given: float | None, nodes: list[float]) -> float:
    return nodes[len(nodes) // 2] if given is None else given


def _none() -> Stars:
    empty = np.zeros(0)
    return Stars(empty, empty, empty, empty, empty)
