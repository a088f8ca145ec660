"""A synthetic night of any size in a warehouse, for benchmarks. Not a benchmark itself."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from starmuster.ingest.synthetic_header import Exposure, header, tangent_wcs_cards
from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.ingest.synthetic_sky import Site

START = datetime(2024, 3, 8, 20, 30, tzinfo=UTC)
RA_DEG, DEC_DEG, SCALE_ARCSEC = 157.52, 22.31, 0.8
BIAS_ADU, DARK_ADU, SKY_ADU, NOISE_ADU = 500.0, 4.0, 400.0, 14.0
FWHM_PIX = 3.5
N_CALIBRATION = 3
HOURS = {"FLAT": -2, "LIGHT": 0, "DARK": 7, "BIAS": 8}  # of their begin after START
# made-up stars are in no catalogue: a solver would look for them until its time is over
CONFIGURED = "\n[registration]\nsolve = false\n"
EXPOSURE_S = {"BIAS": 0.0, "DARK": 60.0, "FLAT": 2.0, "LIGHT": 60.0}


def make_stars(shape: tuple[int, int], n_star: int) -> dict[str, Any]:
    """Draw places and fluxes: x, y (pixels), flux (ADU)."""
    rng = np.random.default_rng(6)
    return {
        "x": rng.uniform(20, shape[1] - 20, n_star),
        "y": rng.uniform(20, shape[0] - 20, n_star),
        # the faintest are above the threshold of detection, so that all are measured
        "flux": 10 ** rng.uniform(3.6, 5.6, n_star),
    }


def write_frames(
    folder: Path, shape: tuple[int, int], *, n_star: int, n_light: int
) -> dict[str, Any]:
    """Write bias, dark, flat and light frames of 16 bits, with a sky solution; return the stars."""
    stars = make_stars(shape, n_star)
    for kind, level, noise in (
        ("BIAS", BIAS_ADU, 4.0),
        ("DARK", BIAS_ADU + DARK_ADU, 4.0),
        ("FLAT", BIAS_ADU + 28_000.0, 180.0),
    ):
        for i in range(N_CALIBRATION):
            _write(folder, kind, i, _noise(shape, i, level, noise), (0, 0))
    drawn = render_stars(
        stars["x"], stars["y"], stars["flux"], shape=shape, fwhm_pix=FWHM_PIX
    ).astype(np.float32)
    for i in range(n_light):
        shift = (i % 5, i % 3)
        pixels = _noise(shape, 100 + i, BIAS_ADU + DARK_ADU + SKY_ADU, NOISE_ADU)
        pixels += np.roll(drawn, (shift[1], shift[0]), (0, 1))
        _write(folder, "LIGHT", i, pixels, shift)
    return stars


def make_warehouse(folder: Path, shape: tuple[int, int], *, n_star: int, n_light: int) -> Path:
    """Write frames, and take them through `ingest`; return the folder of the warehouse."""
    frames, warehouse = folder / "frames", folder / "warehouse"
    write_frames(frames, shape, n_star=n_star, n_light=n_light)
    program = Path(sys.executable).with_name("starmuster")
    subprocess.run([program, "init", warehouse], check=True, capture_output=True)
    with (warehouse / "starmuster.toml").open("a", encoding="utf-8") as file:
        file.write(CONFIGURED)
    ingest = [program, "ingest", frames, "--warehouse", warehouse]
    subprocess.run(ingest, check=True, capture_output=True)
    return warehouse


def measuring_tasks(warehouse_folder: Path, name: str) -> list[Any]:
    """Prepare anew the tasks of all measured lights, as the runner does; parts go to `name`."""
    from starmuster.transforms.steps.lights import light_tasks
    from starmuster.warehouse.store import Warehouse

    with Warehouse(warehouse_folder) as warehouse:
        with warehouse.reading() as con:
            pending = con.sql(
                "select frame_id, field_id, $recipe as recipe from registration order by frame_id",
                params={"recipe": name},
            ).pl()
        return light_tasks(warehouse, pending, parts=warehouse_folder / "bench" / name)


def _noise(shape: tuple[int, int], seed: int, level: float, sigma: float) -> Any:
    pixels = np.random.default_rng(seed).standard_normal(shape, np.float32)
    pixels *= np.float32(sigma)
    pixels += np.float32(level)
    return pixels


def _write(folder: Path, kind: str, i: int, pixels: Any, shift: tuple[int, int]) -> None:
    is_light = kind == "LIGHT"
    exposure = Exposure(
        frame_type=kind,
        start_utc=START + timedelta(hours=HOURS[kind], seconds=70 * i),
        exposure_s=EXPOSURE_S[kind],
        sensor_degc=-10.0,
        set_degc=-10.0,
        gain_e_per_adu=0.8,
        scale_arcsec_per_pix=SCALE_ARCSEC,
        site=Site(),
        band="r" if kind in {"LIGHT", "FLAT"} else None,
        object_name="Bench" if is_light else None,
        ra_deg=RA_DEG if is_light else None,
        dec_deg=DEC_DEG if is_light else None,
    )
    cards = None
    if is_light:
        cards = tangent_wcs_cards(
            ra_deg=RA_DEG,
            dec_deg=DEC_DEG,
            x_pix=(pixels.shape[1] - 1) / 2 + shift[0],
            y_pix=(pixels.shape[0] - 1) / 2 + shift[1],
            scale_arcsec_per_pix=SCALE_ARCSEC,
            rotation_deg=0.0,
        )
    folder.mkdir(parents=True, exist_ok=True)
    clipped = np.clip(np.rint(pixels), 0, 65_535).astype(np.uint16)
    fits.PrimaryHDU(clipped, header(exposure, cards)).writeto(folder / f"{kind}_{i:03}.fits")
