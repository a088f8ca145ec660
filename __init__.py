"""starmuster: a photometric data warehouse for small telescopes.

import starmuster

with starmuster.open("warehouse") as warehouse:
    warehouse.sql("select * from light_curve where source_id = $star", star=12)  # Polars
    warehouse.con       # a read-only DuckDB connection
    warehouse.engine    # a SQLAlchemy engine over the same
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .warehouse.store import Warehouse

__version__ = "0.1.0"
__all__ = ["Warehouse", "__version__", "open"]


def open(folder: "Path | str | None" = None, *, wait_s: float = 10.0) -> "Warehouse":
    """Open a warehouse for queries.

    Parameters
    ----------
    folder
        Its folder; None takes STARMUSTER_WAREHOUSE, else the current folder.
    wait_s
        How long to wait for another process that holds the database, seconds.

    Raises
    ------
    WarehouseError
        There is no warehouse, it is locked, or made by a newer starmuster.
    """
    from .warehouse.store import Warehouse, find_folder

    return Warehouse(find_folder(folder), wait_s=wait_s)


def __getattr__(name: str) -> Any:
    if name == "Warehouse":
        from .warehouse.store import Warehouse

        return Warehouse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
