"""How much light dust takes in each band, per magnitude of extinction in V.

Coefficients belong to a photometric system: those of SDSS g are not those of Pan-STARRS g.
"""

from dataclasses import dataclass

from ..errors import UsageError

FIXED = "wang-chen-2019"
# Wang & Chen 2019, ApJ 877, 116, Table 3: A_band / A_V
WANG_CHEN = {"SDSS": {"g": 1.205, "r": 0.848, "i": 0.630}}
LAWS = ("CCM89", "O94", "F99", "F04", "VCG04", "GCC09", "M14", "F19", "D22", "G23")
R_V = 3.1
# Effective or pivot wavelengths in micrometres. Pan-STARRS: Tonry et al. 2012, ApJ 750, 99, Table
# 4. SDSS: Fukugita et al. 1996, AJ 111, 1748, as the survey gives them. Johnson-Cousins: Bessell
# 2005, ARA&A 43, 293, Table 1. 2MASS: Cohen et al. 2003, AJ 126, 1090. Gaia: Riello et al. 2021,
# A&A 649, A3.
_GAIA = {"G": 0.6218, "BP": 0.5110, "RP": 0.7769}
WAVELENGTH_UM: dict[str, dict[str, float]] = {
    "Pan-STARRS": {"g": 0.481, "r": 0.617, "i": 0.752, "z": 0.866, "y": 0.962, "w": 0.608},
    "SDSS": {"u": 0.3551, "g": 0.4686, "r": 0.6166, "i": 0.7480, "z": 0.8932},
    "Johnson-Cousins": {"U": 0.3663, "B": 0.4361, "V": 0.5448, "R": 0.6407, "I": 0.7980},
    "2MASS": {"J": 1.235, "H": 1.662, "K": 2.159},
    "Gaia DR2": _GAIA,
    "Gaia DR3": _GAIA,
}


@dataclass(frozen=True, slots=True)
class Extinction:
    """A law of extinction; `r_v` is None where its coefficients are fixed."""

    law: str = "G23"
    r_v: float | None = R_V

    def coefficient(self, photometric_system: str, band: str) -> float:
        """Return A_band / A_V.

        For laws of `dust_extinction` that of the band's effective wavelength. That is right for
        bands of 0.1 to 0.15 micrometres to one or two hundredths; for the wide G, BP and RP of Gaia
        it depends on the star's colour, by up to a tenth.

        Raises
        ------
        UsageError
            The system or the band is not known to the law.
        """
        if self.law == FIXED:
            fixed = WANG_CHEN.get(photometric_system, {})
            if band not in fixed:
                raise UsageError(
                    f"extinction {FIXED}: coefficients are for SDSS g r i; {band} here is "
                    f"{photometric_system}. Take another law: --extinction G23."
                )
            return fixed[band]
        wavelengths = WAVELENGTH_UM.get(photometric_system, {})
        if band not in wavelengths:
            known = ", ".join(f"{name} {' '.join(of)}" for name, of in WAVELENGTH_UM.items())
            raise UsageError(
                f"extinction in {photometric_system} {band}: its wavelength is not known; known "
                f"are {known}."
            )
        return self._curve(wavelengths[band])

    def _curve(self, wavelength_um: float) -> float:
        import astropy.units as u
        from dust_extinction import parameter_averages

        curve = getattr(parameter_averages, self.law)(Rv=self.r_v)
        return float(curve(wavelength_um * u.um))


def find_law(name: str, r_v: float | None = None) -> Extinction:
    """Return the law of a name, in any case.

    Parameters
    ----------
    name
        wang-chen-2019, or a law of `dust_extinction` that takes R_V: G23, F99, CCM89 ...
    r_v
        A_V / E(B-V); None takes 3.1.

    Raises
    ------
    UsageError
        No such law, or it does not go with this R_V.
    """
    if name.lower() in {FIXED, "wc19", "fixed"}:
        if r_v is not None:
            raise UsageError(
                f"extinction {FIXED} has fixed coefficients; --r-v does not go with it."
            )
        return Extinction(FIXED, None)
    law = next((law for law in LAWS if law.lower() == name.lower()), None)
    if law is None:
        raise UsageError(f"no extinction law {name!r}; there are: {', '.join((FIXED, *LAWS))}.")
    r_v = R_V if r_v is None else r_v
    from dust_extinction import parameter_averages

    low, high = getattr(parameter_averages, law).Rv_range
    if not low <= r_v <= high:
        raise UsageError(f"extinction {law} holds for R_V of {low:g} to {high:g}; {r_v:g} given.")
    return Extinction(law, r_v)
