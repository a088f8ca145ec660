"""A star's flux relative to an ensemble of comparison stars."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import AnalysisError, NotFoundError
from .comparison_stars import choose_comparison
from .field_curves import MAG_PER_LN, Method
from .inhomogeneous import solve_inhomogeneous
from .star_tables import StarTable, common_factor, error_column, levels, ordered_frames, tabulate

__all__ = ["choose_comparison", "differential"]

Array = NDArray[np.float64]


def differential(
    rows: pl.DataFrame, target_id: int, comparison: pl.DataFrame, *, method: Method = "weights"
) -> pl.DataFrame:
    """Divide a star's flux by that of its comparison stars.

    Parameters
    ----------
    rows
        As in `choose_comparison`, of all frames.
    comparison
        As `choose_comparison` returns it; only source_id, is_used, weight, scatter are read.
    method
        weights: those of `comparison` (Broeg et al. 2005); sum: fluxes are summed, with propagated
        errors (Collins et al. 2017), which is the weighted mean with weights like fluxes;
        inhomogeneous: magnitudes of stars and zero points of frames by least squares, each
        measurement weighted by its own error (Honeycutt 1992).

    Returns
    -------
    One row a frame on which the target has a flux, in time order:

    - frame_id
    - relative_flux: median 1; null if no comparison star is clean on the frame
    - relative_flux_err: the target's and the ensemble's, added in quadrature; null if the target's
      is not known. A comparison star without an error counts with its scatter.
    - ensemble_flux: what the frame let through, median 1: clouds are low
    - n_comparison: stars behind it

    Raises
    ------
    AnalysisError
        No comparison star is used.
    NotFoundError
        The target has no flux on these frames.
    """
    used = comparison.filter("is_used")
    if used.is_empty():
        raise AnalysisError(
            f"source {target_id}: none of {comparison.height} stars can serve as comparison; see "
            "the reasons, and widen the range of brightness or lower the share of frames."
        )
    target = rows.filter(pl.col("source_id") == target_id, pl.col("flux_adu").is_finite())
    if target.is_empty():
        raise NotFoundError(f"source {target_id}: no flux on these frames; try another aperture.")
    frame_ids = ordered_frames(target)
    stars = rows.join(used.select("source_id"), on="source_id", how="semi")
    table = tabulate(stars, frame_ids)
    known = pl.DataFrame({"source_id": table.source_id}).join(
        used, on="source_id", how="left", maintain_order="left"
    )
    if method == "inhomogeneous":
        factor, factor_err = _by_magnitudes(table)
    else:
        weight = known["weight"].to_numpy() if method == "weights" else sum_weights(table)
        factor, level = common_factor(table.flux, weight)
        scatter = known["scatter"].to_numpy()
        factor_err = _ensemble_error(table, weight, scatter, factor=factor, level=level)
    target = pl.DataFrame({"frame_id": frame_ids}).join(
        target, on="frame_id", maintain_order="left"
    )
    flux = target["flux_adu"].to_numpy()
    err = error_column(target).cast(pl.Float64).to_numpy()
    relative = flux / factor
    middle = np.nanmedian(relative) if np.isfinite(relative).any() else np.nan
    columns = {
        "relative_flux": relative / middle,
        "relative_flux_err": np.hypot(err / factor, relative * factor_err / factor) / abs(middle),
        "ensemble_flux": factor / levels(factor[None])[0],
    }
    return pl.DataFrame({"frame_id": frame_ids} | columns).with_columns(
        pl.col(columns.keys()).fill_nan(None),
        n_comparison=pl.Series(np.isfinite(table.flux).sum(axis=0)).cast(pl.Int32),
    )


def sum_weights(table: StarTable) -> Array:
    """Weights, sum 1, (n_star,), that make the mean of relative fluxes the sum of fluxes."""
    level = levels(table.flux)
    return level / level.sum()


def _by_magnitudes(table: StarTable) -> tuple[Array, Array]:
    """Factor of each frame and its error from the inhomogeneous ensemble, (n_frame,)."""
    mag = -2.5 * np.log10(table.flux)
    err_mag = MAG_PER_LN * table.err / table.flux
    found = solve_inhomogeneous(mag, err_mag, np.ones(len(mag), bool))
    factor = 10 ** (-0.4 * found.zero_mag)
    return factor, factor * found.zero_err_mag / MAG_PER_LN


def _ensemble_error(
    table: StarTable, weight: Array, scatter: Array, *, factor: Array, level: Array
) -> Array:
    """1-sigma error of the factor of each frame, from the errors of its stars, (n_frame,)."""
    own = table.err / level[:, None]
    own = np.where(np.isfinite(own), own, np.nan_to_num(scatter)[:, None] * factor)
    present = np.where(np.isfinite(table.flux), weight[:, None], 0.0)
    total = present.sum(axis=0)
    total[total == 0] = np.nan
    return np.sqrt((present**2 * own**2).sum(axis=0)) / total
