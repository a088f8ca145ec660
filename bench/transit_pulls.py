"""Pulls of synthetic transits: are mid-time and radius ratio unbiased, their errors honest?

    python bench/transit_pulls.py [n_transit] [n_flat]

A pull is (found - true) / quoted error: over many nights it has mean 0 and width 1. Nights without
a transit tell how often one is seen that is not there. Every night has red noise, and many have
clouds, a drifting field and a trend with airmass (analysis/synthetic_transits.py).
"""

import sys
import time

import numpy as np

from starmuster.analysis.baselines import COVARIATES
from starmuster.analysis.synthetic_transits import EXPOSURE_S, PLANET, synthetic_night
from starmuster.analysis.transits import fit_transit


def fitted(night, **options):
    rows = night.rows
    return fit_transit(
        rows["bjd"],
        rows["flux"],
        rows["err"],
        rows.select(COVARIATES),
        planet=PLANET,
        exposure_s=EXPOSURE_S,
        **options,
    )


def pulls(radius_ratios, seeds):
    """Verdicts, pulls of mid-time and radius ratio, and found less true radius ratio.

    The pulls are of all nights, whatever the verdict: those that only count where a transit is
    believed are deep by selection.
    """
    verdicts, rows = [], []
    for radius_ratio, seed in zip(radius_ratios, seeds, strict=True):
        night = synthetic_night(PLANET, seed, radius_ratio=radius_ratio)
        fit = fitted(night, min_delta_bic=-1e9)
        is_believed = fit.delta_bic_flat >= 10
        verdicts.append(fit.verdict if is_believed else "no transit")
        if fit.radius_ratio is not None:
            late = (fit.mid_bjd_tdb - night.mid_bjd_tdb) / fit.mid_bjd_tdb_err
            wide = fit.radius_ratio - radius_ratio
            rows.append((late, wide / fit.radius_ratio_err, wide, fit.red_noise_factor))
    return verdicts, np.array(rows)


def told(name, verdicts, rows):
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts)))
    print(f"{name}: {counts}")
    for label, pull in zip(("mid-time", "radius ratio"), rows.T[:2], strict=True):
        err = np.std(pull) / np.sqrt(len(pull))
        print(
            f"  pull of the {label:12}  mean {np.mean(pull):+.3f} +- {err:.3f}, "
            f"width {np.std(pull):.3f}, beyond 3 sigma {np.mean(np.abs(pull) > 3):.3f}"
        )
    off = np.mean(rows[:, 2])
    print(f"  radius ratio off by {off:+.5f} on the mean, beta {np.median(rows[:, 3]):.2f}")


def main():
    n_transit = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    n_flat = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    start = time.process_time()
    ratios = np.random.default_rng(6).uniform(0.075, 0.15, n_transit)
    told("6 to 25 mmag", *pulls(ratios, range(n_transit)))
    n_shallow = n_transit // 3
    told("6 mmag", *pulls(np.full(n_shallow, 0.0745), range(10_000, 10_000 + n_shallow)))
    flat = [
        fitted(synthetic_night(PLANET, 20_000 + i, radius_ratio=0.0)).verdict for i in range(n_flat)
    ]
    false = sum(verdict in ("transit", "partial") for verdict in flat)
    print(f"no transit: {false} of {n_flat} nights taken for one ({100 * false / n_flat:.1f} %)")
    print(f"{time.process_time() - start:.0f} s CPU")


if __name__ == "__main__":
    main()
