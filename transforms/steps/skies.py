"""The step that gives a field its place on the sky when a solution comes after the measuring."""

from collections.abc import Callable

import polars as pl

from ...warehouse.runs import Run
from ..astrometry import orientation, sky_positions, wcs_from_cards
from .searches import on_sky
from .sources import settle_stars


def place_fields(run: Run, *, say: Callable[[str], None]) -> None:
    """Give the stars of fields that were solved after they were found their sky positions.

    They merge with those known there, and rows of measurements follow the number that stays;
    nothing is measured again.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_sky").order("field_id").pl()
    for field_id in pending["field_id"]:
        _place(run, field_id, say=say)


def _place(run: Run, field_id: int, *, say: Callable[[str], None]) -> None:
    """Give the detections and stars of a field their places, and settle who is who."""
    with run.warehouse.reading() as con:
        of_field = f"field_id = {int(field_id)}"
        reference = con.table("field_reference").filter(of_field).pl().row(0, named=True)
        wcs = wcs_from_cards(reference["cards"])
        searches = con.table("search").filter(of_field).pl()
        searches = searches.with_columns(sky_hash=pl.lit(reference["sky_hash"]))
        detections = on_sky(con.table("detection").filter(of_field).pl(), wcs)
        known = con.table("field_star").filter(of_field).pl()
        field = con.table("field").filter(of_field).pl()
        settled = settle_stars(
            con,
            field_id,
            new=detections,
            searches=searches,
            renewed=searches["search_id"].to_list(),
            next_source_id=run.next_source_id(),
            next_change_id=run.next_id("source_change"),
            known_sky=on_sky(known, wcs).select("source_id", "ra_deg", "dec_deg"),
        )
    shape = reference["n_x_pix"], reference["n_y_pix"]
    ra_deg, dec_deg = sky_positions(wcs, *([(n - 1) / 2] for n in shape))
    field = field.with_columns(
        is_on_sky=pl.lit(value=True),
        ra_deg=pl.lit(float(ra_deg[0])),
        dec_deg=pl.lit(float(dec_deg[0])),
        scale_arcsec_per_pix=pl.lit(orientation(wcs, *shape).scale_arcsec_per_pix),
        scale_source=pl.lit("wcs"),
    )
    run.store("sky", settled.tables | {"field": field}, replaces=settled.replaces)
    say(
        f"field {field_id}: its {settled.n_star} stars are placed on the sky, "
        f"{settled.n_merged} of them under the number of another field"
    )
