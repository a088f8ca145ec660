"""All sets of real frames in one warehouse, as an observer fills it: through the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from starmuster.transforms.solver import is_solver_installed
from starmuster.warehouse.store import Warehouse


@dataclass(frozen=True)
class Reduced:
    """A warehouse of all sets, and what ingest answered: hatp32 alone, then all together."""

    sets: ClassVar = ("hatp32", "lpseb35", "m13_griz", "damaged", "odd_fits", "st7_ramp")

    folder: Path
    first: dict[str, Any]
    second: dict[str, Any]

    def sql(self, query: str) -> pl.DataFrame:
        return Warehouse(self.folder).sql(query)

    def command(self, *arguments: str, status: int = 0) -> Any:
        return answer(self.folder, *arguments, status=status)

    def row_counts(self) -> dict[str, int]:
        """Rows of every table but the one that lists the runs."""
        tables = self.sql("select table_name from duckdb_tables() where not internal")["table_name"]
        return {name: self.sql(f'from "{name}"').height for name in sorted(tables) if name != "run"}


def answer(warehouse: Path, *arguments: str, status: int = 0) -> Any:
    """Run a command with --json and return its one document."""
    program = Path(sys.executable).with_name("starmuster")
    done = subprocess.run(
        [program, "--json", *arguments, "--warehouse", warehouse],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert done.stdout, done.stderr  # a crash ends with status 1, too
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def command() -> Callable[..., Any]:
    """Run a command on a warehouse: command(folder, *words, status=0) returns its document."""
    return answer


@pytest.fixture(scope="session")
def reduced(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Reduced:
    """The warehouse that all tests of this folder ask; what they add to it is asked by name."""
    folder = tmp_path_factory.mktemp("real") / "warehouse"
    answer(folder, "init")
    first = answer(folder, "ingest", str(real_data / "hatp32"), "--jobs", "2")
    folders = [str(real_data / name) for name in Reduced.sets]
    second = answer(folder, "ingest", *folders, "--jobs", "2", status=1)
    answer(folder, "import", "ephemerides", str(real_data / "planets.csv"))
    return Reduced(folder, first, second)


@pytest.fixture(scope="session")
def solver() -> None:
    """Skip what needs sky positions of frames whose headers hold none."""
    if not is_solver_installed():
        pytest.skip("solve-field is not installed: HAT-P-32's frames get no sky positions")
