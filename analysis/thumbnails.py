"""Small pictures of frames and masters: smoothed by averaging blocks, as PNG."""

import io
from typing import Any

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from .canvas import Array

THUMBNAIL_PIX = 320  # longer side


def block_mean(image: NDArray[Any], longer_side_pix: int = THUMBNAIL_PIX) -> Array:
    """Average an image in square blocks until no side is longer; pixels without value left out.

    Parameters
    ----------
    image
        Shape (n_y, n_x); rows and columns that fill no block are cut off.

    Returns
    -------
    Means, nan where a block has no number.
    """
    size = -(-max(image.shape) // longer_side_pix)
    n_y, n_x = image.shape[0] // size, image.shape[1] // size
    blocks = image[: n_y * size, : n_x * size].reshape(n_y, size, n_x, size)
    is_number = np.isfinite(blocks)
    total = np.where(is_number, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    n_good = is_number.sum(axis=(1, 3))
    return np.where(n_good > 0, total / np.maximum(n_good, 1), np.nan)


def grey_png(image: NDArray[Any], *, low: float = 0.5, high: float = 99.5) -> bytes:
    """Draw a master, black to white between two percentiles; first row at the bottom."""
    small = block_mean(image)
    black, white = _percentiles(small, low, high)
    return _png(small, "gray", black, white)


def sky_png(image: NDArray[Any]) -> bytes:
    """Draw a light frame with its stars: the sky dark grey, bright stars not burnt out."""
    small = block_mean(image)
    black, sky, white = (*_percentiles(small, 1, 50), _percentiles(small, 50, 99.8)[1])
    scale = max(white - sky, 1e-9) / 10
    stretched = np.arcsinh((small - black) / scale)
    return _png(stretched, "gray", 0.0, float(np.arcsinh((white - black) / scale)))


def ratio_png(ratio: NDArray[Any], *, limit: float = 0.03) -> bytes:
    """Draw a ratio of two flats: white where it is 1, red above, blue below."""
    return _png(block_mean(ratio), "RdBu_r", 1 - limit, 1 + limit)


def _percentiles(image: Array, low: float, high: float) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    first, last = np.percentile(finite, [low, high])
    return float(first), float(max(last, first + 1e-9))


def _png(image: Array, colours: str, black: float, white: float) -> bytes:
    buffer = io.BytesIO()
    imsave(
        buffer,
        np.nan_to_num(image, nan=black),
        cmap=colours,
        vmin=black,
        vmax=white,
        origin="lower",
        format="png",
        metadata={"Software": "starmuster"},
    )
    return buffer.getvalue()
