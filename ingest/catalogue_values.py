"""The values of a catalogue's columns: numbers in the unit of their quantity, missing ones null."""

import re

import numpy as np
import polars as pl

from ..errors import UsageError
from .catalogue_columns import TARGET_UNIT, Column, Mapping, conventions
from .catalogue_files import RawTable

# A column whose name does not promise its unit is believed if its largest value says so:
# no hour angle is over 24, no star moves 12 arcsec in a year, none is nearer than 0.8 arcsec.
SHOWN_ABOVE = {"ra_deg": 24.0, "mas/yr": 12.0, "mas": 0.8, "yr": 1000.0}
MAG_RANGE = (-5.0, 40.0)
_SEXAGESIMAL = re.compile(r"^[+-]?\d{1,3}[\s:hd]+\d{1,2}[\s:m]+[\d.]+s?$")


def read_numbers(raw: RawTable, column: Column, mapping: Mapping, *, source: str) -> pl.Series:
    """Return the values of a column in the unit of its quantity; what is missing is null.

    Raises
    ------
    UsageError
        A cell is no number; or the unit is none of the quantity's, or is not stated and the
        values leave it open.
    """
    given = raw.rows[column.name]
    if column.quantity in {"ra_deg", "dec_deg"} and _is_sexagesimal(given):
        return _angles(given, column, source)
    values = _floats(given, column, source)
    is_mag = TARGET_UNIT[column.quantity] == "mag"
    missing = [*mapping.missing, *conventions()["missing"]["magnitude" if is_mag else "other"]]
    # magnitudes come as float32, too, in which 99.99 is not 99.99
    gone = pl.any_horizontal((pl.col("v") - value).abs() < 1e-4 for value in missing)
    keep = pl.col("v").is_finite() & ~gone
    values = pl.DataFrame({"v": values}).select(pl.when(keep).then("v")).to_series()
    values = _converted(values, column, source)
    if is_mag:
        values = _checked_magnitudes(values, column, source)
    return values.alias(column.quantity)


def read_texts(raw: RawTable, column: Column) -> pl.Series:
    """Return the values of a column of texts or whole numbers; what is missing is null."""
    texts = raw.rows[column.name].cast(pl.String).str.strip_chars()
    missing = texts.str.to_lowercase().is_in(conventions()["missing"]["text"])
    frame = pl.DataFrame({"v": texts, "gone": missing})
    return frame.select(pl.when(~pl.col("gone")).then("v")).to_series().alias(column.quantity)


def _floats(given: pl.Series, column: Column, source: str) -> pl.Series:
    if given.dtype.is_numeric():
        return given.cast(pl.Float64)
    texts = read_texts(RawTable(given.to_frame(), {}), Column(given.name, given.name, ""))
    values = texts.cast(pl.Float64, strict=False)
    wrong = texts.is_not_null() & values.is_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise UsageError(
            f"{source}: column {column.name!r} has {texts[row]!r} in row {row + 1}; expected "
            f"numbers, for it is read as {column.described()}. Correct it, or name another column "
            f"in a mapping file."
        )
    return values


def _is_sexagesimal(given: pl.Series) -> bool:
    first = given.drop_nulls().head(1)
    return given.dtype == pl.String and len(first) == 1 and bool(_SEXAGESIMAL.match(str(first[0])))


def _angles(given: pl.Series, column: Column, source: str) -> pl.Series:
    from astropy import units as u
    from astropy.coordinates import Angle

    unit = u.hourangle if column.quantity == "ra_deg" else u.deg
    try:
        angles = Angle(given.to_list(), unit=unit).deg
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{source}: column {column.name!r}: {error}; expected angles like 09 02 12.3."
        ) from error
    return pl.Series(column.quantity, np.asarray(angles, float))


def _converted(values: pl.Series, column: Column, source: str) -> pl.Series:
    """Bring values into the unit of their quantity, after seeing that theirs is known."""
    target = TARGET_UNIT[column.quantity]
    if not column.is_sure:
        _refuse_ambiguous(values, column, source)
    if column.unit == target:
        return values
    if column.quantity == "epoch_jyear" and column.unit == "d":
        return 2000 + (values - 51544.5) / 365.25
    from astropy import units as u

    try:
        factor = u.Quantity(1, _unit(column.unit)).to_value(target)
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise UsageError(
            f"{source}: column {column.name!r} is in {column.unit!r}; expected {target} or what "
            f"can be turned into it, for it is read as {column.quantity}. State its unit in a "
            f"mapping file (--mapping)."
        ) from error
    return values * factor


def _unit(text: str):
    from astropy import units as u

    for form in ("generic", "cds", "vounit"):
        try:
            return u.Unit(text, format=form)
        except ValueError:
            continue
    raise ValueError(text)


def _refuse_ambiguous(values: pl.Series, column: Column, source: str) -> None:
    limit = SHOWN_ABOVE.get(column.quantity) or SHOWN_ABOVE.get(column.unit)
    largest = values.abs().max()
    if limit is None or largest is None or float(str(largest)) > limit:
        return
    raise UsageError(
        f"{source}: column {column.name!r} states no unit, and with values up to "
        f"{float(str(largest)):g} it need not be in {column.unit}. State it: as {column.name} "
        f"[{column.unit}], or in a mapping file (--mapping)."
    )


def _checked_magnitudes(values: pl.Series, column: Column, source: str) -> pl.Series:
    """Drop single magnitudes that no star has; refuse a column that is full of them."""
    low, high = (0.0, 10.0) if column.quantity == "mag_err" else MAG_RANGE
    inside = values.is_between(low, high)
    n_outside = int((~inside).sum() or 0)
    if n_outside > values.count() / 2:
        median = float(str(values.median()))
        raise UsageError(
            f"{source}: column {column.name!r} is read as {column.described()}, yet its median is "
            f"{median:g}; expected {low:g} to {high:g} mag. Is it in mmag, or a flux? State its "
            f"unit: as {column.name} [mmag], or in a mapping file (--mapping)."
        )
    if column.quantity == "mag_err":
        inside = inside & (values > 0)  # no error is zero: 0 says that it was not measured
    return pl.DataFrame({"v": values, "k": inside}).select(pl.when("k").then("v")).to_series()
