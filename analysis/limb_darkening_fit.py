"""Derive `limb_darkening.csv` from published four-parameter coefficients.

The file is that of VizieR catalogue J/A+A/552/A16, table limb6, as tab-separated values:

    python -m starmuster.analysis.limb_darkening_fit limb6.tsv analysis/limb_darkening.csv
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[np.float64]

# Our names of bands by those of the table. Its C is the band of CoRoT, not "clear".
BANDS = {
    "u": "u'", "g": "g'", "r": "r'", "i": "i'", "z": "z'",
    "U": "U", "B": "B", "V": "V", "R": "R", "I": "I",
    "J": "J", "H": "H", "K": "K",
}  # fmt: skip
LEAST_MU = 0.1  # quasi-spherical models end here
LEAST_LOGG = 3.0  # giants below it have no transits to speak of
N_MU = 181
MAX_RMS = 0.015  # of I/I(1): beyond it, in hot giants, two numbers do not describe the limb
COLUMNS = ("logg", "teff_k", "a1", "a2", "a3", "a4", "band", "model")
HEADER = """\
# Coefficients u1, u2 of the quadratic law I(mu) / I(1) = 1 - u1 (1 - mu) - u2 (1 - mu)^2, fitted by
# starmuster (least squares over equal steps of mu, 0.1 to 1) to the four-parameter law of
# quasi-spherical PHOENIX models of solar metallicity, microturbulence 2 km/s, published by
# Claret, Hauschildt & Witte 2013, A&A 552, A16, doi:10.1051/0004-6361/201220942, table limb6.
# u g r i z: SDSS; U B V R I: Johnson-Cousins; J H K: near infrared. teff_k in K, logg of cm/s2.
# Empty: the quadratic law is off by more than 0.015 of the central intensity, rms.
"""


def read_published(path: Path) -> pl.DataFrame:
    """Read the quasi-spherical rows of the published table that have log g of 3 or more.

    Raises
    ------
    UsageError
        The file has other columns than table limb6.
    """
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    cells = [[cell.strip() for cell in line.split("\t")] for line in lines if line.strip()]
    names = cells[0] if cells else []
    wanted = ("logg", "Teff", "a1", "a2", "a3", "a4", "Filt", "Mod")
    if missing := [name for name in wanted if name not in names]:
        raise UsageError(
            f"{path}: no column {', '.join(missing)}; expected table limb6 of J/A+A/552/A16 as "
            "tab-separated values."
        )
    places = [names.index(name) for name in wanted]
    rows = [[row[i] for i in places] for row in cells if len(row) == len(names)]
    table = pl.DataFrame(rows[2:], schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    table = table.filter(pl.col("model") == "qs").with_columns(
        pl.col(COLUMNS[:6]).cast(pl.Float64, strict=False)
    )
    return table.drop_nulls().filter(pl.col("logg") >= LEAST_LOGG)


def intensity(mu: Array, a: Array) -> Array:
    """Return I(mu) / I(1) of the four-parameter law, shape (n_row, n_mu), from a, (n_row, 4)."""
    powers = np.arange(1, 5) / 2
    return 1 - a @ (1 - mu[None, :] ** powers[:, None])


def fit_quadratic(a: Array) -> tuple[Array, Array]:
    """Fit the quadratic law: u1 and u2, (n_row, 2), and the rms of what is left, (n_row,)."""
    mu = np.linspace(LEAST_MU, 1, N_MU)
    terms = np.column_stack([1 - mu, (1 - mu) ** 2])
    lost = 1 - intensity(mu, a)
    u: Array = np.asarray(np.linalg.lstsq(terms, lost.T)[0], dtype=np.float64)
    return u.T, np.sqrt(np.mean((lost.T - terms @ u) ** 2, axis=0))


def derive(published: pl.DataFrame) -> pl.DataFrame:
    """Return one row a model, teff_k, logg, and columns u1_g, u2_g ... of every band."""
    found = None
    for name, theirs in BANDS.items():
        rows = published.filter(pl.col("band") == theirs)
        u, rms = fit_quadratic(rows.select("a1", "a2", "a3", "a4").to_numpy())
        kept = np.where(rms[:, None] <= MAX_RMS, u.round(4), np.nan)
        band = rows.select("teff_k", "logg").with_columns(
            pl.Series(f"u{i + 1}_{name}", kept[:, i]).fill_nan(None) for i in (0, 1)
        )
        found = band if found is None else found.join(band, on=["teff_k", "logg"])
    assert found is not None
    return found.sort("teff_k", "logg").with_columns(pl.col("teff_k").cast(pl.Int32))


def write(published: Path, table: Path) -> None:
    """Derive the table and write it with its citation."""
    table.write_text(HEADER + derive(read_published(published)).write_csv(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
