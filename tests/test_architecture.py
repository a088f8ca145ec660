"""The tree states the architecture: these tests read the source and hold it to that.

    cli → ingest | transforms | analysis → warehouse → sql

Imports point one way, the middle three never import each other, and any may import `errors`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "cli": {"ingest", "transforms", "analysis", "warehouse", "sql", "errors"},
    "ingest": {"warehouse", "sql", "errors"},
    "transforms": {"warehouse", "sql", "errors"},
    "analysis": {"warehouse", "sql", "errors"},
    "warehouse": {"sql", "errors"},
    "sql": {"errors"},
    "errors": set(),
    "": {"warehouse", "errors"},
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc"}
ROOT_NAMES = {"__version__"}

QUERY = re.compile(r"^\s*(select\b.*\bfrom\b|select\s*\*|with\s+\w+\s+as\s*\()", re.I | re.S)
STATEMENT = re.compile(
    r"^\s*(insert\s+into\s|delete\s+from\s|update\s+\S+\s+set\s|"
    r"create\s+(or\s+replace\s+)?(temp\w*\s+)?(table|view|macro)\s|alter\s+table\s|drop\s+table\s)",
    re.I,
)


def violations(source: str, path: str) -> list[str]:
    """Say what a module at a path, relative to the package, does against the architecture."""
    tree = ast.parse(source)
    parts = Path(path).with_suffix("").parts
    found = [f"{path}: module is called {parts[-1]}"] if parts[-1] in VAGUE_NAMES else []
    found += [f"{path}:{line}: imports {what}" for line, what in bad_imports(tree, parts)]
    if parts[0] != "cli":
        found += [f"{path}:{line}: prints" for line in prints(tree)]
    found += [f"{path}:{line}: holds SQL" for line in sql_texts(tree, parts[0])]
    return found


def bad_imports(tree: ast.Module, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield line and name of every import that the layer of a module may not do."""
    layer = parts[0] if len(parts) > 1 else {"__init__": ""}.get(parts[0], parts[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "starmuster":
                    yield node.lineno, f"{alias.name} absolutely"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").split(".")[0] == "starmuster":
                yield node.lineno, f"{node.module} absolutely"
        elif isinstance(node, ast.ImportFrom):
            for target in targets(node, parts):
                if target != layer and target not in MAY_IMPORT[layer] | ROOT_NAMES:
                    yield node.lineno, target or "beyond the package"


def targets(node: ast.ImportFrom, parts: tuple[str, ...]) -> set[str]:
    """Return the layers, or names of the package itself, that a relative import reaches."""
    package = parts[:-1]
    if node.level - 1 > len(package):
        return {""}
    base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
    base = tuple(part for part in base if part)
    return {base[0]} if base else {alias.name for alias in node.names}


def prints(tree: ast.Module) -> Iterator[int]:
    """Yield the line of every call of print and every use of the process's own streams."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "print":
                yield node.lineno
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr"}:
            yield node.lineno


def sql_texts(tree: ast.Module, layer: str) -> Iterator[int]:
    """Yield the line of every string that is a query, or outside warehouse/ any statement."""
    skipped = {id(text) for text in (*docstring_nodes(tree), *pieces_of_f_strings(tree))}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "placeholder"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        is_sql = QUERY.match(text) or (layer != "warehouse" and STATEMENT.match(text))
        if is_sql and id(node) not in skipped:
            yield node.lineno


def docstring_nodes(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the constants that are docstrings or other free-standing text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def pieces_of_f_strings(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the pieces of f-strings, which are judged as a whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield from node.values


def modules() -> list[str]:
    folders = [layer for layer in MAY_IMPORT if (ROOT / layer).is_dir() and layer]
    inside = [path for layer in folders for path in (ROOT / layer).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.py"), *inside])


@pytest.mark.parametrize("path", modules())
def test_a_module_keeps_to_the_architecture(path: str) -> None:
    assert violations((ROOT / path).read_text(encoding="utf-8"), path) == []


def test_every_layer_is_read() -> None:
    layers = {Path(path).parts[0] for path in modules()}
    assert layers >= {"cli", "ingest", "transforms", "analysis", "warehouse", "sql", "errors.py"}


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("ingest/nights.py", "from ..transforms.flags import Flag", "imports transforms"),
        ("ingest/nights.py", "from .. import analysis", "imports analysis"),
        ("ingest/nights.py", "def f():\n    from ..cli import main", "imports cli"),
        ("analysis/deep/fit.py", "from ...ingest import cards", "imports ingest"),
        ("warehouse/store.py", "from ..transforms import flags", "imports transforms"),
        ("sql/__init__.py", "from ..warehouse import store", "imports warehouse"),
        ("errors.py", "from .sql import read", "imports sql"),
        ("__init__.py", "from .cli import main", "imports cli"),
        ("ingest/nights.py", "from ...elsewhere import thing", "beyond the package"),
        ("ingest/nights.py", "import starmuster.sql", "absolutely"),
        ("ingest/nights.py", "from starmuster.sql import read", "absolutely"),
        ("ingest/utils.py", "", "is called utils"),
        ("ingest/nights.py", "print('done')", "prints"),
        ("analysis/plots.py", "import sys\nsys.stderr.write('x')", "prints"),
        ("cli/answering.py", "rows = con.sql('select flux_adu from aperture_flux')", "SQL"),
        ("warehouse/load.py", "q = f'select {column} from frame'", "SQL"),
        ("warehouse/load.py", "q = '''\n    WITH night AS (\n'''", "SQL"),
        ("transforms/run.py", "con.execute(f'delete from {table} where 1')", "SQL"),
        ("ingest/nights.py", "con.execute('insert into frame values (1)')", "SQL"),
    ],
)
def test_the_reader_finds_what_breaks_the_architecture(
    path: str, source: str, complaint: str
) -> None:
    (found,) = violations(source, path)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/ingesting.py", "from .. import __version__\nfrom ..transforms.run import work"),
        ("cli/answering.py", "print('{}')"),
        ("ingest/nights.py", "from ..errors import HeaderError\nfrom ..warehouse import store"),
        ("ingest/nights.py", "from . import cards\nfrom .headers import explain"),
        ("warehouse/load.py", "con.execute('insert into frame by name select * from rows')"),
        ("warehouse/load.py", "con.execute(f'delete from {table}')"),
        ("analysis/fit.py", '"""Select frames from a night."""'),
        ("analysis/fit.py", "raise ValueError('Select another aperture, or with more stars.')"),
        ("__init__.py", "def open():\n    from .warehouse.store import Warehouse"),
    ],
)
def test_the_reader_lets_pass_what_is_allowed(path: str, source: str) -> None:
    assert violations(source, path) == []
