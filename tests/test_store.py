"""The warehouse folder: making it, opening it, reading and writing it, and who else may."""

import os
import struct
import subprocess
import sys

import duckdb
import polars as pl
import pytest
import sqlalchemy

from starmuster import sql
from starmuster.errors import (
    ConfigError,
    DiskFullError,
    LockedError,
    QueryError,
    VersionError,
    WarehouseError,
)
from starmuster.warehouse import migrate, packages
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import DATABASE_NAME, Warehouse, find_folder, frame, lay

HOLD = """
import sys, time, duckdb
con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reader")
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


def hold(warehouse, how: str, seconds: float) -> subprocess.Popen[str]:
    """Start another process that holds the database open."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(warehouse.database), how, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def end(other: subprocess.Popen[str]) -> None:
    other.kill()
    other.communicate()


def header_checksum(block: bytes) -> int:
    """Return the checksum that DuckDB keeps before the first block of a file."""
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return checksum


def insert_setting(con, name: str) -> None:
    con.execute("insert into setting values ($1, 'x')", [name])


def test_a_new_warehouse_has_its_folders_and_every_table(tmp_path):
    warehouse = Warehouse.create(tmp_path / "deep" / "folder")
    for name in ("packages", "masters", "reports"):
        assert (warehouse.folder / name).is_dir()
    assert (warehouse.folder / "starmuster.toml").is_file()
    with warehouse.reading() as con:
        names = {name for (name,) in con.sql("show tables").fetchall()}
    assert set(packages.table_schemas()) | set(sql.scripts("views")) == names


def test_making_a_warehouse_again_keeps_its_rows_and_settings(tmp_path):
    warehouse = Warehouse.create(tmp_path)
    with warehouse.writing() as con:
        insert_setting(con, "kept")
    (tmp_path / "starmuster.toml").write_text("[masters]\nmax_days = 7\n")
    again = Warehouse.create(tmp_path)
    assert again.sql("from setting")["setting_name"].to_list() == ["kept"]
    assert again.config.masters.max_days == 7


def test_the_storage_version_is_stated_so_that_duckdb_1_5_reads_the_file(warehouse):
    with warehouse.reading() as con:
        (tags,) = (
            con.sql("from duckdb_databases()").filter("not internal").project("tags").fetchone()
        )
    assert tags["storage_version"].startswith(migrate.STORAGE_VERSION)


def test_describe_tells_unit_ucd_and_meaning(warehouse):
    rows = warehouse.query("describe", table_name="measurement")
    found = {row["column_name"]: row for row in rows.iter_rows(named=True)}
    assert list(found) == list(packages.table_schemas()["measurement"])
    assert found["x_pix"]["unit"] == "pix"
    assert found["x_pix"]["ucd"] == "pos.cartesian.x;instr.det"
    assert found["x_pix"]["meaning"] == "0-based, forced"
    assert found["x_pix"]["data_type"] == "float"
    view = warehouse.query("describe", table_name="light_curve")
    assert dict(view.select("column_name", "unit").iter_rows())["mid_bjd_tdb"] == "d"


def test_no_warehouse_is_told_with_the_next_step(tmp_path):
    with pytest.raises(WarehouseError, match=r"no warehouse here.*starmuster init"):
        Warehouse(tmp_path)


def test_packages_without_a_database_are_never_begun_anew(warehouse, fill):
    with Run(warehouse, "test", "0") as run:
        run.store("test", {"setting": fill("setting", [{"setting_name": "a"}])})
    warehouse.database.unlink()
    for opening in (Warehouse, Warehouse.create):
        with pytest.raises(WarehouseError, match="starmuster rebuild"):
            opening(warehouse.folder)
    assert not warehouse.database.exists()


def test_a_faulty_configuration_is_told_before_any_work(warehouse):
    (warehouse.folder / "starmuster.toml").write_text("[master]\n")
    with pytest.raises(ConfigError, match="did you mean 'masters'"):
        Warehouse(warehouse.folder)


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path):
    with duckdb.connect(tmp_path / DATABASE_NAME) as con:
        con.execute("create table stamps (a integer)")
    before = packages.file_checksum(tmp_path / DATABASE_NAME)
    with pytest.raises(WarehouseError, match="not a starmuster warehouse"):
        Warehouse(tmp_path)
    assert packages.file_checksum(tmp_path / DATABASE_NAME) == before


def test_a_table_called_version_of_something_else_does_not_deceive(tmp_path):
    with duckdb.connect(tmp_path / DATABASE_NAME) as con:
        con.execute("create table version (major integer, minor integer, patch integer)")
    with pytest.raises(WarehouseError, match="not a starmuster warehouse"):
        Warehouse(tmp_path)


def test_a_file_that_is_no_database_is_told_at_once(tmp_path):
    (tmp_path / DATABASE_NAME).write_bytes(b"a block of wood" * 1000)
    with pytest.raises(WarehouseError, match=r"cannot be opened.*rebuild"):
        Warehouse(tmp_path, wait_s=60)


def test_a_file_of_a_newer_duckdb_asks_for_an_update(warehouse):
    content = bytearray(warehouse.database.read_bytes())
    assert content[8:12] == b"DUCK"
    content[12:20] = (9999).to_bytes(8, "little")
    content[:8] = header_checksum(content[8:4096]).to_bytes(8, "little")
    warehouse.database.write_bytes(content)
    with pytest.raises(VersionError, match="newer DuckDB"):
        Warehouse(warehouse.folder)


def test_an_error_while_writing_takes_everything_back(warehouse):
    def fail_midway() -> None:
        with warehouse.writing() as con:
            insert_setting(con, "lost")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert warehouse.sql("from setting").is_empty()


def test_what_was_written_is_in_the_file_itself_when_the_connection_closes(warehouse):
    with warehouse.writing() as con:
        insert_setting(con, "a")
    assert list(warehouse.folder.glob(f"{DATABASE_NAME}.*")) == []


def test_a_reader_cannot_write(warehouse):
    with warehouse.reading() as con, pytest.raises(duckdb.InvalidInputException, match="read-only"):
        insert_setting(con, "a")


def test_times_are_utc_wherever_the_computer_stands(warehouse):
    code = (
        "import sys; from starmuster.warehouse.store import Warehouse\n"
        "w = Warehouse(sys.argv[1])\n"
        "with w.writing() as con:\n"
        "    con.execute(\"insert into setting values ('now', now()::timestamp::varchar)\")\n"
        "print(w.con.cursor().sql(\"select current_setting('timezone')\").fetchall())\n"
    )
    environment = os.environ | {"TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(warehouse.folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    stored = warehouse.sql("select value::timestamp as seen, now()::timestamp as now from setting")
    assert abs((stored["now"] - stored["seen"]).dt.total_seconds().item()) < 60
    assert "UTC" in done.stdout


def test_the_open_connection_and_the_engine_give_way_to_a_writer(warehouse):
    assert warehouse.con.sql("from setting").fetchall() == []
    with warehouse.engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select count(*) from setting")).scalar() == 0
    with warehouse.writing() as con:
        insert_setting(con, "a")
    with warehouse.engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select count(*) from setting")).scalar() == 1
    assert warehouse.con.sql("select setting_name from setting").fetchall() == [("a",)]


def test_engine_connections_may_be_nested(warehouse):
    query = sqlalchemy.text("select count(*) from frame")
    with warehouse.engine.connect() as outer, warehouse.engine.connect() as inner:
        assert outer.execute(query).scalar() == inner.execute(query).scalar() == 0


def test_sqlalchemy_sees_the_tables(warehouse):
    names = set(sqlalchemy.inspect(warehouse.engine).get_table_names())
    assert {"frame", "measurement", "aperture_flux"} <= names


def test_writing_while_this_process_reads_is_told_at_once(warehouse):
    with (
        warehouse.reading(),
        pytest.raises(LockedError, match=rf"this very process \({os.getpid()}\)"),
        warehouse.writing(),
    ):
        pass


def test_a_reader_in_another_process_delays_a_writer(warehouse):
    other = hold(warehouse, "reader", 0.6)
    try:
        with warehouse.writing() as con:
            insert_setting(con, "late")
    finally:
        other.communicate()
    assert warehouse.sql("from setting").height == 1


@pytest.mark.parametrize("how", ["reader", "writer"])
def test_a_process_that_keeps_the_database_is_named(warehouse, how):
    warehouse.wait_s = 0.2
    other = hold(warehouse, how, 60)
    try:
        with (
            pytest.raises(LockedError, match=rf"process {other.pid}\).*waited 0\.2 s.*--wait"),
            warehouse.writing(),
        ):
            pass
    finally:
        end(other)


def test_a_path_with_lock_in_its_name_is_no_lock(tmp_path):
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / DATABASE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(WarehouseError) as caught:
        Warehouse(folder, wait_s=60)
    assert not isinstance(caught.value, LockedError)


def test_a_full_disk_in_the_middle_of_a_write_changes_nothing(small_disk):
    warehouse = Warehouse.create(small_disk / "warehouse")
    rows = pl.DataFrame({"name": [str(i) * 20 for i in range(400_000)]})  # noqa: F841
    with (
        pytest.raises(DiskFullError, match=r"no room for 50\.0 MB, .* MB free"),
        warehouse.writing(needed_byte=50_000_000) as con,
    ):
        con.execute("insert into setting select name, random()::varchar from rows")
    assert Warehouse(warehouse.folder).sql("from setting").is_empty()


def test_the_folder_is_the_given_one_else_the_variable_else_here(tmp_path, monkeypatch):
    monkeypatch.delenv("STARMUSTER_WAREHOUSE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_folder() == tmp_path
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", "/elsewhere")
    assert str(find_folder()) == "/elsewhere"
    assert str(find_folder("given")) == "given"


def test_parameters_bind_by_name(warehouse):
    rows = warehouse.sql("select $a::integer + $b::integer as total", a=1, b=2)
    assert rows["total"].to_list() == [3]


def test_a_faulty_query_is_told_in_duckdbs_words(warehouse):
    with pytest.raises(QueryError, match="nowhere does not exist"):
        warehouse.sql("from nowhere")
    with pytest.raises(QueryError, match="Conversion Error"):
        warehouse.sql("select 'x'::integer as a")
    with pytest.raises(QueryError, match="returns no rows"):
        warehouse.sql("set threads = 1")


def test_an_unknown_query_or_parameter_is_told_with_the_known_ones(warehouse):
    with pytest.raises(QueryError, match=r"no shipped query 'nigths'; there are: .*nights"):
        warehouse.query("nigths")
    with pytest.raises(QueryError, match="no parameter nigth; it takes: night"):
        warehouse.query("frames", nigth="2024-03-08")


def test_rows_that_are_laid_are_a_table_and_no_frame_that_a_query_would_scan(database):
    for rows in (pl.DataFrame({"k": [1, 2]}), pl.DataFrame({"k": [3], "v": [0.5]})):
        lay(database, "laid", rows)
        assert frame(database, "from laid where k > $least", least=0).equals(rows)
    kinds = database.sql("from duckdb_tables()").filter("table_name = 'laid'")
    assert kinds.project("temporary").fetchall() == [(True,)]
