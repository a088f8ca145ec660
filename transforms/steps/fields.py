"""The step that gives every light frame a field."""

import json

import polars as pl

from ...warehouse.runs import Run
from ..astrometry import sky_positions
from ..fields import assign_fields
from ..header_wcs import trusted_wcs


def find_fields(run: Run) -> None:
    """Give every light frame a field, by where it points.

    A header's WCS tells that better than the mount, if it can be trusted. The centres of fields are
    the solved ones, where there is a solution.
    """
    with run.warehouse.reading() as con:
        frames = con.table("pending_field").pl()
        fields = con.table("field").project("*, name_key(field_name) as field_key").pl()
    if frames.is_empty():
        return
    places = [_pointing(frame) for frame in frames.iter_rows(named=True)]
    frames = frames.with_columns(
        ra_deg=pl.Series([place[0] for place in places], dtype=pl.Float64),
        dec_deg=pl.Series([place[1] for place in places], dtype=pl.Float64),
    )
    new, members = assign_fields(frames, fields, next_field_id=run.next_id("field"))
    run.store("fields", {"field": new, "field_frame": members})


def _pointing(frame: dict) -> tuple[float | None, float | None]:
    """Return the centre of a frame: by its WCS if that can be trusted, else as the mount says."""
    mount = frame["ra_deg"], frame["dec_deg"]
    n_x_pix, n_y_pix = frame["n_x_pix"], frame["n_y_pix"]
    wcs = trusted_wcs(
        json.loads(frame["header"]),
        n_x_pix,
        n_y_pix,
        scale_hint_arcsec_per_pix=frame["scale_arcsec_per_pix"],
        pointing_deg=None if None in mount else mount,
    ).wcs
    if wcs is None:
        return mount
    ra_deg, dec_deg = sky_positions(wcs, [(n_x_pix - 1) / 2], [(n_y_pix - 1) / 2])
    return float(ra_deg[0]), float(dec_deg[0])
