"""Matching with catalogues: truth recovered, motions, ambiguity, and the whole of the sphere."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time
from cdshealpix.nested import lonlat_to_healpix

from starmuster.transforms.crossmatch import cells_around, covering_order, judge_pairs
from starmuster.transforms.steps.crossmatch import find_pairs

Fill = Callable[[str, list[dict[str, Any]]], pl.DataFrame]
ARCSEC = 1 / 3600


def healpix(ra_deg, dec_deg, order: int = 29) -> np.ndarray:
    cell = lonlat_to_healpix(np.atleast_1d(ra_deg) * u.deg, np.atleast_1d(dec_deg) * u.deg, order)
    return np.asarray(cell).astype(np.int64)


def offset(ra_deg, dec_deg, angle_deg, distance_arcsec) -> tuple[np.ndarray, np.ndarray]:
    """Places at an angle and distance from others, on the sphere."""
    place = SkyCoord(ra_deg * u.deg, dec_deg * u.deg)
    moved = place.directional_offset_by(angle_deg * u.deg, distance_arcsec * u.arcsec)
    return moved.ra.deg, moved.dec.deg


@pytest.fixture
def sky(database: duckdb.DuckDBPyConnection, fill: Fill) -> Callable[..., pl.DataFrame]:
    """Put sources and stars into a database and return the pairs that are found there."""

    def insert(table: str, rows: list[dict[str, Any]]) -> None:
        database.register("given", fill(table, rows))
        database.execute(f"insert into {table} by name from given")

    def pairs(
        sources: tuple[np.ndarray, np.ndarray],
        stars: tuple[np.ndarray, np.ndarray],
        *,
        radius_arcsec: float = 2.0,
        mid_utc: datetime = datetime(2016, 1, 1),
        **of_star: Any,
    ) -> pl.DataFrame:
        ids = np.arange(len(sources[0]))
        insert("frame", [{"frame_id": 1, "mid_utc": mid_utc}])
        placed = zip(ids.tolist(), *(values.tolist() for values in sources), strict=True)
        insert(
            "source",
            [
                {"source_id": i, "field_id": 1, "first_frame_id": 1, "ra_deg": ra, "dec_deg": dec}
                for i, ra, dec in placed
            ],
        )
        rows = pl.DataFrame(
            {
                "reference_star_id": np.arange(len(stars[0])),
                "catalogue_id": 1,
                "catalogue_name": "a",
                "ra_deg": stars[0],
                "dec_deg": stars[1],
                "healpix": healpix(*stars),
                "epoch_jyear": 2016.0,
            }
        ).with_columns(**of_star)
        database.register("given", rows)
        database.execute("insert into reference_star by name from given")
        return find_pairs(database, 1, ids, *sources, radius_arcsec=radius_arcsec)

    return pairs


def whole_sphere(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def seams() -> tuple[np.ndarray, np.ndarray]:
    """Places where HEALPix is at its worst: poles, RA 0, edges and corners of the twelve faces."""
    quarter = np.arange(0, 360, 45.0)
    edge = np.degrees(np.arcsin(2 / 3))
    dec = np.array([-89.99999, -edge, -20, 0, 1e-7, edge, 89.99999, 90])
    ra, dec = (grid.ravel() for grid in np.meshgrid(quarter, dec))
    return np.r_[ra, 359.9999999, 1e-7, 12.3], np.r_[dec, 41.0, -3.0, 90.0]


@pytest.mark.parametrize("radius_arcsec", [0.5, 2.0, 30.0, 3600.0, 36000.0])
def test_a_cell_and_its_neighbours_hold_the_whole_circle(radius_arcsec):
    order = covering_order(radius_arcsec)
    ra, dec = (np.r_[a, b] for a, b in zip(whole_sphere(3000, 1), seams(), strict=True))
    cells = cells_around(ra, dec, order=order)
    for angle_deg in np.arange(0, 360, 15):
        rim = healpix(*offset(ra, dec, angle_deg, radius_arcsec), order)
        assert (cells == rim[:, None]).any(axis=1).all()


@pytest.mark.parametrize("place", [whole_sphere(2000, 2), seams()], ids=["anywhere", "seams"])
def test_pairs_are_found_all_over_the_sphere_with_their_separation(sky, place):
    rng = np.random.default_rng(3)
    n = len(place[0])
    stars = offset(*place, rng.uniform(0, 360, n), rng.uniform(0, 3, n))
    here, there = (SkyCoord(ra * u.deg, dec * u.deg) for ra, dec in (place, stars))
    distance = here.separation(there).arcsec
    found = sky(place, stars).filter(pl.col("source_id") == pl.col("reference_star_id"))
    assert found["source_id"].to_list() == np.flatnonzero(distance <= 2).tolist()
    np.testing.assert_allclose(found["separation_arcsec"], distance[distance <= 2], atol=1e-7)


def test_pairs_are_those_of_a_comparison_of_each_with_each(sky):
    rng = np.random.default_rng(5)
    sources = rng.uniform(-0.01, 0.01, 300) % 360, rng.uniform(-0.01, 0.01, 300)
    stars = rng.uniform(-0.01, 0.01, 800) % 360, rng.uniform(-0.01, 0.01, 800)
    found = sky(sources, stars, radius_arcsec=3.0)
    here, there = (SkyCoord(ra * u.deg, dec * u.deg) for ra, dec in (sources, stars))
    separation = here[:, None].separation(there[None]).arcsec
    pairs = {(int(i), int(j)) for i, j in np.argwhere(separation <= 3)}
    assert len(pairs) > 300
    assert set(found.select("source_id", "reference_star_id").rows()) == pairs


def test_stars_are_met_where_they_moved_to_in_twenty_years(sky):
    rng = np.random.default_rng(6)
    n = 400
    ra, dec = rng.uniform(-0.1, 0.1, n) % 360, rng.uniform(80, 89.99, n)
    pm_ra, pm_dec = rng.normal(0, 300, (2, n))
    pm_ra[0], pm_dec[0] = -801.6, 10362.4  # as fast as Barnard's star
    moved = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=pm_ra * u.mas / u.yr,
        pm_dec=pm_dec * u.mas / u.yr,
        obstime=Time(2016, format="jyear"),
        distance=10 * u.pc,
    ).apply_space_motion(new_obstime=Time(1996, format="jyear"))
    motion = {
        "pm_ra_mas_per_yr": pl.Series(pm_ra),
        "pm_dec_mas_per_yr": pl.Series(pm_dec),
    }
    then = datetime(1996, 1, 1, 12)
    place = np.asarray(moved.ra.deg), np.asarray(moved.dec.deg)
    found = sky(place, (ra, dec), radius_arcsec=0.2, mid_utc=then, **motion)
    own = found.filter(pl.col("source_id") == pl.col("reference_star_id"))
    assert own["source_id"].to_list() == list(range(n))
    assert own["separation_arcsec"].max() < 1e-4


def test_without_motions_the_same_stars_are_missed(sky):
    ra, dec = np.array([150.0]), np.array([20.0])
    later = offset(ra, dec, 0.0, 20 * 1.0)  # 1 arcsec a year for 20 years
    assert sky(later, (ra, dec), mid_utc=datetime(2036, 1, 1)).is_empty()


def pairs_of(*rows: tuple[int, int, float | None, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [("a", *row) for row in rows],
        schema={
            "catalogue_name": pl.String,
            "source_id": pl.Int32,
            "reference_star_id": pl.Int32,
            "rank_mag": pl.Float64,
            "separation_arcsec": pl.Float64,
        },
        orient="row",
    )


def test_a_far_fainter_star_in_reach_neither_wins_nor_makes_it_ambiguous():
    got = judge_pairs(pairs_of((1, 10, 12.0, 0.8), (1, 11, 17.0, 0.2)), radius_arcsec=2)
    assert got.select("reference_star_id", "n_candidate", "is_ambiguous").rows() == [(10, 1, False)]
    assert got["neighbour_arcsec"][0] is None


def test_two_alike_in_reach_are_ambiguous_and_the_nearer_is_taken():
    got = judge_pairs(pairs_of((1, 10, 12.0, 0.8), (1, 11, 13.0, 0.2)), radius_arcsec=2)
    assert got.select("reference_star_id", "n_candidate", "is_ambiguous").rows() == [(11, 2, True)]


def test_a_star_claimed_by_two_sources_is_ambiguous_for_both():
    got = judge_pairs(
        pairs_of((1, 10, 12.0, 0.3), (2, 10, 12.0, 0.9), (3, 12, 15.0, 0.1)), radius_arcsec=2
    )
    assert got.select("source_id", "is_ambiguous").rows() == [(1, True), (2, True), (3, False)]


def test_a_neighbour_beyond_reach_is_told_if_it_is_bright_enough():
    got = judge_pairs(
        pairs_of((1, 10, 12.0, 0.3), (1, 11, 15.0, 3.0), (1, 12, 13.5, 5.0), (2, 10, 12.0, 4.0)),
        radius_arcsec=2,
    )
    assert got.select("source_id", "neighbour_arcsec", "neighbour_fainter_mag").rows() == [
        (1, 5.0, 1.5)
    ]


def test_stars_of_unknown_brightness_count():
    got = judge_pairs(pairs_of((1, 10, None, 0.3), (1, 11, 12.0, 0.5)), radius_arcsec=2)
    assert got.select("n_candidate", "is_ambiguous").rows() == [(2, True)]
    assert judge_pairs(pairs_of(), radius_arcsec=2).is_empty()


def test_each_catalogue_is_judged_for_itself():
    pairs = pairs_of((1, 10, 12.0, 0.3), (1, 11, 12.5, 0.4))
    pairs = pairs.with_columns(catalogue_name=pl.Series(["a", "b"]))
    got = judge_pairs(pairs, radius_arcsec=2).sort("catalogue_name")
    assert got.select("catalogue_name", "is_ambiguous").rows() == [("a", False), ("b", False)]
