"""The one runner: works off everything that is pending, step by step, and stores the rows."""

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import polars as pl

from ..warehouse.config import Camera, Config
from ..warehouse.runs import Run
from ..warehouse.store import Warehouse
from .fields import assign_fields
from .flags import MEANINGS
from .steps.gain import measure_gains, measure_star_scatter
from .steps.lights import measure_lights
from .steps.masters import make_masters
from .steps.references import make_references
from .vantage import vantage

# Raise it when the numbers a recipe gives change: everything made with it becomes pending.
PHOTOMETRY_VERSION = 1

Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
Say = Callable[[str], None]


def work(run: Run, *, jobs: int, progress: Progress, say: Say) -> dict[str, Any]:
    """Do everything that is pending; return what was done, in numbers.

    Parameters
    ----------
    run
        The run whose warehouse is worked on.
    jobs
        Worker processes for the pixels.
    progress, say
        Where progress and notices go; see `cli.session`.

    Returns
    -------
    masters, frames_measured, frames_not_measured, measurements.
    """
    mirror_settings(run)
    place_observers(run)
    n_master = make_masters(run, say=say)
    measure_gains(run, say=say)
    find_fields(run)
    n_unreferenced = make_references(run, jobs=jobs, say=say)
    done = measure_lights(run, jobs=jobs, progress=progress, say=say)
    measure_star_scatter(run, say=say)
    return {
        "masters": n_master,
        "frames_measured": done.n_measured,
        "frames_not_measured": done.n_failed + n_unreferenced,
        "measurements": done.n_measurement,
    }


def mirror_settings(run: Run) -> None:
    """Mirror limits, recipes, flags and apertures into tables, for views need them."""
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


def current_settings(warehouse: Warehouse) -> pl.DataFrame:
    """Return the rows of table setting: limits and recipes of the configuration."""
    masters = warehouse.config.masters
    settings = {
        "masters.max_days": str(masters.max_days),
        "masters.max_dark_kelvin": str(masters.max_dark_kelvin),
        "masters.scale_darks": str(masters.scale_darks).lower(),
        "recipe.photometry": photometry_recipe(warehouse.config),
    }
    return pl.DataFrame({"setting_name": list(settings), "value": list(settings.values())})


def photometry_recipe(config: Config) -> str:
    """Return the fingerprint of everything in the configuration that changes measurements."""
    parts = [
        PHOTOMETRY_VERSION,
        config.detection.fingerprint(),
        config.registration.fingerprint(),
        config.photometry.fingerprint(),
        {
            name: [camera.saturation_adu, camera.scale_arcsec_per_pix]
            for name, camera in sorted(config.camera.items())
        },
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def place_observers(run: Run) -> None:
    """Store where the observer was for every frame that has a time."""
    with run.warehouse.reading() as con:
        pending = con.table("pending_vantage").order("frame_id").pl()
    if pending.is_empty():
        return
    rows: list[pl.DataFrame] = []
    for _, group in pending.group_by("recipe", maintain_order=True):
        site = group.row(0, named=True)
        rows.append(
            vantage(
                group["mid_utc"],
                latitude_deg=site["latitude_deg"],
                longitude_deg=site["longitude_deg"],
                elevation_m=site["elevation_m"],
                frame_id=group["frame_id"],
            )
        )
    products = pending.select("frame_id", "recipe", step=pl.lit("vantage"), state=pl.lit("done"))
    run.store("vantage", {"vantage": pl.concat(rows), "product": products})


def find_fields(run: Run) -> None:
    """Give every light frame a field."""
    with run.warehouse.reading() as con:
        frames = con.table("pending_field").pl()
        fields = con.table("field").project("*, name_key(field_name) as field_key").pl()
    if frames.is_empty():
        return
    new, members = assign_fields(frames, fields, next_field_id=run.next_id("field"))
    run.store("fields", {"field": new, "field_frame": members})


def _cameras(run: Run, stored: pl.DataFrame) -> pl.DataFrame:
    """Fill in what the configuration says of each camera; what it does not say is null."""
    told = run.warehouse.config.camera
    names = [name for name in Camera.model_fields if name in stored.columns]
    rows = [
        row | {name: getattr(told.get(row["camera_name"], Camera()), name) for name in names}
        for row in stored.to_dicts()
    ]
    return pl.DataFrame(rows, schema=stored.schema)


def _apertures(run: Run, stored: pl.DataFrame) -> pl.DataFrame:
    """Number the configured apertures; one that was used before keeps its number."""
    photometry = run.warehouse.config.photometry
    known = {(kind, radius): number for number, kind, radius, _ in stored.iter_rows()}
    configured = [
        *(("arcsec", radius) for radius in photometry.apertures_arcsec),
        *(("pix", radius) for radius in photometry.apertures_pix),
        *(("fwhm", radius) for radius in photometry.apertures_fwhm),
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
