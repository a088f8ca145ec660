"""Options of colour-magnitude diagrams: which stars, and which isochrone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import UsageError

if TYPE_CHECKING:
    from ..analysis.colour_magnitude import Selection


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Limits:
    """Which stars are shown.

    Parameters
    ----------
    aperture
        Name or number; else that whose radius is nearest to the FWHM.
    catalogue
        Draw the stars of this catalogue instead of measured ones.
    system
        Photometric system, where there are several.
    take
        How the frames of a star are averaged.
    min_frames
        Frames in each band.
    max_err
        Largest error that a single measurement of a star has, mag.
    max_blended
        Largest share of a star's measurements with a neighbour's light, 0 to 1.
    unclean
        Take measurements with severe flags, too.
    centre
        "RA DEC" in degrees or sexagesimal; else the middle of the stars.
    inner
        Least separation from the centre, arcmin.
    outer
        Largest separation from the centre, arcmin.
    parallax
        LOW:HIGH in mas, of the catalogue.
    proper_motion
        RA,DEC,REACH in mas/yr, of the catalogue; RA times cos(dec).
    natural
        Leave colour terms out; isochrones are brought to the instrument's passbands.
    """

    aperture: str | None = None
    catalogue: str | None = None
    system: str | None = None
    take: Literal["weighted", "median"] = "weighted"
    min_frames: int = 1
    max_err: float | None = None
    max_blended: float | None = None
    unclean: Annotated[bool, Parameter(negative=())] = False
    centre: str | None = None
    inner: float | None = None
    outer: float | None = None
    parallax: str | None = None
    proper_motion: str | None = None
    natural: Annotated[bool, Parameter(negative=())] = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Curve:
    """The isochrone: laid over by hand, or fitted from there on.

    Parameters
    ----------
    isochrone
        Lay an isochrone over; so does any of the following.
    age
        Gyr.
    feh
        [Fe/H], dex.
    v_vcrit
        Rotation, of those imported.
    distance
        Parsec.
    av
        Extinction in V, mag.
    grid
        Name of the isochrones; else a published one.
    extinction
        Law: G23, F99, CCM89 ... with --r-v, or wang-chen-2019 (SDSS g r i).
    r_v
        A_V over E(B-V); 3.1.
    fit
        no, least-squares, or posterior.
    prior
        NAME=MEAN,SIGMA or NAME=LOW:HIGH of age, feh, distance, dm, av, binaries, field.
    hold
        Parameter that is not fitted.
    max_phase
        Last phase fitted: 2 giant branch, 3 with the horizontal branch.
    steps
        Of each walker of the posterior.
    seed
        Of the random numbers.
    """

    isochrone: Annotated[bool, Parameter(negative=())] = False
    age: float | None = None
    feh: float | None = None
    v_vcrit: float | None = None
    distance: float | None = None
    av: float | None = None
    grid: str | None = None
    extinction: str = "G23"
    r_v: float | None = None
    fit: Literal["no", "least-squares", "posterior"] = "no"
    prior: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    hold: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    max_phase: int = 2
    steps: int = 600
    seed: int = 1

    @property
    def is_wanted(self) -> bool:
        """Whether any curve was asked for."""
        given = (self.age, self.feh, self.v_vcrit, self.distance, self.av, self.grid)
        return self.isochrone or self.fit != "no" or any(value is not None for value in given)


NO_LIMITS, NO_CURVE = Limits(), Curve()


def selection_of(con: Any, limits: Limits) -> "Selection":
    """Read the limits of a diagram.

    Raises
    ------
    UsageError, NotFoundError
        One cannot be read, or there is no such aperture.
    """
    from ..analysis.apertures import find_aperture
    from ..analysis.colour_magnitude import Selection
    from ..analysis.stars import parse_position

    place = None if limits.centre is None else parse_position(limits.centre)
    if limits.centre is not None and place is None:
        raise UsageError(f'--centre {limits.centre}: expected "RA DEC" in degrees or sexagesimal.')
    low, high = _numbers("--parallax", limits.parallax, ":", 2) or (None, None)
    motion = _numbers("--proper-motion", limits.proper_motion, ",", 3) or (None, None, None)
    return Selection(
        aperture_id=None if limits.aperture is None else find_aperture(con, limits.aperture)[0],
        take=limits.take,
        photometric_system=limits.system,
        min_frame=limits.min_frames,
        max_err_mag=limits.max_err,
        max_blended=limits.max_blended,
        with_unclean=limits.unclean,
        ra_deg=place[0] if place else None,
        dec_deg=place[1] if place else None,
        inner_arcsec=None if limits.inner is None else 60 * limits.inner,
        outer_arcsec=None if limits.outer is None else 60 * limits.outer,
        min_parallax_mas=low,
        max_parallax_mas=high,
        pm_ra_mas_per_yr=motion[0],
        pm_dec_mas_per_yr=motion[1],
        pm_reach_mas_per_yr=motion[2],
        is_natural=limits.natural,
    )


def _numbers(option: str, text: str | None, separator: str, n: int) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        found = tuple(float(part) for part in text.split(separator))
    except ValueError:
        found = ()
    if len(found) != n:
        example = separator.join(("1.0", "1.4", "0.5")[:n])
        raise UsageError(f"{option} {text}: expected {n} numbers, as {example}.")
    return found
