"""The step that says which star of every reference catalogue each source is."""

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl

from ...sql import scripts
from ...warehouse.runs import Run
from ...warehouse.store import frame, lay, shipped
from ..crossmatch import NARROWEST_DEG, covering_order, judge_pairs, near_cells

LEAST_RADIUS_ARCSEC = 2.0  # what separates two stars on the ground
LARGEST_RADIUS_ARCSEC = 10.0
RADIUS_PIX = 1.5
ORDER_STEP = 3  # as in `sql/steps/reference_pairs`
COARSEST_ORDER = 3  # whose cells no star crosses within centuries
RADIUS_RMS = 3.0  # of the sky solution
NEIGHBOUR_FWHM = 2.0
LARGEST_NEIGHBOUR_ARCSEC = 30.0
DEFAULT_FWHM_ARCSEC = 4.0


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far from a source a catalogue's star may be it, or may disturb it."""

    match_arcsec: float
    neighbour_arcsec: float


def match_catalogues(run: Run, *, say: Callable[[str], None]) -> int:
    """Match the sources of every field anew where they or a catalogue changed.

    All catalogues of a field are matched together: that takes less time than telling which of
    them changed.

    Returns
    -------
    Number of fields that were matched.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_reference_match").order("field_id").pl()
        found = [_match_field(con, **field) for field in pending.iter_rows(named=True)]
    if not found:
        return 0
    tables = {
        name: pl.concat([tables[name] for tables in found], how="diagonal_relaxed")
        for name in ("reference_match", "reference_field")
    }
    fields = pending["field_id"].to_list()
    run.store("crossmatch", tables, replaces=dict.fromkeys(tables, fields))
    for row in tables["reference_field"].filter(pl.col("n_star") > 0).iter_rows(named=True):
        say(
            f"field {row['field_id']}: {row['n_match']} of {row['n_source']} stars are in "
            f"{row['catalogue_name']}, {row['n_ambiguous']} of them ambiguous"
        )
    return len(fields)


def _match_field(
    con: duckdb.DuckDBPyConnection, field_id: int, sources_hash: str, n_source: int
) -> dict[str, pl.DataFrame]:
    """Return the rows of reference_match and reference_field of one field."""
    sources = con.table("source").filter(f"field_id = {int(field_id)} and ra_deg is not null")
    stars = sources.project("source_id, ra_deg, dec_deg").fetchnumpy()
    extent = shipped(con, "field_extent", field_id=field_id).row(0, named=True)
    reach = _reach(extent)
    pairs = find_pairs(
        con,
        field_id,
        *(np.asarray(stars[name]) for name in ("source_id", "ra_deg", "dec_deg")),
        radius_arcsec=max(reach.match_arcsec, reach.neighbour_arcsec),
    )
    matches = judge_pairs(pairs, radius_arcsec=reach.match_arcsec)
    circle = {name: extent[name] for name in ("ra_deg", "dec_deg", "radius_deg")}
    census = shipped(con, "reference_census", **circle)
    summary = matches.group_by("catalogue_name").agg(
        n_match=pl.len(),
        n_ambiguous=pl.col("is_ambiguous").sum(),
        separation_arcsec=pl.col("separation_arcsec").filter(~pl.col("is_ambiguous")).median(),
    )
    fields = census.join(summary, on="catalogue_name", how="left", maintain_order="left")
    return {
        "reference_match": matches.with_columns(field_id=pl.lit(field_id)),
        "reference_field": fields.with_columns(
            pl.col("n_match", "n_ambiguous").fill_null(0),
            field_id=pl.lit(field_id),
            sources_hash=pl.lit(sources_hash),
            n_source=pl.lit(n_source),
            radius_arcsec=pl.lit(reach.match_arcsec),
        ),
    }


def find_pairs(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    source_id: np.ndarray,
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    *,
    radius_arcsec: float,
) -> pl.DataFrame:
    """Return the reference stars near sources of a field, at the epochs of the sources.

    Returns
    -------
    Rows of `sql/steps/reference_pairs`.
    """
    orders = range(covering_order(radius_arcsec), COARSEST_ORDER - 1, -ORDER_STEP)
    cells = pl.concat(near_cells(source_id, ra_deg, dec_deg, order=order) for order in orders)
    lay(con, "near_cell", cells)
    return frame(
        con,
        scripts("steps")["reference_pairs"].text,
        field_id=field_id,
        radius_arcsec=radius_arcsec,
        narrowest_arcsec=3600 * NARROWEST_DEG,
    )


def _reach(extent: dict[str, float | None]) -> _Reach:
    """Take the radius from the scatter of the sky solution and the size of a pixel."""
    match = max(
        LEAST_RADIUS_ARCSEC,
        RADIUS_PIX * (extent["scale_arcsec_per_pix"] or 0),
        RADIUS_RMS * (extent["rms_arcsec"] or 0),
    )
    return _Reach(
        match_arcsec=min(match, LARGEST_RADIUS_ARCSEC),
        neighbour_arcsec=min(
            NEIGHBOUR_FWHM * (extent["fwhm_arcsec"] or DEFAULT_FWHM_ARCSEC),
            LARGEST_NEIGHBOUR_ARCSEC,
        ),
    )
