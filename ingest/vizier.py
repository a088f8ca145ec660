"""Ask VizieR for the part of a catalogue around a field. The only module that needs the network."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import FetchError, UsageError
from .catalogue_columns import find_profile
from .catalogue_files import RawTable, from_astropy

if TYPE_CHECKING:
    from astropy.table import Table

Ask = Callable[["Cone"], "Table"]


@dataclass(frozen=True, slots=True)
class Cone:
    """What is asked for: columns of a VizieR table within a circle on the sky (ICRS)."""

    table: str
    columns: tuple[str, ...]
    ra_deg: float
    dec_deg: float
    radius_deg: float

    def described(self, asked_utc: datetime) -> str:
        """Return what was asked and when, as it is stored."""
        return (
            f"VizieR {self.table}, within {self.radius_deg:.4f} deg of RA {self.ra_deg:.5f} "
            f"Dec {self.dec_deg:+.5f}, columns {' '.join(self.columns)}, asked "
            f"{asked_utc:%Y-%m-%dT%H:%M:%SZ}"
        )


def cone_of(name: str, ra_deg: float, dec_deg: float, radius_deg: float) -> Cone:
    """Return what to ask of a catalogue.

    Raises
    ------
    UsageError
        It is not known which table of VizieR holds the catalogue.
    """
    catalogue, profile = find_profile(name)
    if "vizier" not in profile:
        raise UsageError(
            f"{catalogue}: no table of VizieR is known for it. Get a file and use "
            f"`starmuster import catalogue FILE --as {catalogue}`."
        )
    columns = tuple(profile["vizier_columns"])
    return Cone(profile["vizier"], columns, ra_deg, dec_deg, radius_deg)


def fetch_cone(cone: Cone, *, ask: Ask | None = None) -> tuple[RawTable, str]:
    """Fetch the stars of a catalogue in a circle.

    Parameters
    ----------
    ask
        Who answers; else VizieR.

    Returns
    -------
    The table, and what was asked and when.

    Raises
    ------
    UsageError
        astroquery is not installed.
    FetchError
        The service did not answer, or has no star there.
    """
    asked_utc = datetime.now(UTC)
    table = (ask or ask_vizier)(cone)
    if not len(table):
        raise FetchError(
            f"{cone.described(asked_utc)}: no star. Is the field covered by this catalogue?"
        )
    return from_astropy(table), cone.described(asked_utc)


def ask_vizier(cone: Cone) -> "Table":
    """Ask VizieR through astroquery; an empty table if it has no star there."""
    try:
        from astroquery.vizier import Vizier  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "fetching needs astroquery, which is not installed: pip install 'starmuster[fetch]'."
        ) from error
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.table import Table

    service: Any = Vizier(columns=list(cone.columns), row_limit=-1)
    place = SkyCoord(cone.ra_deg * u.deg, cone.dec_deg * u.deg)
    try:
        found = service.query_region(place, radius=cone.radius_deg * u.deg, catalog=cone.table)
    except Exception as error:  # requests, timeouts, XML: whatever goes wrong out there
        raise FetchError(
            f"VizieR {cone.table}: {type(error).__name__}: {error}. Is there a network? Try again, "
            f"or download a file and use `starmuster import catalogue`."
        ) from error
    return found[0] if len(found) else Table()
