"""Which star of a catalogue each source is. Fills the table `reference_match`.

Finding the pairs that lie near each other is a join on HEALPix cells, done in SQL; what is here
says which cells to look into, and judges the pairs.
"""

import math

import astropy.units as u
import numpy as np
import polars as pl
from cdshealpix.nested import lonlat_to_healpix, neighbours
from numpy.typing import NDArray

Array = NDArray[np.float64]

FINEST_ORDER = 29
# A cell of order 0 is nowhere narrower than this, one of order k nowhere than its 2^-k: within that
# distance of any point of a cell lie only the cell itself and its neighbours. `tests` prove it.
NARROWEST_DEG = 36.0

MAX_FAINTER_MAG = 3.0  # a star with 1/16 of the light of another in reach is not the one
DISTURBING_MAG = 2.5  # a star with a tenth of the light of its neighbour changes what is measured

PAIR_SCHEMA = {
    "source_id": pl.Int32,
    "catalogue_name": pl.String,
    "reference_star_id": pl.Int32,
    "rank_mag": pl.Float64,
    "separation_arcsec": pl.Float64,
}


def covering_order(radius_arcsec: float) -> int:
    """Return the finest order at which a cell and its neighbours hold a circle around any of its
    points."""
    order = math.floor(math.log2(NARROWEST_DEG * 3600 / radius_arcsec))
    return min(max(order, 0), FINEST_ORDER)


def cells_around(ra_deg: Array, dec_deg: Array, *, order: int) -> NDArray[np.int64]:
    """Return the HEALPix cell of each place and its neighbours, nested numbering.

    Returns
    -------
    Cell numbers, shape (n, 9); -1 where a corner of the sphere's twelve faces leaves one out.
    """
    if not len(ra_deg):
        return np.empty((0, 9), np.int64)
    cell = lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg, order)
    return np.asarray(neighbours(cell, order)).astype(np.int64)


def near_cells(source_id: NDArray[np.integer], ra_deg: Array, dec_deg: Array, *, order: int):
    """Return the cells around sources as rows: source_id, cell_order, cell."""
    cells = cells_around(ra_deg, dec_deg, order=order)
    rows = pl.DataFrame(
        {
            "source_id": np.repeat(np.asarray(source_id), cells.shape[1]),
            "cell_order": np.full(cells.size, order, np.int32),
            "cell": cells.ravel(),
        }
    )
    return rows.filter(pl.col("cell") >= 0).unique(maintain_order=True)


def judge_pairs(
    pairs: pl.DataFrame,
    *,
    radius_arcsec: float,
    max_fainter_mag: float = MAX_FAINTER_MAG,
    disturbing_mag: float = DISTURBING_MAG,
) -> pl.DataFrame:
    """Choose for each source and catalogue the star that it is, and say how sure that is.

    Of the stars within reach those count that are not much fainter than the brightest of them; the
    nearest of these is taken. A catalogue that goes far deeper than the frames thus makes no
    match ambiguous by stars that no frame shows.

    Parameters
    ----------
    pairs
        Rows of `sql/steps/reference_pairs`: source_id, catalogue_name, reference_star_id, rank_mag
        (null: not known), separation_arcsec. They may reach further than `radius_arcsec`, so that
        neighbours are seen.
    radius_arcsec
        How far apart a source and its star may lie.
    max_fainter_mag
        Fainter ones than this below the brightest within reach are no candidates.
    disturbing_mag
        A neighbour that is fainter by more than this disturbs no measurement.

    Returns
    -------
    Rows of table `reference_match` but for field_id: one per source and catalogue. A match is
    ambiguous if there were several candidates or if another source takes the same star.
    """
    keys = ["catalogue_name", "source_id"]
    brightest = pl.col("rank_mag").min().over(keys)
    candidates = (
        pairs.filter(pl.col("separation_arcsec") <= radius_arcsec)
        .filter((pl.col("rank_mag") - brightest <= max_fainter_mag).fill_null(True))
        .sort(*keys, "separation_arcsec", "rank_mag", "reference_star_id", nulls_last=True)
    )
    matches = candidates.group_by(keys, maintain_order=True).agg(
        pl.col("reference_star_id", "separation_arcsec", "rank_mag").first(),
        n_candidate=pl.len().cast(pl.Int16),
    )
    shared = pl.len().over("catalogue_name", "reference_star_id") > 1
    matches = matches.with_columns(is_ambiguous=(pl.col("n_candidate") > 1) | shared)
    neighbours_ = _neighbours(pairs, matches, disturbing_mag=disturbing_mag)
    return matches.join(neighbours_, on=keys, how="left", maintain_order="left").drop("rank_mag")


def _neighbours(
    pairs: pl.DataFrame, matches: pl.DataFrame, *, disturbing_mag: float
) -> pl.DataFrame:
    """Return the nearest other star that sheds light on a matched source, where there is one."""
    keys = ["catalogue_name", "source_id"]
    own = matches.select(*keys, own_id="reference_star_id", own_mag="rank_mag")
    fainter = pl.col("rank_mag") - pl.col("own_mag")
    return (
        pairs.join(own, on=keys)
        .filter(pl.col("reference_star_id") != pl.col("own_id"))
        .filter((fainter <= disturbing_mag).fill_null(True))
        .sort(*keys, "separation_arcsec", "reference_star_id")
        .group_by(keys, maintain_order=True)
        .agg(
            neighbour_arcsec=pl.col("separation_arcsec").first(),
            neighbour_fainter_mag=fainter.first(),
        )
    )
