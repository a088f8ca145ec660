"""Level and noise of a frame as read, from some of its rows."""

from dataclasses import dataclass

import numpy as np

from .pixels import RowReader
from .samples import local_noise

N_BLOCK = 16  # blocks of rows, evenly spaced, that stand for a frame
BLOCK_PIX = 32_000


@dataclass(frozen=True, slots=True)
class FrameLevel:
    """Median, and noise of one pixel against its second neighbour, ADU; nan without numbers."""

    level_adu: float
    noise_adu: float


def frame_level(reader: RowReader) -> FrameLevel:
    """Look at half a million pixels of a frame in rows spread evenly over it.

    Raises
    ------
    PixelError
        The frame cannot be read.
    """
    n_y, n_x = reader.shape
    n_block = min(N_BLOCK, n_y)
    height = max(1, min(n_y // n_block, BLOCK_PIX // n_x))
    starts = np.linspace(0, n_y - height, n_block).astype(int)
    rows = np.concatenate([reader.rows(int(y), int(y) + height) for y in starts])
    finite = rows[np.isfinite(rows)]
    if finite.size == 0:
        return FrameLevel(float("nan"), float("nan"))
    return FrameLevel(float(np.median(finite)), local_noise(rows))
