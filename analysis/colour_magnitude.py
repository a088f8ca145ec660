"""Colour-magnitude diagrams of fields and of catalogues, from stored rows."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import polars as pl

from ..errors import AnalysisError, NotFoundError, UsageError
from ..warehouse.store import shipped
from .colour_terms import ColourTerms, load_terms

COLUMNS = (
    "source_id",
    "ra_deg",
    "dec_deg",
    "mag",
    "mag_err",
    "colour",
    "colour_err",
    "n_frame",
    "calibrated",
    "flags",
)
MANY_BLENDED = 0.3  # share of stars with a neighbour's light that is worth a warning
OF_FRAMES = (
    "aperture_id",
    "take",
    "min_frame",
    "max_err_mag",
    "max_blended",
    "with_unclean",
    "is_natural",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which stars a diagram shows; None is no limit.

    Attributes
    ----------
    aperture_id
        None: that whose radius is nearest to the FWHM.
    take
        weighted or median: how the frames of a star are averaged.
    photometric_system
        None: the one with most frames.
    max_err_mag
        That a single measurement of a star typically has.
    max_blended
        Share of a star's measurements that hold a neighbour's light.
    ra_deg, dec_deg
        Centre that separations are from; None: the middle of the stars.
    pm_ra_mas_per_yr, pm_dec_mas_per_yr, pm_reach_mas_per_yr
        Proper motion of the members, and how far from it one may be.
    is_natural
        Leave colour terms out: magnitudes as the instrument sees them.
    """

    aperture_id: int | None = None
    take: str = "weighted"
    photometric_system: str | None = None
    min_frame: int = 1
    max_err_mag: float | None = None
    max_blended: float | None = None
    with_unclean: bool = False
    ra_deg: float | None = None
    dec_deg: float | None = None
    inner_arcsec: float | None = None
    outer_arcsec: float | None = None
    min_parallax_mas: float | None = None
    max_parallax_mas: float | None = None
    pm_ra_mas_per_yr: float | None = None
    pm_dec_mas_per_yr: float | None = None
    pm_reach_mas_per_yr: float | None = None
    is_natural: bool = False

    def described(self) -> dict[str, Any]:
        """Return the limits that are set."""
        limits = asdict(self).items()
        return {name: value for name, value in limits if value is not None and value is not False}


@dataclass(frozen=True, slots=True)
class Diagram:
    """A colour-magnitude diagram.

    Attributes
    ----------
    stars
        Rows of the query `colour_magnitude` or `catalogue_magnitudes`, brightest first.
    photometric_system
        None: instrumental.
    catalogue_name
        Behind the zero points, or whose stars these are.
    terms
        What stands between natural and standard magnitudes; None: these are standard.
    """

    name: str
    field_id: int | None
    blue: str
    red: str
    mag_band: str
    stars: pl.DataFrame
    aperture_name: str | None
    photometric_system: str | None
    catalogue_name: str | None
    selection: Selection
    n_before: int
    warnings: tuple[str, ...] = field(default=())
    terms: ColourTerms | None = None

    @property
    def system_name(self) -> str:
        """What magnitudes are on, in words."""
        natural = ", natural" if self.selection.is_natural else ""
        return f"{self.photometric_system or 'instrumental'}{natural}"

    @property
    def is_calibrated(self) -> bool:
        """Whether magnitudes are on a photometric system."""
        return self.photometric_system is not None

    @property
    def colour_name(self) -> str:
        """Name of the colour, g-i."""
        return f"{self.blue}-{self.red}"

    def rows(self) -> pl.DataFrame:
        """Return the columns a user sees."""
        return self.stars.rename({"is_calibrated": "calibrated"}).select(COLUMNS)


def parse_colour(text: str) -> tuple[str, str]:
    """Read a colour such as g-i.

    Raises
    ------
    UsageError
        It is not two different bands.
    """
    blue, dash, red = (part.strip() for part in text.partition("-"))
    if not (blue and dash and red) or "-" in red:
        raise UsageError(f"colour {text!r}: expected two bands, the bluer first, as g-i.")
    if blue == red:
        raise UsageError(f"colour {text!r}: one band has no colour; expected two, as g-i.")
    return blue, red


def field_diagram(
    con: duckdb.DuckDBPyConnection,
    field_id: int,
    field_name: str,
    *,
    colour: str,
    mag_band: str,
    selection: Selection,
) -> Diagram:
    """Ask for the diagram of a field.

    Raises
    ------
    UsageError
        The colour is none, or the system asked for is not that of the zero points.
    AnalysisError
        A band was not observed, or no star has both; the bands at hand are told.
    """
    blue, red = parse_colour(colour)
    bands = list(dict.fromkeys((blue, red, mag_band)))
    _refuse_missing(con, field_id, field_name, bands)
    aperture_id, aperture_name = _aperture(con, field_id, bands, selection.aperture_id)
    selection = replace(selection, aperture_id=aperture_id)
    wanted = {"field": str(field_id), "blue": blue, "red": red, "mag": mag_band}
    stars = shipped(con, "colour_magnitude", **wanted, **asdict(selection))
    free = Selection(
        aperture_id=aperture_id,
        photometric_system=selection.photometric_system,
        is_natural=selection.is_natural,
    )
    everyone = (
        stars if selection == free else shipped(con, "colour_magnitude", **wanted, **asdict(free))
    )
    if everyone.is_empty():
        raise AnalysisError(
            f"{field_name}: no star was cleanly measured in {' and '.join(bands)} in aperture "
            f"{aperture_name}. Do the frames overlap? See `starmuster stars {field_name}`."
        )
    if stars.is_empty():
        raise AnalysisError(
            f"{field_name}: the selection leaves none of {everyone.height} stars: "
            f"{selection.described()}. Widen it."
        )
    first = stars.row(0, named=True)
    if selection.photometric_system and first["photometric_system"] is None:
        raise UsageError(
            f"{field_name}: no zero points on {selection.photometric_system} in all of "
            f"{', '.join(bands)}. Import a catalogue on that system, or leave --system out."
        )
    return Diagram(
        field_name,
        field_id,
        blue,
        red,
        mag_band,
        stars,
        aperture_name,
        first["photometric_system"],
        first["catalogue_name"],
        selection,
        everyone.height,
        tuple(_warnings(stars, is_calibrated=first["photometric_system"] is not None)),
        load_terms(
            con,
            field_name,
            field_id=field_id,
            aperture_id=aperture_id,
            bands=bands,
            catalogue_name=first["catalogue_name"],
            photometric_system=first["photometric_system"],
        )
        if selection.is_natural
        else None,
    )


def catalogue_diagram(
    con: duckdb.DuckDBPyConnection,
    catalogue: str,
    *,
    colour: str,
    mag_band: str,
    selection: Selection,
) -> Diagram:
    """Ask for the diagram of the stars of a catalogue; catalogues are photometry, too.

    Raises
    ------
    NotFoundError, UsageError
        No such catalogue or bands in it; or a limit that frames are needed for.
    """
    blue, red = parse_colour(colour)
    needs_frames = [
        name for name in OF_FRAMES if getattr(selection, name) != getattr(Selection(), name)
    ]
    if needs_frames:
        raise UsageError(
            f"{', '.join(needs_frames)}: limits on measurements; a catalogue has none."
        )
    held = shipped(con, "catalogues").filter(catalogue_name=catalogue)
    if held.is_empty():
        known = sorted(set(shipped(con, "catalogues")["catalogue_name"]))
        raise NotFoundError(
            f"no catalogue {catalogue!r}; there are: {', '.join(known) or 'none'}. Import one: "
            f"starmuster import catalogue FILE --as NAME."
        )
    system = selection.photometric_system or _system(held, blue, red, mag_band, catalogue)
    where = {name: value for name, value in asdict(selection).items() if name not in OF_FRAMES} | {
        "photometric_system": system
    }
    wanted = {"catalogue": catalogue, "blue": blue, "red": red, "mag": mag_band}
    stars = shipped(con, "catalogue_magnitudes", **wanted, **where)
    everyone = shipped(con, "catalogue_magnitudes", **wanted, photometric_system=system)
    if stars.is_empty():
        raise AnalysisError(
            f"{catalogue}: none of {everyone.height} stars with {colour} and {mag_band} on "
            f"{system} is within the selection {selection.described()}. Widen it; stars without "
            f"a position have no separation."
        )
    return Diagram(
        catalogue,
        None,
        blue,
        red,
        mag_band,
        stars,
        None,
        system,
        catalogue,
        selection,
        everyone.height,
        tuple(_catalogue_warnings(stars)),
    )


def _refuse_missing(
    con: duckdb.DuckDBPyConnection, field_id: int, field_name: str, bands: list[str]
) -> None:
    seen = {
        row["band"]: row["n_frame"]
        for row in shipped(con, "diagram_bands", field_id=field_id).iter_rows(named=True)
    }
    missing = [band for band in bands if band not in seen]
    if missing:
        at_hand = ", ".join(f"{band} ({n} frames)" for band, n in seen.items()) or "none"
        raise AnalysisError(
            f"{field_name}: no measured frame in {', '.join(missing)}; measured are: {at_hand}. "
            f"A colour needs two bands."
        )


def _aperture(
    con: duckdb.DuckDBPyConnection, field_id: int, bands: list[str], aperture_id: int | None
) -> tuple[int, str]:
    known = shipped(
        con, "diagram_apertures", field_id=field_id, bands=bands, aperture_id=aperture_id
    )
    if known.is_empty():
        raise AnalysisError(
            f"no clean measurement in {', '.join(bands)}"
            f"{'' if aperture_id is None else ' in that aperture'}. "
            f"See `starmuster status` for what is pending or failed."
        )
    return known["aperture_id"][0], known["aperture_name"][0]


def _system(held: pl.DataFrame, blue: str, red: str, mag_band: str, catalogue: str) -> str:
    """Return the one system of a catalogue that has all bands."""
    systems = [
        str(system)
        for (system,), rows in held.group_by("photometric_system", maintain_order=True)
        if _has_bands(set(rows["band"].drop_nulls()), blue, red, mag_band)
    ]
    if len(systems) != 1:
        bands = ", ".join(
            f"{row['band']} ({row['photometric_system']})"
            for row in held.drop_nulls("band").iter_rows(named=True)
        )
        reason = "several systems have" if systems else "no photometric system has all of"
        raise UsageError(
            f"{catalogue}: {reason} {blue}, {red} and {mag_band}; it holds {bands or 'none'}. "
            f"Systems are never mixed; choose with --colour, --mag and --system."
        )
    return systems[0]


def _has_bands(held: set[str], blue: str, red: str, mag_band: str) -> bool:
    return mag_band in held and ({blue, red} <= held or f"{blue}-{red}" in held)


def _warnings(stars: pl.DataFrame, *, is_calibrated: bool) -> list[str]:
    found: list[str] = []
    if not is_calibrated:
        found.append(
            "instrumental magnitudes: no zero points on one photometric system in all bands; "
            "colours and magnitudes are off by a constant each, and by colour terms"
        )
    blended = float((stars["blended"] > 0.5).mean() or 0)  # pyright: ignore[reportArgumentType]
    if blended > MANY_BLENDED:
        found.append(
            f"crowded: {100 * blended:.0f} % of the stars hold a neighbour's light, and look "
            f"brighter and of another colour; limit with --max-blended, --inner or a smaller "
            f"aperture"
        )
    if stars["mag_err"].is_null().all():
        found.append("no errors: the gain of the camera is not known")
    return found


def _catalogue_warnings(stars: pl.DataFrame) -> list[str]:
    found: list[str] = []
    if stars["ra_deg"].is_null().all():
        found.append("a list without positions: its stars are matched with none and have no centre")
    if stars["mag_err"].is_null().all():
        found.append("the catalogue gives no errors")
    return found
