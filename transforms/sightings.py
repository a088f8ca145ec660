"""One list of stars out of several looks at a field, false ones sorted out.

Fills the table `detection`, but for the sky positions and the numbers of the stars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .flags import Flag
from .pairing import pair_points
from .registration import Registration, apply_registration, invert_registration
from .shapes import SIGMA_PER_FWHM

Array = NDArray[np.float64]

SAME_STAR_FWHM = 0.5
LEAST_TOLERANCE_PIX = 1.0
NEIGHBOUR_FWHM = 2.0  # a star as near as this may be one with its neighbour on a poorer frame
LIKE_THE_BEST = 0.9  # of the most stars of a frame; chance and clouds change the number by a tenth
MIN_COMMON = 5  # stars behind the depth of a frame against another
WIDEST, NARROWEST, LONGEST = 2.0, 0.6, 1.6  # FWHM over the frame's, and axes, of a lone star

SCHEMA = {
    "frame_id": pl.Int32,
    "x_pix": pl.Float64,
    "y_pix": pl.Float64,
    "flux_adu": pl.Float64,
    "significance": pl.Float64,
    "fwhm_pix": pl.Float64,
    "elongation": pl.Float64,
    "n_seen": pl.Int16,
    "n_expected": pl.Int16,
    "is_confirmed": pl.Boolean,
    "flags": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """The stars of one frame, and how the frame lies on its field.

    Attributes
    ----------
    stars
        Rows of `detection.detect`, in the frame's pixels.
    registration
        From the field's pixels to the frame's.
    fwhm_pix, sky_rms_adu
        Width of the frame's stars, and noise of a sky pixel.
    sure_sigma
        Significance from which a star counts that nothing else shows; None: that of all frames.
    """

    frame_id: int
    stars: pl.DataFrame
    registration: Registration
    n_x_pix: int
    n_y_pix: int
    fwhm_pix: float
    sky_rms_adu: float
    sure_sigma: float | None = None


def best_first(n_star: Sequence[int], star_noise: Sequence[float]) -> list[int]:
    """Order frames of one field by what they show, the best first.

    Frames with nearly the most stars are as deep as each other: of these the one with the least
    noise under a star leads, which is sharp and has a dark sky. The others follow by their stars.

    Parameters
    ----------
    n_star, star_noise
        Stars of each frame; FWHM times noise of a sky pixel, in any unit.

    Returns
    -------
    Positions of the frames; of equals the earlier position comes first.
    """
    most = max(n_star, default=0)

    def rank(i: int) -> tuple[bool, float]:
        is_deep = n_star[i] >= LIKE_THE_BEST * most
        return not is_deep, star_noise[i] if is_deep else -n_star[i]

    return sorted(range(len(n_star)), key=rank)


def starlike(stars: pl.DataFrame, *, fwhm_pix: float) -> NDArray[np.bool_]:
    """Tell the stars of a frame from streaks and blobs, by width and length.

    Parameters
    ----------
    stars
        Rows of `detection.detect`.
    fwhm_pix
        Width of the frame's stars.
    """
    return _looks_like_star(stars.with_columns(frame_fwhm_pix=pl.lit(fwhm_pix)))


def significance(flux_adu: Array, *, fwhm_pix: float, sky_rms_adu: float) -> Array:
    """Compare windowed fluxes with the noise that the sky gives them.

    The window is a Gaussian of the stars' width: the noise is 2 s sqrt(pi) sigma.
    """
    return flux_adu / (2 * np.sqrt(np.pi) * SIGMA_PER_FWHM * fwhm_pix * sky_rms_adu)


def merge_sightings(
    sightings: Sequence[Sighting], *, sure_sigma: float, expected_sigma: float
) -> pl.DataFrame:
    """Join what several frames of one camera, band and night show, in the pixels of their field.

    A star that two frames show is confirmed. One that a single frame shows, though others are
    deep enough, is a cosmic ray, a satellite, a hot pixel or noise, and is left out (unless a
    neighbour may hide it). Where no other frame is deep enough, a star counts if it is
    significant and looks like one; else it is kept unconfirmed, for other nights to confirm.

    Parameters
    ----------
    sightings
        Frames in a fixed order, or a stack of them; that with most stars leads.
    sure_sigma
        Significance from which a star on a single frame counts.
    expected_sigma
        Significance on another frame from which the star must be seen there.

    Returns
    -------
    Columns of table `detection`: place (mean over the frames, weighted by significance), flux on
    the scale of the leading frame, the rest from the frame that shows it best.
    """
    ordered = sorted(sightings, key=lambda sighting: -sighting.stars.height)
    looks = [_laid(sighting, look) for look, sighting in enumerate(ordered)]
    looks = [look for look in looks if look.height]
    if not looks:
        return pl.DataFrame(schema=SCHEMA)
    fwhm_pix = float(np.median([look["frame_fwhm_pix"][0] for look in looks]))
    stars = _joined(looks, max(LEAST_TOLERANCE_PIX, SAME_STAR_FWHM * fwhm_pix))
    best = _best(stars)
    n_expected = _n_expected(best, ordered, stars, expected_sigma)
    alone = best["n_seen"].to_numpy() == 1
    crowded = _has_neighbour(best, NEIGHBOUR_FWHM * fwhm_pix)
    missed = alone & (n_expected > 1)
    least = np.array([sighting.sure_sigma or sure_sigma for sighting in ordered])
    is_sure = best["significance"].to_numpy() >= least[best["look"].to_numpy()]
    sure = ~missed & is_sure & _looks_like_star(best)
    return (
        best.with_columns(
            n_expected=pl.Series(n_expected, dtype=pl.Int16),
            is_confirmed=pl.Series(~alone | sure),
        )
        .filter(pl.Series(~missed | crowded))
        .select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
        .sort("flux_adu", "x_pix", "y_pix", descending=[True, False, False])
    )


def _laid(sighting: Sighting, look: int) -> pl.DataFrame:
    """Carry the stars of a frame to its field; `look` tells it from the others."""
    stars = sighting.stars
    x, y = invert_registration(sighting.registration, stars["x_pix"], stars["y_pix"])
    (_, a, b), (_, c, d) = (
        sighting.registration.x_coefficient[:3],
        sighting.registration.y_coefficient[:3],
    )
    stretch = float(np.sqrt(abs(a * d - b * c)))
    seen = significance(
        stars["flux_adu"].to_numpy(),
        fwhm_pix=sighting.fwhm_pix,
        sky_rms_adu=sighting.sky_rms_adu,
    )
    laid = stars.with_columns(
        pl.col("fwhm_pix") / stretch,
        x_pix=pl.Series(x),
        y_pix=pl.Series(y),
        significance=pl.Series(seen),
        frame_id=pl.lit(sighting.frame_id, pl.Int32),
        look=pl.lit(look),
        frame_fwhm_pix=pl.lit(sighting.fwhm_pix / stretch),
    )
    return laid.filter(pl.col("x_pix").is_finite() & pl.col("y_pix").is_finite())


def _joined(looks: Sequence[pl.DataFrame], tolerance_pix: float) -> pl.DataFrame:
    """Number the stars of all frames alike, and bring fluxes to the scale of the first frame."""
    place = np.zeros((0, 2))
    flux, depth = np.zeros(0), np.zeros(0)
    numbered: list[pl.DataFrame] = []
    for look in looks:
        xy = look.select("x_pix", "y_pix").to_numpy()
        i, j = pair_points(xy, place, tolerance_pix)
        own_flux, own_depth = look["flux_adu"].to_numpy(), look["significance"].to_numpy()
        flux_scale = _ratio(own_flux[i], flux[j])
        depth_scale = _ratio(own_depth[i], depth[j])
        star = np.full(look.height, -1)
        star[i] = j
        new = np.flatnonzero(star < 0)
        star[new] = len(place) + np.arange(new.size)
        place = np.vstack([place, xy[new]])
        flux = np.append(flux, own_flux[new] / flux_scale)
        depth = np.append(depth, own_depth[new] / depth_scale)
        numbered.append(
            look.with_columns(
                pl.col("flux_adu") / flux_scale,
                star=pl.Series(star),
                depth_scale=pl.lit(depth_scale),
            )
        )
    return pl.concat(numbered)


def _ratio(own: Array, others: Array) -> float:
    return float(np.median(own / others)) if own.size >= MIN_COMMON else 1.0


def _best(stars: pl.DataFrame) -> pl.DataFrame:
    """Sum up each star: the mean of its places, the rest from the frame that shows it best."""
    weight = pl.col("significance").clip(1, 100) ** 2
    places = stars.group_by("star").agg(
        *((pl.col(axis) * weight).sum() / weight.sum() for axis in ("x_pix", "y_pix")),
        n_seen=pl.len(),
    )
    best = stars.sort("star", "significance", "look", descending=[False, True, False])
    best = best.unique("star", keep="first", maintain_order=True).drop("x_pix", "y_pix")
    return best.join(places, on="star", maintain_order="left")


def _n_expected(
    best: pl.DataFrame, sightings: Sequence[Sighting], stars: pl.DataFrame, expected_sigma: float
) -> NDArray[np.int16]:
    """Count the frames that should show each star: they hold it and are deep enough."""
    scale = dict(stars.select("look", "depth_scale").unique().iter_rows())
    depth = best["significance"].to_numpy() / best["depth_scale"].to_numpy()
    n_expected = np.zeros(best.height, np.int16)
    for look, sighting in enumerate(sightings):
        x, y = apply_registration(sighting.registration, best["x_pix"], best["y_pix"])
        edge = 2 * sighting.fwhm_pix
        holds = (x > edge) & (y > edge)
        holds &= (x < sighting.n_x_pix - 1 - edge) & (y < sighting.n_y_pix - 1 - edge)
        deep = depth * scale.get(look, 0.0) >= expected_sigma
        n_expected += (holds & deep) | (best["look"].to_numpy() == look)
    return n_expected


def _has_neighbour(best: pl.DataFrame, radius_pix: float) -> NDArray[np.bool_]:
    found = np.zeros(best.height, bool)
    pairs = KDTree(best.select("x_pix", "y_pix").to_numpy()).query_pairs(
        radius_pix, output_type="ndarray"
    )
    found[pairs.ravel()] = True
    return found


def _looks_like_star(best: pl.DataFrame) -> NDArray[np.bool_]:
    """Tell stars from streaks and blobs by width and length; saturated stars are wide."""
    width = pl.col("fwhm_pix") / pl.col("frame_fwhm_pix")
    is_saturated = (pl.col("flags") & int(Flag.SATURATED)) != 0
    has_shape = width.is_between(NARROWEST, WIDEST) & (pl.col("elongation") < LONGEST)
    return best.select(has_shape.fill_null(value=False) | is_saturated).to_series().to_numpy()
