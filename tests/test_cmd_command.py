"""The command `cmd`: rows, pictures, exports, overlays, and what it refuses."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from starmuster.analysis.colour_magnitude import COLUMNS
from starmuster.cli import main
from starmuster.ingest.synthetic_isochrones import grid, mist_text, sketched
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse


@pytest.fixture(scope="module")
def filled(empty_warehouse, fill, four_stars, tmp_path_factory) -> Path:
    """The warehouse of a night of four stars with isochrones, to be copied."""
    place = tmp_path_factory.mktemp("command")
    folder = Path(shutil.copytree(empty_warehouse, place / "warehouse"))
    rows = {name: fill(name, given) for name, given in four_stars.night().items() if given}
    with Warehouse(folder) as found, Run(found, "test", "0") as run:
        run.store("test", rows)
    curves = place / "synthetic.iso.cmd"
    curves.write_text(mist_text(grid(sketched(), [11.0, 12.0], -1.35)))
    assert main(["-w", str(folder), "import", "isochrones", str(curves)]) == 0
    return folder


@pytest.fixture
def warehouse(filled, tmp_path) -> Iterator[Warehouse]:
    """Its copy for one test."""
    with Warehouse(Path(shutil.copytree(filled, tmp_path / "warehouse"))) as found:
        yield found


@pytest.fixture
def command(warehouse) -> Callable[..., int]:
    """The command on the copy."""

    def run(*words: str) -> int:
        return main(["-w", str(warehouse.folder), "cmd", *words])

    return run


def test_the_command_answers_rows_and_draws(command, capsys, tmp_path):
    picture = tmp_path / "m13.png"
    words = ["M 13", "--colour", "g-i", "--mag", "r", "--output", str(picture)]
    capsys.readouterr()
    assert command(*words, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert rows[0]["calibrated"] is True
    assert picture.read_bytes().startswith(b"\x89PNG")
    for suffix, begin in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
        words[-1] = str(picture.with_suffix(suffix))
        assert command(*words, "--distance", "7200", "--av", "0.06", "--age", "11.5") == 0
        assert picture.with_suffix(suffix).read_bytes().startswith(begin)
    assert "synthetic, made by shifts" in capsys.readouterr().err


def test_the_stars_are_exported_with_units_and_meanings(command, tmp_path):
    from astropy.table import Table

    words = ["M 13", "--colour", "g-i", "--mag", "r"]
    for suffix in (".csv", ".parquet", ".vot", ".ecsv"):
        words += ["--output", str(tmp_path / f"stars{suffix}")]
    assert command(*words) == 0
    expected = pl.read_csv(tmp_path / "stars.csv")
    assert (
        expected["colour"].to_list()
        == pl.read_parquet(tmp_path / "stars.parquet")["colour"].to_list()
    )
    votable = Table.read(tmp_path / "stars.vot")
    assert str(votable["mag"].unit) == str(votable["colour"].unit) == "mag"
    assert votable["mag"].tolist() == expected["mag"].to_list()
    assert str(Table.read(tmp_path / "stars.ecsv")["mag_err"].unit) == "mag"


def test_an_overlay_is_stored_once(command, warehouse, tmp_path):
    words = ["M 13", "--colour", "g-i", "--mag", "r", "--output", str(tmp_path / "a.png")]
    for _ in range(2):
        assert command(*words, "--distance", "7200", "--av", "0.06", "--age", "11.5") == 0
    stored = warehouse.sql("from isochrone_fit").row(0, named=True)
    assert warehouse.sql("from isochrone_fit").height == 1
    assert (stored["method"], stored["age_gyr"], stored["distance_pc"]) == (
        "by hand",
        11.5,
        pytest.approx(7200),
    )
    assert stored["is_synthetic"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["M 13", "--colour", "g-z", "--mag", "r"], "A colour needs two bands"),
        (["M 14", "--colour", "g-i", "--mag", "r"], "no field 'M 14'"),
        (["--colour", "g-i", "--mag", "r"], "no field given"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--age", "15"], "age 15 Gyr is outside"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--feh", "0.3"], "[Fe/H] 0.3 dex is outside"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--extinction", "wang-chen-2019", "--age", "11"],
         "coefficients are for SDSS g r i"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--fit", "least-squares"], "4 stars with both"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--centre", "here"], "--centre here"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--aperture", "9 pix"], "no aperture '9 pix'"),
        (["M 13", "--colour", "g-i", "--mag", "r", "--output", "a.gif"], "a.gif: a diagram is"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_told(command, capsys, words, message):
    assert command(*words) in (1, 2)
    assert message in capsys.readouterr().err
