"""The command line: options anywhere, one JSON document, exit status, hardened questions."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from starmuster.cli import main, session
from starmuster.warehouse import migrate
from starmuster.warehouse.store import FILE_NAME, Warehouse

HEAVY = ("astropy", "duckdb", "matplotlib", "numba", "numpy", "photutils", "polars", "scipy")
CREATE_VERBS = ("ingest", "run", "import", "demo", "fields", "stars", "light-curve", "identify")
VERBS = (*CREATE_VERBS, "report", "init", "status", "sql", "describe", "check", "rebuild", "doctor")


@pytest.fixture
def run(capsys):
    """Run a command line; return the exit status, standard output and standard error."""

    def command(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def asked(run, warehouse):
    """Run a command on a warehouse without rows, with --json; return status and document."""

    def command(*words: str | Path):
        code, out, _ = run("--warehouse", warehouse.folder, "--json", *words)
        return code, json.loads(out)

    return command


def test_help_and_version_import_nothing_heavy():
    look = (
        "import sys; from starmuster.cli import main; code = main(sys.argv[1:]);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], code, file=sys.stderr)"
    )
    for option in ("--help", "--version"):
        command = [sys.executable, "-c", look, option]
        seen = subprocess.run(command, check=True, capture_output=True, text=True)
        assert seen.stderr.strip() == "[] 0"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"starmuster {verb}" in out


def test_options_are_taken_before_and_after_the_verb(run, warehouse, monkeypatch):
    monkeypatch.chdir("/")
    folder = str(warehouse.folder)
    query = ("sql", "select 1 as one")
    for words in (
        ("--warehouse", folder, "--json", "--wait", "1", *query),
        (*query, "--warehouse", folder, "--json", "--wait", "1"),
        ("-w", folder, *query, "--json"),
        ("--json", *query, f"--warehouse={folder}"),
    ):
        code, out, _ = run(*words)
        assert (code, json.loads(out)) == (0, [{"one": 1}])


def test_the_warehouse_is_the_one_named_else_the_variable_else_the_current_folder(
    run, warehouse, tmp_path, monkeypatch
):
    other = Warehouse.create(tmp_path / "other").folder
    monkeypatch.chdir(warehouse.folder)
    monkeypatch.delenv("STARMUSTER_WAREHOUSE", raising=False)
    (warehouse.folder / FILE_NAME).write_text("[photometry]\nradius = 1\n")
    assert run("status")[0] == 2
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(other))
    assert run("status")[0] == 0
    assert run("status", "-w", warehouse.folder)[0] == 2


def test_init_makes_a_warehouse_and_leaves_one_alone(run, tmp_path):
    folder = tmp_path / "new"
    code, out, _ = run("init", folder, "--json")
    assert (code, json.loads(out)) == (0, {"warehouse": str(folder)})
    (folder / FILE_NAME).write_text("[masters]\nmax_days = 7\n")
    before = (folder / "starmuster.duckdb").read_bytes()
    assert run("init", folder)[0] == 0
    assert (folder / "starmuster.duckdb").read_bytes() == before
    assert "max_days = 7" in (folder / FILE_NAME).read_text()


@pytest.mark.parametrize(
    ("words", "name", "hint"),
    [
        (("frobnicate",), "UsageError", "frobnicate"),
        (("ingest", "--jsn", "x"), "UsageError", "--jsn"),
        (("ingest",), "UsageError", "no folder given"),
        (("ingest", "/no/such/night"), "UsageError", "/no/such/night"),
        (("sql", "no_such_query", "a=1"), "QueryError", "no_such_query"),
        (("sql", "stars", "bogus=1"), "QueryError", "field="),
        (("sql", "select * from no_such_table"), "QueryError", "no_such_table"),
        (("describe", "no_such_table"), "NotFoundError", "aperture_flux"),
        (("stars", "M37"), "NotFoundError", "M37"),
        (("light-curve", "12"), "NotFoundError", "12"),
        (("light-curve", "Nobody's star"), "NotFoundError", "identify"),
        (("light-curve", "16:00:44.0 +43:08:42"), "NotFoundError", "arcsec"),
        (("report", "transit", "HAT-P-32 b"), "NotFoundError", "import ephemerides"),
        (("identify", "X", "--field", "1", "--xy", "1,2", "--frame", "a"), "NotFoundError", "1"),
        (("import", "ephemerides", "/no/such.csv"), "UsageError", "/no/such.csv"),
        (("doctor", "header", "/no/such.fits"), "UsageError", "/no/such.fits"),
        (("--wait", "soon", "status"), "UsageError", "soon"),
    ],
)
def test_what_the_user_got_wrong_is_told_with_status_2(asked, words, name, hint):
    code, document = asked(*words)
    assert code == document["exit"] == 2
    assert document["error"] == name
    assert hint in document["message"]


def test_a_folder_without_a_warehouse_is_told_with_status_2(run, tmp_path):
    for verb in ("status", "fields", "check", "run", "rebuild"):
        code, out, err = run("--warehouse", tmp_path, "--json", verb)
        document = json.loads(out)
        assert (code, document["error"]) == (2, "NoWarehouseError"), verb
        assert str(tmp_path) in document["message"]
        assert document["message"] in err


def test_an_unknown_key_of_the_configuration_is_told_with_the_nearest(asked, warehouse):
    (warehouse.folder / FILE_NAME).write_text("[photometry]\naperture_arcsec = [4]\n")
    code, document = asked("status")
    assert (code, document["error"]) == (2, "ConfigError")
    assert "did you mean 'apertures_arcsec'" in document["message"]


def test_a_warehouse_of_a_newer_starmuster_is_left_alone_with_status_2(asked, warehouse):
    with migrate.connect(warehouse.database) as con:
        con.execute("update version set value = '999' where subject = 'schema'")
    before = warehouse.database.read_bytes()
    code, document = asked("status")
    assert (code, document["error"]) == (2, "VersionError")
    assert warehouse.database.read_bytes() == before


def test_an_empty_folder_is_no_failure(asked, tmp_path):
    (tmp_path / "night").mkdir()
    code, document = asked("ingest", tmp_path / "night")
    assert code == 0
    assert document.pop("seconds") >= 0
    assert set(document) == {
        "frames_seen",
        "frames_new",
        "frames_skipped",
        "frames_failed",
        "masters",
        "frames_measured",
        "frames_not_measured",
        "measurements",
    }
    assert set(document.values()) == {0}


def test_lists_and_structures_come_out_as_json_in_csv(run, warehouse):
    query = "select [1, 2] as pair, {'day': date '2024-03-08'} as place, null::integer[] as gap"
    code, out, _ = run("--warehouse", warehouse.folder, "sql", query, "--csv")
    assert code == 0
    (row,) = csv.DictReader(io.StringIO(out))
    assert json.loads(row["pair"]) == [1, 2]
    assert json.loads(row["place"]) == {"day": "2024-03-08"}
    assert row["gap"] == ""


def test_questions_are_answered_as_table_json_csv_and_parquet(run, warehouse, tmp_path):
    query = "select 'a,b' as word, 0.1 as tenth, null as nothing, date '2024-03-08' as night"
    words = ("--warehouse", warehouse.folder, "sql", query)
    code, out, err = run(*words)
    assert code == 0
    assert all(text in out for text in ("word", "a,b", "0.1", "2024-03-08"))
    assert "1 row" in err
    assert json.loads(run(*words, "--json")[1]) == [
        {"word": "a,b", "tenth": 0.1, "nothing": None, "night": "2024-03-08"}
    ]
    assert run(*words, "--csv")[1] == 'word,tenth,nothing,night\n"a,b",0.1,,2024-03-08\n'
    file = tmp_path / "rows.parquet"
    code, out, err = run(*words, "--parquet", file)
    assert (code, out) == (0, "")
    assert str(file) in err
    assert pl.read_parquet(file)["word"].to_list() == ["a,b"]


def test_numbers_that_json_does_not_know_become_null(asked):
    query = "select 'nan'::double as a, ['-inf', '1'::double] as b, {'c': 'nan'::float} as d"
    assert asked("sql", query) == (0, [{"a": None, "b": [None, 1.0], "d": {"c": None}}])


def test_numbers_stay_numbers_in_json(asked):
    query = "select 1.5 as a, sum(7) as b, 2::utinyint as c, true as d, [0.25] as e, 1e300 as f"
    expected = {"a": 1.5, "b": 7, "c": 2, "d": True, "e": [0.25], "f": 1e300}
    code, rows = asked("sql", query)
    assert (code, rows) == (0, [expected])
    assert type(rows[0]["b"]) is int


def test_many_rows_are_cut_on_the_screen_and_whole_as_json(run, warehouse, monkeypatch):
    monkeypatch.setattr(session, "N_SHOWN", 3)
    monkeypatch.setattr(session, "N_AT_ONCE", 2)
    query = "select range as n, 'a' as name from range(5)"
    code, out, err = run("sql", query, "-w", warehouse.folder)
    assert (code, out.count(" a ")) == (0, 3)
    assert "the first 3 of 5 rows" in err
    code, out, _ = run("sql", query, "--json", "-w", warehouse.folder)
    assert (code, json.loads(out)) == (0, [{"n": n, "name": "a"} for n in range(5)])


def test_a_parquet_file_that_cannot_be_written_is_told(asked, tmp_path):
    code, document = asked("sql", "select 1", "--parquet", tmp_path / "no" / "rows.parquet")
    assert code == document["exit"] == 1
    assert str(tmp_path) in document["message"]


@pytest.mark.parametrize(
    "attack",
    [
        "delete from frame",
        "create table mine as select 1",
        "copy (select 1) to '{place}'",
        "select * from read_text('{toml}')",
        "attach '{place}' as other",
        "set enable_external_access = true",
        "select 1; delete from frame",
        "select 1; copy (select 1) to '{place}'",
    ],
)
def test_questions_only_read_the_warehouse(asked, warehouse, tmp_path, attack):
    place = tmp_path / "stolen.csv"
    query = attack.format(place=place, toml=warehouse.folder / FILE_NAME)
    before = warehouse.database.read_bytes()
    code, document = asked("sql", query)
    assert (code, document["error"]) == (2, "QueryError")
    assert warehouse.database.read_bytes() == before
    assert not place.exists()


@pytest.mark.parametrize("query", ["from error_audit", "error_audti"])
def test_who_means_a_shipped_query_is_told_so(asked, query):
    code, document = asked("sql", query)
    assert (code, document["error"]) == (2, "QueryError")
    assert "error_audit" in document["message"]
    assert "`starmuster sql" in document["message"]


def test_shipped_queries_are_listed_and_run_without_rows(asked):
    _, queries = asked("sql")
    assert len(queries) > 10
    assert all(query["about"] for query in queries)
    assert {"nights", "zero_points"} <= {query["query"] for query in queries}
    for name in ("nights", "zero_points"):
        assert asked("sql", name) == (0, [])


def test_an_empty_answer_tells_what_is_pending(run, build, four_stars):
    folder = build(four_stars.night()).folder
    code, out, err = run("sql", "ramp_levels", "-w", folder)
    assert (code, out.count("│")) == (0, 0)
    assert "pending: reference (7 frames); `starmuster run`" in err
    assert "pending" not in run("sql", "select 1 where false", "-w", folder)[2]


def test_tables_are_described_with_units(asked):
    _, tables = asked("describe")
    names = {row["table_name"] for row in tables}
    assert {"frame", "measurement", "aperture_flux", "light_curve"} <= names
    _, columns = asked("describe", "aperture_flux")
    about = {row["column_name"]: row for row in columns}
    assert about["flux_adu"]["unit"] == "adu"
    assert about["flux_adu"]["meaning"]


def test_the_status_of_a_warehouse_without_rows_is_told(asked):
    code, document = asked("status")
    assert code == 0
    assert document["n_frames"] == 0
    for part in ("nights", "fields", "frame_states", "failures"):
        assert document[part] == []
    assert all(row["n_frames"] == 0 for row in document["pending"])


def test_checks_pass_and_one_that_fails_is_named_with_status_1(run, asked, warehouse, fill):
    code, document = asked("check")
    assert (code, set(document.values())) == (0, {0})
    lost = fill("path", [{"path": "/gone.fits", "frame_id": 9}])
    with warehouse.writing() as con:
        con.register("lost", lost)
        con.execute("insert into path by name from lost")
    code, document = asked("check")
    assert (code, document["path_has_frame"]) == (1, 1)
    code, out, _ = run("--warehouse", warehouse.folder, "check")
    assert code == 1
    assert "/gone.fits" in out


def test_the_doctor_looks_at_versions_disk_and_lock(asked, warehouse):
    code, findings = asked("doctor")
    verdict = {row["subject"]: row["verdict"] for row in findings}
    assert code == (1 if "bad" in verdict.values() else 0)
    assert {"Python", "duckdb", "disk", "solve-field", "warehouse"} <= set(verdict)
    assert verdict["duckdb"] == verdict["lock"] == "good"
    with warehouse.claimed("a test"):
        code, findings = asked("--wait", "0", "doctor")
    told = [row["seen"] for row in findings if row["verdict"] == "bad"]
    assert code == 1
    assert any(str(os.getpid()) in seen for seen in told)


def test_a_pipe_that_closes_is_no_traceback(warehouse):
    start = "import sys; from starmuster.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "-w", str(warehouse.folder), "sql"]
    command += ["select repeat('x', 200) as text from range(20000)", "--csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"text\n"
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode in {0, 1}  # 0 where the pipe had taken all of it
    assert told == b""
