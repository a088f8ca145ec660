"""Diagrams of catalogues, for which no frame is needed; lists without positions among them."""

import json
from typing import Any

import duckdb
import numpy as np
import pytest

from starmuster.analysis.colour_magnitude import Selection, catalogue_diagram
from starmuster.cli import main
from starmuster.errors import NotFoundError, UsageError
from starmuster.ingest.synthetic_isochrones import grid, mist_text, sketched
from starmuster.warehouse.store import Warehouse


@pytest.fixture
def listed(build) -> Warehouse:
    """Two catalogues without any frame: one on the sky, one a mere list."""
    bands = {"g": 16.0, "r": 15.5, "i": 15.3}
    return build(
        {
            "reference_catalogue": [
                {"catalogue_id": 1, "catalogue_name": "sdss", "has_position": True},
                {"catalogue_id": 2, "catalogue_name": "gaia-dr2", "has_position": False},
            ],
            "reference_star": [
                {
                    "reference_star_id": n,
                    "catalogue_id": 1,
                    "catalogue_name": "sdss",
                    "ra_deg": 132.8 + n / 60,
                    "dec_deg": 11.8,
                }
                for n in range(5)
            ]
            + [
                {
                    "reference_star_id": 10 + n,
                    "catalogue_id": 2,
                    "catalogue_name": "gaia-dr2",
                    "parallax_mas": 1.0 + n / 10,
                }
                for n in range(5)
            ],
            "reference_magnitude": [
                {
                    "reference_star_id": n,
                    "band": band,
                    "photometric_system": "SDSS",
                    "mag": mag + n,
                }
                for n in range(5)
                for band, mag in bands.items()
            ]
            + [
                {
                    "reference_star_id": 10 + n,
                    "band": band,
                    "photometric_system": "Gaia DR2",
                    "mag": mag,
                }
                for n in range(5)
                for band, mag in (("G", 12.0 + n), ("BP-RP", 0.8))
            ],
        }
    )


def of_catalogue(con: duckdb.DuckDBPyConnection, name: str, colour: str, mag: str, **limits: Any):
    return catalogue_diagram(con, name, colour=colour, mag_band=mag, selection=Selection(**limits))


def test_a_catalogue_is_a_diagram_without_any_frame(listed):
    with listed.reading() as con:
        found = of_catalogue(con, "sdss", "g-i", "r")
        assert found.photometric_system == "SDSS"
        np.testing.assert_allclose(found.stars["colour"], 0.7)
        near = of_catalogue(con, "sdss", "g-i", "r", ra_deg=132.8, dec_deg=11.8, outer_arcsec=90)
        assert near.stars.height == 2


def test_a_list_without_positions_is_a_diagram_and_says_what_it_is(listed):
    with listed.reading() as con:
        found = of_catalogue(con, "gaia-dr2", "BP-RP", "G", min_parallax_mas=1.15)
    assert found.stars.height == 3
    assert found.stars["colour"].to_list() == [0.8] * 3
    assert any("a list without positions" in text for text in found.warnings)


def test_what_a_catalogue_does_not_hold_is_told(listed):
    with listed.reading() as con:
        with pytest.raises(NotFoundError, match="there are: gaia-dr2, sdss"):
            of_catalogue(con, "apass", "g-i", "r")
        with pytest.raises(UsageError, match="no photometric system has all of B, V and V"):
            of_catalogue(con, "sdss", "B-V", "V")
        with pytest.raises(UsageError, match="min_frame: limits on measurements"):
            of_catalogue(con, "sdss", "g-i", "r", min_frame=2)


def test_isochrones_of_another_system_are_not_laid_over(listed, tmp_path, capsys):
    curves = tmp_path / "synthetic.iso.cmd"
    curves.write_text(mist_text(grid(sketched(), [12.0], -1.35)))  # Pan-STARRS
    place = ["-w", str(listed.folder)]
    assert main([*place, "import", "isochrones", str(curves)]) == 0
    words = ["cmd", "--catalogue", "sdss", "--colour", "g-i", "--mag", "r", "--age", "12"]
    assert main([*place, *words]) == 2
    assert "no isochrones with g, i, r on SDSS" in capsys.readouterr().err


@pytest.mark.real
def test_m67_is_drawn_from_its_catalogue_and_its_gaia_list_says_what_it_is(
    warehouse, real_data, tmp_path, capsys
):
    place = ["-w", str(warehouse.folder)]
    folder = real_data / "refcat"
    picture = tmp_path / "m67.png"
    assert main([*place, "import", "catalogue", str(folder / "m67/sdss.csv"), "--as", "sdss"]) == 0
    words = ["cmd", "--catalogue", "sdss", "--colour", "g-i", "--mag", "r", "--json"]
    centre = ["--centre", "132.846 11.814", "--outer", "15", "--output", str(picture)]
    capsys.readouterr()
    assert main([*place, *words, *centre]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) > 5000
    assert picture.stat().st_size > 20_000
    # the turn-off of the cluster: stars spread evenly over the colours would be a quarter
    level = [row["colour"] for row in rows if 14.0 < row["mag"] < 15.5]
    near = [colour for colour in level if abs(colour - np.median(level)) < 0.25]
    assert len(level) > 300
    assert len(near) > 0.55 * len(level)  # 0.62 +- 0.025
    for name in ("m67", "ngc188"):
        given = str(folder / name / "gaia_members.csv")
        assert main([*place, "import", "catalogue", given, "--as", "gaia-dr2"]) == 0
        assert "no positions: kept as a list of stars" in capsys.readouterr().out
    words = ["cmd", "--catalogue", "gaia-dr2", "--colour", "BP-RP", "--mag", "G"]
    assert main([*place, *words, "--parallax", "1.05:1.25", "--output", str(picture)]) == 0
    assert "a list without positions" in capsys.readouterr().err
