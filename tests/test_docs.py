"""The documentation: what it shows exists, runs, and prints what is printed there.

With STARMUSTER_WRITE_DOCS=1 what can be generated is written anew: the output in the README, from
the night of the demo; docs/tables.md; the keywords in docs/formats.md.
"""

import importlib
import io
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import starmuster
from starmuster import sql
from starmuster.cli import app, main
from starmuster.ingest.synthetic import Truth, demo_plan, write_night
from starmuster.warehouse.config import Config
from starmuster.warehouse.store import Warehouse, shipped

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
IS_WRITING = os.environ.get("STARMUSTER_WRITE_DOCS") == "1"
SMALL = {
    "n_x_pix": 300,
    "n_y_pix": 240,
    "n_light": 24,
    "cadence_s": 540.0,
    "drift_pix_per_frame": (0.1, -0.1),
    "n_bias": 3,
    "n_dark": 3,
    "n_flat": 3,
    "n_star": 45,
    "n_comparison": 10,
}
PLANET = "Demo-1 b"
MOST_COLUMNS, MOST_ROWS = 180, 8  # of a printed table: a wider one is left out, a longer one cut

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a console block and what is printed below it."""

    command: str
    printed: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)


# What the pages hold


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def steps_of(block: str) -> list[Step]:
    """Split a console block at its prompts; a quote may run over several lines."""
    steps: list[Step] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        n_line = next(n for n in range(1, len(lines) + 1) if is_closed("\n".join(lines[:n])))
        steps.append(Step("\n".join(lines[:n_line]), "\n".join(lines[n_line:])))
    return steps


def is_closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


def invocations(text: str) -> list[list[str]]:
    """Words of every `starmuster ...` in console and shell blocks and in running text."""
    lines = [step.command for block in blocks(text, "console") for step in steps_of(block)]
    lines += [line for block in blocks(text, "sh") for line in block.splitlines()]
    running = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`(starmuster [^`]*)`", running)
    words = [shlex.split(line, comments=True) for line in lines if is_closed(line)]
    return [found[1:] for found in words if found[:1] == ["starmuster"]]


def section(page: Path, heading: str) -> str:
    """Text below the heading that begins with these words in code quotes, up to the next one."""
    text = text_of(page)
    found = re.search(rf"^(#+) `{re.escape(heading)}[ `]", text, re.MULTILINE)
    assert found, f"{name_of(page)} has no heading `{heading} ...`"
    rest = text[found.end() :]
    return re.split(rf"^#{{1,{len(found[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table_rows(text: str) -> list[list[str]]:
    """Cells of the body of the first table in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if not set(line) <= set("|-: ")
    ][1:]


def bare(cell: str) -> str:
    return cell.strip("`")


# What the command line has


@cache
def commands() -> dict[Command, frozenset[str]]:
    """Options of every command, by the words that call it."""
    found: dict[Command, frozenset[str]] = {}

    def visit(node: Any, words: Command) -> None:
        if node.default_command is not None and words:
            arguments = node.assemble_argument_collection()
            found[words] = frozenset(
                name for argument in arguments for name in argument.names if name.startswith("-")
            )
        for name in node:
            if not name.startswith("-"):
                visit(node[name], (*words, name))

    visit(app, ())
    return found


@cache
def global_options() -> frozenset[str]:
    own = {
        name
        for argument in app.meta.assemble_argument_collection()
        for name in argument.names
        if name.startswith("-")
    }
    return frozenset(own | {"--help", "-h", "--version"})


def without_globals(words: list[str]) -> list[str]:
    kept, rest = [], iter(words)
    for word in rest:
        if word in {"--warehouse", "-w", "--wait"}:
            next(rest)
        elif word not in global_options():
            kept.append(word)
    return kept


def command_of(words: list[str]) -> Command:
    """The longest command that words begin with; groups such as `report` count, too."""
    kept = without_globals(words)
    groups = {command[:n] for command in commands() for n in range(len(command) + 1)}
    longest = max(n for n in range(len(kept) + 1) if tuple(kept[:n]) in groups)
    return tuple(kept[:longest])


# What is generated


def tables_page(con: Any) -> str:
    """Return docs/tables.md: every table, view and shipped query, from their own comments."""
    parts = [
        "# Tables, views and queries\n",
        "Written by `STARMUSTER_WRITE_DOCS=1 pytest tests/test_docs.py` from the comments in the",
        "database; `starmuster describe` prints the same. Not measured is null, everywhere; units",
        "are stated, UCDs after them. Pixels are 0-based at pixel centres, times are UTC at the",
        "middle of the exposure unless they say otherwise. Numbers ending in `_id` point to the",
        "table of that name.\n",
    ]
    relations = shipped(con, "tables")
    for kind in ("table", "view"):
        parts.append(f"## {kind.capitalize()}s\n")
        for name, _, meaning in relations.filter(kind=kind).iter_rows():
            parts += [f"### `{name}`\n", f"{escaped(meaning)}\n"]
            parts += ["| column | type | unit | meaning |", "|---|---|---|---|"]
            for column, dtype, unit, ucd, about in shipped(
                con, "describe", table_name=name
            ).iter_rows():
                said = "; ".join(part for part in (about, f"ucd {ucd}" if ucd else "") if part)
                parts.append(f"| `{column}` | {dtype} | {unit or ''} | {escaped(said)} |")
            parts.append("")
    parts += [
        "## Shipped queries\n",
        "`starmuster sql NAME key=value ...`; a parameter that is not given is null.\n",
        "| query | parameters | what it answers |",
        "|---|---|---|",
    ]
    for name, script in sql.scripts("queries").items():
        about = re.sub(r"(?:\s*\$\w+,?)+(?: \(null: all\))?(?:, \$\w+)*\s*$", "", script.about)
        given = ", ".join(f"`{parameter}`" for parameter in script.parameters)
        parts.append(f"| `{name}` | {given} | {escaped(about)} |")
    return "\n".join(parts) + "\n"


def escaped(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("$", "\\$")


def keywords_table() -> str:
    """Return the table of header keywords in docs/formats.md, from the shipped TOML."""
    shipped = tomllib.loads((ROOT / "ingest" / "keywords.toml").read_text(encoding="utf-8"))
    lines = ["| quantity | keywords, in the order they are tried |", "|---|---|"]
    for quantity, keywords in shipped.items():
        if isinstance(keywords, list):
            lines.append(f"| {quantity} | {' '.join(f'`{keyword}`' for keyword in keywords)} |")
    return "\n".join(lines) + "\n"


def written(page: Path, text: str) -> str:
    """Text of a page, after it was written if that was asked for."""
    if IS_WRITING:
        page.write_text(text, encoding="utf-8")
        text_of.cache_clear()
    return page.read_text(encoding="utf-8") if page.exists() else ""


def as_printed(output: str, folder: Path) -> str:
    """Output as it is shown: no folders and times of this machine, no table too wide or long."""
    text = re.sub(r"^(?:measuring:| +seconds ).*\n", "", output, flags=re.MULTILINE)
    text = text.replace(str(folder), "…").rstrip()
    lines: list[str] = []
    for part in re.split(r"(^┏.*?^└[^\n]*)", text, flags=re.MULTILINE | re.DOTALL):
        rows = part.strip("\n").splitlines()
        if not part.startswith("┏"):
            lines += rows
        elif len(rows[0]) > MOST_COLUMNS:
            lines.append(f"… a table of {rows[1].count('┃') - 1} columns")
        else:
            body = rows[3:-1]
            cut = body if len(body) <= MOST_ROWS else [*body[: MOST_ROWS - 3], "…"]
            lines += [*rows[:3], *cut, rows[-1]]
    return "\n".join(line.rstrip() for line in lines)


# A night that goes through the README


@dataclass(frozen=True, slots=True)
class Played:
    """What came of the commands of the README: status and output of each, in order."""

    folder: Path
    truth: Truth
    outcomes: list[tuple[Step, int, str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The console blocks of the README, typed one after the other on a synthetic night."""
    folder = tmp_path_factory.mktemp("readme")
    truth = write_night(
        folder / "frames", demo_plan() if IS_WRITING else replace(demo_plan(), **SMALL)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("STARMUSTER_WAREHOUSE", raising=False)
        outcomes = []
        for step in [
            step for block in blocks(text_of(README), "console") for step in steps_of(block)
        ]:
            program, *words = step.words
            if program == "export":
                patch.setenv(*words[0].split("=", 1))
                outcomes.append((step, 0, ""))
                continue
            with redirect_stdout(io.StringIO()) as terminal, redirect_stderr(terminal):
                status = main(words)
            outcomes.append((step, status, terminal.getvalue()))
        yield Played(folder, truth, outcomes)


def document_of(*words: str) -> Any:
    """The one document that a command prints with --json."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        main([*words, "--json"])
    return json.loads(out.getvalue())


def header_of(table: str) -> list[str]:
    return [name.strip() for name in table.strip("┃").split("┃")]


# Tests


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_that_is_shown_exists(page):
    wrong = []
    for words in invocations(text_of(page)):
        command = command_of(words)
        rest = without_globals(words)[len(command) :]
        known = commands().get(command, frozenset())
        wrong += [" ".join(words)] if not command and rest else []
        wrong += [
            f"{' '.join(command)} {word}"
            for word in rest
            if re.match(r"--?[a-z]", word) and word not in known
        ]
    assert wrong == []


def test_every_option_in_running_text_is_one_of_some_command():
    known = global_options().union(*commands().values())
    for page in PAGES:
        shown = set(re.findall(r"`(--[a-z-]+)", text_of(page)))
        assert shown <= known, name_of(page)


def test_every_command_is_documented_with_all_its_options():
    for words, options in commands().items():
        about = section(DOCS / "commands.md", " ".join(words))
        missing = [option for option in options if f"`{option}" not in about]
        assert missing == [], f"{' '.join(words)}: {missing}"
    text = text_of(DOCS / "commands.md")
    assert [option for option in global_options() if f"`{option}" not in text] == []


def test_make_targets_that_are_shown_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        shown = set(re.findall(r"(?:^|`)make ([a-z]+)", text_of(page), re.MULTILINE))
        assert shown <= targets, name_of(page)


@pytest.mark.long
def test_the_readme_can_be_typed_along(played):
    assert len(played.outcomes) > 15
    failed = [(step.command, output) for step, status, output in played.outcomes if status]
    assert failed == []


@pytest.mark.long
def test_what_the_readme_prints_has_the_columns_that_are_printed(played):
    if IS_WRITING:
        write_readme(played)
        pytest.skip("the output in the README was written anew")
    n_table = 0
    for step, _, output in played.outcomes:
        seen = [header_of(line) for line in output.splitlines() if line.startswith("┃")]
        for line in step.printed.splitlines():
            if line.startswith("┃"):
                assert header_of(line) in seen, step.command
                n_table += 1
            elif label := re.match(r" +([a-z_ ]+?)  ", line):
                assert re.search(rf"^ +{label[1]}  ", output, re.MULTILINE), (step.command, line)
    assert n_table > 8


def write_readme(played: Played) -> None:
    done, left = "", text_of(README)
    for step, status, output in played.outcomes:
        assert status == 0, output
        shown = as_printed(output, played.folder)
        before, found, left = left.partition(f"$ {step.command}\n")
        assert found, step.command
        done += before + found + (f"{shown}\n" if shown else "")
        left = left.removeprefix(f"{step.printed}\n" if step.printed else "")
    written(README, done + left)


@pytest.mark.long
def test_the_python_example_of_the_readme_runs(played):
    (example,) = blocks(text_of(README), "python")
    found: dict[str, Any] = {}
    exec(compile(example, name_of(README), "exec"), found)
    assert found["points"].height > 0
    assert found["steady"].height > 0


def test_every_shipped_table_view_and_query_is_in_the_page_of_tables(empty_warehouse):
    with Warehouse(empty_warehouse).reading() as con:
        expected = tables_page(con)
    assert written(DOCS / "tables.md", expected) == expected, (
        "docs/tables.md is stale: STARMUSTER_WRITE_DOCS=1 pytest tests/test_docs.py"
    )
    for kind in ("views", "queries"):
        assert [name for name in sql.scripts(kind) if f"`{name}`" not in expected] == []


def test_every_keyword_of_the_shipped_table_is_in_the_page_of_formats():
    page = DOCS / "formats.md"
    start, end = "<!-- keywords: generated -->\n", "<!-- end of keywords -->"
    before, _, rest = text_of(page).partition(start)
    _, _, after = rest.partition(end)
    expected = before + start + keywords_table() + end + after
    assert written(page, expected) == expected


def test_a_keyword_shown_by_program_is_one_that_is_read():
    by_program = text_of(DOCS / "formats.md").partition("## By program")[2].partition("\n## ")[0]
    shipped = (ROOT / "ingest" / "keywords.toml").read_text(encoding="utf-8")
    shown = set(re.findall(r"`([A-Z][A-Z0-9_-]+)`", by_program))
    assert len(shown) > 40
    assert [keyword for keyword in shown if f'"{keyword}"' not in shipped] == []


def test_every_setting_is_documented_with_its_default():
    rows = table_rows(text_of(DOCS / "formats.md").partition("## Settings")[2])
    documented = {bare(row[0]): bare(row[2]) for row in rows}
    expected = settings(Config, "")
    assert set(documented) == set(expected)
    for key, default in expected.items():
        assert documented[key] == shown_default(default), key


def settings(model: Any, prefix: str) -> dict[str, Any]:
    """Defaults by key in TOML; a section that is named by the user counts with its own keys."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = re.search(r"config\.(\w+)", str(field.annotation))
        if inner and hasattr(module := importlib.import_module(model.__module__), inner[1]):
            is_named = str(field.annotation).startswith("dict")
            step = f"{prefix}{name}.{'NAME.' if is_named else ''}"
            found |= settings(getattr(module, inner[1]), step)
        else:
            found[prefix + name] = (
                "required" if field.is_required() else field.get_default(call_default_factory=True)
            )
    return found


def shown_default(default: Any) -> str:
    if default in (None, {}, ()):
        return "none"
    if isinstance(default, tuple):
        return "[" + ", ".join(f"{value:g}" for value in default) + "]"
    if isinstance(default, bool):
        return str(default).lower()
    return (
        default if isinstance(default, str) else f"{default:g}" if default < 1e5 else str(default)
    )


TYPES = {
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "text": lambda value: isinstance(value, str),
    "date": lambda value: bool(re.fullmatch(r"\d{4}-\d\d-\d\d", str(value))),
    "time": lambda value: bool(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(value))),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def contracts() -> dict[tuple[str, str], list[list[str]]]:
    """Rows of every table of keys in docs/commands.md, by command and the line above the table."""
    found = {}
    for words in [*(" ".join(words) for words in commands()), "--json"]:
        about = section(DOCS / "commands.md", words)
        for label, table in re.findall(
            r"^(JSON[^\n]*):\n\n(\| key .*?)(?=\n\n|\Z)", about, re.MULTILINE | re.DOTALL
        ):
            found[words, label] = table_rows(table)
    return found


@pytest.fixture(scope="module")
def documents(played) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Examples of every document, by command and label, from the night of the README."""
    frames, target = "frames", played.truth.target
    new = document_of("init", "new")
    fresh = document_of("--warehouse", "new", "ingest", "--dry-run", frames)
    status = document_of("status")
    place = ["--field", "1", "--xy", f"{target['x_pix']},{target['y_pix']}"]
    tied = document_of("identify", PLANET, *place, "--frame", played.truth.light["file_name"][0])
    imported = document_of("import", "ephemerides", "frames/planets.csv")
    Path("bad.csv").write_text(
        (played.folder / "frames/planets.csv").read_text() + "Nowhere b" + 18 * "," + "\n"
    )
    refused = document_of("import", "ephemerides", "bad.csv")
    fit = document_of("report", "transit", PLANET, "--output", "page.html")
    document_of("comparison", "pin", PLANET, "3")
    pinned = document_of("comparison", "list")
    document_of("comparison", "free", PLANET, "3")
    Path("sdss.csv").write_text(
        "ra,dec,g,r,i\n"
        + "".join(f"{150 + n / 60},20,{14 + n / 10},13.5,13.4\n" for n in range(12))
    )
    document_of("import", "catalogue", "sdss.csv", "--as", "sdss")
    listed = ["--catalogue", "sdss", "--colour", "g-i", "--mag", "r"]  # frames are in one band
    return {
        ("--json", "JSON of an error, object"): [document_of("stars", "nowhere")],
        ("init", "JSON, object"): [new],
        ("ingest", "JSON, object"): [document_of("ingest", frames)],
        ("ingest", "JSON with `--dry-run`, object"): [
            document_of("ingest", "--dry-run", frames),
            fresh,
        ],
        ("ingest", "JSON, each of `frames`"): fresh["frames"],
        ("ingest", "JSON, each of `masters to make`"): fresh["masters to make"],
        ("ingest", "JSON, each of `calibration of lights`"): fresh["calibration of lights"],
        ("run", "JSON, object"): [document_of("run")],
        ("status", "JSON, object"): [status],
        **{
            ("status", f"JSON, each of `{name}`"): status[name]
            for name in ("nights", "fields", "frame_states", "pending")
        },
        ("fields", "JSON, list; each"): document_of("fields"),
        ("stars", "JSON, list; each"): document_of("stars", "1"),
        ("light-curve", "JSON, list; each"): document_of("light-curve", PLANET),
        ("light-curves", "JSON, list; each"): document_of("light-curves", "1"),
        ("minimum", "JSON, list; each"): document_of("minimum", PLANET),
        ("comparison list", "JSON, list; each"): pinned,
        ("calibrate", "JSON, list; each"): document_of(
            "calibrate", str(next(Path("frames/LIGHT").iterdir()))
        ),
        ("colour", "JSON, object"): [document_of("colour", "1", "--bands", "r", "r", "r")],
        ("chart", "JSON, object"): [document_of("chart", "1")],
        ("plates", "JSON, list; each"): document_of("plates"),
        ("solve", "JSON, object"): [document_of("solve")],
        ("identify", "JSON, object"): [tied],
        ("import ephemerides", "JSON, object"): [imported],
        ("import ephemerides", "JSON, each of `refused`"): refused["refused"],
        ("report transit", "JSON, object"): [fit],
        ("report night", "JSON, object"): [document_of("report", "night")],
        ("cmd", "JSON, list; each"): document_of("cmd", *listed, "--output", "cmd.csv"),
        ("report cmd", "JSON, object"): [
            document_of("report", "cmd", *listed, "--output", "cmd.html")
        ],
        ("masters", "JSON, list; each"): document_of("masters"),
        ("masters", "JSON with the number of a master, list; each"): document_of("masters", "1"),
        ("camera", "JSON, list; each"): document_of("camera"),
        ("assign", "JSON with `--type`, object"): [
            document_of("assign", "frames/BIAS", "--type", "bias")
        ],
        ("masters", "JSON with `--retire`, object"): [
            document_of("masters", "--retire", "3", "--because", "dust")
        ],
        ("masters", "JSON with `--restore`, object"): [document_of("masters", "--restore", "3")],
        ("sql", "JSON without a query, list; each"): document_of("sql"),
        ("describe", "JSON, list; each"): document_of("describe", "frame"),
        ("describe", "JSON without a table, list; each"): document_of("describe"),
        ("rebuild", "JSON, object"): [document_of("rebuild")],
        ("doctor", "JSON, list; each"): document_of("doctor"),
        ("doctor header", "JSON, list; each"): document_of(
            "doctor", "header", str(next(Path("frames/LIGHT").iterdir()))
        ),
    }


@pytest.mark.long
def test_every_document_has_the_keys_and_types_that_are_documented(documents):
    documented = contracts()
    assert set(documented) - {
        ("demo", "JSON, object"),
        ("demo", "JSON, each of `recovery`"),
    } == set(documents)
    for where, examples in documents.items():
        types = {bare(row[0]): row[1] for row in documented[where]}
        assert examples, where
        for example in examples:
            assert list(example) == list(types), where
            for key, value in example.items():
                kind, _, may_be_null = types[key].partition(" or ")
                assert kind in TYPES, (where, key, kind)
                is_fit = may_be_null == "null" if value is None else TYPES[kind](value)
                assert is_fit, (where, key, value)


@pytest.mark.long
def test_checks_tell_the_rows_each_of_them_found(played):
    assert document_of("check") == dict.fromkeys(sql.scripts("checks"), 0)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = text_of(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            aim = page.parent / path if path else page
            assert aim.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.+)$", aim.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_folder_of_somebodys_machine(page):
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt|opt)/", text_of(page)) == []


def test_every_decision_says_what_was_chosen_over_what_and_what_was_measured():
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    assert len(pages) >= 5
    for page in pages:
        headings = re.findall(r"^## (.+)$", text_of(page), re.MULTILINE)
        assert headings == ["Chosen", "Over", "Measured", "Cost"], page.name


def test_the_picture_is_small_and_of_the_demo():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text_of(README))
    assert pictures
    for about, path in pictures:
        assert (ROOT / path).stat().st_size < 300_000
        assert "synthetic" in about


def test_the_change_log_names_the_version():
    assert re.search(
        rf"^## (Unreleased|{re.escape(starmuster.__version__)})", text_of(PAGES[1]), re.M
    )
