"""What one look at a frame tells, and which of several frames tell most."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ..detection import FALLBACK_FWHM_PIX
from ..sightings import best_first, starlike

MAX_WIDENING = 2.0  # of the best frame's stars: beyond it places are those of several stars


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one look at a frame tells: its stars and its quality."""

    frame_id: int
    stars: pl.DataFrame
    quality: pl.DataFrame


def best_looks(looks: Sequence[Inspection]) -> list[int]:
    """Order frames by what they show, the best first, without those that are far more blurred.

    Trailed frames show many streaks: only what has the shape of a star counts. See `best_first`.
    """
    fwhm_pix = [look.quality["fwhm_pix"][0] or FALLBACK_FWHM_PIX for look in looks]
    n_star = [
        int(starlike(look.stars, fwhm_pix=width).sum())
        for look, width in zip(looks, fwhm_pix, strict=True)
    ]
    noise = [
        width * look.quality["sky_rms_adu"][0] for look, width in zip(looks, fwhm_pix, strict=True)
    ]
    order = best_first(n_star, noise)
    return [i for i in order if fwhm_pix[i] <= MAX_WIDENING * fwhm_pix[order[0]]]
