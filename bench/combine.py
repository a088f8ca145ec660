"""Clipped mean of 20 frames of 9576 x 6388, from files in the page cache."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from measure import SHAPE, Row, measured, show

N_FRAME = 20
SHARE = 1 / 16  # of the rows, for ccdproc: it needs more than a minute for all


def write_frames(folder: Path) -> None:
    """Write frames of 1000 ADU with a noise of 10 and a few cosmic rays, whole and in part."""
    rng = np.random.default_rng(1)
    noise = rng.normal(1000, 10, SHAPE).astype(np.uint16)
    noise.flat[rng.integers(0, noise.size, 5000)] = 9000
    n_row = round(SHAPE[0] * SHARE)
    for number in range(N_FRAME):
        frame = np.roll(noise, (37 * number, 101 * number), (0, 1))
        fits.PrimaryHDU(frame).writeto(folder / f"whole_{number:02d}.fits")
        fits.PrimaryHDU(frame[:n_row]).writeto(folder / f"part_{number:02d}.fits")


def prepare_ours(folder: Path) -> list[Any]:
    from starmuster.transforms.combine import compile_kernel
    from starmuster.transforms.pixels import open_rows

    compile_kernel()
    return [open_rows(path, 0) for path in sorted(folder.glob("whole_*.fits"))]


def work_ours(readers: list[Any]) -> None:
    from starmuster.transforms.combine import ExpectedNoise, combine

    combine(readers, noise=ExpectedNoise(10.0))


def prepare_theirs(folder: Path) -> list[str]:
    import ccdproc  # noqa: F401

    return [str(path) for path in sorted(folder.glob("part_*.fits"))]


def work_theirs(paths: list[str]) -> None:
    import ccdproc
    from astropy.stats import mad_std

    ccdproc.combine(
        paths,
        unit="adu",
        method="average",
        sigma_clip=True,
        sigma_clip_low_thresh=5,
        sigma_clip_high_thresh=5,
        sigma_clip_func="median",
        sigma_clip_dev_func=mad_std,
        mem_limit=2e9,
        dtype="float32",
    )


def rows() -> list[Row]:
    """Measure, and return the line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder)
        return [
            Row(
                "clipped mean of 20 frames",
                "ccdproc.combine, median, mad_std",
                measured(prepare_theirs, work_theirs, folder),
                measured(prepare_ours, work_ours, folder, n_run=2),
                "20 times less",
                SHARE,
            )
        ]


if __name__ == "__main__":
    show("Combination, frames of 9576 x 6388", rows())
