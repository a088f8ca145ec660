"""Bring the stars of a catalogue into the warehouse, under the numbers they had before."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import xxhash

from ..warehouse.runs import Run
from .catalogue_columns import Mapping, conventions_text, find_profile, read_mapping
from .catalogue_files import RawTable, read_table
from .duplicates import known_stars
from .references import STAR_SCHEMA, Catalogue, read_catalogue


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes
    ----------
    catalogue
        What was read; None if the same content was imported before: then nothing was stored.
    n_known
        Stars that were there already and were brought up to date.
    """

    name: str
    catalogue: Catalogue | None
    n_known: int = 0


def import_file(run: Run, path: Path, name: str, *, mapping: Path | None = None) -> Imported:
    """Import a catalogue from a file.

    The same file again stores nothing. A star that an earlier import of the same catalogue holds
    keeps its number; what the new file says of it counts, what it does not say stays.

    Raises
    ------
    UsageError
        See `read_table`, `read_mapping` and `read_catalogue`; nothing was stored.
    """
    rules = read_mapping(mapping) if mapping else None
    name, _ = find_profile(name, has_mapping=mapping is not None)
    raw_bytes = [path.read_bytes() if path.is_file() else b""]
    if mapping:
        raw_bytes.append(mapping.read_bytes())
    content_hash = _hash(name.encode(), *raw_bytes)
    if is_known(run, name, content_hash):
        return Imported(name, None)
    raw = read_table(path)
    return import_table(
        run, raw, name, mapping=rules, origin=str(path.resolve()), content_hash=content_hash
    )


def import_table(
    run: Run,
    raw: RawTable,
    name: str,
    *,
    mapping: Mapping | None = None,
    origin: str,
    content_hash: str | None = None,
) -> Imported:
    """Import a catalogue from rows, such as a service sends; see `import_file`."""
    catalogue = read_catalogue(raw, name, mapping=mapping, source=origin)
    content_hash = content_hash or _hash(catalogue.name.encode(), _content(raw))
    if is_known(run, catalogue.name, content_hash):
        return Imported(catalogue.name, None)
    catalogue_id = run.next_id("reference_catalogue")
    with run.warehouse.reading() as con:
        stars, n_known = _numbered(con, catalogue, first=run.next_id("reference_star"))
    numbers = stars.select("star", "reference_star_id")
    tables = {
        "reference_catalogue": _catalogue_row(catalogue, catalogue_id, origin, content_hash),
        "reference_star": stars.drop("star").with_columns(
            catalogue_id=pl.lit(catalogue_id), catalogue_name=pl.lit(catalogue.name)
        ),
        "reference_magnitude": catalogue.magnitudes.join(numbers, on="star").drop("star"),
        "variable_star": catalogue.variables.join(numbers, on="star").drop("star"),
    }
    run.store("catalogue", {name: rows for name, rows in tables.items() if not rows.is_empty()})
    return Imported(catalogue.name, catalogue, n_known)


def is_known(run: Run, name: str, content_hash: str) -> bool:
    """Say whether the same content was imported as this catalogue before."""
    with run.warehouse.reading() as con:
        found = con.table("reference_catalogue").project("catalogue_name, content_hash")
        return (name, content_hash) in found.fetchall()


def _numbered(
    con: duckdb.DuckDBPyConnection, catalogue: Catalogue, *, first: int
) -> tuple[pl.DataFrame, int]:
    """Number the stars: known ones as before, with what the new import does not say of them."""
    stars = catalogue.stars
    number = pl.Series([None] * stars.height, dtype=pl.Int32)
    if catalogue.has_position:
        known = con.sql(
            "from reference_star where catalogue_name = $name and ra_deg is not null",
            params={"name": catalogue.name},
        ).pl()
        number = known_stars(stars, known)
        stars = (
            stars.with_columns(reference_star_id=number)
            .join(known, on="reference_star_id", how="left", maintain_order="left")
            .with_columns(pl.coalesce(name, f"{name}_right").alias(name) for name in STAR_SCHEMA)
        )
    is_new = number.is_null()
    fresh = first + is_new.cast(pl.Int32).cum_sum() - 1
    stars = stars.with_columns(
        reference_star_id=pl.select(pl.when(is_new).then(fresh).otherwise(number)).to_series()
    )
    return stars.select("star", "reference_star_id", *STAR_SCHEMA), int((~is_new).sum())


def _catalogue_row(
    catalogue: Catalogue, catalogue_id: int, origin: str, content_hash: str
) -> pl.DataFrame:
    import json

    return pl.DataFrame(
        {
            "catalogue_id": catalogue_id,
            "catalogue_name": catalogue.name,
            "origin": origin,
            "content_hash": content_hash,
            "imported_utc": datetime.now(UTC).replace(tzinfo=None),
            "n_row": catalogue.n_row,
            "n_star": catalogue.stars.height,
            "n_duplicate": catalogue.n_duplicate,
            "n_unplaced": catalogue.n_unplaced,
            "has_position": catalogue.has_position,
            "columns": json.dumps(catalogue.columns),
        }
    )


def _content(raw: RawTable) -> bytes:
    return raw.rows.write_csv().encode() + repr(sorted(raw.units.items())).encode()


def _hash(*parts: bytes) -> str:
    """Hash what was read and the rules it was read by: better rules make it be read again."""
    digest = xxhash.xxh3_128(conventions_text().encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
