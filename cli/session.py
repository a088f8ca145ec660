"""What every command shares: the options of the session, and where its output goes."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from ..warehouse.store import Warehouse

N_SHOWN = 10_000  # rows of a table for people; of millions each costs kilobytes to lay out
N_AT_ONCE = 50_000  # rows that are objects of Python at a time


@dataclass(slots=True)
class Session:
    """Options that are taken before and after the verb, and the one place that prints.

    With `as_json` standard output holds exactly one document; all else goes to standard error.
    """

    folder: Path | None = None
    as_json: bool = False
    wait_s: float = 10.0
    command: str = "starmuster"
    """The command line as it was given."""
    has_answered: bool = field(default=False, init=False)

    def warehouse(self) -> "Warehouse":
        """Open the chosen warehouse."""
        from ..warehouse.store import Warehouse, find_folder

        return Warehouse(find_folder(self.folder), wait_s=self.wait_s)

    def answer(self, document: Any) -> None:
        """Print the one JSON document of a command."""
        self.has_answered = True
        sys.stdout.write(json.dumps(document, default=_plain, allow_nan=False, indent=1) + "\n")

    def _answer_rows(self, rows: "pl.DataFrame") -> None:
        """Print rows as one list of objects, some at a time: millions would fill the memory."""
        if rows.height <= N_AT_ONCE:
            self.answer(plain_rows(rows))
            return
        self.has_answered = True
        begin = "[\n"
        for part in rows.iter_slices(N_AT_ONCE):
            text = json.dumps(plain_rows(part), default=_plain, allow_nan=False, indent=1)
            sys.stdout.write(begin + text.removeprefix("[\n").removesuffix("\n]"))
            begin = ",\n"
        sys.stdout.write("\n]\n")

    def rows(self, rows: "pl.DataFrame", *, title: str | None = None) -> None:
        """Show rows: as a list of objects with `--json`, else as a table."""
        if self.as_json:
            self._answer_rows(rows)
            return
        self.table(rows, title=title)

    def table(self, rows: "pl.DataFrame", *, title: str | None = None) -> None:
        """Print rows as a table for people: the first 10,000 where there are more."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold")
        for name, dtype in rows.schema.items():
            table.add_column(Text(name), justify="right" if dtype.is_numeric() else "left")
        for row in rows.head(N_SHOWN).iter_rows():
            table.add_row(
                *(Text(_shown(value, name)) for name, value in zip(rows.columns, row, strict=True))
            )
        console = Console(file=sys.stdout)
        if not console.is_terminal:
            console.width = 100_000  # never cut a column in a pipe
        if title is not None:
            console.print(Text(title, style="italic"))  # one of the table's own would be wrapped
        console.print(table, crop=False)
        if rows.height > N_SHOWN:
            self.say(
                f"the first {N_SHOWN} of {rows.height} rows; --json gives all, and so do --csv "
                "and --parquet of `sql`"
            )
            return
        self.say(f"{rows.height} row{'' if rows.height == 1 else 's'}")

    def say(self, text: str) -> None:
        """Tell a person something; never part of the answer to a machine."""
        sys.stderr.write(text + "\n")

    def tell(self, text: str) -> None:
        """Print a result for people; silent where the answer is JSON."""
        if not self.as_json:
            sys.stdout.write(text + "\n")

    def answer_error(self, name: str, message: str, code: int) -> None:
        """Print an error as a document where JSON was asked for and nothing answered yet."""
        if self.as_json and not self.has_answered:
            self.answer({"error": name, "message": message, "exit": code})


SESSION = Session()


@contextmanager
def progress(total: int, doing: str) -> Iterator[Any]:
    """Show a bar with rate and time left on a terminal, plain lines elsewhere; yields `advance`."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(doing, total=total, rate="")

            def advance(n: int = 1) -> None:
                bar.advance(task, n)
                speed = bar.tasks[0].speed
                bar.update(task, rate=f"{speed:.1f}/s" if speed else "")

            yield advance
        return
    yield _plain_progress(total, doing)


def _plain_progress(total: int, doing: str):
    import time

    start = time.monotonic()
    state = {"done": 0, "told": start}

    def advance(n: int = 1) -> None:
        state["done"] += n
        now = time.monotonic()
        if now - state["told"] >= 5 or state["done"] == total:
            state["told"] = now
            rate = state["done"] / max(now - start, 1e-9)
            left_s = (total - state["done"]) / rate if rate else 0
            SESSION.say(f"{doing}: {state['done']}/{total}, {rate:.1f}/s, {left_s:.0f} s left")

    return advance


def plain_rows(rows: "pl.DataFrame") -> list[dict[str, Any]]:
    """Return rows as JSON objects; what is not a number becomes null."""
    import polars as pl
    import polars.selectors as cs

    # DuckDB's `sum` of integers is a decimal without digits, its `0.5` one with.
    rows = rows.with_columns(
        pl.col(name).cast(pl.Float64 if dtype.scale else pl.Int128)
        for name, dtype in rows.schema.items()
        if isinstance(dtype, pl.Decimal)
    )
    floats = cs.expand_selector(rows, cs.float())
    rows = rows.with_columns(pl.when(pl.col(name).is_finite()).then(name) for name in floats)
    nested = cs.expand_selector(rows, cs.nested())
    return [
        row | {name: _finite(row[name]) for name in nested} for row in rows.iter_rows(named=True)
    ]


def _finite(value: Any) -> Any:
    """Put null for what is not a number, to the bottom of lists and structs."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def plain(document: Any) -> Any:
    """Return a document as it reads back from JSON: dates as text, no tuples."""
    return json.loads(json.dumps(document, default=_plain, allow_nan=False))


def csv_text(rows: "pl.DataFrame") -> str:
    """Return rows as CSV; lists and structures, which it does not know, become JSON."""
    import polars as pl

    nested = [
        pl.Series(name, [_json_or_null(value) for value in rows[name].to_list()], pl.String)
        for name, dtype in rows.schema.items()
        if dtype.is_nested()
    ]
    return rows.with_columns(nested).write_csv()


def _json_or_null(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Sequence | set | frozenset):
        return list(value)
    return str(value)


def _shown(value: Any, column: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _shown_number(value, column)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return str(value)


def _shown_number(value: float, column: str) -> str:
    if column.endswith("_deg"):
        return f"{value:.5f}"
    if {"jd", "bjd", "hjd", "mjd"} & set(column.split("_")):
        return f"{value:.6f}"
    return f"{value:.1f}" if 1e5 < abs(value) < 1e12 else f"{value:.6g}"
