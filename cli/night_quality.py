"""What `report night` gathers about the quality of a night."""

from datetime import date
from typing import TYPE_CHECKING

from ..errors import StarmusterError
from .session import SESSION

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.quality_figures import SkyView
    from ..analysis.quality_sections import Quality
    from ..warehouse.store import Warehouse

N_FRAME = 3  # shown in detail: one of each field and band, the latter the first to repeat
SKY_PIX = 400  # longer side of the pictures of the sky
SMOOTHING_BLOCKS = 1.0


def gather_quality(warehouse: "Warehouse", when: date, frames: "pl.DataFrame") -> "Quality":
    """Ask the shipped queries, and look at some frames again."""
    import polars as pl

    from ..analysis.quality_sections import Quality
    from ..warehouse.store import shipped

    shown = _chosen(frames)
    with warehouse.reading() as con:
        stars = tuple(
            (_caption(row), shipped(con, "frame_stars", frame_id=row["frame_id"])) for row in shown
        )
        return Quality(
            star_errors=shipped(con, "star_errors", night=when),
            error_terms=shipped(con, "error_terms", night=when),
            rejected=shipped(con, "rejected_frames", night=when),
            depth=shipped(con, "zero_points").filter(pl.col("night") == when),
            stars=stars,
            skies=_skies(warehouse, shown),
        )


def _chosen(frames: "pl.DataFrame") -> list[dict]:
    """Choose the sharpest measured light of each field and band, some at most."""
    import polars as pl

    lights = frames.filter((pl.col("frame_type") == "light") & pl.col("fwhm_pix").is_not_null())
    sharpest = lights.sort("fwhm_pix").unique(
        ["field_name", "band"], keep="first", maintain_order=True
    )
    return sharpest.sort("field_name", "band").head(N_FRAME).to_dicts()


def _caption(row: dict) -> str:
    at = "" if row["mid_utc"] is None else f" {row['mid_utc']:%H:%M}"
    return f"{row['field_name']} {row['band'] or ''}{at}"


def _skies(warehouse: "Warehouse", shown: list[dict]) -> "tuple[SkyView, ...]":
    """Calibrate frames as they were measured, model their sky and detect their stars."""
    import polars as pl

    from ..transforms.steps.lights import light_tasks

    if not shown:
        return ()
    pending = pl.DataFrame(
        {"frame_id": [row["frame_id"] for row in shown], "field_id": None, "recipe": ""},
        schema={"frame_id": pl.Int32, "field_id": pl.Int32, "recipe": pl.String},
    )
    found: list[SkyView] = []
    for row, task in zip(shown, light_tasks(warehouse, pending, choice="calibration"), strict=True):
        try:
            found.append(_sky(task, row))
        except StarmusterError as error:
            SESSION.say(f"no picture of the sky: {error}")
    return tuple(found)


def _sky(task, row: dict) -> "SkyView":
    import numpy as np
    from scipy.ndimage import gaussian_filter

    from ..analysis.quality_figures import SkyView
    from ..analysis.thumbnails import block_mean
    from ..transforms.detection import detect
    from ..transforms.steps.light_pixels import reduce_light

    reduced = reduce_light(task)
    sky = reduced.background
    stars = detect(
        reduced.data_adu,
        background=sky,
        mask=reduced.mask,
        threshold_sigma=task.config.detection.threshold_sigma,
        fwhm_pix=row["fwhm_pix"],
    )
    block_pix = -(-max(reduced.data_adu.shape) // SKY_PIX)
    rest = block_mean(reduced.data_adu - sky.level, SKY_PIX)
    smoothed = gaussian_filter(np.nan_to_num(rest), SMOOTHING_BLOCKS)
    return SkyView(
        caption=_caption(row),
        background_adu=block_mean(sky.level, SKY_PIX),
        smoothed_adu=smoothed,
        # averaged over blocks, then over the 4 pi s^2 of the Gaussian
        noise_adu=sky.rms_adu / (block_pix * np.sqrt(4 * np.pi) * SMOOTHING_BLOCKS),
        block_pix=block_pix,
        x_pix=stars["x_pix"].to_numpy(),
        y_pix=stars["y_pix"].to_numpy(),
    )
