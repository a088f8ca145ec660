"""Thirty clusters of known distance and reddening: are the fit's errors as large as its mistakes?

Each has some 600 stars of an isochrone to a limit, 30 % pairs, 20 % field stars, and the errors of
a night. The published isochrone is taken where STARMUSTER_DATA has one, else the synthetic sketch.
An argument is the number of clusters.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from starmuster.analysis.extinction import find_law
from starmuster.analysis.isochrone_fit import fit_posterior
from starmuster.analysis.isochrone_likelihood import Stars
from starmuster.analysis.isochrone_parameters import START
from starmuster.analysis.isochrone_problem import Problem
from starmuster.analysis.isochrones import Grid
from starmuster.ingest.isochrones import read_isochrones
from starmuster.ingest.synthetic_cluster import ClusterTruth, synthetic_cluster
from starmuster.ingest.synthetic_isochrones import sketched

DM_MAG, A_V_MAG = 14.3, 0.1
LIMIT_MAG, DEEPER_MAG = 20.5, 0.8
N_STEP = 200


def isochrone() -> tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Name, EEP, phase, mass and magnitudes in g, r, i."""
    folder = Path(os.environ.get("STARMUSTER_DATA", "../shared/data")) / "isochrones"
    for path in sorted(folder.glob("*.iso.cmd")):
        points = read_isochrones(path).points
        mag = np.array(points["absolute_mag"].to_list())[:, :3]
        columns = (points[name].to_numpy() for name in ("eep", "phase", "initial_mass_msun"))
        return path.name, *columns, mag
    sketch = sketched()
    return "synthetic sketch", sketch.eep, sketch.phase, sketch.mass_msun, sketch.mag


def observed(mass, phase, mag, truth: ClusterTruth, seed: int) -> Stars:
    """Draw a cluster and observe it: errors as of a night, complete to a magnitude as measured."""
    made = synthetic_cluster(mass, phase, mag, truth, seed=seed).mag
    err = 0.008 + 0.05 * 10 ** (0.4 * (made - LIMIT_MAG))
    g, r, i = (made + err * np.random.default_rng(10_000 + seed).standard_normal(err.shape)).T
    seen = r < LIMIT_MAG
    return Stars(
        (g - i)[seen],
        r[seen],
        np.hypot(err[:, 0], err[:, 2])[seen],
        err[seen, 1],
        np.zeros(int(seen.sum())),
    )


def main(n_cluster: int) -> None:
    """Fit all clusters and print pulls."""
    name, eep, phase, mass, mag = isochrone()
    law = find_law("G23")
    truth = ClusterTruth(
        n_star=1000,
        dm_mag=DM_MAG,
        a_v_mag=A_V_MAG,
        faintest_mag=LIMIT_MAG + DEEPER_MAG,
        coefficients=tuple(law.coefficient("Pan-STARRS", band) for band in "gri"),
    )
    curve = {(12.0, -1.35): np.column_stack([mass, mag[:, 0], mag[:, 2], mag[:, 1]])}
    phases = phase.astype(int)
    grid = Grid(name, False, "Pan-STARRS", 0.4, ("g", "i", "r"), eep.astype(int), phases, curve)
    begun = {"age": 12.0, "feh": -1.35, "dm": 14.0, "colour_offset": 0.0, "mag_offset": 0.0}
    free = ("dm", "av", "binaries", "field", "jitter")
    off, pull = [], []
    start_s = time.process_time()
    for seed in range(n_cluster):
        stars = observed(mass, phase, mag, truth, seed)
        fit = fit_posterior(Problem(stars, grid, law, START | begun, free), n_step=N_STEP)
        off.append((fit.values["dm"] - DM_MAG, fit.values["av"] - A_V_MAG))
        pull.append((off[-1][0] / fit.errors["dm"], off[-1][1] / fit.errors["av"]))
        print(
            f"{seed:3d} {len(stars.mag):4d} stars  dm {off[-1][0]:+.4f} ({pull[-1][0]:+.2f})  "
            f"av {off[-1][1]:+.4f} ({pull[-1][1]:+.2f})",
            flush=True,
        )
    cpu_s = (time.process_time() - start_s) / n_cluster
    print(f"{n_cluster} clusters from {name}, {cpu_s:.1f} CPU s each")
    for k, (what, limit) in enumerate((("distance modulus", 0.05), ("A_V", 0.03))):
        offs, pulls = np.array(off)[:, k], np.array(pull)[:, k]
        print(
            f"{what}: largest error {np.abs(offs).max():.4f} mag ({limit} allowed), mean "
            f"{offs.mean():+.4f}; pulls: mean {pulls.mean():+.2f}, width {pulls.std(ddof=1):.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
