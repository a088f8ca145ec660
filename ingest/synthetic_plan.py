"""The plan of a synthetic night, and the circumstances of its frames and stars that follow."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits
from astropy.wcs import WCS
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import UsageError
from .synthetic_header import Card, tangent_wcs_cards
from .synthetic_sky import Planet, Site, place_stars, star_vantage, transit_flux

Array = NDArray[np.float64]

EDGE_PIX = 30  # the target and its comparison stars stay this far inside every light


@dataclass(frozen=True, slots=True)
class NightPlan:
    """Everything a synthetic night is made from."""

    seed: int = 20240308
    n_x_pix: int = 600
    n_y_pix: int = 400
    scale_arcsec_per_pix: float = 0.61
    ra_deg: float = 157.52
    """Of the host star, near which the telescope points."""
    dec_deg: float = 22.31
    rotation_deg: float = 2.3
    """Position angle of the y axis, east of north."""
    site: Site = field(default_factory=Site)
    planet: Planet = field(default_factory=Planet)
    o_minus_c_min: float = 1.5
    """The injected transit is this late against the ephemeris in planets.csv."""
    mid_transit_fraction: float = 0.52
    """Where in the night of lights the middle of the transit lies."""

    start_utc: datetime = datetime(2024, 3, 8, 20, 30, tzinfo=UTC)
    """Start of the first light."""
    exposure_s: float = 60.0
    cadence_s: float = 120.0
    band: str = "r"
    n_light: int = 110
    n_bias: int = 9
    n_dark: int = 7
    n_flat: int = 9
    n_damaged: int = 0
    """The last of the lights whose files are cut off in their pixels."""
    has_wcs: bool = True

    n_star: int = 80
    n_comparison: int = 22
    target_flux_e_per_s: float = 2500.0
    """Above the atmosphere."""
    extinction_mag: float = 0.14
    """Magnitudes per airmass."""
    variable_amplitude: float = 0.04
    variable_period_h: float = 2.1
    cloud_depth: float = 0.0
    """Largest fraction of the light taken by passing clouds."""
    seeing_arcsec: float = 2.4
    """FWHM at the zenith."""
    sky_e_per_s_per_pix: float = 0.6
    drift_pix_per_frame: tuple[float, float] = (0.35, -0.15)
    jitter_pix: float = 0.4
    flip_frame: int | None = None
    """First light after a meridian flip, which turns the field by 180 degrees."""

    gain_e_per_adu: float = 0.8
    read_noise_e: float = 3.5
    bias_adu: float = 500.0
    dark_e_per_s_per_pix: float = 0.02
    n_hot_pixel: int = 150
    n_cosmic_ray: int = 2
    vignetting: float = 0.18
    pixel_response_rms: float = 0.01
    flat_adu: float = 28000.0
    flat_exposure_s: float = 2.0
    sensor_degc: float = -10.0

    def __post_init__(self) -> None:
        """Refuse a night that cannot be made."""
        if self.n_light < 1 or not 0 <= self.n_damaged <= self.n_light:
            raise UsageError(
                f"synthetic night: {self.n_light} lights of which {self.n_damaged} damaged, "
                "expected at least one light and no more damaged ones than there are. "
                "Change n_light or n_damaged."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an image, (n_y_pix, n_x_pix)."""
        return self.n_y_pix, self.n_x_pix

    @property
    def centre_pix(self) -> tuple[float, float]:
        """Centre of the frame, x and y."""
        return (self.n_x_pix - 1) / 2, (self.n_y_pix - 1) / 2


def demo_plan() -> NightPlan:
    """Return the night of `starmuster demo`."""
    return NightPlan()


def random_stream(plan: NightPlan, purpose: str, index: int = 0) -> Generator:
    """Return the random numbers of one purpose, so that frames do not depend on their order."""
    return np.random.default_rng([plan.seed, zlib.crc32(purpose.encode()), index])


def plan_lights(plan: NightPlan) -> tuple[pl.DataFrame, float]:
    """Work out the circumstances of every light frame, as in `Truth.light` without file names.

    Returns
    -------
    A row per light, and the middle of the injected transit in BJD_TDB.
    """
    rng = random_stream(plan, "lights")
    n, half = plan.n_light, timedelta(seconds=plan.exposure_s / 2)
    step = np.arange(n)
    start = [plan.start_utc + timedelta(seconds=i * plan.cadence_s) for i in range(n)]
    mid = [at + half for at in start]
    sky = star_vantage(mid, ra_deg=plan.ra_deg, dec_deg=plan.dec_deg, site=plan.site)
    airmass, bjd = sky["airmass"].to_numpy(), sky["mid_bjd_tdb"].to_numpy()
    mid_bjd_tdb = float(bjd[0] + plan.mid_transit_fraction * (bjd[-1] - bjd[0]))
    centre = np.outer(step - (n - 1) / 2, plan.drift_pix_per_frame) + plan.centre_pix
    centre += rng.normal(0, plan.jitter_pix, (n, 2))
    wander = 1 + 0.03 * np.sin(2 * np.pi * (step * plan.cadence_s / 5000 + rng.uniform()))
    phase = 2 * np.pi * (bjd - bjd[0]) * 24 / plan.variable_period_h
    clear = 10 ** (-0.4 * plan.extinction_mag * airmass)
    light = sky.with_columns(
        start_utc=pl.Series([at.replace(tzinfo=None) for at in start], dtype=pl.Datetime("us")),
        mid_utc=pl.Series([at.replace(tzinfo=None) for at in mid], dtype=pl.Datetime("us")),
        centre_x_pix=centre[:, 0],
        centre_y_pix=centre[:, 1],
        turn=np.where(step >= (n if plan.flip_frame is None else plan.flip_frame), -1, 1),
        fwhm_pix=plan.seeing_arcsec / plan.scale_arcsec_per_pix * airmass**0.6 * wander,
        transmission=clear * (1 - plan.cloud_depth * _clouds(step, rng)),
        sky_e_per_pix=plan.sky_e_per_s_per_pix * plan.exposure_s * airmass**0.5,
        transit_flux=transit_flux(
            bjd - mid_bjd_tdb, plan.planet, exposure_d=plan.exposure_s / 86400
        ),
        variable_flux=1 + plan.variable_amplitude * np.sin(phase),
    )
    return light, mid_bjd_tdb


def _clouds(step: NDArray[np.int64], rng: Generator) -> Array:
    """Return how thick the clouds are, 0 to 1, smooth in time, shape (n_light,)."""
    slow = np.sin(2 * np.pi * (step / 37 + rng.uniform()))
    quick = np.sin(2 * np.pi * (step / 11 + rng.uniform()))
    return np.clip(0.7 * slow + 0.3 * quick, 0, 1)


def plan_stars(plan: NightPlan, light: pl.DataFrame) -> pl.DataFrame:
    """Make the star table of `Truth.star` for the circumstances of `plan_lights`."""
    reach = [
        float(np.abs(light[column].to_numpy() - centre).max())
        for column, centre in zip(("centre_x_pix", "centre_y_pix"), plan.centre_pix, strict=True)
    ]
    half = plan.n_x_pix / 2, plan.n_y_pix / 2
    star = place_stars(
        random_stream(plan, "stars"),
        n_star=plan.n_star,
        n_comparison=plan.n_comparison,
        target_flux_e_per_s=plan.target_flux_e_per_s,
        half_field_pix=(half[0] + reach[0], half[1] + reach[1]),
        half_bright_pix=(half[0] - reach[0] - EDGE_PIX, half[1] - reach[1] - EDGE_PIX),
    )
    first = light.row(0, named=True)
    x_pix, y_pix = star_positions(star, first)
    wcs = WCS(fits.Header(wcs_cards(plan, star, first)))
    ra_deg, dec_deg = wcs.wcs_pix2world(x_pix, y_pix, 0)
    return star.with_columns(ra_deg=ra_deg, dec_deg=dec_deg, x_pix=x_pix, y_pix=y_pix)


def star_positions(star: pl.DataFrame, light: Mapping[str, Any]) -> tuple[Array, Array]:
    """Return x and y in pixels of the stars on the light frame of one row."""
    return (
        light["centre_x_pix"] + light["turn"] * star["u_pix"].to_numpy(),
        light["centre_y_pix"] + light["turn"] * star["v_pix"].to_numpy(),
    )


def star_fluxes(star: pl.DataFrame, light: Mapping[str, Any], *, exposure_s: float) -> Array:
    """Return the expected electrons of the stars on the light frame of one row."""
    change = (
        pl.when(pl.col("role") == "target")
        .then(pl.lit(light["transit_flux"]))
        .when(pl.col("role") == "variable")
        .then(pl.lit(light["variable_flux"]))
        .otherwise(1.0)
    )
    flux_e_per_s = star.select(pl.col("flux_e_per_s") * change).to_series().to_numpy()
    return flux_e_per_s * exposure_s * light["transmission"]


def wcs_cards(plan: NightPlan, star: pl.DataFrame, light: Mapping[str, Any]) -> list[Card]:
    """Return the true sky solution of the light frame of one row; its tangent is at the target."""
    x_pix, y_pix = star_positions(star, light)
    return tangent_wcs_cards(
        ra_deg=plan.ra_deg,
        dec_deg=plan.dec_deg,
        x_pix=float(x_pix[0]),
        y_pix=float(y_pix[0]),
        scale_arcsec_per_pix=plan.scale_arcsec_per_pix,
        rotation_deg=plan.rotation_deg + (180 if light["turn"] < 0 else 0),
    )
