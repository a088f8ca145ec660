"""Packages of rows: sealed whole or not at all, loaded as often as one likes."""

import json
import shutil
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest

from starmuster.errors import DiskFullError, PackageError
from starmuster.warehouse import migrate, packages

LEDGER = {"run", "package", "version"}


@pytest.fixture
def con(database):
    """A connection to an empty database, in a transaction as every load is."""
    return database


@pytest.fixture
def folder(tmp_path):
    """A folder for packages."""
    path = tmp_path / "packages"
    path.mkdir()
    return path


def measured(fill, frame_ids: list[int], source_ids: list[int], *, flux: float = 1.0):
    """Make measurements and fluxes of some stars in some frames."""
    keys = [{"frame_id": f, "source_id": s} for f in frame_ids for s in source_ids]
    return {
        "measurement": fill("measurement", keys),
        "aperture_flux": fill("aperture_flux", [key | {"flux_adu": flux} for key in keys]),
    }


def everything(con) -> dict[str, list[tuple]]:
    """Return the rows of all tables except the times of loading."""
    tables = {name: con.table(name).order("all").fetchall() for name in packages.REPLACE_KEY}
    ledger = con.table("package").order("sequence")
    return tables | {"package": ledger.project("* exclude (loaded_utc)").fetchall()}


def test_every_table_but_the_ledger_says_what_a_load_replaces():
    schemas = packages.table_schemas()
    assert set(packages.REPLACE_KEY) == set(schemas) - LEDGER
    for table, key in packages.REPLACE_KEY.items():
        assert {key, *packages.REPLACE_ALSO.get(table, ())} <= set(schemas[table])
    for table, keys in packages.SORT_KEY.items():
        assert set(keys) <= set(schemas[table])


def test_rows_get_the_columns_order_and_types_of_their_table():
    rows = packages.conform(
        "aperture",
        pl.DataFrame(
            {"radius": [6], "kind": ["arcsec"], "aperture_id": [1], "aperture_name": ["6 arcsec"]}
        ),
    )
    assert rows.schema == packages.table_schemas()["aperture"]


def test_a_frame_without_columns_holds_no_row():
    assert packages.conform("measurement", pl.DataFrame()).height == 0


def test_columns_that_are_not_given_are_null(fill):
    rows = fill("frame", [{"frame_id": 1}])
    assert rows["band"].to_list() == [None]
    assert rows["header_issue"].to_list() == [None]


def test_a_time_with_a_zone_is_stored_as_utc(fill):
    noon = datetime(2024, 3, 8, 12, tzinfo=UTC)
    given = pl.DataFrame(
        {"path": ["a"], "frame_id": [1], "size_byte": [1], "mtime_ns": [1], "seen_utc": [noon]}
    )
    given = given.with_columns(pl.col("seen_utc").dt.convert_time_zone("America/New_York"))
    assert packages.conform("path", given)["seen_utc"].to_list() == [noon.replace(tzinfo=None)]


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("setting", {"setting_name": ["a"], "value": ["b"], "vlaue": ["c"]}, "no column vlaue"),
        ("setting", {"setting_name": ["a"]}, "null in value"),
        ("settings", {"setting_name": ["a"], "value": ["b"]}, "no table 'settings'"),
        ("package", {"package_id": ["a"]}, "no table 'package' that takes rows"),
        ("aperture", {"radius": [float("nan")]}, "nan or infinity in radius"),
        ("aperture", {"radius": [float("-inf")]}, "nan or infinity in radius"),
        ("registration", {"x_coefficient": [[1.0, float("nan")]]}, "infinity in x_coefficient"),
        ("aperture", {"aperture_id": ["six"]}, "do not fit its columns"),
        ("aperture", {"aperture_id": [99_999]}, "do not fit its columns"),
    ],
)
def test_rows_that_do_not_belong_are_refused(table, columns, message):
    with pytest.raises(PackageError, match=message):
        packages.conform(table, pl.DataFrame(columns))


def read_back(path):
    """Read the tables of a package as any program would, by their files."""
    return {file.stem: pl.read_parquet(file) for file in path.glob("*.parquet")}


def test_a_package_can_be_read_back(folder, fill):
    tables = measured(fill, [1, 2], [7, 3])
    path = packages.write(folder, "2024-03-08/000001-x", tables, sequence=1, step="photometry")
    found = read_back(path)
    assert (
        found["measurement"]
        .sort("frame_id", "source_id")
        .equals(tables["measurement"].sort("frame_id", "source_id"))
    )
    manifest = packages.read_manifest(path)
    assert (manifest.step, manifest.sequence, manifest.n_row) == ("photometry", 1, 8)


def test_rows_lie_star_by_star_in_the_file(folder, fill):
    path = packages.write(folder, "all/1", measured(fill, [1, 2], [7, 3]), step="x")
    stars = read_back(path)["aperture_flux"]["source_id"].to_list()
    assert stars == [3, 3, 7, 7]


def test_nothing_but_the_package_is_left_after_writing(folder, fill):
    packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    assert [path.name for path in folder.iterdir()] == ["all"]
    assert sorted(path.name for path in (folder / "all" / "1").iterdir()) == [
        "aperture_flux.parquet",
        "manifest.json",
        "measurement.parquet",
    ]


def test_a_draft_that_a_kill_left_is_written_over(folder, fill):
    draft = folder / ".all-1.draft"
    draft.mkdir()
    (draft / "frame.parquet").write_bytes(b"half a fi")
    path = packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    assert not draft.exists()
    assert not (path / "frame.parquet").exists()


def test_rows_that_are_refused_leave_nothing_behind(folder, fill):
    tables = measured(fill, [1], [1]) | {"setting": pl.DataFrame({"nonsense": [1]})}
    with pytest.raises(PackageError):
        packages.write(folder, "all/1", tables, step="x")
    with pytest.raises(PackageError, match="no table 'starlets'"):
        packages.write(folder, "all/1", {}, step="x", replaces={"starlets": [1]})
    assert list(folder.iterdir()) == []


def test_an_altered_file_is_found(folder, fill, con):
    path = packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    file = path / "measurement.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(PackageError, match=r"measurement\.parquet: altered.*backup"):
        packages.load(con, path)


def test_a_missing_file_is_found(folder, fill, con):
    path = packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    (path / "measurement.parquet").unlink()
    with pytest.raises(PackageError, match=r"measurement\.parquet: missing"):
        packages.load(con, path)


@pytest.mark.parametrize("name", ["sequence", "step", "tables", "replaces"])
def test_an_altered_manifest_is_found(folder, fill, con, name):
    path = packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    file = path / "manifest.json"
    content = json.loads(file.read_text())
    content[name] = {"sequence": 5, "step": "y", "tables": {}, "replaces": {"path": ["a"]}}[name]
    file.write_text(json.dumps(content))
    with pytest.raises(PackageError, match=r"manifest\.json: altered"):
        packages.load(con, path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"package_id": "x"}'])
def test_a_manifest_that_is_none_is_told(folder, fill, text):
    path = packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    (path / "manifest.json").write_text(text)
    with pytest.raises(PackageError, match=r"no readable manifest\.json"):
        packages.read_manifest(path)


def test_loading_twice_changes_nothing(folder, fill, con):
    path = packages.write(folder, "all/1", measured(fill, [1, 2], [1, 2]), sequence=1, step="x")
    assert packages.load(con, path) == 8
    once = everything(con)
    assert packages.load(con, path) == 8
    assert everything(con) == once
    assert len(once["measurement"]) == 4


def test_rerunning_a_frame_replaces_its_rows_and_no_others(folder, fill, con):
    packages.load(con, packages.write(folder, "all/1", measured(fill, [1, 2], [1, 2]), step="x"))
    again = measured(fill, [2], [2, 3], flux=5.0)
    packages.load(con, packages.write(folder, "all/2", again, sequence=2, step="x"))
    rows = con.table("aperture_flux").order("all").project("frame_id, source_id, flux_adu")
    assert rows.fetchall() == [(1, 1, 1.0), (1, 2, 1.0), (2, 2, 5.0), (2, 3, 5.0)]


def test_keys_to_replace_go_even_where_no_row_comes(folder, fill, con):
    packages.load(con, packages.write(folder, "all/1", measured(fill, [1, 2], [1]), step="x"))
    path = packages.write(
        folder, "all/2", {}, sequence=2, step="x", replaces={"measurement": [2], "frame": []}
    )
    assert packages.load(con, path) == 0
    assert con.table("measurement").project("frame_id").fetchall() == [(1,)]
    assert con.table("aperture_flux").order("all").project("frame_id").fetchall() == [(1,), (2,)]


def test_one_step_of_a_frame_does_not_replace_another(folder, fill, con):
    steps = [{"frame_id": 1, "step": "vantage"}, {"frame_id": 1, "step": "photometry"}]
    packages.load(
        con, packages.write(folder, "all/1", {"product": fill("product", steps)}, step="x")
    )
    again = fill("product", [{"frame_id": 1, "step": "photometry", "state": "failed"}])
    packages.load(con, packages.write(folder, "all/2", {"product": again}, sequence=2, step="x"))
    states = dict(con.table("product").project("step, state").fetchall())
    assert states == {"vantage": "null", "photometry": "failed"}


def test_keys_that_are_null_are_replaced_as_well(folder, fill, con):
    fit = {"camera_id": 1, "method": "photon transfer", "gain_e_per_adu": 1.0}
    packages.load(
        con, packages.write(folder, "all/1", {"gain_fit": fill("gain_fit", [fit])}, step="x")
    )
    again = fill("gain_fit", [fit | {"gain_e_per_adu": 2.0}])
    packages.load(con, packages.write(folder, "all/2", {"gain_fit": again}, sequence=2, step="x"))
    assert con.table("gain_fit").project("gain_e_per_adu").fetchall() == [(2.0,)]


def test_a_load_that_fails_is_taken_back_whole(warehouse, folder, fill):
    first = packages.write(folder, "all/1", measured(fill, [1], [1]), sequence=1, step="x")
    second = packages.write(folder, "all/2", measured(fill, [1], [2]), sequence=2, step="x")
    with warehouse.writing() as con:
        packages.load(con, first)
        before = everything(con)
    (second / "aperture_flux.parquet").unlink()
    with pytest.raises(PackageError), warehouse.writing() as con:
        packages.load(con, second)
    with warehouse.reading() as con:
        assert everything(con) == before


def test_rows_that_the_database_refuses_are_told_with_the_file(folder, fill, con):
    path = packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    con.execute("alter table measurement drop column peak_adu")
    with pytest.raises(PackageError, match=r"measurement\.parquet: table .* does not take"):
        packages.load(con, path)


def test_the_ledger_says_what_was_loaded(folder, fill, con):
    tables = measured(fill, [1], [1])
    run = {"run_id": 4}
    path = packages.write(folder, "all/1", tables, sequence=9, step="photometry", run=run)
    packages.load(con, path)
    columns = "package_id, sequence, run_id, step, checksum, n_row"
    checksum = packages.file_checksum(path / "manifest.json")
    assert con.table("package").project(columns).fetchall() == [
        ("all/1", 9, 4, "photometry", checksum, 2)
    ]


def test_a_full_disk_is_told_with_what_was_needed_and_leaves_nothing_behind(small_disk):
    names = pl.DataFrame({"setting_name": [str(hash(str(i))) for i in range(600_000)]})
    rows = names.with_columns(value=pl.col("setting_name").reverse())
    with pytest.raises(DiskFullError, match=r"no room for \d\d\.\d MB, \d\.\d MB free") as caught:
        packages.write(small_disk, "all/1", {"setting": rows}, step="x")
    assert "nothing is lost" in str(caught.value)
    assert list(small_disk.iterdir()) == []
    packages.write(small_disk, "all/1", {"setting": rows.head(10)}, step="x")


def test_other_trouble_with_the_disk_is_not_called_a_full_one(tmp_path, fill):
    (tmp_path / "all").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="exists"):
        packages.write(tmp_path, "all/1", measured(fill, [1], [1]), step="x")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".draft")] == []


def test_two_packages_of_one_name_are_the_newer_one(folder, fill):
    packages.write(folder, "all/1", measured(fill, [1], [1]), step="x")
    path = packages.write(folder, "all/1", {"setting": fill("setting", [{}])}, step="y")
    assert list(read_back(path)) == ["setting"]


def test_the_required_columns_are_those_the_database_requires(warehouse, fill):
    with migrate.connect(warehouse.database) as con:
        for table, columns in packages.required_columns().items():
            if table in LEDGER:
                continue
            for column in columns:
                row = fill(table, [{}]).with_columns(pl.lit(None).alias(column))
                con.register("given", row)
                with pytest.raises(duckdb.ConstraintException, match="NOT NULL"):
                    con.execute(f"insert into {table} by name from given")


def test_a_package_may_be_moved_with_its_warehouse(folder, fill, con, tmp_path):
    packages.write(folder, "all/1", measured(fill, [1], [1]), sequence=1, step="x")
    shutil.move(folder, tmp_path / "elsewhere")
    assert packages.load(con, tmp_path / "elsewhere" / "all" / "1") == 2
