"""Catalogues in the warehouse: once, under fixed numbers, matched, and known to the ensemble."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy import units as u
from astropy.table import Table
from cdshealpix.nested import lonlat_to_healpix

from starmuster.cli import main
from starmuster.errors import FetchError, UsageError
from starmuster.ingest.reference_store import import_file, import_table
from starmuster.ingest.vizier import Cone, cone_of, fetch_cone
from starmuster.transforms.flags import Flag
from starmuster.transforms.steps.crossmatch import match_catalogues
from starmuster.transforms.steps.settings import mirror_settings
from starmuster.warehouse.check import run_checks
from starmuster.warehouse.runs import Run, rebuild
from starmuster.warehouse.store import Warehouse

N_STAR = 40
RA = 150 + np.linspace(-0.1, 0.1, N_STAR)
DEC = 20 + 0.1 * np.sin(np.arange(N_STAR))
MAG = 12 + 0.1 * np.arange(N_STAR)


def write(path: Path, rows: slice = slice(None), *, shift_arcsec: float = 0.0, **other) -> Path:
    columns = {
        "Source": 10**15 + 7 * np.arange(N_STAR) ** 2,
        "RA_ICRS": RA,
        "DE_ICRS": DEC + shift_arcsec / 3600,
        "Gmag": MAG,
    }
    pl.DataFrame(columns | other)[rows].write_csv(path)
    return path


def stock(warehouse: Warehouse, fill) -> None:
    """A field on the sky whose sources are the stars, 0.3 arcsec off."""
    cell = lonlat_to_healpix(RA * u.deg, (DEC + 0.3 / 3600) * u.deg, 29)
    sources = [
        {
            "source_id": i + 1,
            "field_id": 1,
            "first_frame_id": 1,
            "ra_deg": RA[i],
            "dec_deg": DEC[i] + 0.3 / 3600,
            "healpix": int(cell[i]),
            "x_pix": 50.0 * i,
            "y_pix": 20.0,
            "flux_adu": 10 ** (-0.4 * (MAG[i] - 25)),
            "fwhm_pix": 3.0,
        }
        for i in range(N_STAR)
    ]
    frame = {
        "frame_id": 1,
        "content_hash": "a",
        "mid_utc": datetime(2018, 1, 1),
        "camera_id": 1,
        "site_id": 1,
    }
    field = {"field_id": 1, "field_name": "F", "is_on_sky": True, "scale_arcsec_per_pix": 0.8}
    with Run(warehouse, "test", "0") as run:
        tables = {
            "camera": [{"camera_id": 1}],
            "site": [{"site_id": 1}],
            "frame": [frame],
            "field": [field | {"reference_frame_id": 1}],
            "field_frame": [{"frame_id": 1, "field_id": 1}],
            "source": sources,
        }
        run.store("test", {name: fill(name, rows) for name, rows in tables.items()})


def imported(warehouse: Warehouse, path: Path, name: str = "gaia-dr3"):
    with Run(warehouse, "test", "0") as run:
        got = import_file(run, path, name)
        match_catalogues(run, say=lambda _: None)
    return got


def contents(warehouse: Warehouse) -> dict[str, list[tuple]]:
    names = ("reference_star", "reference_magnitude", "variable_star", "reference_match")
    with warehouse.reading() as con:
        return {name: con.table(name).order("all").fetchall() for name in names}


def test_importing_twice_stores_nothing_new(warehouse, tmp_path, fill):
    stock(warehouse, fill)
    path = write(tmp_path / "gaia.csv")
    first = imported(warehouse, path)
    before = contents(warehouse)
    assert first.catalogue is not None
    assert len(before["reference_match"]) == N_STAR
    again = imported(warehouse, path)
    assert again.catalogue is None
    assert contents(warehouse) == before
    with warehouse.reading() as con:
        assert con.table("reference_catalogue").count("*").fetchone() == (1,)


def test_overlapping_imports_are_one_catalogue_whose_stars_keep_their_numbers(
    warehouse, tmp_path, fill
):
    stock(warehouse, fill)
    imported(warehouse, write(tmp_path / "a.csv", slice(0, 25)))
    numbers = {row[3]: row[0] for row in contents(warehouse)["reference_star"]}
    parallax = {"Plx [mas]": np.full(N_STAR, 2.0)}
    second = imported(warehouse, write(tmp_path / "b.csv", slice(15, 40), **parallax))
    assert second.n_known == 10
    stars = contents(warehouse)["reference_star"]
    assert len(stars) == N_STAR
    assert {row[3]: row[0] for row in stars}.items() >= numbers.items()
    with warehouse.reading() as con:
        known = con.table("reference_star").filter("parallax_mas = 2").count("*").fetchone()
        assert known == (25,)
    assert not any(row[6] for row in contents(warehouse)["reference_match"])


def test_what_a_newer_import_does_not_say_stays(warehouse, tmp_path):
    bp = {"BPmag": MAG + 0.4}
    imported(warehouse, write(tmp_path / "a.csv", **bp))
    imported(warehouse, write(tmp_path / "b.csv", Gmag=MAG + 1))
    with warehouse.reading() as con:
        mags = con.table("reference_magnitude").order("reference_star_id, band").pl()
    np.testing.assert_allclose(mags.filter(band="BP")["mag"], MAG + 0.4)
    np.testing.assert_allclose(mags.filter(band="G")["mag"], MAG + 1)


def test_two_catalogues_of_one_sky_are_matched_each(warehouse, tmp_path, fill):
    stock(warehouse, fill)
    imported(warehouse, write(tmp_path / "a.csv"))
    imported(warehouse, write(tmp_path / "b.csv"), "gaia-dr2")
    matches = contents(warehouse)["reference_match"]
    assert len(matches) == 2 * N_STAR
    covered = warehouse.query("field_catalogues")
    assert covered["n_match"].to_list() == [N_STAR, N_STAR]
    np.testing.assert_allclose(covered["separation_arcsec"], 0.3, atol=1e-6)


def test_sources_that_move_are_matched_anew_and_nothing_else_is(warehouse, tmp_path, fill):
    stock(warehouse, fill)
    imported(warehouse, write(tmp_path / "a.csv"))
    with Run(warehouse, "test", "0") as run:
        assert match_catalogues(run, say=lambda _: None) == 0
        with warehouse.reading() as con:
            sources = con.table("source").pl()
        run.store("test", {"source": sources.with_columns(pl.col("dec_deg") + 1)})
        assert match_catalogues(run, say=lambda _: None) == 1
    assert contents(warehouse)["reference_match"] == []


def test_a_catalogue_survives_a_rebuild_and_passes_all_checks(warehouse, tmp_path, fill):
    stock(warehouse, fill)
    imported(warehouse, write(tmp_path / "a.csv"))
    vsx = tmp_path / "vsx.csv"
    vsx.write_text(f"Name,RAJ2000,DEJ2000,Type\nV1,{RA[3]},{DEC[3]},RRAB\nV2,{RA[4]},{DEC[4]},\n")
    imported(warehouse, vsx, "vsx")
    before = contents(warehouse)
    rebuild(warehouse.folder)
    assert contents(warehouse) == before
    with warehouse.reading() as con:
        failed = {name: rows.rows() for name, rows in run_checks(con).items() if rows.height}
    assert failed == {}


def test_known_variables_and_close_pairs_are_unfit_for_comparison(warehouse, tmp_path, fill):
    stock(warehouse, fill)
    vsx = tmp_path / "vsx.csv"
    rows = [f"V{i} Leo,{RA[i]},{DEC[i]},{kind},{flag}" for i, kind, flag in VARIABLES]
    vsx.write_text("\n".join(["Name,RAJ2000,DEJ2000,Type,V", *rows]))
    imported(warehouse, vsx, "vsx")
    # a second star beside the eighth, and a far fainter one beside the tenth
    pair = {
        "Source": [5, 6],
        "RA_ICRS": [RA[7], RA[9]],
        "DE_ICRS": [DEC[7] + 3.2 / 3600, DEC[9] + 3.2 / 3600],
        "Gmag": [MAG[7] + 1, MAG[9] + 4],
    }
    stars = pl.read_csv(write(tmp_path / "a.csv"))
    pl.concat([stars, pl.DataFrame(pair)]).write_csv(tmp_path / "pairs.csv")
    imported(warehouse, tmp_path / "pairs.csv")
    unfit = warehouse.query("unfit_comparison", source_id=3).select("source_id", "reason").rows()
    assert unfit == [
        (2, "variable in VSX: V1 Leo RRAB"),
        (4, "suspected variable in VSX: V3 Leo EA"),
        (8, "neighbour at 2.9 arcsec in gaia-dr3"),
    ]


VARIABLES = [(1, "RRAB", 0), (2, "EP", 0), (3, "EA", 1), (5, "CST", 2)]


def test_stars_that_stand_close_on_the_frame_are_unfit_without_any_catalogue(warehouse, fill):
    stock(warehouse, fill)
    with Run(warehouse, "test", "0") as run, warehouse.reading() as con:
        sources = con.table("source").pl()
    moved = pl.when(pl.col("source_id") == 7).then(5 * 50.0 + 4).otherwise("x_pix")
    with Run(warehouse, "test", "0") as run:
        run.store("test", {"source": sources.with_columns(x_pix=moved)})
    unfit = warehouse.query("unfit_comparison", source_id=3).select("source_id", "reason").rows()
    assert unfit == [(6, "neighbour at 3.2 arcsec"), (7, "neighbour at 3.2 arcsec")]


def test_stars_whose_identity_is_not_sure_are_unfit_for_comparison(warehouse, fill):
    stock(warehouse, fill)
    with Run(warehouse, "test", "0") as run:
        mirror_settings(run)
        with warehouse.reading() as con:
            sources = con.table("source").pl()
        flags = {7: Flag.AMBIGUOUS | Flag.CLOSE_PAIR, 9: Flag.CLOSE_PAIR, 11: Flag.SATURATED}
        flagged = pl.col("source_id").replace_strict(
            {number: int(flag) for number, flag in flags.items()}, default=0, return_dtype=pl.Int32
        )
        run.store("test", {"source": sources.with_columns(flags=flagged)})
    unfit = warehouse.query("unfit_comparison", source_id=3).select("source_id", "reason").rows()
    assert unfit == [(7, "flagged ambiguous, close_pair"), (9, "flagged close_pair")]


def test_the_command_says_how_many_stars_bands_and_fields(warehouse, tmp_path, fill, capsys):
    stock(warehouse, fill)
    path = write(tmp_path / "gaia.csv", **{"BPmag": np.r_[np.full(5, np.nan), MAG[5:]]})
    command = ["-w", str(warehouse.folder), "import", "catalogue", str(path), "--as", "gaia"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["catalogue"], told["is_new"], told["stars"]) == ("gaia-dr3", True, N_STAR)
    assert {band["band"]: band["n_star"] for band in told["bands"]} == {"G": 40, "BP": 35}
    (field,) = told["fields"]
    assert (field["field_name"], field["n_star"], field["n_match"]) == ("F", N_STAR, N_STAR)
    assert main(command) == 0
    assert "imported before" in capsys.readouterr().out
    assert main([*command[:-1], "gaja"]) == 2
    assert "Did you mean 'gaia'" in capsys.readouterr().err


def test_the_command_tells_of_a_list_that_cannot_be_matched(warehouse, tmp_path, capsys):
    path = tmp_path / "members.csv"
    path.write_text("parallax,phot_g_mean_mag,bp_rp\n1.1,14.4,0.8\n")
    assert main(["-w", str(warehouse.folder), "import", "catalogue", str(path), "--as=gaia"]) == 0
    said = capsys.readouterr().out
    assert "cannot be matched" in said
    assert "none of its stars lie in a field" in said


def test_what_is_fetched_is_stored_with_what_was_asked_and_when(warehouse, fill):
    stock(warehouse, fill)
    cone = cone_of("gaia", 150.0, 20.0, 0.2)
    asked: list[Cone] = []

    def answer(cone: Cone) -> Table:
        asked.append(cone)
        return Table(
            {"Source": np.arange(9) ** 2 + 5, "RA_ICRS": RA[:9] * u.deg, "DE_ICRS": DEC[:9] * u.deg}
        )

    raw, origin = fetch_cone(cone, ask=answer)
    with Run(warehouse, "test", "0") as run:
        import_table(run, raw, "gaia", origin=origin)
        match_catalogues(run, say=lambda _: None)
    with warehouse.reading() as con:
        stored = con.table("reference_catalogue").project("origin, n_star").fetchone()
    assert asked == [cone]
    assert stored is not None
    assert stored[0].startswith("VizieR I/355/gaiadr3, within 0.2000 deg of RA 150.00000 Dec +20")
    assert "Gmag" in stored[0]
    assert f"asked {datetime.now():%Y-}" in stored[0]
    assert stored[1] == 9
    assert len(contents(warehouse)["reference_match"]) == 9


def test_an_empty_answer_is_told(warehouse):
    with pytest.raises(FetchError, match=r"VizieR B/vsx/vsx.*no star"):
        fetch_cone(cone_of("vsx", 150.0, 20.0, 0.2), ask=lambda _: Table())


def test_fetching_without_astroquery_or_a_place_says_what_to_do(warehouse, fill, capsys):
    command = ["-w", str(warehouse.folder), "fetch", "catalogue", "vsx", "--field", "F"]
    assert main(command) == 2
    assert "no field 'F'" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no catalogue 'vsy' is known"):
        cone_of("vsy", 1.0, 1.0, 1.0)
    stock(warehouse, fill)
    try:
        import astroquery  # noqa: F401
    except ImportError:
        assert main(command) == 2
        assert "pip install 'starmuster[fetch]'" in capsys.readouterr().err
