"""How much of the stars' light reached each frame, from the stars they have in common."""

import numpy as np
import polars as pl

from ..errors import CalibrationError

MIN_STAR = 3
N_TURN = 50
SETTLED = 1e-6
SIGMA_PER_MAD = 1.4826


def flux_factors(
    flux: pl.DataFrame, reference_frame_id: int, *, min_star: int = MIN_STAR
) -> pl.DataFrame:
    """Find the factors that bring the light of all frames to that of one.

    Each star has a brightness and each frame a factor; both are medians over the other, taken by
    turns until they settle. So frames need not share stars with the reference frame itself, only
    with others that do, and variable or blended stars do no harm as long as they are the fewer.

    Parameters
    ----------
    flux
        frame_id, source_id, flux_adu > 0; one row per frame and star.
    reference_frame_id
        Its factor is 1.
    min_star
        A frame with fewer stars that other frames have, too, gets no factor.

    Returns
    -------
    frame_id, flux_factor, flux_factor_scatter (relative, of single stars), n_star; one row per
    frame with a factor.

    Raises
    ------
    CalibrationError
        If the reference frame shares too few stars with others.
    """
    shared = flux.filter(pl.len().over("source_id") > 1)
    shared = shared.filter(pl.len().over("frame_id") >= min_star)
    known = shared.select(
        "frame_id", "source_id", level=pl.col("flux_adu").log(), offset=pl.lit(0.0)
    )
    for _ in range(N_TURN):
        before = known["offset"]
        known = known.with_columns(
            star=(pl.col("level") + pl.col("offset")).median().over("source_id")
        ).with_columns(offset=(pl.col("star") - pl.col("level")).median().over("frame_id"))
        if np.abs((known["offset"] - before).to_numpy()).max(initial=0.0) < SETTLED:
            break
    frames = known.group_by("frame_id").agg(
        pl.col("offset").first(),
        scatter=(pl.col("star") - pl.col("level") - pl.col("offset")).abs().median(),
        n_star=pl.len(),
    )
    zero = frames.filter(frame_id=reference_frame_id)["offset"]
    if zero.is_empty():
        raise CalibrationError(
            f"frame {reference_frame_id}: fewer than {min_star} clean bright stars in common with "
            "other frames, so their light cannot be compared. Choose another band or night."
        )
    return frames.select(
        "frame_id",
        flux_factor=(pl.col("offset") - zero[0]).exp(),
        flux_factor_scatter=SIGMA_PER_MAD * pl.col("scatter"),
        n_star=pl.col("n_star").cast(pl.Int32),
    ).sort("frame_id")
