"""Stars of a field looked for on one of its stacks. Fills the tables `search` and `detection`."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits

from ...errors import PhotometryError
from ...warehouse.runs import Run
from ..registration import identity_registration
from ..sightings import Sighting
from ..stack_detection import detect_on_stack, with_saturation
from .searches import detections_of, read_field, search_row, settle

MIN_SHARE = 0.5  # of the frames of a stack that must have seen a place


def search_stack(
    run: Run, row: dict[str, Any], path: Path, *, say: Callable[[str], None]
) -> tuple[int, int]:
    """Look for the stars of a field on one of its stacks, and number those that are new.

    The pixels of a stack are those of the field, so nothing has to be registered. Where less than
    half of the frames saw the sky nothing is looked for. The search takes the place of an earlier
    one on the same stack.

    Parameters
    ----------
    row
        Of table `stack`.
    path
        Its file.

    Returns
    -------
    Stars that the stack shows, and stars that are new.

    Raises
    ------
    PhotometryError
        Nothing can be told apart on the stack, or it shows no star.
    """
    settings = run.warehouse.config.detection
    field, _ = read_field(run, row["field_id"])
    n_used = np.asarray(fits.getdata(path, "COVERAGE"))
    seen = detect_on_stack(
        np.asarray(fits.getdata(path), np.float32),
        n_used,
        noise_correlation=row["noise_correlation"],
        threshold_sigma=settings.threshold_sigma,
        mesh_pix=settings.mesh_pix,
        max_source=settings.max_source,
        min_coverage=max(1, round(MIN_SHARE * row["n_frame"])),
    )
    if seen.stars.is_empty():
        raise PhotometryError(f"{path}: no star stands out on this stack. Look at the picture.")
    with run.warehouse.reading() as con:
        frame = con.table("frame").filter(f"frame_id = {int(row['reference_frame_id'])}")
        camera_id = frame.project("camera_id").fetchall()[0][0]
        known = con.table("search").filter(f"stack_id = {int(row['stack_id'])}")
        earlier = [found for (found,) in known.project("search_id").fetchall()]
    sighting = Sighting(
        frame_id=row["reference_frame_id"],
        stars=with_saturation(seen.stars, field.stars, reach_pix=seen.fwhm_pix),
        registration=identity_registration(),
        n_x_pix=row["n_x_pix"],
        n_y_pix=row["n_y_pix"],
        fwhm_pix=seen.fwhm_pix,
        sky_rms_adu=seen.sky_rms_adu,
        sure_sigma=settings.sure_stack_sigma,
    )
    found = detections_of(run, field, [sighting], identity_registration())
    search_id = earlier[0] if earlier else run.next_id("search")
    recipe = hashlib.sha256(f"{row['recipe']}/{settings.fingerprint()}".encode()).hexdigest()[:16]
    group = pl.DataFrame(
        {"field_id": [row["field_id"]], "camera_id": [camera_id], "recipe": [recipe]}
    ).with_columns(band=pl.lit(row["band"], pl.String), night=pl.lit(row["night"], pl.Date))
    search = search_row(search_id, group, [sighting], found) | {
        "n_frame": row["n_frame"],
        "stack_id": row["stack_id"],
    }
    numbered = found.with_columns(
        search_id=pl.lit(search_id, pl.Int32), field_id=pl.lit(row["field_id"], pl.Int32)
    )
    settled = settle(run, field, [search], [numbered], [], say=say)
    return found.height, settled.n_new
