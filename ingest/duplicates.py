"""Stars that a catalogue holds twice, and those that are known from an earlier import."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

Array = NDArray[np.float64]

SAME_ARCSEC = 0.3  # below this no catalogue from the ground holds two stars apart


def star_groups(
    ra_deg: Array, dec_deg: Array, names: pl.Series, *, same_arcsec: float = SAME_ARCSEC
) -> NDArray[np.int64]:
    """Number the rows of a catalogue by star: rows of one star have one number.

    Two rows are one star if they lie nearer than `same_arcsec`, unless their catalogue gave them
    different names.

    Parameters
    ----------
    ra_deg, dec_deg
        Positions, shape (n,), all finite.
    names
        Names in the catalogue, null where it has none.

    Returns
    -------
    Numbers, shape (n,), from 0 without gap, in order of the first row of each.
    """
    first, second = np.ascontiguousarray(
        KDTree(unit_vectors(ra_deg, dec_deg))
        .query_pairs(_chord(same_arcsec), output_type="ndarray")
        .T
    ).reshape(2, -1)
    code = names.rank("dense").fill_null(0).to_numpy()
    same = (code[first] == code[second]) | (code[first] == 0) | (code[second] == 0)
    links = coo_array(
        (np.ones(same.sum()), (first[same], second[same])), shape=(len(ra_deg), len(ra_deg))
    )
    _, group = connected_components(links, directed=False)
    _, begins, inverse = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(begins))[inverse]


def known_stars(
    stars: pl.DataFrame, known: pl.DataFrame, *, same_arcsec: float = SAME_ARCSEC
) -> pl.Series:
    """Find the stars that an earlier import holds: by name and place, or by place alone.

    Parameters
    ----------
    stars, known
        Columns star_name, ra_deg, dec_deg, all with a position; `known` has reference_star_id too.

    Returns
    -------
    Number of the known star for each star, null for a new one; no number is given twice.
    """
    if known.is_empty() or stars.is_empty():
        return pl.Series([None] * stars.height, dtype=pl.Int32)
    tree = KDTree(_vectors(known))
    n_near = min(4, known.height)
    distance, near = tree.query(_vectors(stars), k=n_near, distance_upper_bound=_chord(same_arcsec))
    distance, near = distance.reshape(stars.height, -1), near.reshape(stars.height, -1)
    star, rank = np.nonzero(np.isfinite(distance))
    pairs = pl.DataFrame(
        {"star": star, "known": near[star, rank], "distance": distance[star, rank]}
    ).with_columns(
        name=stars["star_name"][star],
        known_name=known["star_name"][near[star, rank]],
    )
    chosen = (
        pairs.filter((pl.col("name") == pl.col("known_name")).fill_null(True))
        .sort("distance", "star", "known")
        .unique("star", keep="first", maintain_order=True)
        .unique("known", keep="first", maintain_order=True)
    )
    found = pl.DataFrame({"star": np.arange(stars.height)}).join(
        chosen.select("star", "known"), on="star", how="left", maintain_order="left"
    )
    return known["reference_star_id"].gather(found["known"])


def unit_vectors(ra_deg: Array, dec_deg: Array) -> Array:
    """Return unit vectors, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _vectors(stars: pl.DataFrame) -> Array:
    return unit_vectors(stars["ra_deg"].to_numpy(), stars["dec_deg"].to_numpy())


def _chord(arcsec: float) -> float:
    return float(2 * np.sin(np.radians(arcsec / 3600) / 2))
