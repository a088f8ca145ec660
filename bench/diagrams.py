"""Colour-magnitude diagrams: 100,000 stars out of 10 million rows, and a fit by least squares."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from isochrone_pulls import isochrone, observed
from measure import measured
from rich.console import Console
from rich.table import Table

N_STAR, N_FRAME, APERTURES = 100_000, 25, (1, 2, 3, 4)
BANDS = ("g", "i", "r")


def write_warehouse(folder: Path) -> None:
    """Make a warehouse whose field has 100,000 stars on 25 frames in four apertures."""
    from starmuster.transforms.flags import MEANINGS
    from starmuster.warehouse.packages import conform
    from starmuster.warehouse.store import Warehouse

    frames = np.arange(1, N_FRAME + 1)
    pairs = {
        "frame_id": np.repeat(frames, N_STAR),
        "source_id": np.tile(np.arange(N_STAR), N_FRAME),
    }
    rng = np.random.default_rng(1)
    flags = [
        {
            "bit": flag.bit_length() - 1,
            "value": int(flag),
            "flag_name": flag.name,
            "meaning": meaning.text,
            "is_severe": meaning.is_severe,
        }
        for flag, meaning in MEANINGS.items()
    ]
    tables: dict[str, Any] = {
        "flag": flags,
        "camera": [camera(1)],
        "aperture": [
            {"aperture_id": i, "kind": "pix", "radius": 3.0 + i, "aperture_name": f"{3 + i} pix"}
            for i in APERTURES
        ],
        "field": [field(1)],
        "frame_quality": [
            {
                "frame_id": int(i),
                "sky_adu": 100.0,
                "sky_rms_adu": 5.0,
                "n_star": N_STAR,
                "fwhm_pix": 4.0,
                "n_saturated_pix": 0,
                "flags": 0,
            }
            for i in frames
        ],
    }
    flux = 10 ** rng.uniform(3, 5, N_STAR)
    measurement = pl.DataFrame(pairs | {"x_pix": 1.0, "y_pix": 1.0}).with_columns(
        sky_rms_adu=pl.lit(5.0), n_sky_pix=pl.lit(300), flags=pl.lit(0)
    )
    warehouse = Warehouse.create(folder)
    with warehouse.writing() as con:
        put(con, "frame", frame_rows(frames))
        put(con, "field_frame", [{"field_id": 1, "frame_id": int(i)} for i in frames])
        put(con, "source", source_rows(rng))
        for name, rows in tables.items():
            put(con, name, rows)
        con.register("given", conform("measurement", measurement))
        con.execute("insert into measurement by name from given")
        for aperture_id in APERTURES:
            rows = pl.DataFrame(pairs).with_columns(
                aperture_id=pl.lit(aperture_id),
                flux_adu=pl.Series(np.tile(flux, N_FRAME) * rng.normal(1, 0.01, len(measurement))),
                n_pix=pl.lit(50.0),
                flags=pl.lit(0),
            )
            con.register("given", conform("aperture_flux", rows))
            con.execute("insert into aperture_flux by name from given")


def put(con: Any, table: str, rows: list[dict[str, Any]] | pl.DataFrame) -> None:
    """Insert rows; columns a table must have and these lack are filled with a neutral value."""
    from starmuster.warehouse.packages import conform, required_columns, table_schemas

    given = pl.DataFrame(rows, infer_schema_length=None) if isinstance(rows, list) else rows
    schema = table_schemas()[table]
    missing = [name for name in required_columns()[table] if name not in given.columns]
    given = given.with_columns(neutral(schema[name]).alias(name) for name in missing)
    con.register("given", conform(table, given))
    con.execute(f"insert into {table} by name from given")


def neutral(dtype: pl.DataType) -> pl.Expr:
    """Return a value for a column that plays no part."""
    if dtype.is_numeric():
        return pl.lit(0)
    if dtype == pl.Boolean:
        return pl.lit(value=False)
    if dtype.is_temporal():
        return pl.datetime(2024, 3, 8).cast(dtype)
    return pl.lit("null")


def camera(camera_id: int) -> dict[str, Any]:
    """Return a camera with a gain."""
    return {"camera_id": camera_id, "gain_e_per_adu": 1.5}


def field(field_id: int) -> dict[str, Any]:
    """Return a field on the sky."""
    return {"field_id": field_id, "field_name": "M 37", "ra_deg": 88.1, "dec_deg": 32.5}


def frame_rows(frames: np.ndarray) -> list[dict[str, Any]]:
    """Return light frames in three bands by turns."""
    return [
        {
            "frame_id": int(i),
            "content_hash": str(i),
            "frame_type": "light",
            "band": BANDS[i % 3],
            "exposure_s": 60.0,
            "camera_id": 1,
            "n_x_pix": 1000,
            "n_y_pix": 1000,
        }
        for i in frames
    ]


def source_rows(rng: np.random.Generator) -> pl.DataFrame:
    """Return stars spread over a degree."""
    return pl.DataFrame(
        {
            "source_id": np.arange(N_STAR),
            "field_id": 1,
            "ra_deg": rng.uniform(87.5, 88.7, N_STAR),
            "dec_deg": rng.uniform(32.0, 33.0, N_STAR),
        }
    )


def open_database(folder: Path) -> Any:
    from starmuster.warehouse.store import Warehouse

    return Warehouse(folder).con


def draw(con: Any) -> None:
    from starmuster.analysis.colour_magnitude import Selection, field_diagram

    found = field_diagram(con, 1, "M 37", colour="g-i", mag_band="r", selection=Selection(2))
    assert found.stars.height == N_STAR


def cluster() -> Any:
    """Set up the fit of a cluster of 1,000 stars."""
    from starmuster.analysis.extinction import find_law
    from starmuster.analysis.isochrone_fit import fit_least_squares
    from starmuster.analysis.isochrone_parameters import START
    from starmuster.analysis.isochrone_problem import Problem
    from starmuster.analysis.isochrones import Grid
    from starmuster.ingest.synthetic_cluster import ClusterTruth

    name, eep, phase, mass, mag = isochrone()
    truth = ClusterTruth(n_star=1600, faintest_mag=21.3)
    columns = np.column_stack([mass, mag[:, 0], mag[:, 2], mag[:, 1]])
    bands = ("g", "i", "r")
    curves = {(12.0, -1.35): columns}
    grid = Grid(name, False, "Pan-STARRS", 0.4, bands, eep.astype(int), phase.astype(int), curves)
    begun = {"age": 12.0, "feh": -1.35, "dm": 14.0, "colour_offset": 0.0, "mag_offset": 0.0}
    stars = observed(mass, phase, mag, truth, 1)
    free = ("dm", "av", "binaries", "field", "jitter")
    problem = Problem(stars, grid, find_law("G23"), START | begun, free)
    fit_least_squares(problem)  # compiled before
    return problem


def fit(problem: Any) -> None:
    from starmuster.analysis.isochrone_fit import fit_least_squares

    fit_least_squares(problem)


def main() -> None:
    """Measure both and print."""
    with tempfile.TemporaryDirectory() as folder:
        write_warehouse(Path(folder))
        diagram = measured(open_database, draw, Path(folder), n_run=3)
    squares = measured(cluster, fit, n_run=3)
    table = Table(title="Colour-magnitude diagrams, CPU seconds")
    for name in ("what", "CPU s", "peak GB", "target"):
        table.add_column(name, justify="left" if name == "what" else "right")
    n_row = N_STAR * N_FRAME * len(APERTURES)
    what = f"{N_STAR:,} stars from {n_row:,} rows of fluxes"
    for label, cost, target in (
        (what, diagram, "2 s"),
        ("least squares, 1,000 stars", squares, "5 s"),
    ):
        table.add_row(label, f"{cost.cpu_s:.2f}", f"{cost.peak_byte / 1e9:.2f}", target)
    Console().print(table)


if __name__ == "__main__":
    main()
