"""Colour terms both ways: from what an instrument sees to a photometric system, and back.

At the pivot colour both are the same. A natural magnitude is on the level of the system, in the
passbands of the instrument: stars need no colour to have one, and isochrones are brought to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..warehouse.store import shipped
from .extinction import Extinction
from .isochrones import Grid

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColourTerms:
    """Colour terms of some bands, all of one colour.

    Attributes
    ----------
    blue, red
        Bands of the colour, which is standard.
    terms
        By band: magnitudes per magnitude of colour, and the pivot colour. Bands that are not
        there have none.
    """

    blue: str
    red: str
    terms: Mapping[str, tuple[float, float]]

    def natural(self, band: str, standard_mag, colour_mag):
        """Return magnitudes as the instrument sees them, of standard ones and their colours."""
        term, pivot_mag = self.terms.get(band, (0.0, 0.0))
        return standard_mag - term * (colour_mag - pivot_mag)

    def standard(self, band: str, natural_mag, colour_mag):
        """Return standard magnitudes of natural ones; the colours are standard."""
        term, pivot_mag = self.terms.get(band, (0.0, 0.0))
        return natural_mag + term * (colour_mag - pivot_mag)

    def standard_colour(self, natural_blue_mag, natural_red_mag):
        """Solve for the standard colour of stars seen in both of its bands."""
        blue_term, blue_pivot = self.terms.get(self.blue, (0.0, 0.0))
        red_term, red_pivot = self.terms.get(self.red, (0.0, 0.0))
        seen = natural_blue_mag - natural_red_mag - blue_term * blue_pivot + red_term * red_pivot
        return seen / (1 - blue_term + red_term)

    def of_grid(self, grid: Grid) -> Grid:
        """Return isochrones as the instrument sees them.

        Raises
        ------
        UsageError
            The isochrones are of another colour than the terms.
        """
        if grid.bands[:2] != (self.blue, self.red):
            raise UsageError(
                f"the colour terms are in {self.blue}-{self.red}, the isochrones in "
                f"{grid.bands[0]}-{grid.bands[1]}: natural magnitudes of an isochrone need its "
                f"{self.blue}-{self.red}. Take --colour {self.blue}-{self.red}."
            )
        return replace(grid, curves={node: self._seen(grid, c) for node, c in grid.curves.items()})

    def _seen(self, grid: Grid, columns: Array) -> Array:
        colour = columns[:, 1] - columns[:, 2]
        seen = [
            self.natural(band, columns[:, i], colour) for i, band in enumerate(grid.bands, start=1)
        ]
        return np.column_stack([columns[:, 0], *seen])


@dataclass(frozen=True, slots=True)
class NaturalExtinction(Extinction):
    """Extinction in natural magnitudes: reddening changes the colour that the terms are of."""

    terms: ColourTerms | None = None

    def coefficient(self, photometric_system: str, band: str) -> float:
        """Return A_band / A_V as the instrument sees it; see `Extinction.coefficient`."""
        law, terms = Extinction(self.law, self.r_v), self.terms
        dimming = law.coefficient(photometric_system, band)
        if terms is None:
            return dimming
        blue, red = (law.coefficient(photometric_system, of) for of in (terms.blue, terms.red))
        return dimming - terms.terms.get(band, (0.0, 0.0))[0] * (blue - red)


def load_terms(
    con: duckdb.DuckDBPyConnection, name: str, *, bands: list[str], **basis: Any
) -> ColourTerms:
    """Return the colour terms of the zero points behind a diagram.

    Parameters
    ----------
    name
        Of the field, for messages.
    bands
        Blue and red of the colour first.
    basis
        The other parameters of the query `diagram_terms`.

    Raises
    ------
    UsageError
        There are no zero points, or their terms are in several colours.
    """
    if basis["photometric_system"] is None:
        raise UsageError(
            f"{name}: without zero points magnitudes are instrumental, and natural already; leave "
            f"--natural out."
        )
    rows = shipped(con, "diagram_terms", bands=bands, **basis)
    colours = list(dict.fromkeys(rows["colour"]))
    if len(colours) > 1:
        raise UsageError(f"{name}: colour terms in {' and '.join(colours)}, not in one colour.")
    blue, _, red = (colours or ["-".join(bands[:2])])[0].partition("-")
    terms = {
        row["band"]: (row["colour_term"], row["colour_pivot_mag"] or 0.0)
        for row in rows.iter_rows(named=True)
    }
    return ColourTerms(blue, red, terms)


def seen_through(extinction: Extinction, terms: ColourTerms | None) -> Extinction:
    """Return a law of extinction for the magnitudes of a diagram: natural with terms."""
    if terms is None:
        return extinction
    return NaturalExtinction(extinction.law, extinction.r_v, terms)
