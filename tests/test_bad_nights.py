"""A night of frames that no observer wants, through `ingest`: nothing lost, nothing wrong."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from starmuster.cli import main
from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.warehouse.store import Warehouse

pytestmark = pytest.mark.long  # each rests on a whole night, reduced

SHAPE = N_Y, N_X = 150, 170
SKY_ADU, NOISE_ADU, GAIN = 400.0, 6.0, 1.5
START = datetime(2024, 3, 8, 21)
rng = np.random.default_rng(8)
X, Y = (
    a.ravel() + rng.uniform(-6, 6, 20) for a in np.meshgrid(range(20, 160, 32), range(20, 140, 34))
)
FLUX = 10 ** rng.uniform(4.0, 5.0, 20)


def sky(seed: int, *, shown: slice = slice(None), shift: float = 0.0, **star) -> np.ndarray:
    """Make a frame of the field's stars, or of some of them."""
    light = render_stars(
        X[shown] + shift, Y[shown], FLUX[shown], shape=SHAPE, **{"fwhm_pix": 3.2} | star
    )
    noise = np.sqrt(NOISE_ADU**2 + light / GAIN)
    return SKY_ADU + light + np.random.default_rng(seed).normal(0, 1, SHAPE) * noise


def counts(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.round(pixels), 0, 65535).astype(np.uint16)


def with_nan(seed: int, share: float) -> np.ndarray:
    pixels = sky(seed).astype(np.float32)
    pixels[np.random.default_rng(seed).random(SHAPE) < share] = np.nan
    pixels[:3, :3] = np.inf
    return pixels


GOOD = [(f"good{i}", counts(sky(i, shift=0.6 * i)), {}) for i in range(4)]
WHOLE = [  # all the light of the stars is there
    ("negative", (sky(20) - 900).astype(np.int16), {}),
    ("below zero in floats", (sky(21) - 900).astype(np.float32), {}),
    ("some nan", with_nan(22, 0.01), {}),
    ("gain 0", counts(sky(23)), {"EGAIN": 0.0}),
    ("no gain", counts(sky(24)), {"EGAIN": None}),
    ("exposure 0", counts(sky(25)), {"EXPTIME": 0.0}),
    ("exposure below 0", counts(sky(26)), {"EXPTIME": -5.0}),
    ("no exposure", counts(sky(27)), {"EXPTIME": None}),
]
CUT = [  # what is seen of the stars is right, or null and flagged
    ("half of it", counts(sky(30, shift=90.0)), {}),
    ("undersampled", counts(sky(31, fwhm_pix=1.1)), {}),
    ("8 bits", np.clip(sky(32) / 8, 0, 255).astype(np.uint8), {}),
]
FAILED = [  # catalogued, but not measured
    ("empty", counts(np.random.default_rng(40).normal(SKY_ADU, NOISE_ADU, SHAPE)), {}),
    ("one star", counts(sky(41, shown=slice(1))), {}),
    ("all saturated", np.full(SHAPE, 65535, np.uint16), {}),
    ("all zero", np.zeros(SHAPE, np.uint16), {}),
    ("all nan", np.full(SHAPE, np.nan, np.float32), {}),
    ("smaller than the mesh", counts(sky(42))[:18, :22], {}),
]
REFUSED = [  # no image of a sky
    ("one pixel", np.full((1, 1), 9, np.uint16), {}),
    ("a row", counts(sky(50))[40], {}),
    ("a cube", np.stack([counts(sky(51)), counts(sky(52))]), {}),
]


@dataclass(frozen=True)
class Night:
    """The warehouse with the night, and what `ingest` said."""

    folder: Path
    frames: Path
    code: int

    def sql(self, query: str) -> pl.DataFrame:
        return Warehouse(self.folder).sql(query)


def write(folder: Path, name: str, pixels: np.ndarray, cards: dict, i: int) -> None:
    header = fits.Header()
    given = {
        "IMAGETYP": "LIGHT",
        "OBJECT": "hard luck",
        "FILTER": "r",
        "INSTRUME": "cam",
        "EXPTIME": 30.0,
        "EGAIN": GAIN,
        "XPIXSZ": 4.848,
        "FOCALLEN": 1000.0,
        "RA": 150.0,
        "DEC": 20.0,
        "DATE-OBS": (START + timedelta(minutes=2 * i)).isoformat(),
    }
    header.update({key: value for key, value in (given | cards).items() if value is not None})
    fits.writeto(folder / f"{name}.fits", pixels, header)


@pytest.fixture(scope="module")
def night(tmp_path_factory, new_warehouse) -> Night:
    place = tmp_path_factory.mktemp("bad")
    folder, frames = place / "warehouse", place / "frames"
    frames.mkdir()
    for i, (name, pixels, cards) in enumerate(GOOD + WHOLE + CUT + FAILED + REFUSED):
        write(frames, name, pixels, cards, i)
    new_warehouse(folder)
    return Night(folder, frames, main(["-w", str(folder), "ingest", str(frames), "--jobs", "1"]))


def named(rows: list[tuple]) -> set[str]:
    return {name for name, _, _ in rows}


NAMED = (
    "select parse_filename(path, true) as name, seen.* from {} as seen join path using (frame_id)"
)


def test_every_file_is_measured_or_listed_with_its_reason(night):
    assert night.code == 1
    state = dict(night.sql(NAMED.format("frame_state")).select("name", "state").iter_rows())
    measured = {name for name, state in state.items() if state == "measured"}
    assert measured == named(GOOD + WHOLE + CUT)
    assert set(state) - measured == named(FAILED)
    failure = night.sql("from failure where step in ('catalogue', 'photometry')")
    assert {Path(subject).stem for subject in failure["subject"]} == named(FAILED + REFUSED)
    for subject, message in failure.select("subject", "message").iter_rows():
        assert message.startswith(f"{subject}: ")
        assert any(word in message for word in ("?", "Look at", "Only single images"))


def test_nothing_is_counted_twice_and_the_second_time_nothing_changes(night, capsys):
    assert main(["-w", str(night.folder), "check"]) == 0
    before = night.sql("select count(*) as n, sum(flux_adu) as flux from aperture_flux")
    assert main(["-w", str(night.folder), "ingest", str(night.frames), "--jobs", "1"]) == 0
    assert night.sql("select count(*) as n, sum(flux_adu) as flux from aperture_flux").equals(
        before
    )
    assert (
        f"frames skipped  {len(GOOD + WHOLE + CUT + FAILED + REFUSED)}" in capsys.readouterr().out
    )


def ratio_to_good(night: Night) -> pl.DataFrame:
    """Flux of each star over its mean on the good frames, with the error of that."""
    seen = night.sql(NAMED.format("light_curve")).join(
        night.sql("from aperture where aperture_name = '6 arcsec'"), on="aperture_id"
    )
    mean = (
        seen.filter(pl.col("name").is_in(list(named(GOOD))))
        .group_by("source_id")
        .agg(mean_adu=pl.col("flux_adu").mean(), err_adu=pl.col("flux_err_adu").mean())
    )
    return seen.join(mean, on="source_id").with_columns(
        ratio=pl.col("flux_adu") / pl.col("mean_adu"),
        ratio_err=np.sqrt(1 + 1 / len(GOOD)) * pl.col("err_adu") / pl.col("mean_adu"),
    )


def test_a_flux_is_right_or_null(night):
    seen = ratio_to_good(night)
    for name in sorted(named(WHOLE)):
        rows = seen.filter(pl.col("name") == name)
        pull = ((rows["ratio"] - 1) / rows["ratio_err"]).drop_nulls()
        assert len(pull) >= (20 if name != "some nan" else 12), name
        assert pull.abs().max() < 5, name
    half = seen.filter((pl.col("name") == "half of it") & pl.col("is_clean"))
    assert 3 <= half.height < 12
    assert ((half["ratio"] - 1) / half["ratio_err"]).abs().max() < 5
    clipped = seen.filter((pl.col("name") == "8 bits") & (pl.col("peak_adu") == 255))
    assert clipped.height > 0
    assert not clipped["is_clean"].any()


def test_what_is_not_known_is_null(night):
    seen = ratio_to_good(night)
    for name in ("gain 0", "no gain"):
        rows = seen.filter(pl.col("name") == name)
        assert rows["flux_err_adu"].null_count() == rows.height
        assert rows["gain_source"].null_count() == rows.height
    for name in ("exposure 0", "exposure below 0", "no exposure"):
        rows = seen.filter(pl.col("name") == name)
        assert rows["instrumental_mag"].null_count() == rows.height, name
        assert rows["flux_adu"].null_count() == 0


def numbers_that_are_none(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Name the columns of tables and views that hold an infinite number or nan."""
    columns = con.execute(
        "select table_name, list(column_name) from information_schema.columns "
        "where data_type in ('DOUBLE', 'FLOAT') group by all order by all"
    ).fetchall()
    found = []
    for table, names in columns:
        counted = ", ".join(f'count(*) filter (not isfinite("{name}"))' for name in names)
        odd = con.execute(f'select {counted} from "{table}"').fetchone() or ()
        found += [f"{table}.{name}" for name, n in zip(names, odd, strict=True) if n]
    return found


def test_no_table_and_no_view_holds_a_number_that_is_none(night):
    with Warehouse(night.folder).reading() as con:
        assert numbers_that_are_none(con) == []
