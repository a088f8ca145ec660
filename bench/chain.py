"""The whole chain of a light frame, as a worker does it, against the calls of a tutorial.

Frame to rows: read, calibrated, sky, stars, registration, apertures, sealed package. The reference
does the same with ccdproc and photutils as they are shown to newcomers. The second half shows that
the cost does not grow: over 1,000 frames of a worker, and with the frames in the warehouse.
"""

import sys
import tempfile
import warnings
from dataclasses import replace
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits
from made_night import make_stars, make_warehouse, measuring_tasks
from measure import Cost, Row, cpu_s, measured, show

SIZES = {
    "2048 x 2048": ((2048, 2048), 8, "0.15 s"),
    "9576 x 6388": ((6388, 9576), 3, "0.8 s, 1.5 GB"),
}
N_STAR = 1000
RADII_ARCSEC = (4.0, 6.0, 8.0, 10.0)
N_CROWD, N_SKY = 20_000, 2000
RADII_PIX = np.array([5.0, 7.5, 10.0, 12.5])
N_FLAT_FRAME = 1000
NIGHTS = 100  # of 100 frames with 100 stars in 4 apertures


def prepare_ours(tasks: list[Any]) -> list[Any]:
    """Have the kernels compiled and the masters read, as after a worker's first frame."""
    from starmuster.transforms.steps.worker import measure_light

    measure_light(tasks[0])
    return tasks[1:]


def work_ours(tasks: list[Any]) -> None:
    from starmuster.transforms.steps.worker import measure_light

    for task in tasks:
        measure_light(task)


def prepare_tutorial(folder: Path) -> tuple[Path, dict[str, Any], Any]:
    import ccdproc  # noqa: F401
    from astropy.coordinates import SkyCoord
    from astropy.nddata import CCDData
    from astropy.wcs import WCS

    frames = folder / "frames"
    masters = {
        kind: CCDData(fits.getdata(frames / f"{kind}_000.fits").astype(np.float32), unit="adu")
        for kind in ("BIAS", "DARK", "FLAT")
    }
    masters["FLAT"].data /= np.median(masters["FLAT"].data)
    light = frames / "LIGHT_001.fits"
    header, shape = fits.getheader(light), masters["BIAS"].shape
    stars = make_stars(shape, N_STAR)
    ra, dec = WCS(header).all_pix2world(stars["x"] + 1, stars["y"] + 1, 0)
    return light, masters, SkyCoord(ra, dec, unit="deg")


def work_tutorial(needed: tuple[Path, dict[str, Any], Any]) -> Any:
    import ccdproc
    from astropy import units as u
    from astropy.nddata import CCDData
    from astropy.wcs import WCS
    from photutils.aperture import ApertureStats, SkyCircularAperture
    from photutils.background import Background2D, MedianBackground
    from photutils.segmentation import SourceCatalog, SourceFinder

    light, masters, places = needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = CCDData.read(light, unit="adu")
        frame = ccdproc.subtract_bias(frame, masters["BIAS"])
        frame = ccdproc.flat_correct(frame, masters["FLAT"], norm_value=1.0)
        wcs = WCS(fits.getheader(light))
        sky = Background2D(
            frame.data, (300, 300), filter_size=(3, 3), bkg_estimator=MedianBackground()
        )
        net = frame.data - sky.background
        finder = SourceFinder(n_pixels=10, progress_bar=False)
        segments = finder(net, 3.0 * sky.background_rms)
        SourceCatalog(net, segments, wcs=wcs).to_table()
        rows = []
        for radius in RADII_ARCSEC:
            circles = SkyCircularAperture(places, r=radius * u.arcsec)
            rows.append(ApertureStats(net, circles, wcs=wcs).sum)
            rows.append(ApertureStats(sky.background, circles, wcs=wcs).sum)
    return rows


def make_crowd(n_star: int) -> dict[str, Any]:
    rng = np.random.default_rng(8)
    image = rng.normal(400, 12, (2048, 2048)).astype(np.float32)
    x, y = rng.uniform(30, 2018, (2, n_star))
    work_our_sums({"image": image, "x": x[:2], "y": y[:2]})
    work_our_skies({"image": image, "x": x[:2], "y": y[:2]})
    return {"image": image, "x": x, "y": y}


def work_our_sums(made: dict[str, Any]) -> Any:
    from starmuster.transforms.apertures import circle_sums

    none = np.zeros((0, 0), np.uint8)
    return circle_sums(made["image"], none, 0, made["x"], made["y"], RADII_PIX)


def work_their_sums(made: dict[str, Any]) -> Any:
    from photutils.aperture import CircularAperture, aperture_photometry

    places = np.column_stack([made["x"], made["y"]])
    circles = [CircularAperture(places, radius) for radius in RADII_PIX]
    return aperture_photometry(made["image"], circles, method="exact")


def work_our_skies(made: dict[str, Any]) -> Any:
    from starmuster.transforms.apertures import annulus_skies

    none = np.zeros((0, 0), np.uint8)
    return annulus_skies(made["image"], none, 0, made["x"], made["y"], 14.0, 24.0)


def work_their_skies(made: dict[str, Any]) -> Any:
    from astropy.stats import SigmaClip
    from photutils.aperture import ApertureStats, CircularAnnulus

    rings = CircularAnnulus(np.column_stack([made["x"], made["y"]]), 14, 24)
    found = ApertureStats(made["image"], rings, sigma_clip=SigmaClip(3.0))
    return found.median, found.std


def chain_rows(folder: Path) -> list[Row]:
    rows: list[Row] = []
    for name, (shape, n_light, target) in SIZES.items():
        made = folder / name.replace(" ", "")
        make_warehouse(made, shape, n_star=N_STAR, n_light=n_light)
        # the tasks come from outside: a worker does not open the database
        ours = measured(prepare_ours, work_ours, measuring_tasks(made / "warehouse", "chain"))
        theirs = measured(prepare_tutorial, work_tutorial, made)
        # the reference did one frame, ours all but the first
        per_frame = Cost(ours.cpu_s / (n_light - 1), ours.peak_byte)
        rows.append(
            Row(f"frame of {name}, {N_STAR} stars", "tutorial's calls", theirs, per_frame, target)
        )
    return rows


def part_rows() -> list[Row]:
    crowd = f"{N_CROWD} stars x {RADII_PIX.size} radii"
    return [
        Row(
            crowd,
            "aperture_photometry, exact",
            measured(make_crowd, work_their_sums, N_CROWD),
            measured(make_crowd, work_our_sums, N_CROWD, n_run=3),
            "1 s",
        ),
        Row(
            f"clipped sky of {N_SKY} stars",
            "ApertureStats, SigmaClip",
            measured(make_crowd, work_their_skies, N_SKY),
            measured(make_crowd, work_our_skies, N_SKY, n_run=3),
            "0.15 s",
        ),
    ]


def show_frames_a_minute(folder: Path, n_frame: int = 48) -> None:
    """Measure frames of the camera's size with two workers, and print the steady rate."""
    from starmuster.transforms.pool import run_tasks
    from starmuster.transforms.steps.worker import measure_light

    make_warehouse(folder, SIZES["9576 x 6388"][0], n_star=N_STAR, n_light=6)
    tasks = measuring_tasks(folder / "warehouse", "minute")
    turns = enumerate(islice(cycle(tasks), n_frame))
    many = [replace(task, parts=task.parts / f"{k}") for k, task in turns]
    ended_s: list[float] = []
    for outcome in run_tasks(measure_light, many, jobs=2):
        if outcome.error is not None:
            raise outcome.error
        ended_s.append(perf_counter())
    n_warm = 4  # workers read the masters, and load their kernels
    rate = 60 * (n_frame - n_warm) / (ended_s[-1] - ended_s[n_warm - 1])
    print(f"two workers, frames of 9576 x 6388: {rate:.0f} a minute (150 or more are wanted)")


def show_frames_stay_flat(folder: Path) -> None:
    """Measure the same small frames over and over in one worker, and print what they cost."""
    from starmuster.transforms.steps.worker import measure_light

    make_warehouse(folder, (512, 512), n_star=150, n_light=8)
    tasks = measuring_tasks(folder / "warehouse", "flat")
    used: list[float] = []
    for k in range(N_FLAT_FRAME):
        task = tasks[k % len(tasks)]
        (task.parts / f"{task.key}.part").unlink(missing_ok=True)
        before = cpu_s()
        measure_light(task)
        used.append(cpu_s() - before)
    first, last = np.median(used[10:110]), np.median(used[-100:])
    print(
        f"one worker, {N_FLAT_FRAME} frames: median CPU {1e3 * first:.1f} ms of frames 11 to 110, "
        f"{1e3 * last:.1f} ms of the last 100 ({last / first:.2f} times)"
    )


def night_rows(first_frame_id: int, n_frame: int = 100, n_star: int = 100) -> dict[str, Any]:
    """Make the rows of a night of frames, as workers leave them."""
    rng = np.random.default_rng(first_frame_id)
    frame_id = np.repeat(np.arange(n_frame, dtype=np.int32) + first_frame_id, n_star)
    source_id = np.tile(np.arange(n_star, dtype=np.int32), n_frame)
    n = frame_id.size
    measurement = pl.DataFrame(
        {
            "frame_id": frame_id,
            "source_id": source_id,
            "x_pix": rng.uniform(0, 2048, n),
            "y_pix": rng.uniform(0, 2048, n),
            "sky_adu_per_pix": rng.normal(400, 1, n),
            "sky_rms_adu": rng.normal(12, 0.3, n),
            "n_sky_pix": np.full(n, 900, np.int32),
            "flags": np.zeros(n, np.int32),
        }
    )
    flux = pl.concat(
        measurement.select("frame_id", "source_id", "flags").with_columns(
            aperture_id=pl.lit(number, pl.Int16),
            flux_adu=pl.Series(rng.normal(1e4, 100, n)),
            n_pix=pl.lit(50.0 * number),
        )
        for number in (1, 2, 3, 4)
    )
    return {"measurement": measurement, "aperture_flux": flux}


def show_warehouse_stays_flat(folder: Path) -> None:
    """Store a night of 100 frames again and again, and print what the first and last cost."""
    from starmuster.warehouse.runs import Run
    from starmuster.warehouse.store import Warehouse

    used: list[tuple[float, float]] = []
    with Run(Warehouse.create(folder), "bench", "0") as run:
        run.store("photometry", night_rows(1, n_frame=10))
        for night in range(NIGHTS):
            rows = night_rows(11 + 100 * night)
            n_row = sum(table.height for table in rows.values())
            before, start = cpu_s(), perf_counter()
            run.store("photometry", rows, night=date(2024, 1, 1) + timedelta(days=night))
            used.append((cpu_s() - before, perf_counter() - start))
    (first, _), (last, _) = np.median(used[:5], axis=0), np.median(used[-5:], axis=0)
    print(
        f"warehouse: storing a night of 100 frames, {n_row} rows, costs {1e3 * first:.0f} ms CPU "
        f"with 10 to 510 frames in it, {1e3 * last:.0f} ms with 9,500 to 10,000 "
        f"({last / first:.2f} times)"
    )


def show_rows_per_second(folder: Path) -> None:
    """Load a package of two million rows, and print how many a second."""
    from starmuster.warehouse.runs import Run
    from starmuster.warehouse.store import Warehouse

    rows = night_rows(1, n_frame=800, n_star=500)
    n_row = sum(table.height for table in rows.values())
    with Run(Warehouse.create(folder), "bench", "0") as run:
        before, start = cpu_s(), perf_counter()
        run.store("photometry", rows)
        used, took = cpu_s() - before, perf_counter() - start
    print(
        f"rows into the warehouse: {n_row} rows in {used:.2f} s CPU, {took:.2f} s by the clock: "
        f"{n_row / used / 1e6:.2f} million a CPU second (target 1)"
    )


def main(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not parts or "chain" in parts:
            show("A light frame, from file to rows, one worker", chain_rows(folder))
        if not parts or "parts" in parts:
            show("Parts, frame of 2048 x 2048", part_rows())
        if not parts or "minute" in parts:
            show_frames_a_minute(folder / "minute")
        if not parts or "flat" in parts:
            show_frames_stay_flat(folder / "flat")
            show_warehouse_stays_flat(folder / "grown")
        if not parts or "rows" in parts:
            show_rows_per_second(folder / "rows")


if __name__ == "__main__":
    main(sys.argv[1:])
