"""Frames made ready to be stacked: reduced, without their sky, in files that are read piecemeal."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...warehouse import disk
from ...warehouse.store import Warehouse
from ..background import bad_pixels
from ..pixels import Image
from ..registration import Registration, apply_registration
from ..reproject import PixelMap, area_ratio, at_nodes, bin_image, binned_map, pixel_map
from ..sky_plane import sky_plane
from ..stack import StackInput
from .light_pixels import reduce_light
from .tasks import LightTask

FOLDER = "stacks"
BINNED_FROM = 1.5  # times finer than the grid: a frame is binned before it is resampled


@contextmanager
def draft_folder(warehouse: Warehouse, needed_byte: float) -> Iterator[Path]:
    """Give a folder for the frames of a stack while it is made; what a kill left there goes.

    Raises
    ------
    DiskFullError
        No room for them.
    """
    folder = warehouse.folder / FOLDER
    folder.mkdir(exist_ok=True)
    for left in folder.glob(".draft-*"):  # the run that writes is the only one
        shutil.rmtree(left, ignore_errors=True)
    with (
        disk.room_for(folder, needed_byte),
        TemporaryDirectory(prefix=".draft-", dir=folder) as draft,
    ):
        yield Path(draft)


def prepare_frame(
    task: LightTask,
    registration: Registration,
    grid: tuple[int, int],
    draft: Path,
    *,
    sky: Literal["mesh", "plane"],
    flux_factor: float,
    weight: float,
    gain_e_per_adu: float | None,
) -> StackInput:
    """Reduce a frame, take its sky off, and leave it in a file that is read as the stack needs.

    Parameters
    ----------
    registration
        From the pixels of the grid to those of the frame.
    grid
        Shape of the stack, (n_y, n_x).
    draft
        Folder of the file.
    sky
        What is taken off: the mesh, or a plane.

    Raises
    ------
    FrameError
        The frame cannot be read or calibrated any more.
    """
    mapped = pixel_map(lambda x, y: apply_registration(registration, x, y), grid)
    frame = reduce_light(task)
    level = frame.background.level
    light = frame.data_adu - (level if sky == "mesh" else sky_plane(level))
    light[bad_pixels(frame.data_adu, frame.mask)] = np.nan
    sky_variance = at_nodes(frame.background.rms, mapped) ** 2
    light, mapped, sky_variance = _coarser(light, mapped, sky_variance)
    path, shape = draft / f"{task.frame_id}.f4", light.shape
    light.tofile(path)

    def open_adu() -> Image:
        # copy on write: nothing is written, but the kernels know the array for an ordinary one
        return np.asarray(np.memmap(path, np.float32, "c", shape=shape))

    return StackInput(open_adu, mapped, sky_variance, flux_factor, weight, gain_e_per_adu)


def _coarser(
    light: Image, mapped: PixelMap, sky_variance: NDArray[np.float64]
) -> tuple[Image, PixelMap, NDArray[np.float64]]:
    """Bin a frame whose pixels are much smaller than the grid's: no light falls between."""
    finer = float(np.sqrt(area_ratio(mapped)))
    if finer < BINNED_FROM:
        return light, mapped, sky_variance
    n = round(finer)
    return bin_image(light, n), binned_map(mapped, n), sky_variance * n**2
