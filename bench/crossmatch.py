"""Match 1,000 sources with 1,000,000 stored ones, of a catalogue or our own. Target: 0.2 s.

Reference stars lie within one square degree, which is denser than the Milky Way's plane and the
hardest case for the cells; every star moves. Stars of the warehouse have one detection each and lie
within thirty degrees, so that a field of one square degree holds a thousand: read is what a search
of that field needs, in SQL, and its detections are joined and numbered. The wall clock and CPU
seconds of the quickest of five are told.
"""

import time

import duckdb
import numpy as np
import polars as pl
from astropy import units as u
from cdshealpix.nested import lonlat_to_healpix

from starmuster.transforms.clusters import cluster_detections, keep_numbers
from starmuster.transforms.steps.crossmatch import find_pairs
from starmuster.transforms.steps.star_pool import read_pool
from starmuster.warehouse import migrate

N_STAR, N_SOURCE, RADIUS_ARCSEC = 1_000_000, 1_000, 2.0


def stars(rng: np.random.Generator) -> pl.DataFrame:
    """Rows of reference_star."""
    ra, dec = 150 + rng.uniform(-0.5, 0.5, N_STAR), rng.uniform(-0.5, 0.5, N_STAR)
    pm_ra, pm_dec = rng.normal(0, 20, (2, N_STAR))
    return pl.DataFrame(
        {
            "reference_star_id": np.arange(N_STAR),
            "catalogue_id": 1,
            "catalogue_name": "synthetic",
            "ra_deg": ra,
            "dec_deg": dec,
            "healpix": np.asarray(lonlat_to_healpix(ra * u.deg, dec * u.deg, 29)).astype(np.int64),
            "epoch_jyear": 2016.0,
            "pm_ra_mas_per_yr": pm_ra,
            "pm_dec_mas_per_yr": pm_dec,
        }
    ).sort("healpix")


def prepare(con: duckdb.DuckDBPyConnection, rows: pl.DataFrame) -> pl.DataFrame:
    """Fill the tables; return the sources."""
    sources = rows.sample(N_SOURCE, seed=1).select("ra_deg", "dec_deg")
    sources = sources.with_columns(source_id=pl.int_range(N_SOURCE, dtype=pl.Int32))
    con.register("given", rows)
    con.execute("insert into reference_star by name from given")
    frame = pl.DataFrame({"frame_id": [1], "mid_utc": ["2024-01-01"]})
    fill(con, "frame", frame)
    fill(con, "source", sources.with_columns(field_id=1, first_frame_id=1))
    return sources


def fill(con: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    """Insert rows; columns that the match does not read get any value that they take."""
    needed = con.sql("from duckdb_columns()").filter(f"table_name = '{table}' and not is_nullable")
    names = [name for (name,) in needed.project("column_name").fetchall()]
    rows = rows.with_columns(pl.lit("0").alias(name) for name in names if name not in rows.columns)
    con.register("given", rows)
    con.execute(f"insert into {table} by name from given")


def stored_stars(con: duckdb.DuckDBPyConnection, rng: np.random.Generator) -> pl.DataFrame:
    """Fill the warehouse with stars and detections; return new detections of the field."""
    side_deg = np.sqrt(N_STAR / N_SOURCE)
    ra, dec = (
        180 + side_deg * rng.uniform(-0.5, 0.5, N_STAR),
        side_deg * rng.uniform(-0.5, 0.5, N_STAR),
    )
    cell = np.asarray(lonlat_to_healpix(ra * u.deg, dec * u.deg, 29)).astype(np.int64)
    place = {"ra_deg": ra, "dec_deg": dec, "healpix": cell}
    field_id = 2 + (np.floor(ra) * 1000 + np.floor(dec + 500)).astype(np.int64) % 1_000_000
    inside = np.hypot(ra - 180, dec) < np.sqrt(1 / np.pi)
    field_id[inside] = 1
    stars = pl.DataFrame(place | {"source_id": np.arange(N_STAR), "field_id": field_id})
    fill(con, "source", stars.with_columns(first_frame_id=1, flux_adu=100.0))
    member = {"x_pix": 0.0, "y_pix": 0.0, "flux_adu": 100.0}
    fill(con, "field_source", stars.select("field_id", "source_id").with_columns(**member))
    known = stars.with_columns(search_id=pl.col("field_id"), frame_id=1, is_confirmed=True)
    fill(con, "detection", known.with_columns(flux_adu=100.0))
    ids = sorted(set(field_id.tolist()))
    searches = pl.DataFrame({"search_id": ids, "field_id": ids})
    numbered = searches.with_columns(n_detection=pl.int_range(1, pl.len() + 1), fwhm_pix=3.0)
    fill(con, "search", numbered.with_columns(frame_id=1))
    fill(con, "field", pl.DataFrame({"field_id": ids}).with_columns(reference_frame_id=1))
    frame = pl.DataFrame({"frame_id": [1, 2], "mid_utc": ["2024-01-01", "2024-02-01"]})
    fill(con, "frame", frame.with_columns(content_hash=pl.col("frame_id").cast(pl.String)))
    new = known.filter(field_id=1).with_columns(
        pl.col("dec_deg") + 0.1 / 3600, search_id=0, frame_id=2, flux_adu=100.0
    )
    seen = ("x_pix", "y_pix", "x_frame_pix", "y_frame_pix", "significance", "n_seen")
    unused = dict.fromkeys((*seen, "n_expected", "flags"), 0)
    return new.drop("source_id").with_columns(**unused)


def settle(con: duckdb.DuckDBPyConnection, new: pl.DataFrame) -> int:
    """Read what is known around the new detections, and tell which star each is."""
    search = pl.DataFrame({"search_id": [0], "field_id": [1], "frame_id": [2]})
    search = search.with_columns(n_detection=new.height, fwhm_pix=pl.lit(3.0))
    search = search.with_columns(camera_id=1, n_frame=2, recipe=pl.lit("x"))
    pool = read_pool(con, 1, new=new, searches=search, renewed=[])
    clusters = cluster_detections(pool.found)
    fields = {
        source_id: frozenset(ids)
        for source_id, ids in pool.known.select("source_id", "field_ids").iter_rows()
    }
    numbers = keep_numbers(
        pool.found.points[clusters.seed],
        1.5 * pool.found.tolerance[clusters.seed],
        pool.known_points,
        pool.known["source_id"].to_numpy(),
        fields,
    )
    return int((numbers.source_id > 0).sum())


def quickest(work) -> tuple[float, float, int]:
    """Return wall clock, CPU seconds and answer of the quickest of five."""
    times = []
    for _ in range(5):
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu, found))
    return min(times)


def main() -> None:
    """Print the times."""
    with migrate.scratch() as con:
        sources = prepare(con, stars(np.random.default_rng(1)))
        place = [sources[name].to_numpy() for name in ("source_id", "ra_deg", "dec_deg")]
        wall_s, cpu_s, n_pair = quickest(
            lambda: find_pairs(con, 1, *place, radius_arcsec=RADIUS_ARCSEC).height
        )
    told = f"in {wall_s:.3f} s ({cpu_s:.3f} s of CPU), target 0.2 s"
    print(f"{N_SOURCE} sources against {N_STAR} reference stars: {n_pair} pairs {told}")
    with migrate.scratch() as con:
        new = stored_stars(con, np.random.default_rng(2))
        wall_s, cpu_s, n_same = quickest(lambda: settle(con, new))
    told = f"in {wall_s:.3f} s ({cpu_s:.3f} s of CPU), target 0.2 s"
    print(f"{new.height} detections against {N_STAR} stored stars: {n_same} known again {told}")


if __name__ == "__main__":
    main()
