"""The sky of a frame: its level and its noise in every pixel."""

from dataclasses import dataclass

import numpy as np
import sep
from numba import njit
from numpy.typing import NDArray

from ..errors import PhotometryError
from .mask import UNUSABLE, PixelMask, mask_bits

MIN_GOOD_PIXELS = 16
COUNTED_ROWS = 256
CROWDED_SHARE = 0.03  # of pixels 3 sigma above the sky; Gaussian noise alone has 0.0013
CLIPPED_SIGMA = 0.9848  # of Gaussian noise clipped at 3 of its own sigmas until it stays


@dataclass(frozen=True, slots=True)
class Background:
    """Sky level and noise, as maps and as one number each.

    Attributes
    ----------
    level, rms
        Maps of every `step_pix`-th pixel of the frame, float32, ADU per pixel.
    level_adu, rms_adu
        Medians of the maps, ADU.
    step_pix
        1: the maps have the shape of the frame.
    """

    level: NDArray[np.float32]
    rms: NDArray[np.float32]
    level_adu: float
    rms_adu: float
    step_pix: int = 1


def float_image(image: NDArray) -> NDArray:
    """Give the image as contiguous float32 in the machine's own byte order."""
    return np.ascontiguousarray(image, dtype=np.float32)


def bad_pixels(image: NDArray, mask: NDArray | None) -> NDArray[np.bool_]:
    """Mark the pixels that carry no light measurement, shape (n_y, n_x).

    Parameters
    ----------
    mask
        Boolean (true is bad), or bits of `PixelMask`: then the UNUSABLE are bad, others not.
    """
    bad = ~np.isfinite(image)
    check_mask(image, mask)
    if mask is None:
        return bad
    return bad | (mask if mask.dtype == bool else (mask & UNUSABLE.value) != 0)


def check_mask(image: NDArray, mask: NDArray | None) -> None:
    """Refuse a mask of another shape.

    Raises
    ------
    PhotometryError
        With both shapes.
    """
    if mask is not None and mask.shape != image.shape:
        raise PhotometryError(
            f"mask of shape {mask.shape} for an image of shape {image.shape}: "
            "pass the mask that belongs to this image."
        )


def n_saturated(mask: NDArray | None) -> int:
    """Count the saturated pixels, as far as the mask knows of any; some rows at a time."""
    if mask is None or mask.dtype == bool:
        return 0
    saturated = np.uint8(PixelMask.SATURATED)
    rows = range(0, mask.shape[0], COUNTED_ROWS)
    return sum(int(np.count_nonzero(mask[y : y + COUNTED_ROWS] & saturated)) for y in rows)


def mesh_background(
    image: NDArray,
    mask: NDArray | None = None,
    *,
    mesh_pix: int = 64,
    filter_mesh: int = 3,
    step_pix: int = 1,
) -> Background:
    """Estimate the sky on a mesh: clipped mode of each box, median filter, bicubic spline.

    A frame smaller than a few boxes gets smaller ones, down to 16 pixels, so that gradients
    are followed; boxes without good pixels are filled from their neighbours. In a crowded frame
    the unresolved wings of stars lift both level and noise: there the mesh is laid a second
    time, around the stars seen with the first.

    Parameters
    ----------
    image
        Calibrated frame, shape (n_y, n_x), ADU; nan counts as masked.
    mask
        Boolean (bad), or bits of `PixelMask`, same shape.
    mesh_pix
        Side of a box, pixels: several times the size of the largest star.
    filter_mesh
        Side of the median filter, boxes.
    step_pix
        Look at every so manieth pixel along each axis, in boxes that are wider by as much: on a
        large frame a quarter of the pixels in boxes twice as wide say as much of the sky.

    Raises
    ------
    PhotometryError
        If fewer than 16 pixels are good.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393; Barbary 2016, JOSS 1, 58.
    """
    check_mask(image, mask)
    pixels, bad = _sampled(float_image(image), mask_bits(mask), np.uint8(UNUSABLE), step_pix)
    n_good = bad.size - int(np.count_nonzero(bad))
    if n_good < MIN_GOOD_PIXELS:
        raise PhotometryError(
            f"frame of {image.shape[1]} x {image.shape[0]} pixels: {n_good} good pixels, at least "
            f"{MIN_GOOD_PIXELS} needed for a sky level. Look at the frame and its bad-pixel mask."
        )
    box_pix = min(mesh_pix, max(16, min(pixels.shape) // 4), *pixels.shape)
    level, rms = _lay_mesh(pixels, bad, box_pix, filter_mesh)
    if _bright_share(pixels, level, rms) > CROWDED_SHARE:
        stars = _star_pixels(pixels > level + 3 * rms)
        if CROWDED_SHARE * n_good < np.count_nonzero(stars) < n_good - MIN_GOOD_PIXELS:
            level, rms = _lay_mesh(pixels, bad | stars, box_pix, filter_mesh)
    return Background(level, rms, _sampled_median(level), _sampled_median(rms), step_pix)


@njit(cache=True, nogil=True)
def _sampled(image, bits, bad_bits, step):
    """Copy every `step`-th pixel along each axis, bad ones as 0; and tell which are bad."""
    shape = ((image.shape[0] - 1) // step + 1, (image.shape[1] - 1) // step + 1)
    pixels, bad = np.empty(shape, image.dtype), np.empty(shape, np.bool_)
    for j in range(shape[0]):
        row, marks, light = pixels[j], bad[j], image[j * step]
        for i in range(row.size):
            row[i] = light[i * step]
        for i in range(row.size):
            marks[i] = not np.isfinite(row[i])
        if bits.size > 0:
            reasons = bits[j * step]
            for i in range(row.size):
                marks[i] |= (reasons[i * step] & bad_bits) != 0
        for i in range(row.size):
            row[i] = 0 if marks[i] else row[i]
    return pixels, bad


def level_at(background: Background, x, y) -> NDArray:
    """Look up the sky at positions, beyond the edge that at the edge; shape (n,), ADU."""
    return _looked_up(background.level, background.step_pix, x, y)


def rms_at(background: Background, x, y) -> NDArray:
    """Look up the noise of the sky at positions in the same way; shape (n,), ADU."""
    return _looked_up(background.rms, background.step_pix, x, y)


def _looked_up(smooth_map: NDArray, step_pix: int, x, y) -> NDArray:
    n_y, n_x = smooth_map.shape
    column = np.clip(np.rint(np.asarray(x) / step_pix), 0, n_x - 1).astype(np.intp)
    row = np.clip(np.rint(np.asarray(y) / step_pix), 0, n_y - 1).astype(np.intp)
    return smooth_map[row, column]


def sky_change(background: Background, x, y, reach_pix: float) -> NDArray:
    """Tell by how much the sky changes across a circle, at its steepest; shape (n,), ADU."""
    along_x = level_at(background, x + reach_pix, y) - level_at(background, x - reach_pix, y)
    along_y = level_at(background, x, y + reach_pix) - level_at(background, x, y - reach_pix)
    return np.hypot(along_x, along_y)


def _bright_share(pixels: NDArray, level: NDArray, rms: NDArray) -> float:
    """Estimate from every sixteenth pixel how many lie 3 sigma above the sky."""
    sample = np.s_[::4, ::4] if min(pixels.shape) > 400 else np.s_[:, :]
    return float(np.mean(pixels[sample] > level[sample] + 3 * rms[sample]))


def _star_pixels(is_bright: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark bright pixels among bright pixels, with their wings; lone hot pixels stay sky."""
    bright = is_bright.view(np.uint8)
    cores = is_bright & (_square_sum(bright, 1) > 3)
    return _square_sum(cores.view(np.uint8), 2) > 0


def _square_sum(counts: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """Sum the square of 2 reach + 1 pixels around each pixel, as far as it is on the frame."""
    for axis in (0, 1):
        lines = np.moveaxis(counts, axis, 0)
        total = lines.copy()
        for step in range(1, reach + 1):
            total[step:] += lines[:-step]
            total[:-step] += lines[step:]
        counts = np.moveaxis(total, 0, axis)
    return counts


def _lay_mesh(pixels, bad, box_pix: int, filter_mesh: int) -> tuple[NDArray, NDArray]:
    if not _has_usable_box(bad, box_pix):
        level, rms = _clipped_sky(pixels[~bad])
        return np.full(bad.shape, level, np.float32), np.full(bad.shape, rms, np.float32)
    mesh = sep.Background(
        pixels,
        mask=bad if bad.any() else None,
        bw=box_pix,
        bh=box_pix,
        fw=filter_mesh,
        fh=filter_mesh,
    )
    rms = mesh.rms(dtype=np.float32)
    rms /= CLIPPED_SIGMA
    return mesh.back(dtype=np.float32), rms


def _has_usable_box(bad: NDArray[np.bool_], box_pix: int) -> bool:
    """Tell whether any box has more than half of its pixels good, as sep asks."""
    if 2 * np.count_nonzero(bad) < bad.size:
        return True
    rows, columns = (np.arange(0, n, box_pix) for n in bad.shape)
    n_bad = np.add.reduceat(np.add.reduceat(bad.astype(np.int32), rows, axis=0), columns, axis=1)
    heights, widths = (np.minimum(box_pix, n - np.arange(0, n, box_pix)) for n in bad.shape)
    return bool(np.any(2 * n_bad < np.outer(heights, widths)))


def _clipped_sky(values: NDArray) -> tuple[float, float]:
    """Clip scattered pixels at 3 sigma about their median until the set stays."""
    while True:
        level = float(np.median(values))
        rms = float(1.4826 * np.median(np.abs(values - level))) or float(np.std(values))
        kept = values[np.abs(values - level) <= 3 * rms]
        if kept.size == values.size:
            return level, rms
        values = kept


def _sampled_median(smooth_map: NDArray) -> float:
    # the map is a spline through boxes: every eighth pixel carries all of it
    step = max(1, min(8, min(smooth_map.shape) // 16))
    return float(np.median(smooth_map[::step, ::step]))
