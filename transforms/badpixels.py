"""Pixels of a camera that are worth less than others: hot, cold and dead ones.

A pixel is hot if it stands above its surroundings in the master dark by more than `hot_sigma`
times the noise of one frame: left in a light, it would look like a star. It is cold if every flat
of the night gives it less than `cold_response` of the light of its surroundings, dead below
`dead_response` or if no flat gives it a value. The surroundings are a smooth map, so that glow
and vignetting are no defects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from .background import mesh_background
from .calibrate import check_shape
from .mask import PixelMask
from .pixels import Image

MIN_DARK = 3  # of fewer frames a cosmic ray is left in the master, and would be a hot pixel
MESH_PIX = 64


@dataclass(frozen=True, slots=True)
class Defects:
    """A map of defects, and how it was made: columns of table defect_map.

    `bits` of `PixelMask`, shape (n_y, n_x): HOT, COLD, DEAD. `hot_adu` is what a hot pixel
    stands above its surroundings at least; None without a dark.
    """

    bits: NDArray[np.uint8]
    hot_adu: float | None
    n_hot_pix: int
    n_cold_pix: int
    n_dead_pix: int


def find_defects(
    dark: Image | None,
    flats: Sequence[Image],
    *,
    frame_noise_adu: float | None = None,
    hot_sigma: float = 10.0,
    cold_response: float = 0.5,
    dead_response: float = 0.1,
) -> Defects:
    """Find the defects of a camera in its masters.

    Parameters
    ----------
    dark
        Master dark, with or without its bias, shape (n_y, n_x), ADU; None: hot pixels are not
        looked for.
    flats
        Master flats of the same shape, in any bands; none: cold and dead ones are not looked for.
    frame_noise_adu
        Noise of a pixel of one dark frame. The master's scatter about its surroundings is taken
        if that is larger, for pattern is no defect, either.
    hot_sigma, cold_response, dead_response
        See the module.

    Raises
    ------
    CalibrationError
        Neither dark nor flat, or of different shapes.
    """
    masters = [image for image in (dark, *flats) if image is not None]
    if not masters:
        raise CalibrationError("a map of defects needs a master dark or a master flat.")
    for image in masters:
        check_shape("other master", masters[0], "master", image.shape)
    bits = np.zeros(masters[0].shape, np.uint8)
    hot_adu = None
    if dark is not None:
        above, scatter_adu = _above_surroundings(dark)
        hot_adu = hot_sigma * max(frame_noise_adu or 0.0, scatter_adu)
        bits[above > hot_adu] |= np.uint8(PixelMask.HOT)
    if flats:
        response = _response(flats)
        bits[response < cold_response] |= np.uint8(PixelMask.COLD)
        is_dead = response < dead_response
        bits[is_dead] = (bits[is_dead] & ~np.uint8(PixelMask.COLD)) | np.uint8(PixelMask.DEAD)
    n_hot, n_cold, n_dead = (
        int(np.count_nonzero(bits & np.uint8(bit)))
        for bit in (PixelMask.HOT, PixelMask.COLD, PixelMask.DEAD)
    )
    return Defects(bits, hot_adu, n_hot, n_cold, n_dead)


def _above_surroundings(dark: Image) -> tuple[Image, float]:
    """Return a dark above its smooth map, -inf where it has no value, and its scatter."""
    is_number = np.isfinite(dark)
    sky = mesh_background(dark, ~is_number, mesh_pix=MESH_PIX)
    above = np.where(is_number, dark - sky.level, np.float32(-np.inf))
    return above, sky.rms_adu


def _response(flats: Sequence[Image]) -> Image:
    """Return the largest response of each pixel in any flat, over that of its surroundings."""
    largest = np.zeros(flats[0].shape, np.float32)
    for flat in flats:
        is_number = np.isfinite(flat)
        level = mesh_background(flat, ~is_number, mesh_pix=MESH_PIX).level
        is_lit = is_number & (level > 0)
        relative = np.divide(flat, level, out=np.zeros_like(largest), where=is_lit)
        np.maximum(largest, relative, out=largest)
    return largest
