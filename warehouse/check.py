"""Prove that the rows are sound: each check is a query that must return no rows."""

import duckdb
import polars as pl

from .. import sql
from .store import frame


def run_checks(con: duckdb.DuckDBPyConnection) -> dict[str, pl.DataFrame]:
    """Run every query of `sql/checks`; return the offending rows by name of the check."""
    return {script.name: frame(con, script.text) for script in sql.scripts("checks").values()}
