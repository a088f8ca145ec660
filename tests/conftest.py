"""Fixtures shared by all tests."""

import dataclasses
import gc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import numpy as np
import polars as pl
import pytest

from starmuster.analysis.orbits import Ephemeris
from starmuster.cli.session import SESSION, Session
from starmuster.transforms.flags import MEANINGS
from starmuster.transforms.vantage import vantage
from starmuster.warehouse import migrate, packages
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import DATABASE_NAME, Warehouse


def pytest_collection_finish() -> None:
    """Spare the collector what was imported, which lives as long as the tests do."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real frames; a test that needs it is skipped, loudly, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STARMUSTER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}: set STARMUSTER_DATA to their folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def hatp32() -> Ephemeris:
    """A real planet on an eccentric orbit, as its ephemeris stands in the archive."""
    return Ephemeris(
        planet_name="HAT-P-32 b",
        period_d=2.1500082,
        period_err_d=1.3e-7,
        mid_bjd_tdb=2455867.402743,
        mid_err_d=4.9e-5,
        radius_ratio=0.148862,
        a_over_r=5.344,
        a_over_r_err=0.0395,
        inclination_deg=88.98,
        inclination_err_deg=0.76,
        eccentricity=0.159,
        omega_deg=50.0,
    )


@pytest.fixture(autouse=True)
def fresh_session() -> None:
    """Forget the options of an earlier command: a process of a user runs one command only."""
    for option in dataclasses.fields(Session):
        setattr(SESSION, option.name, option.default)


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a warehouse without rows, to be copied by tests that write."""
    return Warehouse.create(tmp_path_factory.mktemp("empty")).folder


@pytest.fixture(scope="session")
def new_warehouse(empty_warehouse: Path) -> Callable[[Path], Warehouse]:
    """Make a warehouse without rows in a new folder, much faster than `init` does."""
    return lambda folder: Warehouse(shutil.copytree(empty_warehouse, folder))


@pytest.fixture
def warehouse(new_warehouse, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse without rows of its own for each test."""
    with new_warehouse(tmp_path / "warehouse") as found:
        yield found


@pytest.fixture(scope="session")
def shared_connection(
    empty_warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty database, for `database` only."""
    path = shutil.copy(empty_warehouse / DATABASE_NAME, tmp_path_factory.mktemp("shared"))
    with migrate.connect(Path(path)) as con:
        yield con


@pytest.fixture
def database(
    shared_connection: duckdb.DuckDBPyConnection,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database without rows; what a test writes is taken back after it."""
    shared_connection.execute("begin")
    try:
        yield shared_connection
    finally:
        shared_connection.execute("rollback")


@pytest.fixture(scope="session")
def fill() -> Callable[[str, list[dict[str, Any]]], pl.DataFrame]:
    """Make rows of a table; columns that must have a value and get none hold a neutral one."""

    def rows_of(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
        schema = packages.table_schemas()[table]
        neutral = {name: _neutral(schema[name]) for name in packages.required_columns()[table]}
        return packages.conform(table, pl.DataFrame([neutral | row for row in rows], schema=schema))

    return rows_of


def _neutral(dtype: pl.DataType) -> Any:
    if dtype.is_numeric():
        return 0
    if isinstance(dtype, pl.List):
        return []
    return {
        pl.String: "null",  # valid as JSON, too
        pl.Boolean: False,
        pl.Date: date(2024, 3, 8),
        pl.Datetime: datetime(2024, 3, 8),
    }[dtype.base_type()]


Tables = dict[str, list[dict[str, Any]]]


class FourStars:
    """A field of four stars on seven frames in three bands, zero points and colour terms known."""

    bands: ClassVar = {"g": (1, 2, 3), "i": (4, 5), "r": (6, 7)}
    exposure_s = 30.0
    zero: ClassVar = {1: 24.0, 2: 23.64, 3: 24.1, 4: 23.5, 5: 23.4, 6: 23.9, 7: 23.8}
    term: ClassVar = {"g": 0.05, "i": -0.03, "r": 0.02}
    pivot = 0.8
    # source: g, r, i as they are; separation from the first in arcsec
    stars: ClassVar = {
        1: (16.0, 15.4, 15.1),
        2: (15.0, 15.1, 15.2),
        3: (17.5, 16.6, 16.1),
        4: (16.2, 15.6, 15.3),
    }
    side_arcsec: ClassVar = {1: 0.0, 2: 30.0, 3: 120.0, 4: 300.0}
    place = 250.42, 36.46

    def band_of(self, frame_id: int) -> str:
        return next(band for band, frames in self.bands.items() if frame_id in frames)

    def flux_adu(self, star: int, frame_id: int, *, off_mag: float = 0.0) -> float:
        """Flux on a frame: the colour term makes the instrument see another band."""
        g, r, i = self.stars[star]
        band = self.band_of(frame_id)
        standard = {"g": g, "r": r, "i": i}[band]
        natural = standard - self.term[band] * (g - i - self.pivot)
        return self.exposure_s * 10 ** (-0.4 * (natural - self.zero[frame_id] + off_mag))

    def night(self, **changes: list[dict[str, Any]]) -> Tables:
        """Rows of all tables, by name."""
        frames = [(frame_id, band) for band, ids in self.bands.items() for frame_id in ids]
        pairs = [(frame_id, star) for frame_id, _ in frames for star in self.stars]
        zero = {
            "aperture_id": 1,
            "zero_point_err_mag": 0.0,
            "colour": "g-i",
            "colour_pivot_mag": self.pivot,
            "colour_spread_mag": 0.0,
            "position_mag": [],
            "n_star": 50,
            "catalogue_name": "panstarrs",
            "photometric_system": "Pan-STARRS",
            "method": "fit",
        }
        return {
            "flag": [
                {
                    "bit": flag.bit_length() - 1,
                    "value": int(flag),
                    "flag_name": (flag.name or "").lower(),
                    "is_severe": meaning.is_severe,
                }
                for flag, meaning in MEANINGS.items()
            ],
            "camera": [{"camera_id": 1, "gain_e_per_adu": 1.0}],
            "aperture": [
                {"aperture_id": 1, "kind": "pix", "radius": 4.0, "aperture_name": "4 pix"}
            ],
            "field": [{"field_id": 1, "field_name": "M 13", "ra_deg": 250.42, "dec_deg": 36.46}],
            "source": [
                {
                    "source_id": star,
                    "field_id": 1,
                    "ra_deg": self.place[0],
                    "dec_deg": self.place[1] + self.side_arcsec[star] / 3600,
                }
                for star in self.stars
            ],
            "frame": [
                {
                    "frame_id": frame_id,
                    "content_hash": str(frame_id),
                    "frame_type": "light",
                    "band": band,
                    "exposure_s": self.exposure_s,
                    "camera_id": 1,
                    "n_x_pix": 100,
                    "n_y_pix": 100,
                }
                for frame_id, band in frames
            ],
            "field_frame": [{"frame_id": frame_id, "field_id": 1} for frame_id, _ in frames],
            "frame_quality": [{"frame_id": frame_id, "fwhm_pix": 3.0} for frame_id, _ in frames],
            "measurement": [
                {"frame_id": frame_id, "source_id": star, "sky_rms_adu": 1.0, "n_sky_pix": 300}
                for frame_id, star in pairs
            ],
            "aperture_flux": [
                {
                    "frame_id": frame_id,
                    "source_id": star,
                    "aperture_id": 1,
                    "n_pix": 50.0,
                    "flux_adu": self.flux_adu(star, frame_id),
                }
                for frame_id, star in pairs
            ],
            "zero_point": [
                zero
                | {
                    "frame_id": frame_id,
                    "zero_point_mag": self.zero[frame_id],
                    "colour_term": self.term[b],
                }
                for frame_id, b in frames
            ],
        } | changes


@pytest.fixture(scope="session")
def four_stars() -> FourStars:
    """A field whose magnitudes, zero points and colour terms are known."""
    return FourStars()


@pytest.fixture
def build(warehouse: Warehouse, fill) -> Callable[[Tables], Warehouse]:
    """Store rows of tables, columns that are not given filled with neutral values."""

    def filled(tables: Tables) -> Warehouse:
        with Run(warehouse, "test", "0") as run:
            run.store("test", {name: fill(name, rows) for name, rows in tables.items() if rows})
        return warehouse

    return filled


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; a test that needs it is skipped, loudly, where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no small disk: {error}")
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.strip()} (root may mount one)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class SmallSky:
    """An open database with a site, a camera, a field and three stars, and ways to observe."""

    night: ClassVar = date(2017, 12, 19)
    start: ClassVar = datetime(2017, 12, 20, 1, 33)
    site: ClassVar = {"latitude_deg": 31.675, "longitude_deg": -110.952, "elevation_m": 1268.0}
    stars: ClassVar = {1: (31.0427, 46.6879), 2: (31.3, 46.5), 3: (30.8, 46.9)}

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        fill: Callable[[str, list[dict[str, Any]]], pl.DataFrame],
    ) -> None:
        self.con = con
        self.fill = fill

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        self.con.register("given", self.fill(table, list(rows)))
        self.con.execute(f"insert into {table} by name from given")

    def rows(self, query: str) -> pl.DataFrame:
        return self.con.sql(query).pl()

    def one(self, query: str) -> dict[str, Any]:
        return self.rows(query).row(0, named=True)

    def expose(self, frame_ids: Iterable[int], mid_utc: Iterable[datetime], **changes: Any) -> None:
        """Add measured light frames with their vantage and quality."""
        frame = {
            "frame_type": "light",
            "band": "r",
            "exposure_s": 60.0,
            "night": self.night,
            "camera_id": 1,
            "site_id": 1,
        }
        ids, times = list(frame_ids), list(mid_utc)
        each = [
            {"frame_id": i, "content_hash": str(i), "mid_utc": t}
            for i, t in zip(ids, times, strict=True)
        ]
        self.put("frame", *(frame | row | changes for row in each))
        place = self.site if (frame | changes)["site_id"] else dict.fromkeys(self.site)
        placed = vantage(times, frame_id=pl.Series(ids, dtype=pl.Int32), **place)
        self.put("vantage", *placed.to_dicts())
        self.put("frame_quality", *({"frame_id": i, "fwhm_pix": 2.5} for i in ids))

    def measure(self, fluxes_adu: Mapping[tuple[int, int], float | None], **flags: int) -> None:
        """Add measurements by frame and star, with the flux in aperture 1."""
        keys = [
            {"frame_id": frame_id, "source_id": source_id} for frame_id, source_id in fluxes_adu
        ]
        star = {"sky_rms_adu": 5.0, "n_sky_pix": 300, "flags": flags.get("flags", 0)}
        aperture = {"aperture_id": 1, "n_pix": 50.0, "flags": flags.get("flux_flags", 0)}
        self.put("measurement", *(key | star for key in keys))
        values = zip(keys, fluxes_adu.values(), strict=True)
        self.put("aperture_flux", *(key | aperture | {"flux_adu": flux} for key, flux in values))

    def observe(self, flux: np.ndarray, **changes: Any) -> None:
        """Expose a frame a column, and measure a star a row; nan is a star that is not there."""
        n_frame = flux.shape[1]
        times = [self.start + timedelta(minutes=3 * j) for j in range(n_frame)]
        self.expose(range(1, n_frame + 1), times, **changes)
        there = {(j + 1, i + 1): f for (i, j), f in np.ndenumerate(flux) if np.isfinite(f)}
        self.measure(there)


@pytest.fixture
def small_sky(database, fill) -> SmallSky:
    """One camera at one site, a field, three stars, one aperture; no frames yet."""
    sky = SmallSky(database, fill)
    sky.put("site", {"site_id": 1} | sky.site)
    sky.put("camera", {"camera_id": 1, "aperture_m": 0.5, "gain_e_per_adu": 1.5})
    sky.put("field", {"field_id": 1, "field_name": "HATP-32", "ra_deg": 31.0, "dec_deg": 46.7})
    sky.put("aperture", {"aperture_id": 1, "kind": "pix", "radius": 4.0})
    sky.put(
        "flag",
        *(
            {
                "bit": flag.bit_length() - 1,
                "value": int(flag),
                "flag_name": flag.name,
                "meaning": meaning.text,
                "is_severe": meaning.is_severe,
            }
            for flag, meaning in MEANINGS.items()
        ),
    )
    for source_id, (ra_deg, dec_deg) in sky.stars.items():
        place = {"ra_deg": ra_deg, "dec_deg": dec_deg}
        sky.put("source", {"source_id": source_id, "field_id": 1} | place)
    return sky
