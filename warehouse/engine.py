"""A SQLAlchemy engine that shares one DuckDB connection."""

from collections.abc import Callable

import duckdb
import sqlalchemy
from sqlalchemy.pool import QueuePool


def engine(connection: Callable[[], duckdb.DuckDBPyConnection]) -> sqlalchemy.Engine:
    """Make an engine whose connections are cursors of one DuckDB connection.

    A queue pool, because the dialect's default pool fails on nested use ("cannot start a
    transaction within a transaction").
    """
    return sqlalchemy.create_engine(
        "duckdb://", creator=lambda: connection().cursor(), poolclass=QueuePool
    )
