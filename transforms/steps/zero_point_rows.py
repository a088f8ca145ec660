"""Rows of the tables `zero_point` and `photometric_solution`, made of solutions."""

from dataclasses import asdict

import numpy as np
import polars as pl

from ..zeropoint import Solution, Terms

BORROWED_ERR_MAG = 0.05  # where nothing tells how much zero points differ from frame to frame
SHARED = (
    "colour_pivot_mag",
    "colour_term",
    "colour_term_err",
    "position_mag",
    "position_err_mag",
    "colour_extinction",
    "colour_extinction_err",
    "airmass_pivot",
)


def solution_row(scope: str, solution: Solution) -> pl.DataFrame:
    """Return the row of photometric_solution of a night or a season, its place and time apart."""
    terms = asdict(solution.terms)
    lists = {name: [list(terms[name])] for name in ("position_mag", "position_err_mag")}
    plain = {name: terms[name] for name in SHARED if name not in lists}
    row = asdict(solution.extinction) | plain | lists
    return pl.DataFrame(
        row
        | {
            "scope": scope,
            "intrinsic_scatter_mag": solution.intrinsic_scatter_mag,
            "scatter_mag": solution.scatter_mag,
            "n_star": solution.n_star,
            "n_frame": solution.frames.height,
        },
        schema_overrides=dict.fromkeys((*plain, *asdict(solution.extinction)), pl.Float64)
        | dict.fromkeys(lists, pl.List(pl.Float64)),
    )


def own_rows(final: Solution, season: Solution, tonight: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of zero_point of frames with stars enough.

    Parameters
    ----------
    final
        The zero points of a night's frames with the terms of their season.
    tonight
        Rows of query `zero_point_frames` of the night.
    """
    own = _with_terms(final.frames, season.terms, tonight)
    return own.select(
        pl.col("frame_id").cast(pl.Int32),
        pl.exclude("frame_id"),
        intrinsic_scatter_mag=pl.lit(final.intrinsic_scatter_mag),
        method=pl.lit("joint" if season.frames.height > 1 else "fit"),
        borrowed_frame_id=pl.lit(None, pl.Int32),
    )


def _with_terms(rows: pl.DataFrame, terms: Terms, frames: pl.DataFrame) -> pl.DataFrame:
    """Give rows of frames the terms of their season; the colour term is that of their airmass."""
    airmass = frames.select("frame_id", pl.col("airmass").cast(pl.Float64))
    more = (pl.col("airmass") - (terms.airmass_pivot or 0.0)).fill_null(0.0)
    steep, steep_err = terms.colour_extinction or 0.0, terms.colour_extinction_err or 0.0
    term, err = (pl.lit(x, pl.Float64) for x in (terms.colour_term, terms.colour_term_err))
    variance = err**2 - 2 * more * terms.colour_covariance + (more * steep_err) ** 2
    return (
        rows.join(airmass, on="frame_id", how="left", maintain_order="left")
        .with_columns(
            colour_pivot_mag=pl.lit(terms.colour_pivot_mag, pl.Float64),
            colour_spread_mag=pl.lit(terms.colour_spread_mag, pl.Float64),
            colour_term=term - steep * more,
            colour_term_err=variance.sqrt(),
            position_mag=pl.lit(list(terms.position_mag), pl.List(pl.Float64)),
        )
        .drop("airmass")
    )


def borrowed_rows(own: pl.DataFrame, season: Solution, tonight: pl.DataFrame) -> pl.DataFrame:
    """Give frames without stars enough the zero point of the nearest one of the night in time.

    What the air takes more of them is taken off, where extinction is known. The error holds how
    much zero points differ over the night.
    """
    without = tonight.join(own, on="frame_id", how="anti").filter(pl.col("mid_utc").is_not_null())
    times = own.join(tonight, on="frame_id").filter(pl.col("mid_utc").is_not_null())
    if without.is_empty() or times.is_empty():
        return own.clear()
    unlike = float(own["zero_point_mag"].std() or BORROWED_ERR_MAG)  # pyright: ignore
    extinction = season.extinction.extinction_mag or 0.0
    rows = []
    for frame in without.iter_rows(named=True):
        away = (times["mid_utc"] - frame["mid_utc"]).dt.total_seconds().abs()
        lender = times.row(int(away.arg_min() or 0), named=True)
        airmasses = (frame["airmass"], lender["airmass"])
        more_air = 0.0 if None in airmasses else airmasses[0] - airmasses[1]
        rows.append(
            {
                "frame_id": frame["frame_id"],
                "zero_point_mag": lender["zero_point_mag"] - extinction * more_air,
                "zero_point_err_mag": float(np.hypot(lender["zero_point_err_mag"], unlike)),
                "n_star": 0,
                "method": "borrowed",
                "borrowed_frame_id": lender["frame_id"],
            }
        )
    borrowed = _with_terms(pl.DataFrame(rows), season.terms, tonight)
    return pl.concat([own.clear(), borrowed], how="diagonal_relaxed").cast(own.schema)
