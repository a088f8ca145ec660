"""All searches of a field laid on the richest of them, so that no order of arrival leaves a trace.

Two detections of one star must lie as near to each other whichever frame happens to be the field's
reference: so each search is laid on one and the same other search, and all of them together on the
field.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import RegistrationError
from .registration import (
    Registration,
    fit_registration,
    invert_registration,
    terms,
)
from .starmatch import match_stars

Points = NDArray[np.float64]
N_BRIGHT = 500  # stars that take part
MIN_STAR_CUBIC = 40
FRAME = ("x_frame_pix", "y_frame_pix")
FIELD = ("x_pix", "y_pix")


def anchored(
    searches: pl.DataFrame, detections: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, list[int]]:
    """Lay the searches of a field on the first, and their detections on the field by it.

    Parameters
    ----------
    searches
        Rows of table search, those first that hold most.
    detections
        Rows of table detection of these searches, in any order.

    Returns
    -------
    The same searches and detections, in the same order, and the numbers of searches that changed.
    A search that has too few stars in common with the first stays where it was.
    """
    full = searches.filter(pl.col("n_detection") > 0)
    if full.height < 2:
        return searches, detections, []
    first = full["search_id"][0]
    by_search = {
        key[0]: rows for key, rows in detections.with_row_index("row").group_by("search_id")
    }
    anchor = by_search[first]
    onto_field = _fitted(anchor, FRAME, FIELD)
    place = detections.select(*FIELD).to_numpy().astype(np.float64)
    laid: dict[int, Registration] = {}
    for search in full.filter(pl.col("search_id") != first).iter_rows(named=True):
        if search["anchor_id"] == first:
            continue
        rows = by_search[search["search_id"]]
        found = _laid(anchor, rows)
        if found is None:
            continue
        x, y = invert_registration(found, rows[FRAME[0]], rows[FRAME[1]])
        on_field = onto_field(np.column_stack([x, y]))
        is_found = np.isfinite(on_field).all(axis=1)
        place[rows["row"].to_numpy()[is_found]] = on_field[is_found]
        laid[search["search_id"]] = found
    moved = detections.with_columns(
        pl.Series(name, place[:, axis]) for axis, name in enumerate(FIELD)
    )
    told = searches.with_columns(
        anchor_id=pl.Series(
            [first if key in laid else old for key, old in _anchors(searches)], dtype=pl.Int32
        )
    )
    return told, moved, sorted(laid)


def _anchors(searches: pl.DataFrame):
    return searches.select("search_id", "anchor_id").iter_rows()


def _laid(anchor: pl.DataFrame, rows: pl.DataFrame) -> Registration | None:
    """Match a search with the anchor in the pixels of both frames; None: they share no stars."""
    to_anchor = _fitted(anchor, FIELD, FRAME, degree=1)
    to_frame = _fitted(rows, FIELD, FRAME, degree=1)
    corner = anchor.select(*FIELD).to_numpy()
    try:
        guess = fit_registration(to_anchor(corner), to_frame(corner), max_degree=1)
        return match_stars(_bright(anchor), _bright(rows), guess=guess).registration
    except RegistrationError:
        return None


def _bright(rows: pl.DataFrame) -> pl.DataFrame:
    stars = rows.select(*FRAME, "flux_adu", "flags")
    return (
        stars.rename(dict(zip(FRAME, FIELD, strict=True)))
        .sort("flux_adu", *FIELD, descending=[True, False, False])
        .head(N_BRIGHT)
    )


def _fitted(rows: pl.DataFrame, start: tuple[str, str], end: tuple[str, str], degree: int = 3):
    """Fit the polynomial that leads from the one places of detections to the other."""
    origin, target = (rows.select(*names).to_numpy().astype(np.float64) for names in (start, end))
    middle = origin.mean(axis=0)
    reach = max(float(np.abs(origin - middle).max()), 1.0)
    order = degree if len(origin) >= MIN_STAR_CUBIC else 1

    def powers(xy: Points) -> Points:
        u = (xy - middle) / reach
        return terms(u[:, 0], u[:, 1], order)

    coefficients = np.linalg.lstsq(powers(origin), target, rcond=None)[0]
    return lambda xy: powers(np.asarray(xy, np.float64)) @ coefficients
