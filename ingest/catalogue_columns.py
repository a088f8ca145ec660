"""Which column of a catalogue's file is what, and in which unit: conventions, mapping files.

The conventions of the archives are in `references.toml`; a file of the user's goes before them.
"""

import difflib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError
from .catalogue_files import RawTable

TARGET_UNIT = {
    "ra_deg": "deg",
    "dec_deg": "deg",
    "epoch_jyear": "yr",
    "pm_ra_mas_per_yr": "mas/yr",
    "pm_dec_mas_per_yr": "mas/yr",
    "parallax_mas": "mas",
    "parallax_err_mas": "mas",
    "period_d": "d",
    "max_mag": "mag",
    "min_mag": "mag",
    "mag": "mag",
    "mag_err": "mag",
}
_BRACKETS = re.compile(r"^(?P<name>.*?)\s*[\[(](?P<unit>[^\])]+)[\])]$")


class ColumnMapping(BaseModel):
    """A column of a mapping file."""

    model_config = ConfigDict(extra="forbid")

    column: str
    unit: str | None = None


class BandMapping(BaseModel):
    """A magnitude of a mapping file."""

    model_config = ConfigDict(extra="forbid")

    column: str
    error: str | None = None
    unit: str | None = None
    band: str | None = None
    system: str
    is_derived: bool = False


class Mapping(BaseModel):
    """A mapping file: which column is what, where no convention fits."""

    model_config = ConfigDict(extra="forbid")

    epoch_jyear: float | None = Field(default=None, gt=1800, lt=2200)
    missing: list[float] = []
    is_variable: bool = False
    columns: dict[str, ColumnMapping | str] = {}
    magnitudes: dict[str, BandMapping] = {}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file and what it holds.

    Attributes
    ----------
    quantity
        A column of `reference_star` or `variable_star`, or mag, mag_err.
    unit
        Its unit as stated by the file, the mapping or the convention; "" for texts.
    is_sure
        False: no more than usual for that name; the values must show it.
    band, system, is_derived
        Of a magnitude. The system is None where nothing tells it.
    """

    name: str
    quantity: str
    unit: str
    is_sure: bool = True
    band: str | None = None
    system: str | None = None
    is_derived: bool = False

    def described(self) -> str:
        """Return what it is read as, in words."""
        words = [self.quantity, self.band, self.system, "derived" if self.is_derived else None]
        words.append(f"[{self.unit}]" if self.unit else None)
        return " ".join(word for word in words if word)


@cache
def conventions() -> dict[str, Any]:
    """Return the shipped conventions."""
    return tomllib.loads(conventions_text())


@cache
def conventions_text() -> str:
    """Return the text of `references.toml`."""
    file = resources.files(__package__ or "") / "references.toml"
    return file.read_text(encoding="utf-8")


def find_profile(name: str, *, has_mapping: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the name of a catalogue as it is stored, and what is known of it.

    Raises
    ------
    UsageError
        Nothing is known of it, and there is no mapping file that would tell.
    """
    known: dict[str, dict[str, Any]] = conventions()["catalogue"]
    key = name.strip().lower().replace(" ", "-")
    for catalogue, profile in known.items():
        if key == catalogue or key in profile["aliases"]:
            return catalogue, profile
    if has_mapping and key:
        return key, {"own": {}, "rank": [], "title": name}
    names = [*known, *(alias for profile in known.values() for alias in profile["aliases"])]
    near = difflib.get_close_matches(key, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"no catalogue {name!r} is known; there are: {', '.join(known)}.{hint} For another one "
        f"give a mapping file (--mapping), which says what its columns are."
    )


def read_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises
    ------
    UsageError
        It is not TOML, or a key is not known.
    """
    try:
        mapping = Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}; expected a mapping file in TOML.") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"{path}: {told}. See docs/catalogues.md.") from error
    known = [*conventions()["columns"], *conventions()["variable"]]
    for quantity in mapping.columns:
        if quantity not in known:
            raise UsageError(
                f"{path}: columns.{quantity} is no quantity that is stored."
                f"{suggestion(quantity, known)} There are: {', '.join(known)}."
            )
    return mapping


def suggestion(name: str, known: list[str]) -> str:
    """Return a hint at the nearest known name, empty if none is near."""
    near = difflib.get_close_matches(name.lower(), [other.lower() for other in known], n=1)
    found = next((other for other in known if near and other.lower() == near[0]), None)
    return f" Did you mean {found!r}?" if found else ""


def assign_columns(
    raw: RawTable, profile: dict[str, Any], mapping: Mapping, *, source: str
) -> list[Column]:
    """Say what each known column of a file is; the mapping goes before the conventions.

    Raises
    ------
    UsageError
        The mapping names a column that is not there, or nothing is known of any column.
    """
    names = {_bare(name): name for name in raw.rows.columns}
    found = _mapped(raw, mapping, source)
    taken = {column.name for column in found}
    given = {column.quantity for column in found if column.quantity != "mag"}
    bands = {(column.band, column.quantity) for column in found}
    for quantity, usual in conventions()["columns"].items():
        name = next((names[name] for name in usual if name in names), None)
        if name and quantity not in given and name not in taken:
            unit = profile.get("columns", {}).get(_bare(name), usual[_bare(name)])
            found.append(_column(raw, name, quantity, unit))
    if profile.get("is_variable") or mapping.is_variable:
        for quantity, usual in conventions()["variable"].items():
            name = next((names[name] for name in usual if name in names), None)
            if name and quantity not in given:
                found.append(_column(raw, name, quantity, TARGET_UNIT.get(quantity, "")))
    else:
        for bare, name in names.items():
            column = _magnitude(raw, bare, name, profile)
            if column and name not in taken and (column.band, column.quantity) not in bands:
                found.append(column)
                bands.add((column.band, column.quantity))
    _refuse_useless(raw, found, source)
    return found


def _bare(name: str) -> str:
    match = _BRACKETS.match(name)
    return match["name"] if match else name


def _mapped(raw: RawTable, mapping: Mapping, source: str) -> list[Column]:
    def sure(name: str, quantity: str, unit: str | None, **of_band: Any) -> Column:
        if name not in raw.rows.columns:
            raise UsageError(
                f"{source}: no column {name!r}, which the mapping names for {quantity}."
                f"{suggestion(name, raw.rows.columns)} There are: {_some(raw.rows.columns)}."
            )
        if unit is None and quantity in TARGET_UNIT:
            return _column(raw, name, quantity, TARGET_UNIT[quantity] + "?", **of_band)
        return Column(name, quantity, unit or "", **of_band)

    found: list[Column] = []
    for quantity, given in mapping.columns.items():
        spec = ColumnMapping(column=given) if isinstance(given, str) else given
        found.append(sure(spec.column, quantity, spec.unit))
    for label, spec in mapping.magnitudes.items():
        of_band = {
            "band": spec.band or label,
            "system": spec.system,
            "is_derived": spec.is_derived,
        }
        found.append(sure(spec.column, "mag", spec.unit, **of_band))
        if spec.error:
            found.append(sure(spec.error, "mag_err", spec.unit, **of_band))
    return found


def _column(raw: RawTable, name: str, quantity: str, usual: str, **of_band: Any) -> Column:
    """A column with the unit its file states, else the usual one."""
    brackets = _BRACKETS.match(name)
    stated = raw.units.get(name) or (brackets["unit"] if brackets else None)
    if stated and quantity in TARGET_UNIT:
        return Column(name, quantity, stated, **of_band)
    return Column(name, quantity, usual.rstrip("?"), not usual.endswith("?"), **of_band)


def _magnitude(raw: RawTable, bare: str, name: str, profile: dict[str, Any]) -> Column | None:
    """Say of which band a column is the magnitude or its error; None if of none."""
    rules = conventions()["magnitudes"]
    scaled = bare.replace("mmag", "mag")
    for quantity, patterns, others in (
        ("mag", rules["names"], rules["columns"]),
        ("mag_err", rules["errors"], rules["error_columns"]),
    ):
        band = others.get(bare)
        for pattern in patterns:
            head, tail = pattern.split("{}")
            inner = scaled[len(head) : len(scaled) - len(tail) or None]
            if band is None and head + inner + tail == scaled:
                inner = rules["written"].get(inner, inner)
                band = inner if inner in _bands(profile) else None
        if band is not None:
            system = profile["own"].get(band) or conventions()["systems"].get(band)
            says = "mag" in bare.lower() or band in {"BP-RP", "B-V"}
            unit = "mmag" if scaled != bare else "mag" if says else "mag?"
            derived = band not in profile["own"]
            return _column(raw, name, quantity, unit, band=band, system=system, is_derived=derived)
    return None


def _bands(profile: dict[str, Any]) -> set[str]:
    known: set[str] = {*profile["own"], *conventions()["systems"]}
    for other in conventions()["catalogue"].values():
        known |= set(other["own"])
    return known


def _refuse_useless(raw: RawTable, found: list[Column], source: str) -> None:
    quantities = {column.quantity for column in found}
    if len(quantities & {"ra_deg", "dec_deg"}) == 1:
        there, lacking = ("RA", "Dec") if "ra_deg" in quantities else ("Dec", "RA")
        raise UsageError(
            f"{source}: a column of {there}, none of {lacking} among {_some(raw.rows.columns)}. "
            f"Name it in a mapping file (--mapping)."
        )
    if quantities & {"ra_deg", "mag"}:
        return
    known = list(conventions()["columns"]["ra_deg"]) + list(conventions()["columns"]["dec_deg"])
    hints = [f"{name!r} like {near!r}" for name in raw.rows.columns if (near := _near(name, known))]
    raise UsageError(
        f"{source}: neither positions nor magnitudes among the columns {_some(raw.rows.columns)}."
        f"{' Perhaps ' + ', '.join(hints) + '?' if hints else ''} Say what they are in a mapping "
        f"file (--mapping)."
    )


def _near(name: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
