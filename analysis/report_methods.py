"""The paragraph of methods of a transit report, and the papers it rests on."""

from dataclasses import dataclass

from .report_content import TransitReport, has_any
from .result_tables import measured


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper the methods rest on."""

    text: str
    doi: str


TIMES = (Reference("Eastman, Siverd & Gaudi 2010, PASP 122, 935 (times)", "10.1086/655938"),)
_PHOTOMETRY = (
    Reference("Merline & Howell 1995, Exp. Astron. 6, 163 (errors)", "10.1007/BF00421131"),
    Reference("Collins et al. 2017, AJ 153, 77 (errors)", "10.3847/1538-3881/153/2/77"),
    *TIMES,
)
_ENSEMBLE = {
    "weights": Reference(
        "Broeg, Fernández & Neuhäuser 2005, AN 326, 134 (comparison stars)",
        "10.1002/asna.200410350",
    ),
    "inhomogeneous": Reference(
        "Honeycutt 1992, PASP 104, 435 (comparison stars)", "10.1086/133015"
    ),
}
_SCINTILLATION = Reference(
    "Osborn et al. 2015, MNRAS 452, 1707 (scintillation)", "10.1093/mnras/stv1400"
)
TRANSIT = (
    Reference(
        "Agol, Luger & Foreman-Mackey 2020, AJ 159, 123 (transit model)", "10.3847/1538-3881/ab4fee"
    ),
    Reference("Kipping 2013, MNRAS 435, 2152 (limb darkening)", "10.1093/mnras/stt1435"),
    Reference(
        "Claret, Hauschildt & Witte 2013, A&A 552, A16 (limb darkening)",
        "10.1051/0004-6361/201220942",
    ),
    Reference("Winn et al. 2008, ApJ 683, 1076 (red noise)", "10.1086/589737"),
)
_PERMUTATION = (
    Reference(
        "Southworth 2008, MNRAS 386, 1644 (residual permutation)",
        "10.1111/j.1365-2966.2008.13145.x",
    ),
)
_SAMPLER = {
    "emcee": Reference("Foreman-Mackey et al. 2013, PASP 125, 306 (sampler)", "10.1086/670067"),
    "dynesty": Reference("Speagle 2020, MNRAS 493, 3132 (sampler)", "10.1093/mnras/staa278"),
}


def references(report: TransitReport) -> list[Reference]:
    """Return the papers behind what was done, by name."""
    found = [*_PHOTOMETRY]
    ensemble = _ENSEMBLE.get(report.ensemble_method)
    found += [ensemble] if ensemble else []
    found += [_SCINTILLATION] if has_any(report.light_curve, "scintillation") else []
    found += (*TRANSIT, *_PERMUTATION) if report.fit.baseline is not None else ()
    sampler = _SAMPLER.get(report.posterior_method or "")
    found += [sampler] if sampler else []
    return sorted(found, key=lambda reference: reference.text)


def methods(report: TransitReport, *, n_comparison: int, aperture: str) -> list[str]:
    """Say in whole sentences how the numbers came about."""
    found = [_photometry(report, n_comparison, aperture)]
    if report.fit.baseline is not None:
        found.append(_fit(report))
    if report.posterior_method:
        found.append(_posterior(report))
    if report.versions:
        software = ", ".join(f"{name} {version}" for name, version in report.versions.items())
        found.append(f"Software: {software}.")
    return found


def _photometry(report: TransitReport, n_comparison: int, aperture: str) -> str:
    stars = f"{n_comparison} comparison star{'' if n_comparison == 1 else 's'}"
    ensemble = {
        "weights": f"the weighted mean of {stars}, weighted by their own constancy "
        "(Broeg et al. 2005)",
        "sum": f"the summed flux of {stars}, with propagated errors (Collins et al. 2017)",
        "inhomogeneous": f"{stars}, by one least-squares solution of the magnitudes of stars and "
        "the zero points of frames (Honeycutt 1992)",
    }[report.ensemble_method]
    text = (
        "Fluxes were summed in circular apertures with a radius of "
        f"{aperture or 'unknown size'}, at places carried over from the field’s reference frame, "
        "above the clipped midmean of a sky "
        f"annulus around each star. The target was compared with {ensemble}; they were chosen "
        "without the target’s points in transit. "
    )
    if has_any(report.light_curve, "relative_flux_err"):
        has_scintillation = has_any(report.light_curve, "scintillation")
        text += (
            "Errors hold the photons of the star, the sky and the detector"
            + (", scintillation (Osborn et al. 2015)" if has_scintillation else "")
            + " and the comparison stars (Merline & Howell 1995; Collins et al. 2017)"
            + (
                ". "
                if has_scintillation
                else "; scintillation is left out, as the telescope’s diameter, its altitude or "
                "the airmass is not known. "
            )
        )
    return text + (
        "Times are the middles of the exposures as BJD in TDB at the place of the star "
        "(Eastman et al. 2010)."
    )


def _fit(report: TransitReport) -> str:
    fit = report.fit
    limb = fit.limb_darkening or "stellar models"
    has_trend = any(name.startswith("trend_") for name in report.light_curve.columns)
    trends = ", and of trends that the stars of the field share," if has_trend else ""
    text = (
        "A transit of a quadratically limb-darkened star (Agol et al. 2020; q1 and q2 of Kipping "
        f"2013 with priors from {limb}), averaged over each exposure, was fitted together with the "
        "baseline. Of all baselines of up to three terms in time, its square, airmass, place, FWHM "
        f"and sky{trends} the one of least Bayesian information criterion, {fit.baseline}, was "
        "taken"
        + (", with an offset for the meridian flip" if fit.has_flip else "")
        + ". Points further than 4 robust σ from the model were left out. Errors were scaled to "
        "the scatter of the residuals and widened by the largest of three measures of red noise: "
        f"the factor β = {measured(fit.red_noise_factor, None, 2)} from averages over time (Winn "
        "et al. 2008), residual permutation (Southworth 2008), and the correlated noise that the "
        "residuals allow; the scatter of what the other baselines give is added. Values are means "
        "of the posterior to second order (Lindley 1980, Trabajos de Estadística 31, 223)."
    )
    if fit.mid_bjd_tdb is None:
        return text + " The flat line shown went through the same steps."
    low, high = fit.radius_ratio_low, fit.radius_ratio_high
    return text + (
        f" Over all baselines that the criterion does not rule out the radius ratio ranges from "
        f"{measured(low, None, 4)} to {measured(high, None, 4)} and the mid-time changes by up to "
        f"{measured(1440 * (fit.mid_spread_d or 0.0), None, 1)} minutes: a systematic."
    )


def _posterior(report: TransitReport) -> str:
    posterior = report.posterior
    n = 0 if posterior is None else posterior.height
    return (
        f"The posterior was sampled with {report.posterior_method}: {n} samples are kept"
        + (f", {report.posterior_note}" if report.posterior_note else "")
        + ". The coefficients of the baseline are integrated out exactly, and a jitter is free."
    )
