"""Read and calibrate a frame of 9576 x 6388, plain and with variance and mask."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from measure import SHAPE, Row, measured, show

KINDS = {"bias": (1000.0, 1.0), "dark": (20.0, 1.0), "flat": (1.0, 0.01)}
GAIN_E_PER_ADU, READ_NOISE_E = 1.3, 7.5
SATURATION_ADU = 65_535.0


def write_files(folder: Path) -> None:
    """Write a frame, and masters with their variances and counts."""
    rng = np.random.default_rng(2)
    raw = rng.integers(1000, 30_000, SHAPE, dtype=np.uint16)
    fits.PrimaryHDU(raw).writeto(folder / "raw.fits")
    for kind, (level, noise) in KINDS.items():
        data = rng.standard_normal(SHAPE, np.float32) * np.float32(noise) + np.float32(level)
        variance = np.full(SHAPE, noise**2, np.float32)
        hdus = [fits.PrimaryHDU(data), fits.ImageHDU(variance, name="VARIANCE")]
        fits.HDUList(hdus).writeto(folder / f"{kind}.fits")


def prepare_ours(folder: Path) -> tuple[Path, dict[str, Any], Any]:
    """Hold masters, and the room that the frame before was calibrated into, as the chain does."""
    from starmuster.transforms.calibrate import Calibrated, calibrate
    from starmuster.transforms.pixels import read_pixels

    small = np.ones((8, 8), np.float32)
    calibrate(small.astype(np.uint16), bias=small, dark=small, flat=small)
    room = Calibrated(np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.uint8))
    return folder, {kind: read_pixels(folder / f"{kind}.fits", 0) for kind in KINDS}, room


def work_ours(needed: tuple[Path, dict[str, Any], Any]) -> None:
    from starmuster.transforms.calibrate import PixelLimits, calibrate
    from starmuster.transforms.pixels import read_pixels

    folder, masters, room = needed
    calibrate(
        read_pixels(folder / "raw.fits", 0),
        dark_is_bias_subtracted=True,
        dark_scale=1.5,
        limits=PixelLimits(SATURATION_ADU),
        room=room,
        **masters,
    )


def prepare_ours_with_variance(folder: Path) -> tuple[Path, Any]:
    from starmuster.transforms.calibrate import (
        CalibratedWithVariance,
        PixelNoise,
        calibrate_with_variance,
        held_rows,
    )

    small = np.ones((8, 8), np.float32)
    master = held_rows(small, small)
    calibrate_with_variance(
        small.astype(np.uint16), noise=PixelNoise(1, 1), bias=master, dark=master, flat=master
    )
    data, variance = np.ones((2, *SHAPE), np.float32)
    return folder, CalibratedWithVariance(data, variance, np.ones(SHAPE, np.uint8))


def work_ours_with_variance(needed: tuple[Path, Any]) -> None:
    from starmuster.transforms.calibrate import (
        MasterRows,
        PixelLimits,
        PixelNoise,
        calibrate_with_variance,
    )
    from starmuster.transforms.pixels import open_rows, read_pixels

    folder, room = needed
    calibrate_with_variance(
        read_pixels(folder / "raw.fits", 0),
        noise=PixelNoise(READ_NOISE_E / GAIN_E_PER_ADU, GAIN_E_PER_ADU),
        dark_is_bias_subtracted=True,
        dark_scale=1.5,
        limits=PixelLimits(SATURATION_ADU),
        room=room,
        **{
            kind: MasterRows(
                open_rows(folder / f"{kind}.fits", 0), open_rows(folder / f"{kind}.fits", 1)
            )
            for kind in KINDS
        },
    )


def prepare_theirs(folder: Path, has_variance: bool) -> tuple[Path, dict[str, Any]]:
    import ccdproc  # noqa: F401
    from astropy.nddata import CCDData, StdDevUncertainty

    masters: dict[str, Any] = {}
    for kind in KINDS:
        with fits.open(folder / f"{kind}.fits", memmap=False) as hdus:
            native = np.ascontiguousarray(hdus[0].data, np.float32)
            masters[kind] = CCDData(native, unit="adu")
            if has_variance:
                error = np.sqrt(np.ascontiguousarray(hdus[1].data, np.float32))
                masters[kind].uncertainty = StdDevUncertainty(error)
    return folder, masters


def work_theirs(needed: tuple[Path, dict[str, Any]]) -> None:
    import ccdproc
    from astropy import units as u
    from astropy.nddata import CCDData

    folder, masters = needed
    frame = CCDData.read(folder / "raw.fits", unit="adu")
    frame.data = frame.data.astype(np.float32)
    if masters["bias"].uncertainty is not None:
        frame = ccdproc.create_deviation(
            frame,
            gain=GAIN_E_PER_ADU * u.electron / u.adu,
            readnoise=READ_NOISE_E * u.electron,
            disregard_nan=True,
        )
        frame.mask = frame.data >= SATURATION_ADU
    frame = ccdproc.subtract_bias(frame, masters["bias"])
    exposures = {"data_exposure": 1.5 * u.s, "dark_exposure": 1 * u.s}
    frame = ccdproc.subtract_dark(frame, masters["dark"], scale=True, **exposures)
    ccdproc.flat_correct(frame, masters["flat"], norm_value=1.0)


def rows() -> list[Row]:
    """Measure, and return the lines of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        return [
            Row(
                "read and calibrate to float32",
                "ccdproc chain",
                measured(prepare_theirs, work_theirs, folder, False, n_run=2),
                measured(prepare_ours, work_ours, folder, n_run=4),
                "0.15 s",
            ),
            Row(
                "the same with variance and mask",
                "ccdproc chain with uncertainties",
                measured(prepare_theirs, work_theirs, folder, True, n_run=1),
                measured(prepare_ours_with_variance, work_ours_with_variance, folder, n_run=4),
                "0.6 s, 1 GB",
            ),
        ]


if __name__ == "__main__":
    show("Calibration, one frame of 9576 x 6388", rows())
