"""The choice of an aperture for a whole field: from what is stored, and from all its stars."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import polars as pl
from measure import Row, measured, show

from starmuster.transforms.aperture_choice import choose_aperture
from starmuster.warehouse.migrate import scratch
from starmuster.warehouse.packages import conform, required_columns, table_schemas
from starmuster.warehouse.store import shipped

N_FRAME, N_STAR = 300, 2000
NOISE_MAG = {1: 0.02, 2: 0.005, 3: 0.01, 4: 0.015}  # by aperture
NIGHT, START = date(2024, 3, 8), datetime(2024, 3, 8, 20)
CENTRE_PIX = (499.5, 499.5)


def put(con: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    """Insert rows; columns that must have a value and get none hold a neutral one."""
    schema = table_schemas()[table]
    missing = [name for name in required_columns()[table] if name not in rows.columns]
    neutral = {name: 0 if schema[name].is_numeric() else "0" for name in missing}
    con.register(
        "given", conform(table, rows.with_columns(**{k: pl.lit(v) for k, v in neutral.items()}))
    )
    con.execute(f"insert into {table} by name from given")
    con.unregister("given")


def one_night() -> duckdb.DuckDBPyConnection:
    """A night of stars that scatter by aperture, all frames alike clear."""
    rng = np.random.default_rng(2)
    con = scratch()
    con.execute("set threads = 1")
    frame_id = np.arange(1, N_FRAME + 1)
    frames = pl.DataFrame(
        {"frame_id": frame_id, "mid_utc": [START + timedelta(minutes=int(i)) for i in frame_id]}
    ).with_columns(
        night=pl.lit(NIGHT), band=pl.lit("r"), exposure_s=30.0, n_x_pix=1000, n_y_pix=1000
    )
    put(con, "frame", frames.with_columns(header=pl.lit("[]")))
    put(con, "field", pl.DataFrame({"field_id": 1, "field_name": "f"}).with_columns(is_on_sky=True))
    put(con, "field_frame", frames.select("frame_id", field_id=1))
    x, y = rng.uniform(0, 1000, (2, N_STAR))
    stars = pl.DataFrame({"source_id": np.arange(N_STAR), "x_pix": x, "y_pix": y})
    points = frames.select("frame_id").join(stars, how="cross")
    put(con, "measurement", points)
    mag = rng.uniform(-9, -4, N_STAR)[points["source_id"].to_numpy()]
    kept: list[pl.DataFrame] = []
    for aperture_id, noise_mag in NOISE_MAG.items():
        named = {"aperture_id": pl.lit(aperture_id, pl.Int16)}
        seen = points.with_columns(mag=pl.Series(mag + rng.normal(0, noise_mag, len(mag))), **named)
        flux = 30.0 * pl.lit(10.0) ** (-0.4 * pl.col("mag"))
        put(
            con,
            "aperture",
            pl.DataFrame({"aperture_id": aperture_id, "aperture_name": str(aperture_id)}),
        )
        put(
            con, "aperture_flux", seen.select("frame_id", "source_id", "aperture_id", flux_adu=flux)
        )
        put(con, "frame_transparency", frames.select("frame_id", dimming_mag=0.0, **named))
        kept.append(seen.filter(pl.col("source_id") < 300))  # as many as the step compares
    dimming = con.table("frame_transparency").pl()
    choice = choose_aperture(pl.concat(kept), dimming, centre_pix=CENTRE_PIX)
    put(
        con,
        "aperture_choice",
        choice.with_columns(field_id=1, night=pl.lit(NIGHT), band=pl.lit("r")),
    )
    return con


def stored(con: Any) -> None:
    found = shipped(con, "apertures", field="f")
    assert found["aperture"].to_list() == ["2", "3", "4", "1"]


def from_stars(con: Any) -> None:
    scatter = con.table("aperture_scatter").aggregate(
        "aperture_id, median(step_scatter_mag) as mag"
    )
    assert [row[0] for row in scatter.order("mag").fetchall()] == [2, 3, 4, 1]


def one_star(con: Any) -> None:
    assert shipped(con, "apertures", star=77)["aperture"].to_list()[0] == "2"


def main() -> None:
    theirs = measured(one_night, from_stars)
    size = f"{N_STAR} stars x {N_FRAME} frames x {len(NOISE_MAG)} apertures"
    rows = [
        Row(f"{what}, {size}", "scatter of all stars", theirs, cost, "")
        for what, cost in (
            ("a field", measured(one_night, stored, n_run=5)),
            ("one star", measured(one_night, one_star, n_run=5)),
        )
    ]
    show("Choice of an aperture, one thread", rows)


if __name__ == "__main__":
    main()
