"""The SQL files: order, parameters, comments, and what every object must say of itself."""

import re

import duckdb
import pytest
from astropy import units

from starmuster import sql
from starmuster.warehouse.store import Warehouse

KINDS = ("schema", "macros", "views", "functions", "queries", "checks")
OBJECT = {"macros": "macro", "views": "view", "functions": "macro"}
# Suffix of a column name -> its unit, as the style guide has it.
UNITS = {
    "_e_per_adu": "electron/adu",
    "_adu_per_pix": "adu/pix",
    "_arcsec_per_pix": "arcsec/pix",
    "_s": "s",
    "_h": "h",
    "_min": "min",
    "_d": "d",
    "_days": "d",
    "_m": "m",
    "_deg": "deg",
    "_degc": "deg_C",
    "_k": "K",
    "_kelvin": "K",
    "_arcsec": "arcsec",
    "_pix": "pix",
    "_adu": "adu",
    "_e": "electron",
    "_mag": "mag",
    "_byte": "byte",
    "_ns": "ns",
    "_utc": "UTC",
    "_ls": "lyr.s/yr",
    "_bjd_tdb": "d",
    "_jd_utc": "d",
    "_hjd_utc": "d",
}


def expected_unit(column: str) -> str | None:
    """Return the unit that the name of a column promises; of several suffixes the longest."""
    name = re.sub(r"_err(?=_|$)", "", column)
    suffixes = [suffix for suffix in UNITS if name.endswith(suffix)]
    return UNITS[max(suffixes, key=len)] if suffixes else None


@pytest.fixture(scope="module")
def columns(empty_warehouse) -> list[tuple[str, str, str | None]]:
    """Table or view, column and comment of everything in an empty warehouse."""
    with Warehouse(empty_warehouse).reading() as con:
        found = con.sql("from duckdb_columns()").filter("not internal")
        return found.project("table_name, column_name, comment").fetchall()


def fake(monkeypatch, **texts: str) -> None:
    scripts = {name: sql.Script(name, text) for name, text in texts.items()}
    monkeypatch.setattr(sql, "scripts", lambda kind: scripts)


def test_every_column_says_what_it_means(columns):
    assert [f"{table}.{name}" for table, name, comment in columns if not comment] == []


def test_every_dimensional_column_states_the_unit_its_name_promises(columns):
    wrong = []
    for table, name, comment in columns:
        stated = re.search(r"unit=([^;]+)", comment or "")
        unit = expected_unit(name)
        # views of other programs' customs keep the names these have there
        if (
            unit is not None
            and not table.startswith("v_")
            and (stated is None or stated[1].strip() != unit)
        ):
            wrong.append(f"{table}.{name}: {comment}")
    assert wrong == []


def test_every_unit_is_one_that_astropy_reads(columns):
    stated = {
        match[1].strip()
        for *_, comment in columns
        if (match := re.search(r"unit=([^;]+)", comment or ""))
    }
    assert len(stated) > 10
    for unit in stated - {"UTC"}:
        units.Unit(unit)


def test_every_table_and_view_says_what_a_row_is(empty_warehouse):
    with Warehouse(empty_warehouse).reading() as con:
        tables = con.sql("from duckdb_tables()").filter("not internal")
        views = con.sql("from duckdb_views()").filter("not internal")
        found = dict(
            tables.project("table_name, comment").fetchall()
            + views.project("view_name, comment").fetchall()
        )
    assert len(found) > 30
    assert [name for name, comment in found.items() if "One row" not in (comment or "")] == []


@pytest.mark.parametrize("kind", ["macros", "views", "functions", "queries", "checks"])
def test_every_file_begins_with_its_meaning(kind):
    assert [name for name, script in sql.scripts(kind).items() if not script.about] == []


@pytest.mark.parametrize("kind", ["macros", "views", "functions"])
def test_a_file_defines_the_object_it_is_named_after_and_no_other(kind):
    for name, script in sql.scripts(kind).items():
        pattern = rf"^create or replace {OBJECT[kind]} (\w+)"
        assert re.findall(pattern, script.text, re.MULTILINE) == [name]


def test_a_view_names_all_views_it_requires():
    views = sql.scripts("views")
    for name, script in views.items():
        code = re.sub(r"--[^\n]*", "", script.text)
        used = set(re.findall(r"(?:from|join) (\w+)", code)) & (set(views) - {name})
        assert set(script.requires) == used, name


def test_a_query_names_all_its_parameters_in_its_header():
    for name, script in sql.scripts("queries").items():
        assert sorted(re.findall(r"\$(\w+)", script.about)) == sorted(script.parameters), name
        assert "One row" in script.about, name


@pytest.mark.parametrize("name", sql.scripts("queries"))
def test_every_shipped_query_runs_with_all_parameters_null(empty_warehouse, name):
    assert Warehouse(empty_warehouse).query(name).width > 0


def test_no_two_schema_files_share_a_number():
    numbers = [int(name.split("_")[0]) for name in sql.scripts("schema")]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == sql.schema_version()


def test_what_is_required_comes_first(monkeypatch):
    fake(
        monkeypatch,
        a="-- A.\n-- requires: c\nselect 1",
        b="-- B.\nselect 1",
        c="-- C.\n-- requires: b\nselect 1",
    )
    assert [script.name for script in sql.ordered("views")] == ["b", "c", "a"]


def test_a_circle_is_told_with_its_members(monkeypatch):
    fake(
        monkeypatch,
        a="-- requires: b\n",
        b="-- requires: c\n",
        c="-- requires: a\n",
    )
    with pytest.raises(ValueError, match="a -> b -> c -> a is a circle"):
        sql.ordered("views")


def test_a_missing_requirement_is_told_with_the_file_that_names_it(monkeypatch):
    fake(monkeypatch, a="-- requires: nowhere\n")
    with pytest.raises(ValueError, match=r"views/a\.sql requires nowhere"):
        sql.ordered("views")


def test_parameters_come_in_order_once_and_not_from_comments():
    script = sql.Script("x", "-- $header\nselect $b, $a -- $aside\nwhere c = $b and d > '$1'")
    assert script.parameters == ["b", "a"]


def test_the_header_is_one_line_without_requirements_and_columns():
    text = "-- First\n-- second.\n-- requires: x\n-- column y: unit=s\nselect 1 -- no\n-- end"
    assert sql.Script("x", text).about == "First second."


def test_the_fingerprint_follows_the_text_of_macros_and_views(monkeypatch):
    before = sql.objects_fingerprint()
    views = dict(sql.scripts("views"))
    views["star"] = sql.Script("star", views["star"].text + "\n-- changed")
    original = sql.scripts
    monkeypatch.setattr(sql, "scripts", lambda kind: views if kind == "views" else original(kind))
    assert sql.objects_fingerprint() != before


def test_a_comment_with_a_quote_is_kept_whole():
    script = sql.Script(
        "0001_x",
        "-- One row per x's y.\ncreate table x (\n    a integer, -- the star's number; 'so'\n);\n",
    )
    with duckdb.connect() as con:
        con.execute(script.text)
        for statement in sql.comments(script):
            con.execute(statement)
        found = con.sql("from duckdb_columns()").filter("table_name = 'x'").project("comment")
        assert found.fetchall() == [("the star's number; 'so'",)]


def test_a_column_added_later_is_commented_like_those_of_its_table(monkeypatch):
    scripts = {
        "0001_x": sql.Script(
            "0001_x", "-- One row per x.\ncreate table x (\n    a integer, -- no\n);"
        ),
        "0002_y": sql.Script(
            "0002_y", "alter table x add column sky_adu double; -- unit=adu; the x's sky\n"
        ),
    }
    kinds = {"schema": scripts, "views": {"v": sql.Script("v", "-- One row per x.\nfrom x")}}
    monkeypatch.setattr(sql, "scripts", kinds.__getitem__)
    with duckdb.connect() as con:
        for script in scripts.values():
            con.execute(script.text)
            for statement in sql.comments(script):
                con.execute(statement)
        found = con.sql("from duckdb_columns()").filter("column_name = 'sky_adu'")
        assert found.project("comment").fetchall() == [("unit=adu; the x's sky",)]
    assert "comment on column v.sky_adu is 'unit=adu; the x''s sky'" in sql.view_comments(
        {("v", "sky_adu")}
    )
