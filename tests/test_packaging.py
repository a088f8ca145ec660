"""What is installed is what the tree holds: packages, resources, and nothing else."""

import importlib
import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAYERS = ("analysis", "cli", "ingest", "sql", "transforms", "warehouse")
RESOURCES = ("py.typed", *(f"**/*.{kind}" for kind in ["sql", "toml", "jinja", "csv", "js", "typ"]))
NOT_SHIPPED = shutil.ignore_patterns(
    ".git", ".venv", ".ide", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "demo-*"
)


def package_folders() -> list[Path]:
    """Folders of the tree that are packages, the root first."""
    inside = {path.parent for layer in LAYERS for path in (ROOT / layer).rglob("__init__.py")}
    return [ROOT, *sorted(inside)]


def source_files() -> set[str]:
    """Modules and resources of the package, relative to it."""
    modules = {path for folder in package_folders() for path in folder.glob("*.py")}
    resources = {
        path
        for layer in LAYERS
        for pattern in RESOURCES
        for path in (ROOT / layer).glob(pattern)
        if path.is_file()
    }
    return {str(path.relative_to(ROOT)) for path in modules | resources | {ROOT / "py.typed"}}


def dotted(path: str) -> str:
    """Name of the module at a path relative to the package."""
    parts = ("starmuster", *Path(path).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an sdist and of the wheel built from it, away from the work tree."""
    tree = tmp_path_factory.mktemp("tree") / "starmuster"
    shutil.copytree(ROOT, tree, ignore=NOT_SHIPPED)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tree / "dist")]
    done = subprocess.run([*command, str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return tree / "dist"


@pytest.fixture(scope="module")
def wheel_files(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_list_of_packages_is_that_of_the_tree() -> None:
    tree = ["starmuster" + str(path)[len(str(ROOT)) :] for path in package_folders()]
    assert PROJECT["tool"]["setuptools"]["packages"] == [name.replace("/", ".") for name in tree]


@pytest.mark.parametrize("path", sorted(path for path in source_files() if path.endswith(".py")))
def test_every_module_can_be_imported(path: str) -> None:
    assert importlib.import_module(dotted(path)).__name__ == dotted(path)


def test_the_version_is_the_same_everywhere(wheel_files: set[str]) -> None:
    version = importlib.import_module("starmuster").__version__
    assert PROJECT["project"]["version"] == version
    assert f"starmuster-{version}.dist-info/METADATA" in wheel_files


def test_the_wheel_holds_every_module_and_resource(wheel_files: set[str]) -> None:
    assert {f"starmuster/{path}" for path in source_files()} <= wheel_files


def test_the_wheel_holds_nothing_but_the_package(wheel_files: set[str]) -> None:
    expected = {f"starmuster/{path}" for path in source_files()}
    extra = {name for name in wheel_files - expected if ".dist-info/" not in name}
    assert extra == set()
    assert any(name.endswith("licenses/LICENSE") for name in wheel_files)


def test_the_sdist_holds_what_the_wheel_is_built_from(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
        (root,) = {name.partition("/")[0] for name in sdist.getnames()}
        license_file = sdist.extractfile(f"{root}/LICENSE")
        assert isinstance(license_file, io.BufferedReader)
        assert license_file.read() == (ROOT / "LICENSE").read_bytes()
    assert source_files() <= names
    assert {"README.md", "pyproject.toml"} <= names
    assert not {
        name for name in names if name.startswith(("tests", "docs", "bench", ".ci", ".git"))
    }


def test_the_command_is_installed(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "starmuster = starmuster.cli:main" in archive.read(entry).decode()


def test_every_dependency_has_a_tested_version() -> None:
    pinned = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["dev"]]
    names = {name.partition(">=")[0].partition("[")[0] for name in wanted} - {"starmuster"}
    assert names <= pinned
