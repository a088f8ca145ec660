"""A cluster of known distance and reddening through frames, zero points and fit.

Frames in three bands with colour terms, clouds and a sky are written, ingested, calibrated against
a catalogue of the same stars and fitted, all through the command line. Arguments: the folder of the
run, and that of published isochrones.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from isochrone_pulls import A_V_MAG, DM_MAG, isochrone

from starmuster.analysis.extinction import find_law
from starmuster.ingest import synthetic
from starmuster.ingest.synthetic_cluster import ClusterTruth, synthetic_cluster
from starmuster.ingest.synthetic_plan import NightPlan, wcs_cards

BANDS = ("g", "r", "i")
ZERO_MAG = {"g": 24.0, "r": 24.2, "i": 23.8}
TERM = {"g": 0.05, "r": 0.02, "i": -0.03}
CLOUD = {"g": 0.3, "r": 0.0, "i": 0.1}
PIVOT_MAG = 0.6
APART_PIX = 16.0
PLAN = NightPlan(
    n_x_pix=1000, n_y_pix=1000, n_light=4, n_bias=5, n_dark=5, n_flat=5, drift_pix_per_frame=(2, 1)
)


def places(n_star: int, rng: np.random.Generator) -> np.ndarray:
    """Scatter stars so that none is in the aperture of another."""
    found: list[np.ndarray] = []
    while len(found) < n_star:
        place = rng.uniform(-460, 460, 2)
        if not found or np.linalg.norm(np.array(found) - place, axis=1).min() > APART_PIX:
            found.append(place)
    return np.array(found)


def star_table(mag: np.ndarray, band: str, place: np.ndarray, light: pl.DataFrame) -> pl.DataFrame:
    """Return the stars as a night's plan has them, with the fluxes the instrument sees."""
    k = BANDS.index(band)
    seen = mag[:, k] - TERM[band] * (mag[:, 0] - mag[:, 2] - PIVOT_MAG)
    flux = 10 ** (-0.4 * (seen - ZERO_MAG[band]))
    star = pl.DataFrame(
        {
            "star_id": np.arange(len(mag)),
            "role": ["target"] + ["faint"] * (len(mag) - 1),
            "u_pix": place[:, 0],
            "v_pix": place[:, 1],
            "flux_e_per_s": flux,
        }
    )
    from astropy.io import fits
    from astropy.wcs import WCS

    first = light.row(0, named=True)
    x_pix, y_pix = synthetic.star_positions(star, first)
    ra_deg, dec_deg = WCS(fits.Header(wcs_cards(PLAN, star, first))).wcs_pix2world(x_pix, y_pix, 0)
    return star.with_columns(ra_deg=ra_deg, dec_deg=dec_deg, x_pix=x_pix, y_pix=y_pix)


def command(*words: object) -> str:
    """Run a command of starmuster and return what it says."""
    program = "import sys; from starmuster.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def main(folder: Path) -> None:
    """Write, ingest, calibrate, fit, compare."""
    name, _, phase, mass, curve = isochrone()
    law = find_law("G23")
    truth = ClusterTruth(
        n_star=900,
        dm_mag=DM_MAG,
        a_v_mag=A_V_MAG,
        faintest_mag=20.8,
        coefficients=tuple(law.coefficient("Pan-STARRS", band) for band in BANDS),
    )
    mag = synthetic_cluster(mass, phase, curve, truth, seed=3).mag
    rng = np.random.default_rng(3)
    place = places(len(mag), rng)
    star = pl.DataFrame()
    for k, band in enumerate(BANDS):
        start = PLAN.start_utc.replace(hour=20 + k)
        plan = replace(PLAN, band=band, seed=k + 1, start_utc=start, cloud_depth=CLOUD[band])

        # a night's plan draws stars of its own; these are the cluster's
        def planned(_: NightPlan, light: pl.DataFrame, band: str = band) -> pl.DataFrame:
            return star_table(mag, band, place, light)

        synthetic.plan_stars = planned
        star = synthetic.write_night(folder / "frames" / band, plan).star
    listed = {"ra_deg": star["ra_deg"], "dec_deg": star["dec_deg"]}
    for k, band in enumerate(BANDS):
        listed |= {f"{band}mag": mag[:, k] + rng.normal(0, 0.01, len(mag)), f"e_{band}mag": 0.01}
    pl.DataFrame(listed).write_csv(folder / "panstarrs.csv")
    curves = sorted((Path(sys.argv[2]) if len(sys.argv) > 2 else folder).glob("*.iso.cmd"))
    warehouse = ("-w", folder / "warehouse")
    start_s = time.monotonic()
    command("init", folder / "warehouse")
    print(command(*warehouse, "ingest", folder / "frames", "--jobs", 2))
    print(command(*warehouse, "import", "catalogue", folder / "panstarrs.csv", "--as", "panstarrs"))
    print(command(*warehouse, "run"))
    print(command(*warehouse, "import", "isochrones", *curves))
    words = ("cmd", 1, "--colour", "g-i", "--mag", "r", "--max-err", 0.1, "--fit", "posterior")
    print(command(*warehouse, *words, "--steps", 300, "--output", folder / "cluster.png"))
    print(f"{name}: injected dm {DM_MAG}, av {A_V_MAG}; {time.monotonic() - start_s:.0f} s")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
