"""The step that looks for stars: on some frames of every field, camera, band and night."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy import units as u
from astropy.wcs import WCS
from cdshealpix.nested import lonlat_to_healpix

from ...errors import RegistrationError
from ...warehouse.packages import conform
from ...warehouse.runs import Run
from ..anchoring import anchored
from ..astrometry import sky_positions, wcs_cards, wcs_from_cards
from ..detection import FALLBACK_FWHM_PIX
from ..pairing import pair_points
from ..pool import run_tasks
from ..registration import Registration, identity_registration, invert_registration
from ..sightings import Sighting, merge_sightings
from .lights import light_tasks
from .looks import Inspection, best_looks
from .sources import Settled, settle_stars
from .stack_sightings import stack_sighting
from .tasks import FieldFile, LightTask
from .worker import inspect_light, judged_header, lay_on_field

HEALPIX_ORDER = 29
BATCH = 24  # searches that are stored together: a kill costs no more
MIN_COMMON = 5  # stars behind the scale of fluxes

Looks = dict[int, Inspection]


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it is laid under frames: its geometry, and the stars known so far."""

    file: FieldFile
    stars: pl.DataFrame
    wcs: WCS | None
    sky_hash: str | None


def search_fields(run: Run, *, jobs: int, looks: Looks, say: Callable[[str], None]) -> None:
    """Look for stars wherever frames, masters or settings are new, and number what is found.

    All searches come before any measuring, so that new stars are measured on all new frames.

    Parameters
    ----------
    looks
        Frames that were looked at already in this run; those looked at here are added.
    """
    with run.warehouse.reading() as con:
        pending = con.table("pending_search").order("field_id, place").pl()
        stale = con.table("stale_search").project("search_id, field_id").pl()
        referenced = dict(
            con.table("field_reference").project("field_id, reference_frame_id").fetchall()
        )
    for field_id in sorted({*pending["field_id"], *stale["field_id"]}):
        wanted = pending.filter(field_id=field_id)
        gone = stale.filter(field_id=field_id)["search_id"].to_list()
        groups = sorted(
            wanted.partition_by("camera_id", "band", "night"),
            key=lambda group: referenced[field_id] not in set(group["frame_id"]),
        )
        for first in range(0, max(len(groups), 1), BATCH):
            part = groups[first : first + BATCH]
            _search(run, field_id, part, gone, jobs=jobs, looks=looks, say=say)
            gone = []


def _search(
    run: Run,
    field_id: int,
    groups: list[pl.DataFrame],
    gone: list[int],
    *,
    jobs: int,
    looks: Looks,
    say: Callable[[str], None],
) -> None:
    """Search some groups of frames of a field, and settle its stars."""
    field, reference = read_field(run, field_id)
    frame_ids = [frame_id for group in groups for frame_id in group["frame_id"]]
    if field.stars.is_empty():
        frame_ids.append(reference)
    tasks = _look(run, field_id, frame_ids, jobs=jobs, looks=looks)
    if field.file.cards is None:
        field = _guessed(run, field)
    if field.stars.is_empty() and reference in looks:
        field = replace(field, stars=looks[reference].stars.select(field.stars.columns))
    next_search = run.next_id("search")
    searches, found = [], []
    for group in groups:
        search_id = group["search_id"][0]
        if search_id is None:
            search_id, next_search = next_search, next_search + 1
        sightings, lead = _sightings(field, group, tasks, looks)
        sightings = _looked_at(run, sightings, tasks, jobs=jobs)
        detections = detections_of(run, field, sightings, lead)
        field = replace(field, stars=_extended(field.stars, detections))
        searches.append(search_row(search_id, group, sightings, detections))
        found.append(
            detections.with_columns(
                search_id=pl.lit(search_id, pl.Int32), field_id=pl.lit(field_id, pl.Int32)
            )
        )
    settle(run, field, searches, found, gone, say=say)


def settle(
    run: Run,
    field: Field,
    searches: list[dict[str, Any]],
    found: list[pl.DataFrame],
    gone: list[int],
    *,
    say: Callable[[str], None],
) -> Settled:
    """Store some searches of a field, and tell which of all its detections are one star.

    Parameters
    ----------
    searches, found
        Rows of table search, and of table detection for each.
    gone
        Searches that are taken back.
    """
    field_id = field.file.field_id
    renewed = [row["search_id"] for row in searches] + gone
    new_searches = conform("search", pl.DataFrame(searches, infer_schema_length=None))
    with run.warehouse.reading() as con:
        of_field = f"field_id = {field_id}"
        is_kept = ~pl.col("search_id").is_in(renewed)
        kept = con.table("search").filter(of_field).pl().filter(is_kept)
        detections = con.table("detection").filter(of_field).pl().filter(is_kept)
        order = con.table("frame").project("frame_id, content_hash").pl()
        every = pl.concat([kept, new_searches]).join(order, on="frame_id", how="left")
        every = every.sort("n_detection", "content_hash", descending=[True, False])
        laid, placed, moved = anchored(
            every.select(kept.columns),
            pl.concat([detections, *(_rows(rows) for rows in found)]),
        )
        changed = pl.col("search_id").is_in({*renewed, *moved})
        settled = settle_stars(
            con,
            field_id,
            new=on_sky(placed.filter(changed), field.wcs),
            searches=laid.filter(changed).with_columns(sky_hash=pl.lit(field.sky_hash, pl.String)),
            renewed=sorted({*renewed, *moved}),
            next_source_id=run.next_source_id(),
            next_change_id=run.next_id("source_change"),
        )
    run.store("search", settled.tables, replaces=settled.replaces)
    counts = f"{settled.n_star} stars, {settled.n_new} of them new"
    if settled.n_merged:
        counts += f", {settled.n_merged} numbers merged"
    if settled.n_lost:
        counts += f", {settled.n_lost} given up"
    say(f"field {field_id}: {counts}")
    return settled


def read_field(run: Run, field_id: int) -> tuple[Field, int]:
    """Read a field as it is laid under frames, and its reference frame."""
    with run.warehouse.reading() as con:
        known = con.table("field_reference").filter(f"field_id = {int(field_id)}").pl()
        stars = con.table("field_star").filter(f"field_id = {int(field_id)}")
        stars = stars.project("x_pix, y_pix, flux_adu, flags").pl()
    row = known.row(0, named=True)
    file = FieldFile(
        field_id=field_id,
        reference_frame_id=row["reference_frame_id"],
        stars=Path(),
        n_x_pix=row["n_x_pix"],
        n_y_pix=row["n_y_pix"],
        cards=row["cards"],
        scale_arcsec_per_pix=row["scale_arcsec_per_pix"],
    )
    wcs = None if file.cards is None else wcs_from_cards(file.cards)
    return Field(file, stars, wcs, row["sky_hash"]), file.reference_frame_id


def _guessed(run: Run, field: Field) -> Field:
    """Take the header's WCS of the reference for a guess where frames may lie, if there is one."""
    reference = pl.DataFrame(
        {
            "frame_id": [field.file.reference_frame_id],
            "field_id": [field.file.field_id],
            "recipe": [""],
        },
        schema_overrides={"frame_id": pl.Int32},
    )
    (task,) = light_tasks(run.warehouse, reference)
    wcs = judged_header(task).wcs
    if wcs is None:
        return field
    return replace(field, file=replace(field.file, cards=wcs_cards(wcs)))


def _look(
    run: Run, field_id: int, frame_ids: list[int], *, jobs: int, looks: Looks
) -> dict[int, LightTask]:
    """Look at the frames that were not looked at yet; return the tasks of all."""
    wanted = pl.DataFrame(
        {"frame_id": list(dict.fromkeys(frame_ids)), "field_id": field_id, "recipe": ""},
        schema_overrides={"frame_id": pl.Int32},
    )
    if wanted.is_empty():
        return {}
    tasks = {task.frame_id: task for task in light_tasks(run.warehouse, wanted)}
    left = [task for frame_id, task in tasks.items() if frame_id not in looks]
    if left:
        for outcome in run_tasks(inspect_light, left, jobs=min(jobs, len(left))):
            if outcome.result is not None:  # else it fails again, and says why, when measured
                looks[outcome.task.frame_id] = outcome.result
    return tasks


def _sightings(
    field: Field, group: pl.DataFrame, tasks: dict[int, LightTask], looks: Looks
) -> tuple[list[Sighting], Registration]:
    """Lay the frames of a group on the best of them, and that one on the field.

    So what the group shows does not depend on which frame is the field's reference. Frames whose
    stars do not fit are left out: they fail again, and say why, when they are measured.
    """
    seen = [i for i in group.sort("place")["frame_id"] if i in looks and looks[i].stars.height]
    seen = [seen[i] for i in best_looks([looks[frame_id] for frame_id in seen])]
    for k, frame_id in enumerate(seen):
        lead = _laid(tasks[frame_id], field.file, field.stars, looks[frame_id])
        if lead is None:
            continue
        leading, task = looks[frame_id], tasks[frame_id]
        wcs = judged_header(task).wcs
        own = replace(
            field.file,
            reference_frame_id=frame_id,
            n_x_pix=task.shape[1],
            n_y_pix=task.shape[0],
            cards=None if wcs is None else wcs_cards(wcs),
        )
        laid = [(frame_id, identity_registration())] + [
            (other, found)
            for other in seen[k + 1 :]
            if (found := _laid(tasks[other], own, leading.stars, looks[other])) is not None
        ]
        return [_sighting(tasks[i], looks[i], found) for i, found in laid], lead
    return [], identity_registration()


def _looked_at(
    run: Run, sightings: list[Sighting], tasks: dict[int, LightTask], *, jobs: int
) -> list[Sighting]:
    """Take what stars are looked for on: the frames, the best of them, or a stack and them."""
    image = run.warehouse.config.detection.image
    if image == "best frame":
        return sightings[:1]
    if image == "stack" and sightings:
        stacked = stack_sighting(run.warehouse, sightings, tasks, jobs=jobs)
        return sightings if stacked is None else [stacked, *sightings]
    return sightings


def _laid(
    task: LightTask, field: FieldFile, stars: pl.DataFrame, look: Inspection
) -> Registration | None:
    try:
        registration, method, _ = lay_on_field(
            task, field, stars, look.stars, judged_header(task).wcs
        )
    except RegistrationError:
        return None
    return None if method == "wcs" else registration  # no star confirms where it points


def _sighting(task: LightTask, look: Inspection, registration: Registration) -> Sighting:
    return Sighting(
        frame_id=task.frame_id,
        stars=look.stars,
        registration=registration,
        n_x_pix=task.shape[1],
        n_y_pix=task.shape[0],
        fwhm_pix=look.quality["fwhm_pix"][0] or FALLBACK_FWHM_PIX,
        sky_rms_adu=look.quality["sky_rms_adu"][0],
    )


def _rows(detections: pl.DataFrame) -> pl.DataFrame:
    return conform("detection", detections)


def detections_of(
    run: Run, field: Field, sightings: list[Sighting], lead: Registration
) -> pl.DataFrame:
    """Join the sightings; keep stars within the flux limits, on the scale of the field.

    Parameters
    ----------
    lead
        From the field's pixels to those on which the sightings lie.
    """
    settings = run.warehouse.config.detection
    merged = merge_sightings(
        sightings, sure_sigma=settings.sure_sigma, expected_sigma=settings.expected_sigma
    ).rename({"x_pix": "x_frame_pix", "y_pix": "y_frame_pix"})
    x, y = invert_registration(lead, merged["x_frame_pix"], merged["y_frame_pix"])
    merged = merged.with_columns(x_pix=pl.Series(x), y_pix=pl.Series(y))
    merged = merged.filter(pl.col("x_pix").is_finite() & pl.col("y_pix").is_finite())
    merged = merged.filter(pl.col("flux_adu") >= settings.min_flux_adu)
    if settings.max_flux_adu is not None:
        merged = merged.filter(pl.col("flux_adu") <= settings.max_flux_adu)
    i, j = _pairs(merged, field.stars)
    if i.size < MIN_COMMON:
        return merged
    ratio = field.stars["flux_adu"].to_numpy()[j] / merged["flux_adu"].to_numpy()[i]
    return merged.with_columns(pl.col("flux_adu") * float(np.median(ratio)))


def _extended(stars: pl.DataFrame, detections: pl.DataFrame) -> pl.DataFrame:
    """Add new stars, so that frames farther out can be laid on the field."""
    i, _ = _pairs(detections, stars)
    is_new = np.ones(detections.height, bool)
    is_new[i] = False
    return pl.concat([stars, detections.filter(pl.Series(is_new)).select(stars.columns)])


def _pairs(detections: pl.DataFrame, stars: pl.DataFrame):
    reach = np.maximum(detections["fwhm_pix"].fill_null(2.0).to_numpy() / 2, 1.0)
    place = ("x_pix", "y_pix")
    return pair_points(detections.select(place).to_numpy(), stars.select(place).to_numpy(), reach)


def search_row(
    search_id: int, group: pl.DataFrame, sightings: list[Sighting], detections: pl.DataFrame
) -> dict[str, Any]:
    """Return the row of table search; `group` names field, camera, band, night and recipe."""
    leading = max(sightings, key=lambda sighting: sighting.stars.height, default=None)
    first = group.row(0, named=True)
    widths = detections["fwhm_pix"].drop_nulls()
    return {
        "search_id": search_id,
        **{name: first[name] for name in ("field_id", "camera_id", "band", "night", "recipe")},
        "frame_id": None if leading is None else leading.frame_id,
        "n_frame": len({sighting.frame_id for sighting in sightings}),
        "n_detection": detections.height,
        "fwhm_pix": widths.median() if widths.len() else None,
    }


def on_sky(detections: pl.DataFrame, wcs: WCS | None) -> pl.DataFrame:
    """Give places in the field's pixels their places on the sky; null without a solution."""
    if wcs is None or detections.is_empty():
        null = pl.lit(None, pl.Float64)
        return detections.with_columns(ra_deg=null, dec_deg=null, healpix=pl.lit(None, pl.Int64))
    ra_deg, dec_deg = sky_positions(wcs, detections["x_pix"], detections["y_pix"])
    is_placed = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    cell = lonlat_to_healpix(
        np.where(is_placed, ra_deg, 0) * u.deg,
        np.where(is_placed, dec_deg, 0) * u.deg,
        HEALPIX_ORDER,
    )
    placed = detections.with_columns(
        ra_deg=pl.Series(ra_deg),
        dec_deg=pl.Series(dec_deg),
        healpix=pl.Series(np.asarray(cell).astype(np.int64)),
    )
    return placed.with_columns(
        pl.when(pl.Series(is_placed)).then(name).alias(name)
        for name in ("ra_deg", "dec_deg", "healpix")
    )
