"""SQL: the light curve of one star out of many rows, and the loading of rows."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from measure import Row, measured, show

N_FRAME, N_STAR, APERTURES = 4000, 500, (1, 2, 3, 4)
N_ROW = N_FRAME * N_STAR * len(APERTURES)
N_LOAD_FRAME = 400
ORDER = {
    "frame order": "frame_id, source_id, aperture_id",
    "sorted": "source_id, aperture_id, frame_id",
}
STAR = "source_id = 77 and aperture_id = 2"


def flux_rows(n_frame: int, first_frame_id: int = 1) -> pl.DataFrame:
    """Make rows of table aperture_flux, as workers leave them: frame by frame."""
    rng = np.random.default_rng(first_frame_id)
    n_row = n_frame * N_STAR * len(APERTURES)
    return pl.DataFrame(
        {
            "frame_id": np.repeat(np.arange(n_frame) + first_frame_id, N_STAR * len(APERTURES)),
            "source_id": np.tile(np.repeat(np.arange(N_STAR), len(APERTURES)), n_frame),
            "aperture_id": np.tile(APERTURES, n_frame * N_STAR),
            "flux_adu": rng.normal(10_000, 100, n_row),
            "n_pix": np.full(n_row, 50.0),
            "flags": np.zeros(n_row, np.int32),
        },
        schema_overrides={"frame_id": pl.Int32, "source_id": pl.Int32, "aperture_id": pl.Int16},
    )


def write_databases(folder: Path) -> None:
    """Write the same rows in both orders."""
    rows = flux_rows(N_FRAME)
    for name, order in ORDER.items():
        with duckdb.connect(folder / f"{name}.duckdb") as con:
            con.register("rows", rows)
            con.execute(f"create table aperture_flux as from rows order by {order}")


def open_database(path: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(path, read_only=True, config={"threads": 1})
    light_curve(con)
    return con


def light_curve(con: duckdb.DuckDBPyConnection) -> None:
    found = con.table("aperture_flux").filter(STAR).order("frame_id").fetchall()
    assert len(found) == N_FRAME


def prepare_load(folder: Path) -> Any:
    from starmuster.warehouse.store import Warehouse

    return Warehouse.create(folder), flux_rows(N_LOAD_FRAME)


def load_rows(needed: Any) -> None:
    from starmuster.warehouse.runs import Run

    warehouse, rows = needed
    with Run(warehouse, "bench", "0") as run:
        run.store("photometry", {"aperture_flux": rows})


def prepare_insert(path: Path) -> Any:
    con = duckdb.connect(path)
    rows = flux_rows(1)
    con.register("rows", rows)
    con.execute("create table aperture_flux as from rows limit 0")
    return con, rows.rows()


def insert_rows(needed: Any) -> None:
    con, rows = needed
    con.executemany("insert into aperture_flux values (?, ?, ?, ?, ?, ?)", rows)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_databases(folder)
        costs = [
            measured(open_database, light_curve, folder / f"{order}.duckdb", n_run=5)
            for order in ORDER
        ]
        n_load = N_LOAD_FRAME * N_STAR * len(APERTURES)
        n_insert = N_STAR * len(APERTURES)
        load = measured(prepare_load, load_rows, folder / "warehouse")
        insert = measured(prepare_insert, insert_rows, folder / "insert.duckdb")
    rows = [
        Row(
            f"{N_FRAME} points of one star out of {N_ROW / 1e6:.0f} M rows",
            "rows in the order of frames",
            *costs,
            "",
        ),
        Row(
            f"load {n_load / 1e3:.0f} k rows: sealed package, sorted, one transaction",
            "executemany",
            insert,
            load,
            "",
            n_insert / n_load,
        ),
    ]
    show("Queries and loading, CPU of one thread and of all", rows)
    print(f"loaded: {n_load / load.cpu_s / 1e6:.2f} M rows per CPU second")


if __name__ == "__main__":
    main()
