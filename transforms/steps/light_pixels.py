"""The pixels of one light frame: read, calibrated with the masters chosen for it, masked."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CalibrationError
from ..background import Background, mesh_background
from ..calibrate import (
    Calibrated,
    CalibratedWithVariance,
    MasterRows,
    PixelLimits,
    PixelNoise,
    calibrate,
    calibrate_with_variance,
)
from ..cosmics import CosmicLimits, mask_cosmic_rays
from ..linearity import make_linearity
from ..pixels import Image, read_pixels
from ..saturation import estimate_saturation_adu
from .master_files import cut, open_master, read_defects, read_master, read_pedestal
from .masters import frame_sections
from .tasks import LightTask, MasterFile


@dataclass(frozen=True, slots=True)
class Reduced:
    """A frame in memory: raw and calibrated pixels, mask (bits of `PixelMask`), sky."""

    raw: NDArray[Any]
    data_adu: NDArray[np.float32]
    mask: NDArray[np.uint8]
    background: Background
    saturation_adu: float | None
    saturation_source: str


def reduce_light(
    task: LightTask,
    *,
    sky_step_pix: int = 1,
    room: Calibrated | None = None,
    raw_room: NDArray[Any] | None = None,
) -> Reduced:
    """Read a frame, calibrate it with its masters and measure its sky.

    Parameters
    ----------
    sky_step_pix
        See `mesh_background`.
    room
        What an earlier frame was calibrated into, to be written over; see `calibrate`.
    raw_room
        What an earlier frame was read into; see `read_pixels`.

    Raises
    ------
    FrameError
        The frame cannot be read or calibrated, or a master is gone.
    """
    raw, saturation_adu, source = read_light(task, room=raw_room)
    calibrated = calibrate_light(task, raw, saturation_adu, room=room)
    data, mask = calibrated.data_adu, calibrated.mask
    background = mesh_background(
        data, mask=mask, mesh_pix=task.config.detection.mesh_pix, step_pix=sky_step_pix
    )
    return Reduced(raw, data, mask, background, saturation_adu, source)


def read_light(
    task: LightTask, *, room: NDArray[Any] | None = None
) -> tuple[NDArray[Any], float | None, str]:
    """Read a frame; return its pixels, the level at which they saturate, and who says so."""
    raw = read_pixels(task.path, task.hdu_index, shape=task.shape, room=room)
    saturation_adu, source = task.detector.saturation_adu, task.detector.saturation_source
    if saturation_adu is None or source is None:
        saturation_adu = estimate_saturation_adu(raw)
        source = "none" if saturation_adu is None else "pixels"
    return raw, saturation_adu, source


def calibrate_light(
    task: LightTask,
    raw: NDArray[Any],
    saturation_adu: float | None,
    *,
    room: Calibrated | None = None,
) -> Calibrated:
    """Calibrate a light frame with the masters chosen for it; mask cosmic rays if configured.

    Raises
    ------
    CalibrationError
        A master is gone, or holds another part of a frame than the light; or cosmic rays cannot
        be told from noise, for gain and read noise are not known.
    """
    if task.config.calibration.cosmic_rays:
        found = calibrate_light_with_variance(task, raw, saturation_adu)
        return Calibrated(found.data_adu, found.mask)
    treatment = _treatment(task, saturation_adu)
    treatment |= _levels(task, raw, treatment)
    return calibrate(raw, flat=_pixels(task.flat, raw), room=room, **treatment)


def calibrate_light_with_variance(
    task: LightTask,
    raw: NDArray[Any],
    saturation_adu: float | None,
    *,
    room: CalibratedWithVariance | None = None,
) -> CalibratedWithVariance:
    """Calibrate a light frame as `calibrate_light` does, with the variance of each pixel.

    The noise of a master that was imported is not known, and not counted.

    Raises
    ------
    CalibrationError
        As `calibrate_light`; or gain and read noise are not known.
    """
    gain, read_noise_e = task.gain_e_per_adu, task.read_noise_e
    if gain is None or read_noise_e is None:
        raise CalibrationError(
            f"{task.path}: no variance without gain ({gain}) and read noise ({read_noise_e}). "
            "Take flats and biases, or state both in the configuration; cosmic rays need them, too."
        )
    with ExitStack() as stack:
        bias, dark, flat = (
            _rows(stack, master, task) for master in (task.bias, task.dark, task.flat)
        )
        found = calibrate_with_variance(
            raw,
            noise=PixelNoise(read_noise_e / gain, gain),
            bias=bias,
            dark=dark,
            flat=flat,
            room=room,
            **_treatment(task, saturation_adu),
        )
    settings = task.config.calibration
    if not settings.cosmic_rays:
        return found
    mask = mask_cosmic_rays(
        found.data_adu,
        found.mask,
        variance_adu2=found.variance_adu2,
        saturation_adu=saturation_adu,
        limits=CosmicLimits(settings.cosmic_sigma),
    )
    return CalibratedWithVariance(found.data_adu, found.variance_adu2, mask)


def _rows(stack: ExitStack, master: MasterFile | None, task: LightTask) -> MasterRows | None:
    """Open the part of a master that a frame shows, with its variance."""
    if master is None:
        return None
    return stack.enter_context(
        open_master(master.path, master.checksum, corner=master.corner, shape=task.shape)
    )


def _levels(task: LightTask, raw: NDArray[Any], treatment: dict[str, Any]) -> dict[str, Any]:
    """Read bias and dark; as one image, half the room and time, where nothing comes between."""
    bias, dark = task.bias, task.dark
    is_one = task.dark_is_bias_subtracted and treatment["linearity"] is None
    if bias is None or dark is None or bias.corner != dark.corner or not is_one:
        return {"bias": _pixels(bias, raw), "dark": _pixels(dark, raw)}
    held = read_pedestal(
        bias.path, bias.checksum, dark.path, dark.checksum, treatment["dark_scale"]
    )
    return {
        "bias": None,
        "dark": cut(held, dark.corner, raw.shape),
        "dark_is_bias_subtracted": False,
        "dark_scale": 1.0,
    }


def _pixels(master: MasterFile | None, raw: NDArray[Any]) -> Image | None:
    """Read the part of a master that a frame shows."""
    if master is None:
        return None
    return cut(read_master(master.path, master.checksum), master.corner, raw.shape)


def _treatment(task: LightTask, saturation_adu: float | None) -> dict[str, Any]:
    """Return what calibrating needs beside the pixels of bias, dark and flat."""
    settings = task.config.calibration
    sections = frame_sections(task.header, task.shape, is_wanted=settings.overscan)
    masters = (task.bias, task.dark, task.flat, task.defects)
    for master in masters:
        # an imported master may hold the light alone without saying so: its size decides
        if master is not None and master.trim is not None and master.trim != sections.trim:
            raise CalibrationError(
                f"{task.path}: its light is {sections.trim or 'the whole frame'}, but master "
                f"{master.master_id} holds {master.trim}. Retire that master, or put TRIMSEC right."
            )
    defects = task.defects
    return {
        "dark_is_bias_subtracted": task.dark_is_bias_subtracted,
        "dark_scale": task.calibration["dark_scale"] or 1.0,
        "defects": None
        if defects is None
        else cut(read_defects(defects.path, defects.checksum), defects.corner, task.shape),
        "sections": sections,
        "linearity": make_linearity(task.detector.linearity),
        "limits": PixelLimits(saturation_adu, task.detector.linearity_adu, settings.min_flat),
        "name": str(task.path),
    }
