"""Light curves of all stars of a field at once, by any of the three ensembles."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import AnalysisError, UsageError
from .comparison_stars import steadiest
from .inhomogeneous import Solution, solve_inhomogeneous
from .star_tables import StarTable, common_factor, levels

Array = NDArray[np.float64]
Method = Literal["weights", "sum", "inhomogeneous"]
METHODS = get_args(Method)

MAX_CANDIDATE = 60  # brightest stars that are weighed against each other
MIN_POINT = 10  # with fewer, a scatter says nothing
MIN_SHARE = 0.9  # of the frames, on which a comparison star must be clean
MAG_PER_LN = 2.5 / np.log(10)


@dataclass(frozen=True, slots=True)
class FieldCurves:
    """Relative flux of every star over the ensemble of the others, median 1.

    `relative`, `relative_err` are (n_star, n_frame), nan where not measured; `is_used` the stars
    of the ensemble, `weight` their weights (sum 1, nan for others), `factor` what the frames let
    through, (n_frame,); `solution` that of the inhomogeneous ensemble.
    """

    source_id: NDArray[np.int64]
    relative: Array
    relative_err: Array
    is_used: NDArray[np.bool_]
    weight: Array
    factor: Array
    solution: Solution | None = None


def field_curves(
    table: StarTable, method: Method = "weights", *, max_star: int = 20
) -> FieldCurves:
    """Divide every star by the ensemble; stars of the ensemble by the rest of it.

    Parameters
    ----------
    table
        Of one field, band and aperture.
    method
        weights: robust weights after Broeg et al. 2005; sum: of fluxes, with propagated errors
        (Collins et al. 2017); inhomogeneous: Honeycutt 1992, by all bright stars.
    max_star
        Stars of the ensemble, the steadiest of the brightest 60; all 60 if inhomogeneous.

    Raises
    ------
    AnalysisError
        Fewer than two stars are clean on most frames.
    """
    if method not in METHODS:
        raise UsageError(f"ensemble {method!r}; expected one of {', '.join(METHODS)}.")
    candidates = _candidates(table)
    if method == "inhomogeneous":
        return _inhomogeneous(table, candidates)
    used, weight = steadiest(table.flux[candidates], max_n=max_star)
    used = candidates[used]
    if method == "sum":
        weight = levels(table.flux[used])
        weight = weight / weight.sum()
    return leave_one_out(table, used, weight)


def _candidates(table: StarTable) -> NDArray[np.intp]:
    """The brightest stars that are clean on nearly all frames, or on as many as any star is."""
    share = np.isfinite(table.flux).mean(axis=1)
    enough = np.flatnonzero(share >= min(MIN_SHARE, 0.95 * float(share.max(initial=0.0))))
    if len(enough) < 2:
        raise AnalysisError(
            f"{len(enough)} of {len(share)} stars are clean on most of {table.n_frame} frames; an "
            "ensemble needs 2. Try another aperture, or fewer nights."
        )
    level = levels(table.flux[enough])
    return np.sort(enough[np.argsort(-level, kind="stable")[:MAX_CANDIDATE]])


def leave_one_out(table: StarTable, used: NDArray[np.intp], weight: Array) -> FieldCurves:
    """Divide by the weighted mean of some stars; each of these by the mean of the others."""
    factor, level = common_factor(table.flux[used], weight, accuracy=1e-5)
    present = np.where(np.isfinite(table.flux[used]), weight[:, None], 0.0)
    share = np.where(present > 0, table.flux[used] / level[:, None], 0.0) * present
    own = np.where(np.isfinite(table.err[used]), table.err[used] / level[:, None], 0.0)
    noise = (present * own) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):  # a frame with one star has no others
        relative = table.flux / factor
        relative_err = np.hypot(
            table.err / factor,
            relative * np.sqrt(noise.sum(axis=0)) / present.sum(axis=0) / factor,
        )
        others = (share.sum(axis=0) - share) / (present.sum(axis=0) - present)
        others_err = np.sqrt(noise.sum(axis=0) - noise) / (present.sum(axis=0) - present)
        relative[used] = table.flux[used] / others
        relative_err[used] = np.hypot(
            table.err[used] / others, relative[used] * others_err / others
        )
    relative[~np.isfinite(relative)] = np.nan
    return _normalised(table, relative, relative_err, used, weight=weight, factor=factor)


def _inhomogeneous(table: StarTable, used: NDArray[np.intp]) -> FieldCurves:
    mag = -2.5 * np.log10(table.flux)
    err_mag = MAG_PER_LN * table.err / table.flux
    is_used = np.zeros(len(mag), bool)
    is_used[used] = True
    found = solve_inhomogeneous(mag, err_mag, is_used)
    factor = 10 ** (-0.4 * found.zero_mag)
    relative = table.flux / factor
    weight = 1 / np.maximum(found.scatter_mag[used], 1e-4) ** 2
    relative_err = np.hypot(table.err / factor, relative * found.zero_err_mag / MAG_PER_LN)
    weight = weight / weight.sum()
    curves = _normalised(table, relative, relative_err, used, weight=weight, factor=factor)
    return replace(curves, solution=found)


def _normalised(
    table: StarTable,
    relative: Array,
    relative_err: Array,
    used: NDArray[np.intp],
    *,
    weight: Array,
    factor: Array,
) -> FieldCurves:
    middle = levels(relative)[:, None]
    is_used = np.zeros(len(relative), bool)
    is_used[used] = True
    weights = np.full(len(relative), np.nan)
    weights[used] = weight
    return FieldCurves(
        table.source_id,
        relative / middle,
        relative_err / np.abs(middle),
        is_used,
        weights,
        factor / levels(factor[None])[0],
    )


def star_summary(curves: FieldCurves) -> pl.DataFrame:
    """Say how much each star scatters: one row a star, the most constant first.

    source_id, n_frame, scatter (robust, total), step_scatter (from frame to frame), both null for
    fewer than 10 frames, err (median error), is_comparison, weight.
    """
    relative = curves.relative
    total = 1.4826 * levels(np.abs(relative - 1))
    steps = np.diff(relative, axis=1)
    step = 1.4826 * levels(np.abs(steps)) / np.sqrt(2)
    return (
        pl.DataFrame(
            {
                "source_id": curves.source_id,
                "n_frame": np.isfinite(relative).sum(axis=1),
                "scatter": total,
                "step_scatter": step,
                "err": levels(curves.relative_err),
                "is_comparison": curves.is_used,
                "weight": curves.weight,
            }
        )
        .with_columns(pl.col("scatter", "step_scatter", "err", "weight").fill_nan(None))
        .with_columns(
            pl.when(pl.col("n_frame") >= MIN_POINT).then(pl.col("scatter", "step_scatter"))
        )
        .sort("scatter", "source_id", nulls_last=True)
    )


def curve_rows(table: StarTable, curves: FieldCurves) -> pl.DataFrame:
    """One row a frame and star that was measured: frame_id, source_id, relative flux, error."""
    star, frame = np.nonzero(np.isfinite(curves.relative))
    return pl.DataFrame(
        {
            "frame_id": np.asarray(table.frame_id)[frame],
            "source_id": curves.source_id[star],
            "relative_flux": curves.relative[star, frame],
            "relative_flux_err": curves.relative_err[star, frame],
        }
    ).with_columns(pl.col("relative_flux_err").fill_nan(None))


def solution_rows(
    table: StarTable, curves: FieldCurves, *, field_id: int, band: str | None, aperture_id: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of the tables `ensemble_frame` and `ensemble_source`."""
    found = curves.solution
    if found is None:
        raise UsageError("only the inhomogeneous ensemble has a solution to store.")
    where = {
        "field_id": pl.lit(field_id),
        "band": pl.lit(band, pl.String),
        "aperture_id": pl.lit(aperture_id),
    }
    frames = pl.DataFrame(
        {
            "frame_id": table.frame_id,
            "zero_mag": found.zero_mag,
            "zero_err_mag": found.zero_err_mag,
            "n_star": found.n_star,
        }
    ).filter(pl.col("zero_mag").is_finite())
    sources = pl.DataFrame(
        {
            "source_id": curves.source_id,
            "mean_mag": found.mean_mag,
            "scatter_mag": found.scatter_mag,
            "n_frame": np.isfinite(found.residual_mag).sum(axis=1),
            "is_constant": curves.is_used,
        }
    ).filter(pl.col("mean_mag").is_finite())
    sources = sources.with_columns(pl.col("scatter_mag").fill_nan(None))
    return frames.with_columns(**where), sources.with_columns(**where)
