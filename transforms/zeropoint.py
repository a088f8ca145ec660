"""Zero points of frames against a catalogue, with the terms that all of them share.

Every star has its own offset from the catalogue, of the size its error and an intrinsic scatter
allow, the same on all frames. So a star that is off does no more harm on a hundred frames than on
one, and what clouds took is known as well as the photons allow. Extinction is solved with all the
rest, from clear frames.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import CalibrationError
from .airmass_trend import Air, clear_level
from .zero_point_system import Found, System, solve_robustly

Array = NDArray[Any]

MIN_STAR = 5
STARS_PER_TERM = 8  # for every term that is fitted beside the zero points
MIN_COLOUR_SPREAD_MAG = 0.1
SIGMA_PER_MAD = 1.4826
TAIL = 0.05  # of the colours at either end, which tell nothing of their spread
LEAST_ERR_MAG = 0.002  # neither a star nor a catalogue is trusted further
MAX_COLOUR_EXTINCTION_ERR = (
    0.01  # no better known, it is left out; that of a blue band is some 0.03
)
POSITION_TERMS = {0: 0, 1: 2, 2: 5}  # by degree


@dataclass(frozen=True, slots=True)
class Terms:
    """What all frames share: terms of colour, of colour and airmass, and of position."""

    colour_pivot_mag: float | None = None
    colour_spread_mag: float | None = None
    colour_term: float | None = None
    colour_term_err: float | None = None
    position_mag: tuple[float, ...] = ()
    position_err_mag: tuple[float, ...] = ()
    colour_extinction: float | None = None
    colour_extinction_err: float | None = None
    colour_covariance: float = 0.0
    """Of the colour term, at the pivot airmass, and the extinction's."""
    airmass_pivot: float | None = None


@dataclass(frozen=True, slots=True)
class Extinction:
    """Extinction of a star of the pivot colour; the zero point of clear frames at an airmass."""

    clear_zero_point_mag: float
    clear_airmass: float
    n_clear_frame: int
    extinction_mag: float | None = None
    extinction_err_mag: float | None = None
    clear_scatter_mag: float | None = None
    """Of the zero points of clear frames beyond their errors."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Zero points of frames and the terms they share."""

    frames: pl.DataFrame
    """frame_id, zero_point_mag, zero_point_err_mag, scatter_mag, n_star; sorted by frame."""
    terms: Terms
    extinction: Extinction
    intrinsic_scatter_mag: float
    scatter_mag: float
    n_star: int


def solve_zero_points(
    points: pl.DataFrame, *, air: pl.DataFrame | None = None, position_degree: int = 1
) -> Solution:
    """Solve for the zero point of every frame and the terms all of them share, in one.

    catalogue - instrument = zero point of the frame + (colour term - its extinction (airmass -
    pivot)) (colour - pivot) + position terms + offset of the star, which is of the size of the
    catalogue's error and an intrinsic scatter. The zero point of a clear frame = level of its night
    - extinction times airmass + its own deviation, of the size of the scatter that clear frames
    have. Sparse weighted least squares, outlying points and stars counting linearly (Huber), cloudy
    frames free. A term for which there are too few stars is left out; so is the extinction without
    a range of airmass, and that of colour where it is not known to 0.01.

    Parameters
    ----------
    points
        frame_id, source_id, mag, mag_err (null: not known), reference_mag, reference_err_mag (null:
        not given), colour_mag (null: not known), u, v (from -1 to 1 across the frame).
    air
        frame_id, airmass (null: not known), level (number, one for frames that would have one zero
        point above the air: those of a night); None: no airmass is known.
    position_degree
        0 to 2, of the polynomial in u and v.

    Raises
    ------
    CalibrationError
        If no frame has five stars.

    References
    ----------
    Honeycutt 1992, PASP 104, 435; Padmanabhan et al. 2008, ApJ 674, 1217.
    """
    has_colour, pivot = _colour_pivot(points)
    used = _used(points, has_colour=has_colour)
    above = _air(used, air)
    colour = (used["colour_mag"] - pivot).to_numpy() if has_colour else None
    position = position_design(used["u"].to_numpy(), used["v"].to_numpy(), position_degree)
    design = position if colour is None else np.column_stack([colour, position])
    n_star = used["source_id"].n_unique()
    if n_star < STARS_PER_TERM * (design.shape[1] + 1):
        keep = 1 if has_colour and n_star >= 2 * STARS_PER_TERM else 0
        design, colour = design[:, :keep], colour if keep else None
    offset = (used["reference_mag"] - used["mag"]).to_numpy()
    airmass_pivot, found = None, None
    if colour is not None and above.has_range():
        airmass_pivot = round(float(np.nanmean(above.airmass)), 2)
        more = _more_air(used, above, airmass_pivot)
        found = solve_robustly(
            _system(used, offset, np.column_stack([design, -colour * more])), above
        )
        if found.terms_covariance[-1, -1] > MAX_COLOUR_EXTINCTION_ERR**2:
            airmass_pivot, found = None, None
    if found is None:
        found = solve_robustly(_system(used, offset, design), above)
    terms = _terms(used, found, None if colour is None else pivot, airmass_pivot)
    return _packed(used, found, terms, above)


def solve_with_terms(
    points: pl.DataFrame, terms: Terms, *, air: pl.DataFrame | None = None
) -> Solution:
    """Solve for the zero point of every frame with terms that are known; the air is left out.

    Parameters
    ----------
    points, air
        As of `solve_zero_points`.

    Returns
    -------
    With the terms as given, and the zero point that passes for clear sky.

    Raises
    ------
    CalibrationError
        If no frame has five stars.
    """
    used = _used(points, has_colour=terms.colour_term is not None)
    above = _air(used, air)
    degree = {n: degree for degree, n in POSITION_TERMS.items()}[len(terms.position_mag)]
    position = position_design(used["u"].to_numpy(), used["v"].to_numpy(), degree)
    known = position @ np.array(terms.position_mag)
    if terms.colour_term is not None:
        colour = (used["colour_mag"] - terms.colour_pivot_mag).to_numpy()
        known += terms.colour_term * colour
        if terms.colour_extinction is not None:
            more = _more_air(used, above, terms.airmass_pivot or 0.0)
            known -= terms.colour_extinction * colour * more
    offset = (used["reference_mag"] - used["mag"]).to_numpy() - known
    found = solve_robustly(_system(used, offset, np.empty((used.height, 0))))
    return _packed(used, found, terms, above)


def position_design(u: Array, v: Array, degree: int) -> Array:
    """Return u, v (then uu, uv, vv) as columns, shape (n, 0), (n, 2) or (n, 5)."""
    columns = (u, v, u * u, u * v, v * v)[: POSITION_TERMS[degree]]
    return np.stack(columns, axis=1) if columns else np.empty((len(u), 0))


def _colour_pivot(points: pl.DataFrame) -> tuple[bool, float | None]:
    """Say whether the colours of the stars allow a colour term, and their median."""
    colours = points.group_by("source_id").agg(pl.col("colour_mag").first())["colour_mag"]
    known = colours.drop_nulls()
    if len(known) < 2 * STARS_PER_TERM or len(known) < 0.5 * len(colours):
        return False, None
    # not the median deviation: most stars of a cluster crowd at one colour, and the others tell
    low, high = np.quantile(known, [TAIL, 1 - TAIL])
    spread = float(np.std(np.clip(known, low, high)))
    if spread < MIN_COLOUR_SPREAD_MAG:
        return False, None
    return True, round(float(known.median()), 2)  # pyright: ignore


def _used(points: pl.DataFrame, *, has_colour: bool) -> pl.DataFrame:
    used = points.filter(pl.col("colour_mag").is_not_null()) if has_colour else points
    used = used.filter(pl.len().over("frame_id") >= MIN_STAR)
    if used.is_empty():
        raise CalibrationError(
            f"{points['frame_id'].n_unique()} frames: none has {MIN_STAR} clean stars of the "
            "catalogue, so there is no zero point. Import a deeper catalogue of the field."
        )
    return used


def _air(used: pl.DataFrame, air: pl.DataFrame | None) -> Air:
    """Return airmass and level of the frames, in the order of their numbers."""
    frames = used.select(pl.col("frame_id").unique().sort())
    if air is None:
        return Air(np.full(frames.height, np.nan), np.zeros(frames.height, int))
    known = frames.join(air, on="frame_id", how="left", maintain_order="left")
    airmass = known["airmass"].cast(pl.Float64).fill_null(float("nan"))
    return Air(airmass.to_numpy(), known["level"].cast(pl.Int64).to_numpy())


def _more_air(used: pl.DataFrame, air: Air, airmass_pivot: float) -> Array:
    """Return airmass less pivot of each point; naught where the airmass is not known."""
    frame = np.unique(used["frame_id"].to_numpy(), return_inverse=True)[1]
    return np.nan_to_num(air.airmass - airmass_pivot)[frame]


def _system(used: pl.DataFrame, offset: Array, design: Array) -> System:
    frame_ids, frame = np.unique(used["frame_id"].to_numpy(), return_inverse=True)
    sources, first, star = np.unique(
        used["source_id"].to_numpy(), return_index=True, return_inverse=True
    )
    err_mag = used["mag_err"].fill_null(0.01).to_numpy()
    star_err = used["reference_err_mag"].fill_null(0.0).to_numpy()[first]
    return System(
        frame=frame,
        star=star,
        offset=offset,
        variance=np.maximum(err_mag, LEAST_ERR_MAG) ** 2,
        star_variance=np.maximum(star_err, LEAST_ERR_MAG) ** 2,
        design=design,
        n_frame=len(frame_ids),
        n_star=len(sources),
    )


def _terms(
    used: pl.DataFrame, found: Found, pivot: float | None, airmass_pivot: float | None
) -> Terms:
    """Name the terms: colour first, position, colour and airmass last."""
    value, covariance = found.terms, found.terms_covariance
    err = np.sqrt(np.diag(covariance))
    if pivot is None:
        return Terms(position_mag=tuple(value), position_err_mag=tuple(err))
    n_position = len(value) - (1 if airmass_pivot is None else 2)
    position = slice(1, 1 + n_position)
    colours = used.group_by("source_id").agg(pl.col("colour_mag").first())["colour_mag"]
    has_air = airmass_pivot is not None
    return Terms(
        colour_pivot_mag=pivot,
        colour_spread_mag=float(colours.std() or 0.0),  # pyright: ignore
        colour_term=float(value[0]),
        colour_term_err=float(err[0]),
        position_mag=tuple(value[position]),
        position_err_mag=tuple(err[position]),
        colour_extinction=float(value[-1]) if has_air else None,
        colour_extinction_err=float(err[-1]) if has_air else None,
        colour_covariance=float(covariance[0, -1]) if has_air else 0.0,
        airmass_pivot=airmass_pivot,
    )


def _extinction(found: Found, air: Air) -> Extinction:
    if found.trend is None:
        return Extinction(*clear_level(found.zero_point, air))
    return Extinction(
        clear_zero_point_mag=float(np.median(found.air[:-1])),
        clear_airmass=0.0,
        n_clear_frame=int(found.trend.clear.sum()),
        extinction_mag=float(found.air[-1]),
        extinction_err_mag=float(np.sqrt(found.air_covariance[-1, -1])),
        clear_scatter_mag=found.trend.scatter_mag,
    )


def _packed(used: pl.DataFrame, found: Found, terms: Terms, air: Air) -> Solution:
    residual = np.abs(found.residual)
    frames = (
        used.select("frame_id", residual=pl.Series(residual))
        .group_by("frame_id")
        .agg(scatter_mag=SIGMA_PER_MAD * pl.col("residual").median(), n_star=pl.len())
        .sort("frame_id")
        .with_columns(
            zero_point_mag=pl.Series(found.zero_point),
            zero_point_err_mag=pl.Series(found.zero_point_err),
        )
    )
    return Solution(
        frames=frames,
        terms=terms,
        extinction=_extinction(found, air),
        intrinsic_scatter_mag=found.intrinsic,
        scatter_mag=SIGMA_PER_MAD * float(np.median(residual)),
        n_star=used["source_id"].n_unique(),
    )
