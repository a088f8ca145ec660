"""Which star of a field is which star of a frame: by a guess, else by asterisms."""

from dataclasses import dataclass
from math import log

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.special import bdtrc

from ..errors import RegistrationError
from .asterisms import asterism_hypotheses, distinct, nearest_points
from .flags import Flag
from .registration import MIN_STAR, Registration, apply_registration, fit_registration

Points = NDArray[np.float64]
N_VERIFY = 200  # stars a hypothesis is tested on
N_FIT = 1000  # stars the final fit may use
N_CLEAN = 30  # stars, neither saturated nor cut, that are enough without others
FIRST_TOLERANCE_PIX = 4.0
LAST_TOLERANCE_PIX = 1.5
MAX_LOG_CHANCE = log(1e-6)
SMALLEST = 1e-300  # a chance below is not told apart


@dataclass(frozen=True, slots=True)
class Match:
    """Stars of a field paired with stars of a frame.

    Attributes
    ----------
    field_index, frame_index
        Row numbers of the pairs in the two tables, shape (n,).
    registration
        The polynomial the pairs follow.
    log_chance
        Natural logarithm of the probability that so many pairs arise by chance.
    method
        "guess" or "asterism".
    """

    field_index: NDArray[np.intp]
    frame_index: NDArray[np.intp]
    registration: Registration
    log_chance: float
    method: str


def match_stars(
    field_stars: pl.DataFrame,
    frame_stars: pl.DataFrame,
    *,
    guess: Registration | None = None,
    guess_radius_pix: float = 100.0,
    max_degree: int = 3,
) -> Match:
    """Pair the stars of a field with those of a frame.

    With a guess (from the two WCS, or from the frame before), the shift that most pairs share
    is found first. Without one, or if too few stars agree with it, triangles of bright stars
    are compared by the ratios of their sides, which survive any shift, rotation, scale and
    reflection; the transformation that most triangles vote for is tested on all bright stars.
    Either way pairs and polynomial then refine each other. A match that chance could bring
    about (tested with the same stars displaced) is refused.

    Parameters
    ----------
    field_stars, frame_stars
        Columns x_pix, y_pix, flux_adu, and flags if known: saturated stars and those on the
        edge do not take part where there are enough others.
    guess
        Where the field may lie on the frame.
    guess_radius_pix
        How far off the guess may be.
    max_degree
        Highest degree of the polynomial, 1 to 3.

    Raises
    ------
    RegistrationError
        With the stars seen, matched and needed.

    References
    ----------
    Groth 1986, AJ 91, 1244; Beroiz, Cabral & Sanchez 2020, A&C 32, 100384.
    """
    field, frame = _Stars.of(field_stars), _Stars.of(frame_stars)
    if min(len(field.xy), len(frame.xy)) < MIN_STAR:
        raise RegistrationError(
            f"{len(field.xy)} stars in the field, {len(frame.xy)} on the frame: at least "
            f"{MIN_STAR} needed on each. Clouds, closed dome or wrong exposure?"
        )
    best: Match | None = None
    if guess is not None:
        best = _best_match(_shifted(guess, field, frame, guess_radius_pix), field, frame, "guess")
    if best is None or best.log_chance > MAX_LOG_CHANCE:
        for n_bright in (25, 60, 150):
            hypotheses = asterism_hypotheses(field.xy[:n_bright], frame.xy[:n_bright])
            other = _best_match(hypotheses, field, frame, "asterism")
            if other and (best is None or other.log_chance < best.log_chance):
                best = other
            if best and best.log_chance <= MAX_LOG_CHANCE:
                break
            if n_bright > max(len(field.xy), len(frame.xy)):
                break
    if best is None or best.log_chance > MAX_LOG_CHANCE:
        n_paired = 0 if best is None else len(best.field_index)
        odds = "" if best is None else f", which chance brings in {np.exp(best.log_chance):.1g}"
        raise RegistrationError(
            f"{len(field.xy)} stars in the field, {len(frame.xy)} on the frame, {n_paired} pairs "
            f"at best{odds} (at most {np.exp(MAX_LOG_CHANCE):.0e} accepted). Is it the same piece "
            "of sky?"
        )
    return _final(best, field, frame, max_degree)


@dataclass(frozen=True, slots=True)
class _Stars:
    """Positions sorted by brightness, and the rows they came from."""

    xy: Points
    flux: NDArray[np.float64]
    row: NDArray[np.intp]
    is_cut: NDArray[np.bool_]
    low: Points
    high: Points

    @classmethod
    def of(cls, stars: pl.DataFrame) -> "_Stars":
        stars = stars.with_row_index("row").drop_nulls(["x_pix", "y_pix", "flux_adu"])
        if "flags" in stars.columns:
            clean = stars.filter((pl.col("flags") & (Flag.SATURATED | Flag.EDGE)) == 0)
            stars = clean if clean.height >= N_CLEAN else stars
        stars = stars.sort("flux_adu", "row", descending=[True, False]).head(N_FIT)
        xy = stars.select("x_pix", "y_pix").to_numpy().astype(np.float64)
        flux, row = stars["flux_adu"].to_numpy(), stars["row"].to_numpy().astype(np.intp)
        flags = stars["flags"].to_numpy() if "flags" in stars.columns else np.zeros(len(xy), int)
        low, high = (xy.min(axis=0), xy.max(axis=0)) if len(xy) else (np.zeros(2), np.ones(2))
        return cls(xy, flux, row, (flags & Flag.EDGE.value) != 0, low, high)

    def holds(self, xy: Points) -> NDArray[np.bool_]:
        return np.all((xy > self.low - 1) & (xy < self.high + 1), axis=1)


def _carry(registration: Registration, xy: Points) -> Points:
    return np.column_stack(apply_registration(registration, xy[:, 0], xy[:, 1]))


def _pairs(
    registration: Registration, field: Points, frame: Points, tolerance_pix: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair stars that are each other's nearest, closer than the tolerance."""
    there = _carry(registration, field)
    distance, nearest = nearest_points(frame, there, tolerance_pix)
    distance, nearest = distance[:, 0], nearest[:, 0]
    found = np.flatnonzero(np.isfinite(distance))
    found = found[np.argsort(distance[found], kind="stable")]
    _, first = np.unique(nearest[found], return_index=True)
    chosen = np.sort(found[first])
    return chosen, nearest[chosen]


def _shifted(
    guess: Registration, field: _Stars, frame: _Stars, radius_pix: float
) -> list[Registration]:
    """Give the guess with the shifts that most pairs of bright stars agree on."""
    there = _carry(guess, field.xy[:N_VERIFY])
    there = there[np.isfinite(there).all(axis=1)]
    bright = frame.xy[:N_VERIFY]
    step = (bright[None, :, :] - there[:, None, :]).reshape(-1, 2)
    step = step[np.hypot(*step.T) < radius_pix]
    if len(step) == 0:
        return []
    tree = KDTree(step)
    n_near = np.asarray(tree.query_ball_point(step, LAST_TOLERANCE_PIX, return_length=True))
    hypotheses = []
    for best in distinct(step, n_near, 5 * LAST_TOLERANCE_PIX, 5):
        dx, dy = step[tree.query_ball_point(step[best], LAST_TOLERANCE_PIX)].mean(axis=0)
        x, y = list(guess.x_coefficient), list(guess.y_coefficient)
        x[0], y[0] = x[0] + float(dx), y[0] + float(dy)
        hypotheses.append(Registration(guess.degree, tuple(x), tuple(y), 0, None))
    return hypotheses


def _best_match(
    hypotheses: list[Registration], field: _Stars, frame: _Stars, method: str
) -> Match | None:
    """Let pairs and polynomial refine each other from each start; keep the likeliest."""
    best: Match | None = None
    field_xy, frame_xy = field.xy[:N_VERIFY], frame.xy[:N_VERIFY]
    counts = [len(_pairs(h, field_xy, frame_xy, FIRST_TOLERANCE_PIX)[0]) for h in hypotheses]
    for k in np.argsort(-np.array(counts), kind="stable")[:8]:
        try:
            grown = _grow(hypotheses[k], field_xy, frame_xy, max_degree=1)
        except RegistrationError:
            continue  # this start led to too few stars; others may not
        i, j = _pairs(grown, field_xy, frame_xy, 2 * LAST_TOLERANCE_PIX)
        log_chance = _log_chance(grown, field, frame, len(i)) + log(len(hypotheses) + 1)
        if best is None or log_chance < best.log_chance:
            best = Match(i, j, grown, log_chance, method)
        if log_chance < 5 * MAX_LOG_CHANCE:
            break  # beyond doubt: the other starts cannot do better
    return best


def _grow(
    start: Registration, field_xy: Points, frame_xy: Points, *, max_degree: int
) -> Registration:
    registration = start
    for tolerance_pix in (FIRST_TOLERANCE_PIX, 3.0, 2 * LAST_TOLERANCE_PIX):
        i, j = _pairs(registration, field_xy, frame_xy, tolerance_pix)
        registration = fit_registration(field_xy[i], frame_xy[j], max_degree=max_degree)
    return registration


def _log_chance(registration: Registration, field: _Stars, frame: _Stars, n_pair: int) -> float:
    """Give ln P of so many pairs by chance, from the pairs the displaced field makes.

    Two stars are what a hypothesis is made of; they count as no evidence.
    """
    there = _carry(registration, field.xy[:N_VERIFY])
    there = there[frame.holds(there)]
    tolerance_pix = 2 * LAST_TOLERANCE_PIX
    rings = tolerance_pix * np.array([6, 10, 15])
    angles = np.arange(8) * np.pi / 4
    steps = np.multiply.outer(rings, np.column_stack([np.cos(angles), np.sin(angles)]))
    moved = (there + steps.reshape(-1, 1, 2)).reshape(-1, 2)
    moved = moved[frame.holds(moved)]
    distance, _ = nearest_points(frame.xy[:N_VERIFY], moved, tolerance_pix)
    n_hit, n_try = np.count_nonzero(np.isfinite(distance)), len(moved)
    area = max(float(np.prod(frame.high - frame.low)), 1.0)
    expected = len(frame.xy[:N_VERIFY]) * np.pi * tolerance_pix**2 / area
    share = min(0.99, max(n_hit / max(n_try, 1), expected))
    n_free = max(len(there), n_pair) - 2
    if n_free <= 0:
        return 0.0
    return log(max(float(bdtrc(n_pair - 3, n_free, share)), SMALLEST))  # of the binomial tail


def _final(match: Match, field: _Stars, frame: _Stars, max_degree: int) -> Match:
    """Extend the match to all stars with the degree they deserve, and tighten it."""
    registration = match.registration
    tolerance_pix = 2 * LAST_TOLERANCE_PIX
    i, j = match.field_index, match.frame_index
    for turn in range(4):
        before = j
        i, j = _pairs(registration, field.xy, frame.xy, tolerance_pix)
        # what the edge cuts is off its place by up to its radius: proof of the match, no measure
        is_whole = ~(field.is_cut[i] | frame.is_cut[j])
        if np.count_nonzero(is_whole) >= MIN_STAR:
            i, j = i[is_whole], j[is_whole]
        if turn > 0 and np.array_equal(before, j):
            break
        registration = fit_registration(
            field.xy[i], frame.xy[j], flux=frame.flux[j], max_degree=max_degree
        )
        tolerance_pix = max(LAST_TOLERANCE_PIX, min(tolerance_pix, 4 * (registration.rms_pix or 0)))
    return Match(field.row[i], frame.row[j], registration, match.log_chance, match.method)
