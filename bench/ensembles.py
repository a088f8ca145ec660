"""Ensembles: all stars of a night at once, and one star over 200 nights from rows to a plot."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from measure import Row, measured, show
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import lsqr

from starmuster.analysis.canvas import as_svg
from starmuster.analysis.ensembles import differential
from starmuster.analysis.field_curves import METHODS, field_curves
from starmuster.analysis.inhomogeneous import _least_squares
from starmuster.analysis.star_tables import StarTable

N_STAR, N_FRAME = 2000, 300
N_NIGHT, N_PER_NIGHT, N_COMPARISON = 200, 100, 20
N_NAIVE = 20  # stars done by the loop, scaled to all


def night() -> StarTable:
    """Seeded fluxes of a field behind clouds, 2 % missing."""
    generator = np.random.default_rng(1)
    level = 10 ** generator.uniform(3, 6, N_STAR)
    sigma = np.hypot(0.0015, np.sqrt(1 / level))
    clouds = 1 - 0.3 * np.linspace(0, 1, N_FRAME) ** 2
    noise = 1 + sigma[:, None] * generator.normal(size=(N_STAR, N_FRAME))
    flux = level[:, None] * clouds * noise
    flux[generator.uniform(size=flux.shape) < 0.02] = np.nan
    place = np.zeros(N_STAR)
    frames = np.arange(N_FRAME)
    return StarTable(np.arange(N_STAR), N_FRAME, flux, sigma[:, None] * flux, place, place, frames)


def as_rows(table: StarTable) -> pl.DataFrame:
    i, j = np.nonzero(np.isfinite(table.flux))
    return pl.DataFrame(
        {
            "frame_id": j,
            "source_id": i,
            "flux_adu": table.flux[i, j],
            "flux_err_adu": table.err[i, j],
            "x_pix": 0.0,
            "y_pix": 0.0,
        }
    )


def prepare_night(method: str) -> Any:
    return night(), method


def all_stars(needed: Any) -> None:
    table, method = needed
    found = field_curves(table, method)
    assert np.isfinite(found.relative).sum() == np.isfinite(table.flux).sum()


def prepare_loop() -> Any:
    comparison = pl.DataFrame(
        {"source_id": range(N_COMPARISON), "is_used": True, "weight": 0.05, "scatter": 0.002}
    )
    return as_rows(night()), comparison


def star_by_star(needed: Any) -> None:
    rows, comparison = needed
    for star in range(N_COMPARISON, N_COMPARISON + N_NAIVE):
        differential(rows, star, comparison)


def prepare_sparse() -> Any:
    table = night()
    return np.where(np.isfinite(table.flux), -2.5 * np.log10(table.flux), 0.0), (
        np.isfinite(table.flux).astype(float)
    )


def sparse_solver(needed: Any) -> None:
    mag, weight = needed
    star, frame = np.nonzero(weight)
    row = np.arange(len(star))
    design = coo_matrix(
        (np.ones(2 * len(star)), (np.r_[row, row], np.r_[star, N_STAR + frame]))
    ).tocsr()
    lsqr(design, mag[star, frame], atol=1e-10, btol=1e-10)


def eliminated(needed: Any) -> None:
    _least_squares(*needed)


def write_nights(path: Path) -> None:
    """One star and its comparison stars over all nights, as rows sorted by star."""
    generator = np.random.default_rng(2)
    n = N_NIGHT * N_PER_NIGHT
    rows = pl.DataFrame(
        {
            "source_id": np.repeat(np.arange(N_COMPARISON + 1), n),
            "frame_id": np.tile(np.arange(n), N_COMPARISON + 1),
            "flux_adu": 1e5 * (1 + 0.003 * generator.normal(size=n * (N_COMPARISON + 1))),
            "flux_err_adu": 300.0,
            "x_pix": 0.0,
            "y_pix": 0.0,
        }
    )
    with duckdb.connect(path) as con:
        con.register("rows", rows)
        con.execute("create table flux as from rows")


def prepare_nights(folder: str) -> Any:
    path = Path(folder) / "nights.duckdb"
    write_nights(path)
    return duckdb.connect(path, read_only=True, config={"threads": 1})


def rows_to_plot(con: duckdb.DuckDBPyConnection) -> None:
    from matplotlib.figure import Figure

    stars = range(1, N_COMPARISON + 1)
    comparison = pl.DataFrame(
        {"source_id": stars, "is_used": True, "weight": 1 / N_COMPARISON, "scatter": 0.003}
    )
    curve = differential(con.table("flux").pl(), 0, comparison)
    assert curve.height == N_NIGHT * N_PER_NIGHT
    figure = Figure(figsize=(7.2, 4))
    figure.subplots().plot(curve["frame_id"], curve["relative_flux"], ",")
    as_svg(figure, name="nights")


def main() -> None:
    loop = measured(prepare_loop, star_by_star)
    rows = [
        Row(
            f"all {N_STAR} stars of {N_FRAME} frames, {method}",
            "one star after the other",
            loop,
            measured(prepare_night, all_stars, method, n_run=3),
            "< 1 s",
            N_NAIVE / N_STAR,
        )
        for method in METHODS
    ]
    rows.append(
        Row(
            "magnitudes and zero points of that night, one solution",
            "scipy's sparse lsqr",
            measured(prepare_sparse, sparse_solver),
            measured(prepare_sparse, eliminated, n_run=3),
            "",
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        nights = measured(prepare_nights, rows_to_plot, folder, n_run=3)
    show("Ensembles, CPU of all threads", rows)
    print(f"{N_NIGHT} nights of one star, rows to plot: {nights.cpu_s:.2f} CPU s (target < 1 s)")


if __name__ == "__main__":
    main()
