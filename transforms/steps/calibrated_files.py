"""Files of calibrated frames, with variance and mask, for other programs.

A file is what astropy's `CCDData.read` expects: the frame first, then MASK (bits of `PixelMask`,
any of which masks) and UNCERT (a variance).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...errors import CalibrationError
from ...warehouse import disk
from ..calibrate import Calibrated, CalibratedWithVariance
from ..mask import PixelMask
from ..pixels import Image
from .light_pixels import calibrate_light, calibrate_light_with_variance, read_light
from .tasks import LightTask

# of the raw file's layout, which is not that of the calibrated one
LAYOUT = {"SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "BZERO", "BSCALE", "BLANK"}
UNWANTED = LAYOUT | {"XTENSION", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM", "BUNIT", "EXTNAME"}


def write_calibrated(path: Path, task: LightTask) -> bool:
    """Calibrate a light frame and write it; return whether its variance is known.

    Raises
    ------
    FrameError
        The frame cannot be read or calibrated, or a master is gone.
    DiskFullError
        No room for the file.
    """
    raw, saturation_adu, _ = read_light(task)
    found: Calibrated | CalibratedWithVariance
    has_variance = task.gain_e_per_adu is not None and task.read_noise_e is not None
    if has_variance:
        found = calibrate_light_with_variance(task, raw, saturation_adu)
    else:
        found = calibrate_light(task, raw, saturation_adu)
    hdus = [
        fits.PrimaryHDU(found.data_adu, _header(task)),
        fits.ImageHDU(found.mask, _mask_header(), name="MASK"),
    ]
    if isinstance(found, CalibratedWithVariance):
        hdus.append(fits.ImageHDU(found.variance_adu2, _variance_header(), name="UNCERT"))
    _write(path, hdus, found.data_adu, found.mask)
    return has_variance


def _header(task: LightTask) -> fits.Header:
    """Return the header as it was, with what was done to the frame."""
    header = fits.Header()
    for keyword, value, comment in json.loads(task.header):
        if keyword and keyword not in UNWANTED:
            header.append(_card(keyword, value, comment), end=True)
    header["BUNIT"] = "adu"
    for kind in ("bias", "dark", "flat"):
        master_id = task.calibration[f"{kind}_master_id"]
        header[f"M{kind.upper()}"] = (master_id or 0, f"master {kind} that was used; 0: none")
    if task.calibration["dark_scale"] is not None:
        header["DARKSCAL"] = (task.calibration["dark_scale"], "factor of that dark")
    if task.gain_e_per_adu is not None:
        header["GAINUSED"] = (task.gain_e_per_adu, "[electron/adu] of the variance")
    if task.calibration["linearity_source"] is not None:
        header["LINEAR"] = (task.calibration["linearity_source"], "whose linearity was used")
    header.add_history(f"calibrated from {task.path.name.encode('ascii', 'replace').decode()}")
    return header


def _card(keyword: str, value: Any, comment: str | None) -> fits.Card:
    text = value.encode("ascii", "replace").decode() if isinstance(value, str) else value
    card = fits.Card(keyword, text, (comment or "").encode("ascii", "replace").decode())
    card.verify("silentfix")
    return card


def _mask_header() -> fits.Header:
    header = fits.Header()
    for bit in PixelMask:
        name = (bit.name or "").lower().replace("_", " ")
        header[f"BIT{bit.value.bit_length() - 1}"] = (name, f"value {bit.value}")
    return header


def _variance_header() -> fits.Header:
    header = fits.Header()
    header["UTYPE"] = ("VarianceUncertainty", "as astropy's CCDData calls it")
    header["BUNIT"] = "adu2"
    return header


def _write(path: Path, hdus: list[Any], data: Image, mask: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise CalibrationError(f"{path}: there already. Move it away, or choose another --output.")
    draft = path.with_name(f".{path.name}.draft")
    try:
        with disk.room_for(path.parent, 2 * data.nbytes + mask.nbytes):
            fits.HDUList(hdus).writeto(draft, overwrite=True, output_verify="silentfix")
            disk.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
