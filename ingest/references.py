"""Reference catalogues: from a file to rows of the tables reference_* and variable_star."""

from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
import polars as pl
from cdshealpix.nested import lonlat_to_healpix

from ..errors import UsageError
from .catalogue_columns import (
    TARGET_UNIT,
    Column,
    Mapping,
    assign_columns,
    conventions,
    find_profile,
)
from .catalogue_files import RawTable
from .catalogue_values import read_numbers, read_texts
from .duplicates import star_groups

HEALPIX_ORDER = 29
STAR_SCHEMA: dict[str, type[pl.DataType]] = {
    "star_name": pl.String,
    "ra_deg": pl.Float64,
    "dec_deg": pl.Float64,
    "healpix": pl.Int64,
    "epoch_jyear": pl.Float64,
    "pm_ra_mas_per_yr": pl.Float64,
    "pm_dec_mas_per_yr": pl.Float64,
    "parallax_mas": pl.Float64,
    "parallax_err_mas": pl.Float64,
    "rank_mag": pl.Float64,
}
MAG_SCHEMA: dict[str, type[pl.DataType]] = {
    "band": pl.String,
    "photometric_system": pl.String,
    "mag": pl.Float64,
    "mag_err": pl.Float64,
    "is_derived": pl.Boolean,
}
VARIABLE_SCHEMA: dict[str, type[pl.DataType]] = {
    "variability": pl.String,
    "variable_type": pl.String,
    "period_d": pl.Float64,
    "max_mag": pl.Float64,
    "max_band": pl.String,
    "min_mag": pl.Float64,
    "min_band": pl.String,
    "amplitude_mag": pl.Float64,
}
VARIABILITY = {"0": "variable", "1": "suspected", "2": "constant", "3": "duplicate"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The stars of one file.

    Attributes
    ----------
    name
        Of the catalogue, as it is stored.
    stars
        One row a star: `star` (0, 1, ...) and columns of `reference_star`.
    magnitudes
        One row a star, band and system: `star` and columns of `reference_magnitude`.
    variables
        One row a star of a catalogue of variables: `star` and columns of `variable_star`.
    n_row, n_duplicate, n_unplaced
        Rows of the file; rows merged with another of the same star; rows left out because they
        alone have no position.
    columns
        What each column that was understood was read as.
    notes
        What a person should know of it.
    """

    name: str
    stars: pl.DataFrame
    magnitudes: pl.DataFrame
    variables: pl.DataFrame
    n_row: int
    n_duplicate: int
    n_unplaced: int
    columns: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @property
    def has_position(self) -> bool:
        """False for a mere list of stars."""
        return not self.stars["ra_deg"].is_null().all()


def read_catalogue(
    raw: RawTable, name: str, *, mapping: Mapping | None = None, source: str
) -> Catalogue:
    """Understand the table of a catalogue.

    Parameters
    ----------
    raw
        What `read_table` read, or what a service sent.
    name
        Which catalogue it is; one that is not known needs a mapping.
    mapping
        What the columns are, where no convention fits.
    source
        File or service, for messages.

    Raises
    ------
    UsageError
        The catalogue, a column or a unit is not known, a cell is no number, or a position is
        not on the sky. The message names the column.
    """
    catalogue, profile = find_profile(name, has_mapping=mapping is not None)
    mapping = mapping or Mapping()
    found = assign_columns(raw, profile, mapping, source=source)
    notes: list[str] = []
    rows = _star_rows(raw, found, profile, mapping, notes, source=source)
    magnitudes = _magnitudes(raw, found, mapping, notes, source=source)
    rows = rows.with_columns(rank_mag=_rank(magnitudes, profile["rank"], rows.height))
    is_variable = bool(profile.get("is_variable")) or mapping.is_variable
    variables = _variables(raw, found, mapping, source=source) if is_variable else None
    has_position = not rows["ra_deg"].is_null().all()
    placed = rows["ra_deg"].is_not_null() & rows["dec_deg"].is_not_null()
    kept = rows.filter(placed) if has_position else rows
    kept = kept.with_columns(star=_groups(kept) if has_position else pl.col("row"))
    star_of = kept.select("row", "star")
    stars = kept.group_by("star").agg(pl.col(*STAR_SCHEMA).drop_nulls().first()).sort("star")
    n_duplicate, n_unplaced = kept.height - stars.height, rows.height - kept.height
    notes += _merging_notes(n_duplicate, n_unplaced)
    if not has_position:
        notes.append("no positions: kept as a list of stars, which cannot be matched with sources")
    return Catalogue(
        name=catalogue,
        stars=_with_cells(stars),
        magnitudes=_merged_magnitudes(magnitudes, star_of),
        variables=_merged_variables(variables, star_of),
        n_row=rows.height,
        n_duplicate=n_duplicate,
        n_unplaced=n_unplaced,
        columns={column.name: column.described() for column in found},
        notes=notes,
    )


def _star_rows(
    raw: RawTable,
    found: list[Column],
    profile: dict[str, Any],
    mapping: Mapping,
    notes: list[str],
    *,
    source: str,
) -> pl.DataFrame:
    """One row a row of the file: `row` and columns of `reference_star`."""
    rows = pl.DataFrame({"row": np.arange(raw.rows.height)})
    for column in found:
        if column.quantity == "star_name":
            names = read_texts(raw, column)
            rows = rows.with_columns(star_name=None if _is_numbering(names) else names)
        elif column.quantity in STAR_SCHEMA:
            rows = rows.with_columns(read_numbers(raw, column, mapping, source=source))
    absent = [name for name in STAR_SCHEMA if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, STAR_SCHEMA[name]).alias(name) for name in absent)
    _refuse_off_the_sky(rows, found, source)
    usual = mapping.epoch_jyear or profile.get("epoch_jyear")
    rows = rows.with_columns(
        pl.col("star_name").cast(pl.String),
        pl.col("ra_deg") % 360,
        pl.col("epoch_jyear").fill_null(pl.lit(usual, pl.Float64)),
    )
    moves = rows["pm_ra_mas_per_yr"].is_not_null() | rows["pm_dec_mas_per_yr"].is_not_null()
    if (moves & rows["epoch_jyear"].is_null()).any():
        notes.append(
            "proper motions without an epoch: they are stored but not applied; give epoch_jyear in "
            "a mapping file"
        )
    return rows


def _is_numbering(names: pl.Series) -> bool:
    """Whether names only count the rows, like online_0, online_1: they name no star then."""
    number = names.str.extract(r"^(?:|.*_)(\d+)$", 1).cast(pl.Int64, strict=False)
    if number.null_count() or number[0] not in {0, 1}:
        return False
    return (number - number[0]).equals(pl.int_range(len(number), eager=True), check_names=False)


def _refuse_off_the_sky(rows: pl.DataFrame, found: list[Column], source: str) -> None:
    names = {column.quantity: column.name for column in found}
    for quantity, low, high in (("ra_deg", -180, 360), ("dec_deg", -90, 90)):
        wrong = rows.filter(~pl.col(quantity).is_between(low, high))
        if not wrong.is_empty():
            row, value = wrong.select("row", quantity).row(0)
            raise UsageError(
                f"{source}: column {names[quantity]!r} has {value:g} deg in row {row + 1}; "
                f"expected {low} to {high}. Is its unit right? State it in a mapping file "
                f"(--mapping)."
            )


def _magnitudes(
    raw: RawTable, found: list[Column], mapping: Mapping, notes: list[str], *, source: str
) -> pl.DataFrame:
    """One row a row of the file, band and system: row, band, ..., mag, mag_err."""
    errors = {(c.band, c.system): c for c in found if c.quantity == "mag_err"}
    parts = [pl.DataFrame(schema={"row": pl.Int64} | MAG_SCHEMA)]
    columns = [column for column in found if column.quantity == "mag"]
    bands = {column.band for column in columns}
    for column in columns:
        if column.band in {"B-V", "BP-RP"} and set(str(column.band).split("-")) <= bands:
            continue  # both of its magnitudes are there
        mag = read_numbers(raw, column, mapping, source=source)
        if not mag.count():
            notes.append(f"{column.name}: no value in any row")
            continue
        if column.system is None:
            raise UsageError(
                f"{source}: column {column.name!r} is a magnitude {column.band}, of which "
                f"photometric system is not known for this catalogue (Pan-STARRS and SDSS differ). "
                f"State it in a mapping file (--mapping)."
            )
        error = errors.get((column.band, column.system))
        mag_err = read_numbers(raw, error, mapping, source=source) if error else None
        part = pl.DataFrame({"row": np.arange(len(mag)), "mag": mag}).with_columns(
            mag_err=pl.lit(None, pl.Float64) if mag_err is None else mag_err,
            band=pl.lit(column.band),
            photometric_system=pl.lit(column.system),
            is_derived=pl.lit(column.is_derived),
        )
        if mag.null_count():
            notes.append(f"{column.name}: missing in {mag.null_count()} of {len(mag)} rows")
        parts.append(part.drop_nulls("mag").select(parts[0].columns))
    return pl.concat(parts)


def _rank(magnitudes: pl.DataFrame, bands: list[str], n_row: int) -> pl.Series:
    """Take a magnitude of each row in the first band of some that it has; of any if in none."""
    place = {band: i for i, band in enumerate(bands)}
    first = (
        magnitudes.filter(~pl.col("band").is_in(["B-V", "BP-RP"]))
        .with_columns(place=pl.col("band").replace_strict(place, default=len(bands)))
        .sort("row", "place", "band", "photometric_system")
        .unique("row", keep="first", maintain_order=True)
    )
    rows = pl.DataFrame({"row": np.arange(n_row)})
    return rows.join(first, on="row", how="left", maintain_order="left")["mag"]


def _variables(
    raw: RawTable, found: list[Column], mapping: Mapping, *, source: str
) -> pl.DataFrame:
    """One row a row of the file: row and columns of `variable_star`."""
    rows = pl.DataFrame({"row": np.arange(raw.rows.height)})
    for column in found:
        if column.quantity not in conventions()["variable"]:
            continue
        is_number = column.quantity in TARGET_UNIT
        values = (
            read_numbers(raw, column, mapping, source=source)
            if is_number
            else read_texts(raw, column).alias(column.quantity)
        )
        rows = rows.with_columns(values)
    wanted: dict[str, type[pl.DataType]] = VARIABLE_SCHEMA | {"is_amplitude": pl.String}
    absent = [name for name in wanted if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, wanted[name]).alias(name) for name in absent)
    is_amplitude = pl.col("is_amplitude").str.to_uppercase().is_in(["Y", "1", "TRUE"])
    is_amplitude = is_amplitude.fill_null(False)
    return rows.with_columns(
        variability=pl.col("variability")
        .str.strip_suffix(".0")
        .replace_strict(VARIABILITY, default="variable"),
        amplitude_mag=pl.when(is_amplitude)
        .then("min_mag")
        .otherwise(pl.col("min_mag") - pl.col("max_mag")),
        min_mag=pl.when(~is_amplitude).then("min_mag"),
    ).select("row", *VARIABLE_SCHEMA)


def _groups(rows: pl.DataFrame) -> pl.Series:
    ra_deg, dec_deg = rows["ra_deg"].to_numpy(), rows["dec_deg"].to_numpy()
    return pl.Series(star_groups(ra_deg, dec_deg, rows["star_name"])).cast(pl.Int64)


def _merged_magnitudes(magnitudes: pl.DataFrame, star_of: pl.DataFrame) -> pl.DataFrame:
    """Give each star one magnitude a band and system, the median of its rows'."""
    keys = ["star", "band", "photometric_system"]
    return (
        magnitudes.join(star_of, on="row")
        .group_by(keys)
        .agg(pl.col("mag", "mag_err").median(), pl.col("is_derived").first())
        .sort(keys)
    )


def _merged_variables(variables: pl.DataFrame | None, star_of: pl.DataFrame) -> pl.DataFrame:
    if variables is None:
        return pl.DataFrame(schema={"star": pl.Int64} | VARIABLE_SCHEMA)
    return (
        variables.join(star_of, on="row")
        .sort("row")
        .group_by("star", maintain_order=True)
        .agg(pl.col(*VARIABLE_SCHEMA).drop_nulls().first())
        .sort("star")
    )


def _merging_notes(n_duplicate: int, n_unplaced: int) -> list[str]:
    notes = []
    if n_duplicate:
        notes.append(f"{n_duplicate} duplicate rows merged with the star they repeat")
    if n_unplaced:
        notes.append(f"{n_unplaced} rows without a position left out")
    return notes


def _with_cells(stars: pl.DataFrame) -> pl.DataFrame:
    if stars["ra_deg"].is_null().all():
        return stars
    ra_deg, dec_deg = stars["ra_deg"].to_numpy(), stars["dec_deg"].to_numpy()
    cell = lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg, HEALPIX_ORDER)
    return stars.with_columns(healpix=pl.Series(np.asarray(cell).astype(np.int64)))
