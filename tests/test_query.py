"""SQL from outside: it reads the warehouse and touches nothing else."""

import shutil

import pytest

from starmuster.errors import LockedError, QueryError
from starmuster.warehouse import migrate, packages
from starmuster.warehouse.query import hardened, user_query
from starmuster.warehouse.store import Warehouse

OUTSIDE = "secret.csv"
ATTACKS = [
    "from read_csv('{outside}')",
    "from read_text('{outside}')",
    "from read_blob('{outside}')",
    "from sniff_csv('{outside}')",
    "from glob('{folder}/*')",
    "from '{outside}'",
    "from read_parquet('{folder}/*.parquet')",
    "from read_duckdb('{database}')",
    "copy setting to '{folder}/stolen.csv'",
    "copy setting to '{database}'",
    "copy (select 1) to '{database}' (format csv)",
    "copy setting from '{outside}'",
    "explain analyze copy setting to '{folder}/stolen.csv'",
    "export database '{folder}/stolen'",
    "import database '{folder}'",
    "attach '{folder}/other.duckdb' as other",
    "attach '{database}' as again",
    "attach ':memory:' as scratch",
    "install httpfs",
    "load httpfs",
    "load '{outside}'",
    "set threads = 4",
    "set lock_configuration = false",
    "set enable_external_access = true",
    "reset disabled_filesystems",
    "set temp_directory = '{folder}'",
    "set profiling_output = '{folder}/profile'",
    "pragma enable_profiling = 'json'",
    "call enable_logging(storage_path = '{folder}/log')",
    "create table loot as select 1 as a",
    "create temp table loot as select 1 as a",
    "create or replace view star as select 1 as a",
    "create macro loot() as 1",
    "create secret loot (type s3)",
    "insert into setting values ('a', 'b')",
    "update setting set value = 'stolen'",
    "delete from setting",
    "drop table setting",
    "truncate setting",
    "alter table setting add column a integer",
    "explain analyze delete from setting",
    "select 1; drop table setting",
    "select 1; select 2",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare loot as select 1",
    "use memory",
    "",
    "-- only a remark",
    "selct 1",
    "from rows_of_python",
]


@pytest.fixture(scope="module")
def guarded(empty_warehouse, tmp_path_factory):
    """A warehouse with a row, and a file beside it that no query may see."""
    folder = shutil.copytree(empty_warehouse, tmp_path_factory.mktemp("guarded") / "warehouse")
    warehouse = Warehouse(folder)
    with warehouse.writing() as con:
        con.execute("insert into setting values ('kept', 'x')")
    (warehouse.folder / OUTSIDE).write_text("a,b\n1,2\n")
    return warehouse


def listing(folder) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): packages.file_checksum(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_reading_the_warehouse_is_refused_and_changes_nothing(guarded, attack):
    rows_of_python = guarded.sql("select 1 as a")  # noqa: F841  must be out of reach
    before = listing(guarded.folder)
    folder = guarded.folder
    text = attack.format(folder=folder, database=guarded.database, outside=folder / OUTSIDE)
    with pytest.raises(QueryError):
        user_query(guarded, text)
    assert listing(folder) == before
    assert guarded.sql("from setting").rows() == [("kept", "x")]


@pytest.mark.parametrize("attack", [text for text in ATTACKS if "{" in text])
def test_the_connection_alone_keeps_queries_from_files(guarded, attack):
    """The session is safe even where the statement is not looked at."""
    before = listing(guarded.folder)
    folder = guarded.folder
    text = attack.format(folder=folder, database=guarded.database, outside=folder / OUTSIDE)
    with migrate.connect(guarded.database, read_only=True) as con:
        hardened(con)
        with pytest.raises(Exception, match=r"."):
            con.sql(text).fetchall()
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("text", "n_row"),
    [
        ("select * from setting", 1),
        ("from setting", 1),
        ("with a as (select 1 as b) select * from a", 1),
        ("values (1), (2)", 2),
        ("describe setting", 2),
        ("summarize setting", 2),
        ("explain select 1", 1),
        ("select 1 as a; -- done", 1),
        ("select setting_name, count(*) as n from setting group by all order by all", 1),
        ("from star", 0),
        ("select is_clean(0) as clean", 1),
    ],
)
def test_questions_are_answered(guarded, text, n_row):
    assert user_query(guarded, text).height == n_row


def test_parameters_bind_by_name(guarded):
    rows = user_query(guarded, "from setting where setting_name = $name", {"name": "kept"})
    assert rows["value"].to_list() == ["x"]


def test_memory_that_does_not_suffice_is_told_with_the_reason(guarded):
    text = "select range % 7777777 as a, count(*) as n from range(30_000_000) group by all"
    with pytest.raises(QueryError, match=r"more than 60 MB.*cannot spill to disk"):
        user_query(guarded, text, memory_mb=60, n_thread=1)


def test_limits_are_in_force(guarded):
    text = "select current_setting('memory_limit') as m, current_setting('threads') as t"
    assert user_query(guarded, text, memory_mb=100, n_thread=1).rows() == [("95.3 MiB", 1)]


def test_the_warehouse_is_free_again_afterwards(warehouse):
    assert warehouse.con.sql("from setting").fetchall() == []
    user_query(warehouse, "from setting")
    with warehouse.writing() as con:
        con.execute("insert into setting values ('after', 'x')")
    assert user_query(warehouse, "from setting").height == 1


def test_a_connection_of_this_process_is_told(guarded):
    with guarded.reading(), pytest.raises(LockedError, match="this very process"):
        user_query(guarded, "from setting")
