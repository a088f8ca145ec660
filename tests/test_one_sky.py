"""One set of stars: in any order of the nights, over overlapping fields, and over years."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from astropy.wcs import WCS

from starmuster.cli import main
from starmuster.transforms.astrometry import pixel_positions, sky_positions, wcs_row
from starmuster.transforms.flags import Flag
from starmuster.transforms.pairing import pair_points
from starmuster.transforms.steps.searches import on_sky
from starmuster.transforms.steps.sources import settle_stars
from starmuster.warehouse.check import run_checks
from starmuster.warehouse.packages import conform
from starmuster.warehouse.runs import Run, rebuild
from starmuster.warehouse.store import Warehouse

N_X, N_Y, SCALE = 400, 300, 1.0
RA_DEG, DEC_DEG = 359.99, 40.0
START = datetime(2024, 3, 8, 20)
CENTRES = {1: (RA_DEG, DEC_DEG), 2: ((RA_DEG + 0.06) % 360, DEC_DEG + 0.01)}


def field_wcs(field_id: int) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = CENTRES[field_id]
    wcs.wcs.crpix = [(N_X + 1) / 2, (N_Y + 1) / 2]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return wcs


def catalogue(n: int = 900) -> pl.DataFrame:
    """Stars around both fields, at least 7 arcsec from each other."""
    rng = np.random.default_rng(20)
    step = 7.0 / 3600
    ra, dec = np.meshgrid(np.arange(-0.08, 0.16, 2.2 * step), np.arange(-0.06, 0.07, 2.2 * step))
    place = np.column_stack([ra.ravel(), dec.ravel()]) + rng.uniform(-1, 1, (ra.size, 2)) * step / 2
    place = rng.permutation(place)[:n]
    cosine = np.cos(np.radians(DEC_DEG))
    return pl.DataFrame(
        {
            "ra_deg": (RA_DEG + place[:, 0] / cosine) % 360,
            "dec_deg": DEC_DEG + place[:, 1],
            "flux_adu": 10 ** rng.uniform(2, 4, len(place)),
            "pm_arcsec_per_yr": np.where(np.arange(len(place)) % 50 == 0, 0.8, 0.0),
        }
    )


@dataclass(frozen=True)
class Visit:
    """A search: which field, how deep, when."""

    field_id: int
    limit_adu: float
    years: float = 0.0
    seed: int = 0


SHALLOW, DEEP = Visit(1, 2000.0, seed=1), Visit(1, 150.0, seed=2)
SHIFTED, LATER = Visit(2, 500.0, seed=3), Visit(1, 400.0, years=1.0, seed=4)


def detections(stars: pl.DataFrame, visit: Visit, search_id: int) -> pl.DataFrame:
    """What a search finds: stars above its limit, with the errors of centroids."""
    rng = np.random.default_rng(visit.seed)
    wcs = field_wcs(visit.field_id)
    dec = stars["dec_deg"] + stars["pm_arcsec_per_yr"] * visit.years / 3600
    x, y = pixel_positions(wcs, stars["ra_deg"].to_numpy(), dec.to_numpy())
    noise = rng.normal(0, 0.1, (2, stars.height))
    seen = stars.select("flux_adu").with_columns(
        x_pix=pl.Series(x + noise[0]), y_pix=pl.Series(y + noise[1])
    )
    seen = seen.filter(
        pl.col("x_pix").is_between(5, N_X - 6),
        pl.col("y_pix").is_between(5, N_Y - 6),
        pl.col("flux_adu") > visit.limit_adu,
    )
    seen = seen.with_columns(
        search_id=pl.lit(search_id),
        field_id=pl.lit(visit.field_id),
        frame_id=pl.lit(visit.seed),
        x_frame_pix="x_pix",
        y_frame_pix="y_pix",
        significance=pl.col("flux_adu") / 10,
        fwhm_pix=pl.lit(3.0),
        n_seen=pl.lit(2),
        n_expected=pl.lit(2),
        is_confirmed=pl.lit(value=True),
        flags=pl.lit(0),
        source_id=pl.lit(None, pl.Int32),
    )
    return conform("detection", on_sky(seen, wcs))


def search_row(visit: Visit, search_id: int, n_detection: int) -> pl.DataFrame:
    row = pl.DataFrame(
        {
            "search_id": [search_id],
            "field_id": [visit.field_id],
            "camera_id": [1],
            "band": ["r"],
            "frame_id": [visit.seed],
            "n_frame": [2],
            "n_detection": [n_detection],
            "fwhm_pix": [3.0],
            "recipe": ["x"],
            "sky_hash": ["x"],
        }
    )
    return conform("search", row)


@pytest.fixture
def prepared(warehouse: Warehouse, fill) -> Warehouse:
    """Two overlapping fields on the sky, and a frame of each visit."""
    visits = (SHALLOW, DEEP, SHIFTED, LATER)
    frames = [
        {
            "frame_id": visit.seed,
            "content_hash": f"{visit.seed}",
            "camera_id": 1,
            "site_id": 1,
            "frame_type": "light",
            "mid_utc": START + timedelta(days=365.25 * visit.years),
            "n_x_pix": N_X,
            "n_y_pix": N_Y,
        }
        for visit in visits
    ]
    fields = [
        {
            "field_id": field_id,
            "field_name": str(field_id),
            "reference_frame_id": reference,
            "is_on_sky": True,
            "ra_deg": CENTRES[field_id][0],
            "dec_deg": CENTRES[field_id][1],
            "scale_arcsec_per_pix": SCALE,
        }
        for field_id, reference in ((1, SHALLOW.seed), (2, SHIFTED.seed))
    ]
    solved = pl.concat(
        wcs_row(field_wcs(field_id), N_X, N_Y, method="solve-field", rms_arcsec=0.1).with_columns(
            frame_id=pl.lit(reference)
        )
        for field_id, reference in ((1, SHALLOW.seed), (2, SHIFTED.seed))
    )
    with Run(warehouse, "x", "0") as run:
        run.store(
            "test",
            {
                "camera": fill("camera", [{"camera_id": 1}]),
                "site": fill("site", [{"site_id": 1}]),
                "frame": fill("frame", frames),
                "field": fill("field", fields),
                "wcs": solved,
            },
        )
    return warehouse


def take_in(warehouse: Warehouse, visit: Visit, search_id: int, stars: pl.DataFrame) -> None:
    found = detections(stars, visit, search_id)
    with Run(warehouse, "x", "0") as run:
        with warehouse.reading() as con:
            settled = settle_stars(
                con,
                visit.field_id,
                new=found,
                searches=search_row(visit, search_id, found.height),
                renewed=[search_id],
                next_source_id=run.next_source_id(),
                next_change_id=run.next_id("source_change"),
            )
        run.store("search", settled.tables, replaces=settled.replaces)


def places(warehouse: Warehouse) -> np.ndarray:
    stars = warehouse.sql("select ra_deg, dec_deg from source order by dec_deg").to_numpy()
    east = ((stars[:, 0] - RA_DEG + 180) % 360 - 180) * np.cos(np.radians(DEC_DEG))
    return 3600 * np.column_stack([east, stars[:, 1] - DEC_DEG])


@pytest.mark.parametrize("order", list(permutations((SHALLOW, DEEP, SHIFTED))))
def test_the_set_of_stars_is_the_same_for_any_order_of_the_nights(prepared, order):
    stars = catalogue(400)
    numbers: dict[int, tuple[float, float]] = {}
    for search_id, visit in enumerate(order, start=1):
        take_in(prepared, visit, search_id, stars)
        now = prepared.sql("select source_id, ra_deg, dec_deg from source")
        for source_id, ra_deg, dec_deg in now.iter_rows():
            old = numbers.setdefault(source_id, (ra_deg, dec_deg))
            # no number moves to another star: these are 7 arcsec apart
            assert abs(dec_deg - old[1]) * 3600 < 1.5
        assert set(numbers) == set(now["source_id"])
    expected = np.vstack([_seen(stars, visit) for visit in order])
    n_star = len(np.unique(expected, axis=0))
    found = places(prepared)
    assert len(found) == n_star
    i, _ = pair_points(found, np.unique(expected, axis=0), 0.6)
    assert len(i) == n_star
    # each lies in every field that reaches it
    for field_id in (1, 2):
        ra, dec = prepared.sql("select ra_deg, dec_deg from source").to_numpy().T
        x, y = pixel_positions(field_wcs(field_id), ra, dec)
        inside = (x > 1) & (x < N_X - 2) & (y > 1) & (y < N_Y - 2)
        members = prepared.sql(f"from field_star where field_id = {field_id}")
        assert members.height >= inside.sum()
        assert members["x_pix"].is_between(-1, N_X).all()
    with prepared.reading() as con:
        assert {name: rows.height for name, rows in run_checks(con).items() if rows.height} == {}


def _seen(stars: pl.DataFrame, visit: Visit) -> np.ndarray:
    """The true places, arcsec from the centre, of what a search finds."""
    found = detections(stars, visit, 1)
    x, y = found.select("x_pix", "y_pix").to_numpy().T
    ra, dec = sky_positions(field_wcs(visit.field_id), x, y)
    east = ((ra - RA_DEG + 180) % 360 - 180) * np.cos(np.radians(DEC_DEG))
    seen = 3600 * np.column_stack([east, dec - DEC_DEG])
    true_east = ((stars["ra_deg"].to_numpy() - RA_DEG + 180) % 360 - 180) * np.cos(
        np.radians(DEC_DEG)
    )
    true = 3600 * np.column_stack([true_east, stars["dec_deg"].to_numpy() - DEC_DEG])
    i, j = pair_points(seen, true, 2.0)
    assert len(i) == len(seen)
    return true[j]


def test_two_nights_a_year_apart_with_proper_motion_are_one_set_of_stars(prepared):
    stars = catalogue()
    take_in(prepared, DEEP, 1, stars)
    n_star = prepared.sql("from source").height
    take_in(prepared, LATER, 2, stars)
    assert prepared.sql("from source").height == n_star
    assert prepared.sql("from detection where source_id is null").is_empty()


def test_a_close_pair_is_flagged(prepared):
    stars = catalogue(200)
    close = stars.head(1).with_columns(pl.col("dec_deg") + 4.5 / 3600)
    take_in(prepared, Visit(1, 0.0, seed=2), 1, pl.concat([stars, close]))
    flags = prepared.sql(f"from source where flags & {int(Flag.CLOSE_PAIR)} <> 0")
    inside = detections(stars.head(1), Visit(1, 0.0, seed=2), 1).height
    assert flags.height == 2 * inside


def test_a_rebuild_gives_the_numbers_of_one_ingest(prepared):
    stars = catalogue(300)
    for search_id, visit in enumerate((DEEP, SHIFTED), start=1):
        take_in(prepared, visit, search_id, stars)
    before = prepared.sql("from source order by source_id")
    prepared.close()
    rebuild(prepared.folder)
    after = prepared.sql("from source order by source_id")
    # the field at a right ascension of 0.05 degrees comes before that at 359.99
    assert (before["field_id"][0], after["field_id"][0]) == (1, 2)
    assert after["field_id"].is_sorted(descending=True)
    for field_id in (1, 2):
        assert after.filter(field_id=field_id)["flux_adu"].is_sorted(descending=True)
    assert (
        after.drop("source_id").sort("flux_adu").equals(before.drop("source_id").sort("flux_adu"))
    )
    with prepared.reading() as con:
        assert {name: rows.height for name, rows in run_checks(con).items() if rows.height} == {}
    rebuild(prepared.folder)
    assert prepared.sql("from source order by source_id").equals(after)


M13_SETTINGS = """
[photometry]
apertures_arcsec = [4]
apertures_pix = []
apertures_fwhm = [1.5]
"""


def ingested(folder, parts) -> Warehouse:
    """Take in some frames, in one ingest after the other."""
    main(["init", str(folder)])
    (folder / "starmuster.toml").write_text(M13_SETTINGS)
    for paths in parts:
        assert main(["-w", str(folder), "ingest", "--jobs", "2", *map(str, paths)]) == 0
    return Warehouse(folder)


@pytest.mark.real
def test_the_stars_of_m13_do_not_depend_on_the_band_that_came_first(real_data, tmp_path):
    files = sorted((real_data / "m13_griz").iterdir())
    green, red = ([p for p in files if p.name.startswith(f"M13_sdss_{b}")][:2] for b in "gr")
    dark = [path for path in files if path.name.startswith(("Bias", "Dark"))]
    flat = [path for path in files if path.name.startswith(("domeflat_sdss_g", "domeflat_sdss_r"))]
    assert [len(part) for part in (green, red, dark, flat)] == [2, 2, 6, 6]
    one, other = (
        ingested(tmp_path / name, parts)
        for name, parts in (
            ("one", [dark + flat + green, red]),
            ("other", [dark + flat + red, green]),
        )
    )
    stars = [
        warehouse.sql("select ra_deg, dec_deg from source order by dec_deg").to_numpy()
        for warehouse in (one, other)
    ]
    assert len(stars[0]) == len(stars[1]) > 2000
    cosine = np.cos(np.radians(stars[0][0, 1]))
    plane = [3600 * (places - stars[0][0]) * [cosine, 1] for places in stars]
    i, _ = pair_points(*plane, 0.2)  # arcsec; the headers of two frames differ by a tenth
    assert len(i) == len(stars[0])
    apart = one.sql(
        "select 3600 * sqrt(pow((g.ra_deg - r.ra_deg) * cos(radians(g.dec_deg)), 2) "
        "+ pow(g.dec_deg - r.dec_deg, 2)) as arcsec "
        "from detection as g join search as of_g on of_g.search_id = g.search_id "
        "join detection as r using (source_id) join search as of_r on of_r.search_id = r.search_id "
        "where of_g.band = 'g' and of_r.band = 'r'"
    )["arcsec"]
    assert len(apart) > 1000
    assert apart.median() < 0.15
