"""One light frame from its file to rows: what a worker process does."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy.wcs import WCS
from numpy.typing import NDArray

from ...errors import CalibrationError, PhotometryError, RegistrationError
from ...warehouse.config import Photometry as PhotometrySettings
from ...warehouse.parts import write_part
from ..astrometry import (
    carried_wcs,
    pixel_positions,
    sky_positions,
    wcs_from_cards,
    wcs_row,
)
from ..calibrate import Calibrated
from ..detection import FALLBACK_FWHM_PIX, detect, frame_quality, whole_stars
from ..extrapolation import is_extrapolated
from ..flags import Flag
from ..header_wcs import Verdict, trusted_wcs
from ..photometry import Photometry, forced_photometry
from ..plate import compared
from ..profile_photometry import ProfilePhotometry, profile_photometry
from ..registration import (
    Registration,
    apply_registration,
    identity_registration,
    registration_from_map,
    registration_residuals,
    registration_row,
)
from ..starmatch import match_stars
from .light_pixels import Reduced, reduce_light
from .looks import Inspection
from .tasks import FieldFile, LightTask

LEAST_USEFUL_PIX = 3.0  # a smaller radius loses light even to the pixels themselves
# above so many pixels every second or fourth along each axis tells enough of the sky
SKY_STEP_PIX = {4_000_000: 2, 30_000_000: 4}


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame in memory, its stars and its quality."""

    frame: Reduced
    stars: pl.DataFrame
    quality: pl.DataFrame


def inspect_light(task: LightTask) -> Inspection:
    """Calibrate a frame and find the stars that may stand for its field."""
    seen = _see(task)
    stars = whole_stars(seen.stars, fwhm_pix=seen.quality["fwhm_pix"][0])
    return Inspection(task.frame_id, stars, seen.quality)


def measure_light(task: LightTask) -> Path:
    """Measure all stars of a field on one frame; return the part with its rows.

    Raises
    ------
    StarmusterError
        The frame cannot be read, calibrated, registered or measured.
    """
    if task.field is None or task.parts is None:
        raise PhotometryError(f"{task.path}: no field given.")
    part = task.parts / f"{task.key}.part"
    if part.is_file():
        return part
    seen = _see(task)
    header = judged_header(task)
    field_stars = read_field_stars(task.field.stars)
    registration, method, matched = lay_on_field(
        task, task.field, field_stars, seen.stars, header.wcs
    )
    field_stars = _with_flags(field_stars, registration, matched)
    photometry, profiles = _photometry(task, task.field, field_stars, registration, seen)
    if photometry.measurement.is_empty():
        raise RegistrationError(
            f"{task.path}: none of the {field_stars.height} stars of its field lies on the frame."
        )
    extra = Flag.UNVERIFIED_WCS if method == "wcs" else Flag(0)
    tables = {
        "frame_quality": seen.quality.with_columns(pl.col("flags") | int(extra)),
        "registration": registration_row(
            registration, method=method, n_x_pix=task.field.n_x_pix, n_y_pix=task.field.n_y_pix
        ).with_columns(
            field_id=pl.lit(task.field.field_id), star_revision=pl.lit(task.field.star_revision)
        ),
        "calibration": pl.DataFrame([task.calibration], infer_schema_length=None),
        "measurement": photometry.measurement,
        "aperture_flux": _both(photometry.aperture_flux, profiles.aperture_flux),
        "curve_of_growth": photometry.curve_of_growth,
        "product": pl.DataFrame(
            {"step": ["photometry"], "recipe": [task.recipe], "state": ["done"]}
        ),
    }
    fitted = {"point_spread": profiles.point_spread, "profile_fit": profiles.profile_fit}
    tables |= {name: rows for name, rows in fitted.items() if rows is not None}
    if task.defects is not None:
        tables["defect_use"] = pl.DataFrame({"master_id": [task.defects.master_id]})
    if matched is not None:
        tables["wcs_residual"] = registration_residuals(registration, matched)
    on_sky = _sky_solution(task, task.field, registration, header)
    if on_sky is not None:
        tables["wcs"] = on_sky
    rows = {
        name: frame.with_columns(pl.lit(task.frame_id, pl.Int32).alias("frame_id"))
        for name, frame in tables.items()
    }
    return write_part(part, rows)


def judged_header(task: LightTask) -> Verdict:
    """Judge the WCS of a frame's header."""
    pointing = None if task.ra_deg is None or task.dec_deg is None else (task.ra_deg, task.dec_deg)
    return trusted_wcs(
        json.loads(task.header),
        task.shape[1],
        task.shape[0],
        scale_hint_arcsec_per_pix=task.scale_arcsec_per_pix,
        pointing_deg=pointing,
    )


@lru_cache(maxsize=4)
def read_field_stars(path: Path) -> pl.DataFrame:
    """Read the stars of a field: source_id, x_pix, y_pix, flux_adu, ra_deg, dec_deg, flags."""
    return pl.read_parquet(path)


@lru_cache(maxsize=4)
def _field_wcs(cards: str) -> WCS:
    """Return the WCS of a field, which all its frames need: astropy takes long to read one."""
    return wcs_from_cards(cards)


def refuse_incomplete(task: LightTask) -> None:
    """Refuse a light that lacks a master the configuration asks for; the nearest are named.

    Raises
    ------
    CalibrationError
        Says what is missing, in the words of the view `calibration_choice`.
    """
    required = task.config.calibration.require
    missing = [kind for kind in required if task.calibration[f"{kind}_master_id"] is None]
    if missing:
        raise CalibrationError(
            f"{task.path}: calibration.require asks for a {' and a '.join(missing)}: "
            f"{task.calibration['reason']}. Take them, or widen the limits in [masters]."
        )


def _see(task: LightTask) -> Seen:
    refuse_incomplete(task)
    n_pix = task.shape[0] * task.shape[1]
    step_pix = max((step for least, step in SKY_STEP_PIX.items() if n_pix > least), default=1)
    room, raw_room = _rooms(task.shape)
    frame = reduce_light(task, sky_step_pix=step_pix, room=room, raw_room=raw_room)
    settings = task.config.detection
    stars = detect(
        frame.data_adu,
        background=frame.background,
        mask=frame.mask,
        threshold_sigma=settings.threshold_sigma,
    ).head(settings.max_source)
    quality = frame_quality(
        stars,
        frame.background,
        mask=frame.mask,
        saturation_adu=frame.saturation_adu,
        saturation_source=frame.saturation_source,
        flags=int(calibration_flags(task.calibration)),
    )
    return Seen(frame, stars, quality)


@lru_cache(maxsize=1)
def _rooms(shape: tuple[int, int]) -> tuple[Calibrated, NDArray[np.uint16]]:
    """Return what all frames of this process are calibrated and read into, one after the other.

    That for reading fits frames of 16 bits, as nearly all are.
    """
    room = Calibrated(np.empty(shape, np.float32), np.empty(shape, np.uint8))
    return room, np.empty(shape, np.uint16)


def calibration_flags(calibration: dict[str, Any]) -> Flag:
    """Return the flags that a frame's calibration gives all its measurements."""
    missing = {
        "bias_master_id": Flag.NO_BIAS,
        "dark_master_id": Flag.NO_DARK,
        "flat_master_id": Flag.NO_FLAT,
    }
    flags = Flag(0)
    for name, flag in missing.items():
        if calibration[name] is None:
            flags |= flag
    return flags | Flag.SCALED_DARK if calibration["dark_scale"] is not None else flags


def lay_on_field(
    task: LightTask,
    field: FieldFile,
    field_stars: pl.DataFrame,
    stars: pl.DataFrame,
    header_wcs: WCS | None,
) -> tuple[Registration, str, pl.DataFrame | None]:
    """Lay the frame on its field: by WCS and stars, by stars, or by a trusted WCS alone.

    Returns
    -------
    The polynomial, how it was found, and the stars of the field it rests on with where they were
    seen; None: on no stars.
    """
    if task.frame_id == field.reference_frame_id:
        return identity_registration(), "reference", None
    guess = _guess(field, header_wcs)
    brightest = field_stars.sort("flux_adu", descending=True).head(
        task.config.registration.max_star
    )
    try:
        match = match_stars(brightest, stars.head(task.config.registration.max_star), guess=guess)
    except RegistrationError as error:
        if guess is not None:
            return guess, "wcs", None
        raise RegistrationError(f"{task.path}: {error}") from error
    method = "stars" if guess is None else "wcs and stars"
    matched = brightest[match.field_index].with_columns(
        stars[match.frame_index].select(x_seen_pix="x_pix", y_seen_pix="y_pix")
    )
    return match.registration, method, matched


def _with_flags(
    field_stars: pl.DataFrame, registration: Registration, matched: pl.DataFrame | None
) -> pl.DataFrame:
    """Replace the flags of detection by those that follow from the place alone."""
    x, y = field_stars["x_pix"], field_stars["y_pix"]
    is_beyond = np.zeros(field_stars.height, dtype=bool)
    if matched is not None:
        is_beyond = is_extrapolated(
            x,
            y,
            x_matched=matched["x_pix"],
            y_matched=matched["y_pix"],
            degree=registration.degree,
        )
    flags = np.where(is_beyond, Flag.EXTRAPOLATED.value, 0)
    return field_stars.with_columns(flags=pl.Series(flags, dtype=pl.Int32))


def _guess(field: FieldFile, header_wcs: WCS | None) -> Registration | None:
    if header_wcs is None or field.cards is None:
        return None
    reference = _field_wcs(field.cards)
    try:
        return registration_from_map(
            lambda x, y: pixel_positions(header_wcs, *sky_positions(reference, x, y)),
            field.n_x_pix,
            field.n_y_pix,
        )
    except RegistrationError:
        return None  # the header's WCS points elsewhere: the stars must tell


def _photometry(
    task: LightTask,
    field: FieldFile,
    field_stars: pl.DataFrame,
    registration: Registration,
    seen: Seen,
) -> tuple[Photometry, ProfilePhotometry]:
    settings = task.config.photometry
    fwhm_pix = seen.quality["fwhm_pix"][0] or FALLBACK_FWHM_PIX
    scale = _frame_scale(field, registration)
    radii = aperture_radii(task.apertures, fwhm_pix=fwhm_pix, scale_arcsec_per_pix=scale)
    inner_pix, outer_pix = annulus_radii(settings, radii, fwhm_pix)
    x, y = apply_registration(registration, field_stars["x_pix"], field_stars["y_pix"])
    placed = field_stars.select("source_id", "flux_adu", "flags").with_columns(
        x_pix=pl.Series(x), y_pix=pl.Series(y)
    )
    photometry = forced_photometry(
        seen.frame.data_adu,
        placed,
        apertures=radii,
        annulus_inner_pix=inner_pix,
        annulus_outer_pix=outer_pix,
        fwhm_pix=fwhm_pix,
        mask=seen.frame.mask,
        raw=seen.frame.raw,
        background=seen.frame.background,
        recentre_signal_to_noise=settings.recentre_signal_to_noise,
    )
    profiles = profile_photometry(
        seen.frame.data_adu,
        seen.frame.mask,
        photometry,
        placed,
        apertures=radii,
        psf_aperture_id=next((number for number, kind, _ in task.apertures if kind == "psf"), None),
        psf_model=settings.psf,
        fit_model=settings.profile_fit,
        annulus_pix=(inner_pix, outer_pix),
        fwhm_pix=fwhm_pix,
        gain_e_per_adu=task.gain_e_per_adu,
    )
    return photometry, profiles


def _both(rows: pl.DataFrame, more: pl.DataFrame | None) -> pl.DataFrame:
    return rows if more is None else pl.concat([rows, more])


def _frame_scale(field: FieldFile, registration: Registration) -> float | None:
    """Return the scale of this frame: the field's, over the stretch from field to frame."""
    if field.scale_arcsec_per_pix is None:
        return None
    (_, a, b), (_, c, d) = registration.x_coefficient[:3], registration.y_coefficient[:3]
    return field.scale_arcsec_per_pix / float(np.sqrt(abs(a * d - b * c)))


def annulus_radii(
    settings: PhotometrySettings, radii: dict[int, float], fwhm_pix: float
) -> tuple[float, float]:
    """Return the radii of the sky's annulus, pixels: beyond all apertures, and wide enough."""
    inner_pix = max(settings.annulus_inner_fwhm * fwhm_pix, settings.annulus_inner_min_pix)
    inner_pix = max([inner_pix, *(radius + 1 for radius in radii.values())])
    outer_pix = max(
        inner_pix + settings.annulus_width_fwhm * fwhm_pix,
        float(np.sqrt(inner_pix**2 + settings.annulus_min_area_pix / np.pi)),
    )
    return inner_pix, outer_pix


def aperture_radii(
    apertures, *, fwhm_pix: float, scale_arcsec_per_pix: float | None
) -> dict[int, float]:
    """Return the radii in pixels: arcsec where the scale is known, multiples of the FWHM, pixels.

    Pixels are used where the scale is not known, and where a coarse scale leaves no radius in
    arcsec that holds a star.
    """
    unit = {"fwhm": fwhm_pix}
    if scale_arcsec_per_pix is not None:
        unit["arcsec"] = 1 / scale_arcsec_per_pix
    arcsec = unit.get("arcsec", 0.0)
    widest = max((radius * arcsec for _, kind, radius in apertures if kind == "arcsec"), default=0)
    if widest < LEAST_USEFUL_PIX:
        unit["pix"] = 1.0
    radii = {number: radius * unit[kind] for number, kind, radius in apertures if kind in unit}
    return dict(sorted(radii.items(), key=lambda item: item[1]))


def _sky_solution(
    task: LightTask, field: FieldFile, registration: Registration, header: Verdict
) -> pl.DataFrame | None:
    """Return the row of table wcs: carried over from the field by stars, else of the header."""
    if task.frame_id == field.reference_frame_id:
        return None  # the reference frame's is that of the field
    shape = task.shape[1], task.shape[0]
    if registration.n_star == 0 or field.cards is None:
        if header.wcs is None:
            return None
        row = wcs_row(header.wcs, *shape, method="header")
        return row.with_columns(verdict=pl.lit("header not confirmed by stars"))
    try:
        carried = carried_wcs(_field_wcs(field.cards), registration, *shape)
    except RegistrationError:
        return None  # measured all the same: its stars are known by the registration
    row = wcs_row(carried, *shape, method="field", n_star=registration.n_star)
    return row.with_columns(verdict=pl.lit(compared(header, carried, *shape)))
