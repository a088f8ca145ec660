"""Stars that get another number: every row that names one follows, in the caller's transaction."""

import duckdb
import polars as pl

# Columns that, together with the star, name a row: where the star that stays has such a row, the
# row of the number that goes is left out. Tables not named here take all rows over.
ROW_OF_STAR: dict[str, tuple[str, ...]] = {
    "aperture_flux": ("frame_id", "aperture_id"),
    "comparison_star": ("target_source_id", "night", "band", "aperture_id"),
    "field_source": ("field_id",),
    "measurement": ("frame_id",),
    "reference_match": ("field_id", "catalogue_name"),
    "source": (),
}
STAR_COLUMNS = ("source_id", "target_source_id")
LEDGER = "source_change"


def renumber(con: duckdb.DuckDBPyConnection, changes: pl.DataFrame) -> None:
    """Give rows of all tables the new numbers of their stars; rows of stars that are none go.

    All changes apply at once, so that two stars may swap their numbers.

    Parameters
    ----------
    changes
        old_source_id, source_id (null: no star).
    """
    if changes.is_empty():
        return
    # a number that is given up itself is about to be free
    stays = ~pl.col("source_id").is_in(changes["old_source_id"].implode())
    con.register(
        "star_change", changes.select("old_source_id", stays=stays, new_source_id="source_id")
    )
    columns = (
        con.sql("from duckdb_columns()")
        .filter(f"not internal and column_name in {STAR_COLUMNS}")
        .project("table_name, column_name")
        .fetchall()
    )
    views = {
        name
        for (name,) in con.sql("from duckdb_views()")
        .filter("not internal")
        .project("view_name")
        .fetchall()
    }
    for table, column in columns:
        if table != LEDGER and table not in views:
            _renumber_column(con, table, column)
    con.unregister("star_change")


def _renumber_column(con: duckdb.DuckDBPyConnection, table: str, column: str) -> None:
    changed = f"{table}.{column} = star_change.old_source_id"
    con.execute(f"delete from {table} using star_change where {changed} and new_source_id is null")
    if column == "source_id" and table in ROW_OF_STAR:
        same = "".join(
            f" and own.{name} is not distinct from {table}.{name}" for name in ROW_OF_STAR[table]
        )
        con.execute(
            f"delete from {table} using star_change, {table} as own "
            f"where {changed} and own.source_id = new_source_id and stays{same}"
        )
    con.execute(f"update {table} set {column} = new_source_id from star_change where {changed}")
