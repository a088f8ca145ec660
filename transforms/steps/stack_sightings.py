"""What a stack of the frames of a search shows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from ...errors import CalibrationError, FrameError
from ...warehouse.store import Warehouse
from ..pairing import pair_points
from ..registration import identity_registration, invert_registration
from ..sightings import Sighting
from ..stack import frame_weight, stack
from ..stack_detection import detect_on_stack, with_saturation
from ..transparency import flux_factors
from .stack_inputs import draft_folder, prepare_frame
from .tasks import LightTask

LEAST_WEIGHT = 0.25  # of the best frame's; poorer ones widen the stars and add no depth
MIN_FRAME = 2
N_BRIGHT = 300  # stars by which frames are brought to one scale


def stack_sighting(
    warehouse: Warehouse, sightings: Sequence[Sighting], tasks: dict[int, LightTask], *, jobs: int
) -> Sighting | None:
    """Stack the best frames of a search and find the stars of the stack.

    Parameters
    ----------
    sightings
        Frames laid on the first of them, whose pixels are those of the stack.
    tasks
        How each frame is read, by frame_id.

    Returns
    -------
    The stack as one more look at the same place; None: fewer than two frames can be stacked, or
    one of them cannot be read any more.
    """
    lead = sightings[0]
    factors = _flux_factors(sightings)
    weights = {
        one.frame_id: frame_weight(factors[one.frame_id], one.sky_rms_adu, one.fwhm_pix)
        for one in sightings
        if one.frame_id in factors
    }
    best = max(weights.values(), default=0.0)
    used = [one for one in sightings if weights.get(one.frame_id, 0.0) >= LEAST_WEIGHT * best > 0]
    if len(used) < MIN_FRAME:
        return None
    grid = lead.n_y_pix, lead.n_x_pix
    needed_byte = 4.0 * grid[0] * grid[1] * len(used)
    with draft_folder(warehouse, needed_byte) as draft:
        try:
            inputs = [
                prepare_frame(
                    tasks[one.frame_id],
                    one.registration,
                    grid,
                    draft,
                    sky="mesh",
                    flux_factor=factors[one.frame_id],
                    weight=weights[one.frame_id],
                    gain_e_per_adu=tasks[one.frame_id].gain_e_per_adu,
                )
                for one in used
            ]
        except FrameError:
            return None  # the frame fails again, and says why, when it is measured
        found = stack(inputs, n_thread=jobs)
    settings = warehouse.config.detection
    seen = detect_on_stack(
        found.data_adu,
        found.n_used,
        noise_correlation=found.noise_correlation,
        threshold_sigma=settings.threshold_sigma,
        mesh_pix=settings.mesh_pix,
        max_source=settings.max_source,
    )
    return replace(
        lead,
        stars=with_saturation(seen.stars, lead.stars, reach_pix=seen.fwhm_pix),
        registration=identity_registration(),
        fwhm_pix=seen.fwhm_pix,
        sky_rms_adu=seen.sky_rms_adu,
        sure_sigma=settings.sure_stack_sigma,
    )


def _flux_factors(sightings: Sequence[Sighting]) -> dict[int, float]:
    """Bring the light of frames to that of the first, by the stars they have in common."""
    lead = sightings[0]
    bright = lead.stars.sort("flux_adu", descending=True).head(N_BRIGHT)
    known = bright.select("x_pix", "y_pix").to_numpy()
    rows = []
    for one in sightings:
        x, y = invert_registration(one.registration, one.stars["x_pix"], one.stars["y_pix"])
        place = np.nan_to_num(np.column_stack([x, y]), nan=-1e9)
        i, j = pair_points(place, known, max(1.0, one.fwhm_pix / 2))
        flux = one.stars["flux_adu"].to_numpy()[i]
        rows.append(
            pl.DataFrame({"source_id": j, "flux_adu": flux}).with_columns(
                frame_id=pl.lit(one.frame_id, pl.Int32)
            )
        )
    try:
        found = flux_factors(pl.concat(rows), lead.frame_id)
    except CalibrationError:
        return {}
    return dict(found.select("frame_id", "flux_factor").iter_rows())
