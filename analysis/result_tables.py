"""The numbers of a fit as the lines of a table, each with as many digits as its error bears."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .minima import Minimum
from .plots import predicted_span
from .transits import Parameter, TransitFit

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity: what this night gives, what was expected, what was put in (demo only)."""

    label: str
    unit: str
    found: str
    expected: str = MISSING
    injected: str = MISSING


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """Write a number with a fixed number of decimals and a true minus sign."""
    text = f"{value:+.{digits}f}" if signed and value else f"{value:.{digits}f}"
    return text.replace("-", "−")


def measured(value: float | None, err: float | None, digits: int, *, signed: bool = False) -> str:
    """Write a value with its error, both to two significant digits of the error.

    Parameters
    ----------
    value
        None is a dash.
    err
        None leaves the error out; `digits` decimals are written then, as for an error of 0.
    digits, signed
        Decimals without an error; whether a positive value has a plus sign.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if err is None or not math.isfinite(err) or err <= 0:
        return number(value, digits, signed=signed)
    places = max(0, 1 - math.floor(math.log10(float(f"{err:.1e}"))))
    return f"{number(value, places, signed=signed)} ± {number(err, places)}"


# Attribute of the fit or name of its parameter: label, unit, decimals without an error, factor.
_TRANSIT = {
    "mid_bjd_tdb": ("Mid-transit", "BJD (TDB)", 5, 1),
    "o_minus_c_min": ("Observed − calculated", "min", 2, 1),
    "radius_ratio": ("Radius ratio, planet over star", "", 4, 1),
    "depth": ("Depth with limb darkening", "%", 3, 100),
    "duration_h": ("Duration, first to fourth contact", "h", 3, 1),
    "first_contact_bjd_tdb": ("First contact", "BJD (TDB)", 5, 1),
    "fourth_contact_bjd_tdb": ("Fourth contact", "BJD (TDB)", 5, 1),
    "a_over_r": ("Semi-major axis a / R★", "", 3, 1),
    "impact_parameter": ("Impact parameter", "", 3, 1),
}


def transit_lines(
    fit: TransitFit,
    planet: Mapping[str, object],
    injected: Mapping[str, float],
    minimum: Minimum | None = None,
) -> list[Line]:
    """Compare the fitted transit with its ephemeris, line by line.

    Parameters
    ----------
    fit
        A value that was not fitted is a dash.
    planet
        Row of table `planet`.
    injected
        Truth of a synthetic night under the same names as in `fit`; may be empty.
    minimum
        Time of minimum without a model, told below the others.
    """
    expected = _expected(fit, planet)
    lines = []
    for name, (label, unit, digits, factor) in _TRANSIT.items():
        texts = [
            measured(_times(factor, value), _times(factor, err), digits, signed=unit == "min")
            for value, err in (
                _found(fit, name),
                expected.get(name, (None, None)),
                (injected.get(name), None),
            )
        ]
        lines.append(Line(label, unit, *texts))
    if minimum is not None:
        for label, value, err in (
            ("Minimum by reflection, no model", minimum.kwee_d, minimum.kwee_err_d),
            ("Minimum of a polynomial", minimum.polynomial_d, minimum.polynomial_err_d),
        ):
            lines.append(Line(label, "BJD (TDB)", measured(value, err, 5)))
    return lines


def _found(fit: TransitFit, name: str) -> tuple[float | None, float | None]:
    if not hasattr(fit, name):
        parameter = (fit.parameters or {}).get(name)
        return (None, None) if parameter is None else (parameter.value, parameter.err)
    err = getattr(fit, f"{name}_err", None)
    if name == "o_minus_c_min" and err is None:  # the ephemeris states no error: the fit's alone
        err = _times(1440, fit.mid_bjd_tdb_err)
    return getattr(fit, name), err


def _expected(
    fit: TransitFit, planet: Mapping[str, object]
) -> dict[str, tuple[float | None, float | None]]:
    """Return value and error of what the ephemeris predicts."""

    def known(name: str) -> float | None:
        value = planet.get(name)
        return float(value) if isinstance(value, int | float) else None

    names = ("radius_ratio", "depth", "duration_h", "a_over_r", "impact_parameter")
    expected = {name: (known(name), known(f"{name}_err")) for name in names}
    expected["mid_bjd_tdb"] = fit.predicted_mid_bjd_tdb, fit.predicted_mid_err_d
    if fit.predicted_mid_bjd_tdb is not None:
        expected["o_minus_c_min"] = 0.0, _times(1440, fit.predicted_mid_err_d)
    span = predicted_span(fit, known("duration_h"))
    if span is not None:
        expected["first_contact_bjd_tdb"] = span.first, None
        expected["fourth_contact_bjd_tdb"] = span.fourth, None
    return expected


def quality_lines(fit: TransitFit, *, n_comparison: int, band: str, aperture: str) -> list[Line]:
    """Say how good the light curve and the fit are, and what they rest on."""
    lines = [
        Line("Scatter, points fitted", "", scatter(fit.residual_scatter)),
        Line("Scatter, all points", "", scatter(fit.residual_scatter_all)),
        Line("Points fitted" if fit.baseline else "Points, none fitted", "", str(fit.n_points)),
        Line("Outliers left out", "", str(fit.n_outliers)),
        Line("Comparison stars", "", str(n_comparison)),
        Line("Band", "", band),
        Line("Aperture (radius)", "", aperture),
        Line("Baseline", "", fit.baseline or MISSING),
        Line("Red-noise factor β", "", measured(fit.red_noise_factor, None, 2)),
        Line(
            "Radius ratio by all baselines",
            "",
            MISSING
            if fit.radius_ratio_low is None
            else f"{measured(fit.radius_ratio_low, None, 4)} to "
            f"{measured(fit.radius_ratio_high, None, 4)}",
        ),
        Line("Reduced χ², errors as measured", "", measured(fit.chi2_reduced, None, 2)),
        Line("BIC, flat line less transit", "", measured(fit.delta_bic_flat, None, 1, signed=True)),
    ]
    if fit.epoch is not None:
        lines.append(Line("Epoch, transits since that of the ephemeris", "", number(fit.epoch, 0)))
    return lines


def scatter(relative: float | None) -> str:
    """Write a relative scatter in per cent and in parts per thousand."""
    if relative is None:
        return MISSING
    return f"{number(100 * relative, 3)} % ({number(1000 * relative, 2)} ppt)"


def parameter_lines(fit: TransitFit) -> list[tuple[str, str, str, str]]:
    """Return name, value with error, unit and prior of every parameter of the fit."""
    return [
        (name.replace("_", " "), _parameter(p, 6), p.unit, p.prior)
        for name, p in (fit.parameters or {}).items()
    ]


def _parameter(parameter: Parameter | None, digits: int) -> str:
    return MISSING if parameter is None else measured(parameter.value, parameter.err, digits)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value
