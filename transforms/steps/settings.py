"""The step that mirrors into tables what views need of the configuration."""

import hashlib
import json

import polars as pl

from ...warehouse.config import Camera, Config, Photometry
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse
from ..flags import MEANINGS
from ..index_files import index_paths, solver_program

PSF_REACH_FWHM = 4.0  # how far a fitted profile is taken; see `psf`
# Raise it when the numbers a recipe gives change: everything made with it becomes pending.
ZERO_POINT_VERSION = 4
PHOTOMETRY_VERSION = 5
PSF_VERSION = 2  # of fluxes by fit: asked for by few, and the rest need not be made again
SOLVING_VERSION = 1
SOLVING = {
    "solve",
    "solve_timeout_s",
    "index_folder",
}  # settings of the plate solution: no pixel depends on them
SEARCH_VERSION = 1


def mirror_settings(run: Run) -> bool:
    """Mirror limits, recipes, flags, cameras and apertures; return whether any had changed."""
    wanted = {
        "setting": current_settings(run.warehouse),
        "flag": pl.DataFrame(
            [
                {
                    "bit": flag.value.bit_length() - 1,
                    "value": flag.value,
                    "flag_name": (flag.name or "").lower(),
                    "meaning": meaning.text,
                    "is_severe": meaning.is_severe,
                }
                for flag, meaning in MEANINGS.items()
            ],
            schema_overrides={"bit": pl.Int16, "value": pl.Int32},
        ),
    }
    with run.warehouse.reading() as con:
        stored = {name: con.table(name).pl() for name in (*wanted, "aperture", "camera")}
    wanted["aperture"] = _apertures(run, stored["aperture"])
    wanted["camera"] = _cameras(run, stored["camera"])
    changed = {
        name: rows
        for name, rows in wanted.items()
        if not rows.join(stored[name], on=rows.columns, how="anti", nulls_equal=True).is_empty()
    }
    if changed:
        run.store("settings", changed)
    return bool(changed)


def current_settings(warehouse: Warehouse) -> pl.DataFrame:
    """Return the rows of table setting: limits and recipes of the configuration."""
    masters = warehouse.config.masters
    detection = warehouse.config.detection
    settings = {
        "detection.reference_candidates": str(detection.reference_candidates),
        "masters.max_days": str(masters.max_days),
        "masters.max_dark_kelvin": str(masters.max_dark_kelvin),
        "masters.max_dark_stretch": str(masters.max_dark_stretch),
        "masters.scale_darks": str(masters.scale_darks).lower(),
        "recipe.photometry": photometry_recipe(warehouse.config),
        "recipe.zero_point": f"{ZERO_POINT_VERSION}-{warehouse.config.zero_points.fingerprint()}",
        "recipe.solving": solving_recipe(warehouse.config),
        "recipe.search": f"{SEARCH_VERSION}/{detection.fingerprint()}",
    }
    limits = warehouse.config.quality.model_dump()
    settings |= {
        f"quality.{name}": "" if value is None else str(value) for name, value in limits.items()
    }
    return pl.DataFrame({"setting_name": list(settings), "value": list(settings.values())})


def photometry_recipe(config: Config) -> str:
    """Return the fingerprint of everything in the configuration that changes measurements."""
    parts = [
        PHOTOMETRY_VERSION,
        config.detection.fingerprint(),
        config.registration.model_dump(exclude=SOLVING),
        config.photometry.fingerprint(),
        config.calibration.fingerprint(),
        {
            name: [
                camera.saturation_adu,
                camera.scale_arcsec_per_pix,
                camera.linearity_adu,
                camera.linearity,
            ]
            for name, camera in sorted(config.camera.items())
        },
    ]
    if psf_radii(config.photometry):
        parts.append(PSF_VERSION)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def solving_recipe(config: Config) -> str:
    """Return the fingerprint of all that a plate solution is tried with, catalogues apart."""
    folder = config.registration.index_folder
    parts = [
        SOLVING_VERSION,
        config.registration.model_dump(include=SOLVING),
        solver_program() is not None,
        sorted((path.name, path.stat().st_size) for path in index_paths(folder)),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _cameras(run: Run, stored: pl.DataFrame) -> pl.DataFrame:
    """Fill in what the configuration says of each camera; what it does not say is null."""
    told = run.warehouse.config.camera
    names = [name for name in Camera.model_fields if name in stored.columns]
    rows = [
        row | {name: getattr(told.get(row["camera_name"], Camera()), name) for name in names}
        for row in stored.to_dicts()
    ]
    return pl.DataFrame(rows, schema=stored.schema)


def psf_radii(photometry: Photometry) -> tuple[float, ...]:
    """Return the radius of the aperture of kind psf, in FWHM, if fluxes by fit are asked for."""
    return () if photometry.psf == "none" else (PSF_REACH_FWHM,)


def _apertures(run: Run, stored: pl.DataFrame) -> pl.DataFrame:
    """Number the configured apertures; one that was used before keeps its number."""
    photometry = run.warehouse.config.photometry
    known = {(kind, radius): number for number, kind, radius, _ in stored.iter_rows()}
    configured = [
        *(("arcsec", radius) for radius in photometry.apertures_arcsec),
        *(("pix", radius) for radius in photometry.apertures_pix),
        *(("fwhm", radius) for radius in photometry.apertures_fwhm),
        *(("psf", radius) for radius in psf_radii(photometry)),
    ]
    for aperture in configured:
        known.setdefault(aperture, max(known.values(), default=0) + 1)
    rows = [
        {
            "aperture_id": number,
            "kind": kind,
            "radius": radius,
            "aperture_name": f"{radius:g} {kind}",
        }
        for (kind, radius), number in known.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"aperture_id": pl.Int16})
