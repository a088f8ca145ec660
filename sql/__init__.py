"""The SQL of starmuster: one object per file, and the loader that reads them.

`schema/` numbered tables, never edited after release; `macros/`, `views/` and `functions/` (views
that take arguments) refreshed whenever their text changes; `queries/` shipped questions with
`$parameters`; `checks/` queries that must return no rows; `plans/` and `steps/` what
`ingest --dry-run` and steps ask, with rows they bring. A trailing comment on a column of a table is
its `comment on column`, also behind `alter table NAME add column NAME TYPE;`, by which a later
schema file extends an earlier table.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

OBJECT_KINDS = ("macros", "views", "functions")  # in the order in which they are created

_REQUIRES = re.compile(r"^-- requires:\s*(\w+)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r"\$([a-z_]\w*)")
_TABLE = re.compile(
    r"(?P<about>(?:^-- [^\n]*\n)*)^create table (?P<name>\w+) \(\n(?P<body>.*?)^\);",
    re.MULTILINE | re.DOTALL,
)
_ADDED_COLUMN = re.compile(
    r"^alter table (?P<table>\w+) add column (?P<name>\w+) [^;\n]*;[ ]*--[ ]*(?P<comment>[^\n]*)$",
    re.MULTILINE,
)
_VIEW_COLUMN = re.compile(r"^-- column (?P<name>[^:\n]+): (?P<comment>.+)$", re.MULTILINE)
_READ = re.compile(r"\b(?:from|join) (\w+)")
_COLUMN = re.compile(r"^    (?P<name>\w+) .*?--[ ]*(?P<comment>[^\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One file of SQL."""

    name: str
    text: str

    @property
    def about(self) -> str:
        """The header comment, in one line."""
        lines: list[str] = []
        for line in self.text.splitlines():
            if not line.startswith("--"):
                break
            if not line.startswith(("-- requires:", "-- column ")):
                lines.append(line.removeprefix("--").strip())
        return " ".join(lines)

    @property
    def requires(self) -> list[str]:
        """Names of the objects of the same kind that must exist first."""
        return _REQUIRES.findall(self.text)

    @property
    def parameters(self) -> list[str]:
        """Names of the `$parameters`, in order of appearance."""
        return list(dict.fromkeys(_PARAMETER.findall(_COMMENT.sub("", self.text))))


@cache
def scripts(kind: str) -> dict[str, Script]:
    """Read all files of a folder of `sql/`, in the order of their names."""
    folder = resources.files(__name__) / kind
    found = [
        Script(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return {script.name: script for script in sorted(found, key=lambda script: script.name)}


def ordered(kind: str) -> list[Script]:
    """Return the scripts of a folder so that what a script requires comes before it.

    Raises
    ------
    ValueError
        If a script requires an unknown one, or they require each other in a circle.
    """
    known = scripts(kind)
    done: dict[str, Script] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in trail:
            raise ValueError(f"sql/{kind}: {' -> '.join((*trail, name))} is a circle")
        if name not in known:
            raise ValueError(f"sql/{kind}/{trail[-1]}.sql requires {name}, which does not exist")
        for needed in known[name].requires:
            visit(needed, (*trail, name))
        done[name] = known[name]

    for name in known:
        visit(name, ())
    return list(done.values())


def schema_version() -> int:
    """Return the number of the newest schema file."""
    return max(int(name.split("_")[0]) for name in scripts("schema"))


def comments(script: Script) -> Iterator[str]:
    """Yield the `comment on` statements that a schema file states beside its columns."""
    for table in _TABLE.finditer(script.text):
        if table["about"]:
            about = " ".join(line.removeprefix("-- ") for line in table["about"].splitlines())
            yield f"comment on table {table['name']} is {_quoted(about)}"
        for column in _COLUMN.finditer(table["body"]):
            if column["comment"].strip():
                yield (
                    f"comment on column {table['name']}.{column['name']} "
                    f"is {_quoted(column['comment'].strip())}"
                )
    for column in _ADDED_COLUMN.finditer(script.text):
        yield (
            f"comment on column {column['table']}.{column['name']} "
            f"is {_quoted(column['comment'].strip())}"
        )


def view_comments(known: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the comments on views and their columns.

    A column has the meaning its view states in a line `-- column NAME: ...`; else that of the same
    name in a table or view it reads from, the first that has it; else that of any table or view.

    Parameters
    ----------
    known
        Pairs of table or view and column that exist.
    """
    of_table = _table_meanings()
    views = scripts("views")
    stated = {
        name: {match["name"]: match["comment"] for match in _VIEW_COLUMN.finditer(script.text)}
        for name, script in views.items()
    }
    anywhere: dict[str, str] = {}
    for (_, column), text in of_table.items():
        anywhere.setdefault(column, text)
    for columns in stated.values():
        anywhere = columns | anywhere

    def meaning(view: str, column: str) -> str | None:
        if column in stated[view]:
            return stated[view][column]
        for source in _READ.findall(_COMMENT.sub("", views[view].text)):
            if source in views and source != view and (source, column) in known:
                return meaning(source, column)
            if (source, column) in of_table:
                return of_table[source, column]
        return anywhere.get(column)

    for name, script in views.items():
        yield f"comment on view {name} is {_quoted(script.about)}"
        for view, column in sorted(known):
            if view == name and (text := meaning(view, column)):
                yield f"comment on column {name}.{_identifier(column)} is {_quoted(text)}"


def _table_meanings() -> dict[tuple[str, str], str]:
    """Comments of all columns of tables, those added later too, by table and column."""
    found: dict[tuple[str, str], str] = {}
    for script in scripts("schema").values():
        for table in _TABLE.finditer(script.text):
            for column in _COLUMN.finditer(table["body"]):
                found[table["name"], column["name"]] = column["comment"].strip()
        for column in _ADDED_COLUMN.finditer(script.text):
            found[column["table"], column["name"]] = column["comment"].strip()
    return found


def objects_fingerprint() -> str:
    """Return a hash of all macros, views and functions: when it changes they are created anew."""
    text = "\0".join(script.text for kind in OBJECT_KINDS for script in ordered(kind))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _identifier(name: str) -> str:
    """Quote a name only where it must be: those of other programs have brackets and strokes."""
    return name if name.isidentifier() else f'"{name}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
