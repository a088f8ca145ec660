"""A stack as FITS: light, variance and coverage on one grid, and the frames it is made of."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits

from .stack import Stack

# a WCS is written without the times of the frame it came from
NOT_OF_A_STACK = ("DATE-OBS", "MJD-OBS", "DATE-AVG", "MJD-AVG", "DATEREF", "MJDREF")


def stack_header(
    row: dict[str, Any], frames: pl.DataFrame, wcs_cards: Sequence[Sequence[Any]]
) -> fits.Header:
    """Write what a reader must know of a stack; `row` is that of table `stack`.

    Parameters
    ----------
    frames
        The frames that went in: mid_utc, exposure_s, weight.
    wcs_cards
        Keyword and value of the field's WCS; none without a sky solution.
    """
    header = fits.Header()
    header["BUNIT"] = ("adu", "sky subtracted, of the reference frame")
    header["IMAGETYP"] = ("STACK", "made of light frames, not one itself")
    header["OBJECT"] = row["field_name"]
    header["FILTER"] = (row["band"], "band")
    header["EXPTIME"] = (row["exposure_s"], "[s] what a flux in adu counts for")
    header["TOTALEXP"] = (row["total_exposure_s"], "[s] of all frames")
    header["NCOMBINE"] = (row["n_frame"], "frames that went in")
    header["SKYSUB"] = (row["sky"], "what was taken off each frame as its sky")
    header["COMBINE"] = (row["rule"], "how they were combined")
    header["KERNEL"] = (row["kernel"], "how they were resampled")
    header["EGAIN"] = (row["gain_e_per_adu"], "[electron/adu] grows with the number averaged")
    header["NOISE"] = (row["noise_adu"], "[adu] median noise of one pixel")
    header["CORRNOIS"] = (row["noise_correlation"], "noise of large areas over independent pixels")
    header["FWHM"] = (row["fwhm_pix"], "[pix] weighted mean of its frames")
    header["REFFRAME"] = (row["reference_frame_id"], "frame to whose light all were scaled")
    header.update(_times(frames))
    for keyword, value in wcs_cards:
        if keyword not in NOT_OF_A_STACK:
            header[keyword] = value
    header.add_comment("Pixels are resampled: neighbours share noise. The noise of an aperture of")
    header.add_comment("n pixels is CORRNOIS sqrt(sum of VARIANCE), not sqrt(sum of VARIANCE).")
    return header


def write_stack(path: Path, found: Stack, header: fits.Header, frames: pl.DataFrame) -> None:
    """Write primary HDU (light), VARIANCE, COVERAGE and the table FRAMES to a new file.

    Parameters
    ----------
    frames
        Every frame offered: numbers, texts and booleans; null is nan, or an empty text.
    """
    variance, coverage = header.copy(), header.copy()
    variance["BUNIT"] = ("adu2", "variance of one pixel")
    coverage["BUNIT"] = ("", "number of frames that went in")
    # the signed integer of FITS holds as many frames as anybody has
    n_used = np.minimum(found.n_used, np.iinfo(np.int16).max).astype(np.int16)
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(found.data_adu, header),
            fits.ImageHDU(found.variance_adu2, variance, name="VARIANCE"),
            fits.ImageHDU(n_used, coverage, name="COVERAGE"),
            fits.BinTableHDU.from_columns(_columns(frames), name="FRAMES"),
        ]
    )
    hdus.writeto(path, output_verify="exception")


def _times(frames: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """First, last and mean time; nothing where no frame has one."""
    timed = frames.filter(pl.col("mid_utc").is_not_null())
    if timed.is_empty():
        return {}
    mids: list[datetime] = timed["mid_utc"].to_list()
    halves = [timedelta(seconds=(s or 0.0) / 2) for s in timed["exposure_s"].to_list()]
    weight = timed["weight"].to_numpy()
    ages = np.array([(mid - mids[0]).total_seconds() for mid in mids])
    mean = mids[0] + timedelta(seconds=float(np.average(ages, weights=weight)))
    start = min(mid - half for mid, half in zip(mids, halves, strict=True))
    end = max(mid + half for mid, half in zip(mids, halves, strict=True))
    return {
        "DATE-OBS": (_iso(start), "UTC, start of the first exposure"),
        "DATE-AVG": (_iso(mean), "UTC, weighted mean of the frames' middles"),
        "DATE-END": (_iso(end), "UTC, end of the last exposure"),
        "TIMESYS": ("UTC", ""),
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _columns(frames: pl.DataFrame) -> list[fits.Column]:
    columns: list[fits.Column] = []
    for column in frames.iter_columns():
        if column.dtype == pl.Boolean:
            columns.append(fits.Column(column.name, "L", array=column.to_numpy()))
        elif column.dtype.is_integer() and not column.null_count():
            columns.append(fits.Column(column.name, "J", array=column.to_numpy()))
        elif column.dtype.is_numeric():
            values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
            columns.append(fits.Column(column.name, "D", array=values))
        else:
            texts = [str(value) if value is not None else "" for value in column.to_list()]
            texts = [text.encode("ascii", "replace").decode() for text in texts]
            width = max([1, *(len(text) for text in texts)])
            columns.append(fits.Column(column.name, f"{width}A", array=texts))
    return columns
