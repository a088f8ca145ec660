"""Seeded synthetic nights with known truth, as FITS files with headers as N.I.N.A. writes them.

The same plan gives the same bytes. A night holds the folders LIGHT, DARK, FLAT and BIAS, and
`planets.csv` with the ephemeris of the planet whose transit was injected.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits
from numpy.random import Generator
from numpy.typing import NDArray

from .synthetic_header import Exposure, header
from .synthetic_pixels import Detector, cosmic_rays, digitise, expose, make_detector, render_stars
from .synthetic_plan import (
    NightPlan,
    demo_plan,
    plan_lights,
    plan_stars,
    random_stream,
    star_fluxes,
    star_positions,
    wcs_cards,
)

__all__ = [
    "NightPlan",
    "Truth",
    "demo_plan",
    "night_detector",
    "render_calibration",
    "render_light",
    "write_night",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a synthetic night."""

    plan: NightPlan
    star: pl.DataFrame
    """A row per star: star_id, role, ra_deg, dec_deg, x_pix, y_pix (on the first light),
    flux_e_per_s (above the atmosphere), u_pix, v_pix (from the field's centre)."""
    light: pl.DataFrame
    """A row per light: file_name, start_utc, mid_utc, mid_jd_utc, mid_bjd_tdb, airmass,
    centre_x_pix, centre_y_pix, turn (1, or -1 after a flip), shift_x_pix, shift_y_pix (against the
    first light), fwhm_pix, transmission, sky_e_per_pix, transit_flux, variable_flux."""
    mid_bjd_tdb: float
    """Middle of the injected transit."""
    predicted_mid_bjd_tdb: float
    """Middle as the ephemeris in planets.csv has it."""
    depth: float
    """Largest flux loss of the injected transit."""
    path: tuple[Path, ...]
    """Every FITS file written."""
    damaged: tuple[Path, ...]
    """Those that were cut off."""
    planets_csv: Path

    @property
    def target(self) -> dict[str, float]:
        """Row of the host star in `star`."""
        return self.star.row(by_predicate=pl.col("role") == "target", named=True)

    def positions_pix(self, i_light: int) -> tuple[Array, Array]:
        """Return x and y of all stars on a light frame, shape (n_star,), in pixels."""
        return star_positions(self.star, self.light.row(i_light, named=True))

    def fluxes_e(self, i_light: int) -> Array:
        """Return the electrons of all stars on a light frame, shape (n_star,)."""
        return star_fluxes(
            self.star, self.light.row(i_light, named=True), exposure_s=self.plan.exposure_s
        )


def night_detector(plan: NightPlan) -> Detector:
    """Return the detector of a plan."""
    return make_detector(
        plan.shape,
        random_stream(plan, "detector"),
        bias_adu=plan.bias_adu,
        dark_e_per_s=plan.dark_e_per_s_per_pix,
        n_hot_pixel=plan.n_hot_pixel,
        vignetting=plan.vignetting,
        pixel_response_rms=plan.pixel_response_rms,
    )


def render_light(
    plan: NightPlan, detector: Detector, star: pl.DataFrame, light: pl.DataFrame, i_light: int
) -> NDArray[np.uint16]:
    """Return the raw pixels of one light frame, shape (n_y_pix, n_x_pix), ADU."""
    row = light.row(i_light, named=True)
    x_pix, y_pix = star_positions(star, row)
    flux_e = star_fluxes(star, row, exposure_s=plan.exposure_s)
    sky_e = row["sky_e_per_pix"]
    stars_e = render_stars(x_pix, y_pix, flux_e, shape=plan.shape, fwhm_pix=row["fwhm_pix"])
    rng = random_stream(plan, "light", i_light)
    expected_e = expose(
        stars_e + sky_e,
        detector,
        exposure_s=plan.exposure_s,
        extra_e=cosmic_rays(plan.shape, plan.n_cosmic_ray, rng),
    )
    return _read_out(plan, detector, expected_e, rng)


def render_calibration(
    plan: NightPlan, detector: Detector, frame_type: str, index: int
) -> NDArray[np.uint16]:
    """Return the raw pixels of a BIAS, DARK or FLAT, shape (n_y_pix, n_x_pix), ADU."""
    light_e = plan.flat_adu * plan.gain_e_per_adu if frame_type == "FLAT" else 0.0
    expected_e = expose(
        np.full(plan.shape, light_e),
        detector,
        exposure_s=calibration_exposure_s(plan, frame_type),
    )
    return _read_out(plan, detector, expected_e, random_stream(plan, frame_type, index))


def _read_out(
    plan: NightPlan, detector: Detector, expected_e: Array, rng: Generator
) -> NDArray[np.uint16]:
    return digitise(
        expected_e,
        rng,
        bias_adu=detector.bias_adu,
        gain_e_per_adu=plan.gain_e_per_adu,
        read_noise_e=plan.read_noise_e,
    )


def calibration_exposure_s(plan: NightPlan, frame_type: str) -> float:
    """Return the exposure of a BIAS, DARK or FLAT in seconds."""
    return {"BIAS": 0.0, "DARK": plan.exposure_s, "FLAT": plan.flat_exposure_s}[frame_type]


def write_night(folder: Path, plan: NightPlan) -> Truth:
    """Write a night into a folder, made if need be: LIGHT, DARK, FLAT, BIAS and planets.csv."""
    light, mid_bjd_tdb = plan_lights(plan)
    star = plan_stars(plan, light)
    detector = night_detector(plan)
    light = light.with_columns(
        shift_x_pix=pl.col("centre_x_pix") - pl.col("centre_x_pix").first(),
        shift_y_pix=pl.col("centre_y_pix") - pl.col("centre_y_pix").first(),
    )
    path: list[Path] = []
    for exposure, pixels in _calibrations(plan, detector):
        path.append(_write_frame(folder, exposure, pixels, header(exposure), len(path)))
    n_calibration = len(path)
    for i in range(plan.n_light):
        row = light.row(i, named=True)
        exposure = _light_exposure(plan, row, i)
        cards = wcs_cards(plan, star, row) if plan.has_wcs else None
        pixels = render_light(plan, detector, star, light, i)
        path.append(_write_frame(folder, exposure, pixels, header(exposure, cards), i))
    damaged = tuple(path[len(path) - plan.n_damaged :])
    for broken in damaged:
        whole = broken.read_bytes()
        broken.write_bytes(whole[: len(whole) * 2 // 5])
    predicted_bjd_tdb = mid_bjd_tdb - plan.o_minus_c_min / 1440
    planets_csv = folder / "planets.csv"
    planets_csv.write_text(_planets_text(plan, predicted_bjd_tdb), encoding="utf-8")
    return Truth(
        plan=plan,
        star=star,
        light=light.with_columns(file_name=pl.Series([p.name for p in path[n_calibration:]])),
        mid_bjd_tdb=mid_bjd_tdb,
        predicted_mid_bjd_tdb=predicted_bjd_tdb,
        depth=plan.planet.depth,
        path=tuple(path),
        damaged=damaged,
        planets_csv=planets_csv,
    )


def _calibrations(
    plan: NightPlan, detector: Detector
) -> Iterator[tuple[Exposure, NDArray[np.uint16]]]:
    """Yield flats at dusk, darks and biases after the lights."""
    dusk = plan.start_utc - timedelta(hours=2)
    dawn = plan.start_utc + timedelta(seconds=plan.n_light * plan.cadence_s + 600)
    later = dawn + timedelta(seconds=plan.n_dark * (plan.exposure_s + 5) + 60)
    for frame_type, number, first, pause_s in (
        ("FLAT", plan.n_flat, dusk, 6.0),
        ("DARK", plan.n_dark, dawn, 5.0),
        ("BIAS", plan.n_bias, later, 2.0),
    ):
        exposure_s = calibration_exposure_s(plan, frame_type)
        for i in range(number):
            start = first + timedelta(seconds=i * (exposure_s + pause_s))
            exposure = Exposure(
                frame_type=frame_type,
                start_utc=start,
                exposure_s=exposure_s,
                band=plan.band if frame_type == "FLAT" else None,
                **_camera(plan, frame_type, i),
            )
            yield exposure, render_calibration(plan, detector, frame_type, i)


def _light_exposure(plan: NightPlan, light: Mapping[str, Any], i_light: int) -> Exposure:
    return Exposure(
        frame_type="LIGHT",
        start_utc=light["start_utc"],
        exposure_s=plan.exposure_s,
        band=plan.band,
        object_name=plan.planet.host_name,
        ra_deg=plan.ra_deg,
        dec_deg=plan.dec_deg,
        airmass=round(light["airmass"], 6),
        altitude_deg=round(light["altitude_deg"], 6),
        azimuth_deg=round(light["azimuth_deg"], 6),
        pier_side="East" if light["turn"] < 0 else "West",
        **_camera(plan, "light header", i_light),
    )


def _camera(plan: NightPlan, purpose: str, index: int) -> dict[str, Any]:
    wobble_kelvin = random_stream(plan, f"temperature {purpose}", index).choice(
        [-0.1, 0.0, 0.0, 0.1]
    )
    return {
        "sensor_degc": round(plan.sensor_degc + float(wobble_kelvin), 1),
        "set_degc": plan.sensor_degc,
        "gain_e_per_adu": plan.gain_e_per_adu,
        "scale_arcsec_per_pix": plan.scale_arcsec_per_pix,
        "site": plan.site,
    }


def _write_frame(
    folder: Path, exposure: Exposure, pixels: NDArray[np.uint16], cards: fits.Header, index: int
) -> Path:
    """Write one frame into the folder of its type, under the name that N.I.N.A. gives it."""
    stem = f"{exposure.start_utc:%Y-%m-%d_%H-%M-%S}_{exposure.band or ''}_"
    name = f"{stem}{exposure.sensor_degc:.2f}_{exposure.exposure_s:.2f}s_{index:04d}.fits"
    path = folder / exposure.frame_type / name
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(pixels, cards).writeto(path, overwrite=True)
    return path


def _planets_text(plan: NightPlan, predicted_bjd_tdb: float) -> str:
    """Write the ephemeris in the columns of the NASA Exoplanet Archive's table `pscomppars`."""
    planet = plan.planet
    row: dict[str, str | float] = {
        "pl_name": planet.planet_name,
        "hostname": planet.host_name,
        "ra": plan.ra_deg,
        "dec": plan.dec_deg,
        "pl_orbper": planet.period_d,
        "pl_orbpererr1": planet.period_err_d,
        "pl_orbpererr2": -planet.period_err_d,
        "pl_tranmid": round(predicted_bjd_tdb - planet.epoch * planet.period_d, 8),
        "pl_tranmiderr1": planet.mid_err_d,
        "pl_tranmiderr2": -planet.mid_err_d,
        "pl_tsystemref": "BJD-TDB",
        "pl_ratror": planet.radius_ratio,
        "pl_ratdor": planet.a_over_r,
        "pl_orbincl": round(planet.inclination_deg, 6),
        "pl_imppar": planet.impact_parameter,
        "pl_orbeccen": 0.0,
        "pl_orblper": 90.0,
        "pl_trandur": round(planet.duration_h, 6),
        "pl_trandep": round(100 * planet.depth, 6),
    }
    lines = ["# made up by starmuster: no such planet", ",".join(row)]
    return "\n".join([*lines, ",".join(str(value) for value in row.values())]) + "\n"
