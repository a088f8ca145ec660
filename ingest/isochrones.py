"""Read isochrones in the text formats of MIST (`.iso`, `.iso.cmd`) as published.

Dotter 2016, ApJS 222, 8; Choi et al. 2016, ApJ 823, 102.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import UsageError

VERSIONS = ("1.0", "1.1", "1.2")
LARGEST_BYTE = 2_000_000_000
SYSTEMS = {
    "PS": "Pan-STARRS",
    "SDSS": "SDSS",
    "Bessell": "Johnson-Cousins",
    "2MASS": "2MASS",
    "Tycho": "Tycho",
}
GAIA = {"EDR3": "Gaia DR3", "DR2Rev": "Gaia DR2"}
BANDS = {"Ks": "K"}
# Column of the file and of table `isochrone`
QUANTITIES = {
    "initial_mass": "initial_mass_msun",
    "star_mass": "mass_msun",
    "log_Teff": "log_teff",
    "log_g": "log_g",
    "log_L": "log_l",
    "phase": "phase",
}
SYNTHETIC = "SYNTHETIC"  # a comment with this word says that the curves are made up

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IsochroneFile:
    """The curves of one file.

    Attributes
    ----------
    points
        One row a point: columns of table `isochrone` but `grid_id`.
    bands
        column_name, band, photometric_system and place, one row a column of magnitudes.
    published_system
        Photometric system in the words of the file; None: it holds no magnitudes.
    """

    grid_name: str
    published_system: str | None
    is_synthetic: bool
    n_isochrone: int
    points: pl.DataFrame
    bands: pl.DataFrame


def read_isochrones(path: Path) -> IsochroneFile:
    """Read one file.

    Raises
    ------
    UsageError
        It cannot be read, is no such file, of a version that is not known, cut short, or already
        reddened. The message names the line or number that is off.
    """
    try:
        if path.stat().st_size > LARGEST_BYTE:
            raise UsageError(f"{path}: {path.stat().st_size / 1e9:.1f} GB; expected 2 GB at most.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}; expected a MIST file in text.") from error
    return parse_isochrones(text, source=str(path))


def parse_isochrones(text: str, *, source: str) -> IsochroneFile:
    """Understand the text of a file; see `read_isochrones`."""
    lines = text.splitlines()
    version = _header(lines, "MIST version number")
    if version is None:
        raise UsageError(
            f"{source}: no line '# MIST version number'; expected isochrones of MIST as "
            f"published (.iso or .iso.cmd). PARSEC and others are not read."
        )
    if version not in VERSIONS:
        raise UsageError(
            f"{source}: MIST version {version} is not known; read are {', '.join(VERSIONS)}."
        )
    system = _header(lines, "photometric system")
    if reddening := _number(_header(lines, "CCM89 extinction: Av") or "0", source):
        raise UsageError(
            f"{source}: its magnitudes are reddened by A_V = {reddening:g}; extinction would "
            f"count twice. Get the file with A_V = 0 and give --av here."
        )
    composition = _composition(lines, source)
    expected = int(_number(_header(lines, "number of isochrones") or "0", source))
    blocks = list(_blocks(lines, source))
    if len(blocks) != expected or not expected:
        raise UsageError(
            f"{source}: {len(blocks)} isochrones, its header promises {expected}: cut short? "
            f"Get it again."
        )
    names = blocks[0][0]
    if any(other != names for other, _ in blocks):
        raise UsageError(f"{source}: its isochrones have different columns; expected the same.")
    columns = _magnitude_columns(names) if system else []
    points = [_points(names, values, columns, source) for _, values in blocks]
    is_synthetic = any(line.startswith("#") and SYNTHETIC in line for line in lines[:20])
    return IsochroneFile(
        grid_name=f"MIST {version} synthetic" if is_synthetic else f"MIST {version}",
        published_system=system,
        is_synthetic=is_synthetic,
        n_isochrone=len(blocks),
        points=pl.concat(points).with_columns(
            *(pl.lit(value).alias(name) for name, value in composition.items())
        ),
        bands=_bands(columns),
    )


def band_of(column_name: str) -> tuple[str, str]:
    """Return band and photometric system of a column of magnitudes.

    PS_g is g of Pan-STARRS, Gaia_BP_EDR3 is BP of Gaia DR3; a prefix that is not known names the
    system itself: DECam_g is g of DECam.
    """
    prefix, _, band = column_name.partition("_")
    if prefix == "Gaia":
        band, _, release = band.partition("_")
        return band, GAIA.get(release, f"Gaia {release}".strip())
    if prefix == "Tycho":
        return f"{band}T", SYSTEMS[prefix]
    return BANDS.get(band, band) or prefix, SYSTEMS.get(prefix, prefix)


def _header(lines: list[str], name: str) -> str | None:
    for line in lines:
        if not line.startswith("#"):
            break
        key, _, value = line.lstrip("# ").partition("=")
        if key.strip() == name:
            return value.strip()
    return None


def _composition(lines: list[str], source: str) -> dict[str, float]:
    for line, below in itertools.pairwise(lines):
        if line.startswith("#") and "[Fe/H]" in line and "v/vcrit" in line:
            names, values = line.lstrip("# ").split(), below.lstrip("# ").split()
            found = dict(zip(names, values, strict=False))
            return {
                column: _number(found.get(name, ""), source)
                for name, column in (
                    ("[Fe/H]", "feh_dex"),
                    ("[a/Fe]", "alpha_fe_dex"),
                    ("v/vcrit", "v_over_vcrit"),
                )
            }
    raise UsageError(f"{source}: no line with [Fe/H] and v/vcrit in its header; is it cut short?")


def _blocks(lines: list[str], source: str) -> Iterator[tuple[list[str], Array]]:
    """Yield names of columns and values of each isochrone."""
    for start, line in enumerate(lines):
        promised = re.match(r"#\s*number of EEPs, cols\s*=\s*(\d+)\s+(\d+)", line)
        if not promised:
            continue
        n_point, n_column = int(promised[1]), int(promised[2])
        if start + 3 > len(lines):
            raise UsageError(f"{source}: ends in line {len(lines)}, in a header. Get it again.")
        names = lines[start + 2].lstrip("# ").split()
        body = lines[start + 3 : start + 3 + n_point]
        rows = [row.split() for row in body if row.strip() and not row.startswith("#")]
        if len(rows) != n_point or len(names) != n_column:
            raise UsageError(
                f"{source}: the isochrone in line {start + 1} has {len(rows)} points of "
                f"{len(names)} columns, its header promises {n_point} of {n_column}: cut short? "
                f"Get it again."
            )
        if off := next((i for i, row in enumerate(rows) if len(row) != n_column), None):
            raise UsageError(
                f"{source}: line {start + 4 + off} has {len(rows[off])} of {n_column} columns: "
                f"cut short? Get it again."
            )
        try:
            values = np.array(rows, dtype=float)
        except ValueError as error:
            raise UsageError(f"{source}: below line {start + 1}: {error}.") from error
        yield names, values


def _points(names: list[str], values: Array, columns: list[str], source: str) -> pl.DataFrame:
    """Return one row a point of one isochrone."""
    column = {name: values[:, i] for i, name in enumerate(names)}
    missing = [name for name in ("EEP", "initial_mass") if name not in column]
    if missing:
        raise UsageError(f"{source}: no column {', '.join(missing)} among {', '.join(names)}.")
    if (np.diff(column["EEP"]) <= 0).any():
        raise UsageError(f"{source}: the EEPs of an isochrone do not grow; is the file whole?")
    if not np.isfinite(values).all():
        raise UsageError(f"{source}: a value that is no finite number; is the file whole?")
    found = {
        name: column[theirs] if theirs in column else np.full(len(values), np.nan)
        for theirs, name in QUANTITIES.items()
    }
    magnitudes = np.column_stack([column[name] for name in columns]) if columns else None
    return pl.DataFrame(
        {
            "age_gyr": np.full(len(values), _age_gyr(column, source)),
            "eep": column["EEP"].astype(np.int16),
            **found,
            "absolute_mag": [[]] * len(values) if magnitudes is None else magnitudes.tolist(),
        },
        schema_overrides={"absolute_mag": pl.List(pl.Float64)},
    ).with_columns(pl.col(*found).fill_nan(None))


def _age_gyr(column: dict[str, Array], source: str) -> float:
    """Age of an isochrone, to eight digits, for files differ in the last ones."""
    if "isochrone_age_yr" in column:
        ages_gyr = column["isochrone_age_yr"] / 1e9
    elif "log10_isochrone_age_yr" in column:
        ages_gyr = 10 ** (column["log10_isochrone_age_yr"] - 9)
    else:
        raise UsageError(f"{source}: no column isochrone_age_yr or log10_isochrone_age_yr.")
    if np.ptp(ages_gyr) > 1e-6 * ages_gyr[0]:
        raise UsageError(f"{source}: an isochrone of several ages; is the file whole?")
    return float(f"{ages_gyr[0]:.8g}")


def _magnitude_columns(names: list[str]) -> list[str]:
    known = {"EEP", "isochrone_age_yr", "log10_isochrone_age_yr", *QUANTITIES}
    return [name for name in names if name not in known and not name.startswith("[Fe/H]")]


def _bands(columns: list[str]) -> pl.DataFrame:
    found = [band_of(name) for name in columns]
    return pl.DataFrame(
        {
            "place": np.arange(1, len(columns) + 1, dtype=np.int16),
            "column_name": columns,
            "band": [band for band, _ in found],
            "photometric_system": [system for _, system in found],
        },
        schema_overrides=dict.fromkeys(("column_name", "band", "photometric_system"), pl.String),
    )


def _number(text: str, source: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{source}: {text!r} in its header is no number; is it whole?") from error
