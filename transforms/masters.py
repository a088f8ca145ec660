"""Master bias, dark and flat: which frames make one, and how they are made into it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import CalibrationError, PixelError
from .calibrate import Pedestals, check_shape, pedestals
from .combine import (
    MEMORY_BYTE,
    Combined,
    ExpectedNoise,
    Method,
    UnreadableFrame,
    combine,
    common_shape,
    variance_factor,
)
from .linearity import Linearity
from .overscan import Sections, whole_frame
from .pixels import Image, RowReader
from .samples import (
    CorrectedRows,
    FlatLimits,
    Survey,
    corrected_rows,
    frame_noise,
    survey_flats,
    survey_frames,
)

Kind = Literal["bias", "dark", "flat"]
Use = tuple[bool, str | None]

SETTING = [
    "camera_id",
    "night",
    "x_binning",
    "y_binning",
    "n_x_pix",
    "n_y_pix",
    "x_first_pix",
    "y_first_pix",
    "gain_setting",
    "offset_setting",
    "readout_mode",
]


@dataclass(frozen=True, slots=True)
class BuiltMaster:
    """A master and how it came about.

    `data_adu`, shape (n_y, n_x), is in ADU, of a flat relative to its median; nan where no frame
    has a value, or a flat no light. `level_adu` is its median, of a flat before normalisation.
    `noise_adu` is the noise of one pixel, of a flat at that level. `used` has one entry a frame
    that was offered: whether it went in, and if not, why.
    """

    data_adu: Image
    variance_adu2: Image
    n_used: NDArray[np.uint16]
    n_frame: int
    method: str
    level_adu: float
    noise_adu: float
    is_bias_subtracted: bool
    used: list[Use]


def build_master(
    kind: Kind,
    readers: Sequence[RowReader],
    exposures_s: Sequence[float | None],
    *,
    bias: Image | None = None,
    dark: Image | None = None,
    dark_exposure_s: float | None = None,
    dark_is_bias_subtracted: bool = False,
    sections: Sequence[Sections | None] | None = None,
    linearity: Linearity | None = None,
    gain_e_per_adu: float | None = None,
    saturation_adu: float | None = None,
    limits: FlatLimits | None = None,
    method: Method | None = None,
    min_frame: int = 1,
    low_sigma: float = 5.0,
    high_sigma: float = 5.0,
    memory_byte: int = MEMORY_BYTE,
) -> BuiltMaster:
    """Combine frames of one kind and one setting into a master.

    A bias is the combination of its frames. A dark has the bias taken off if there is one, and
    can then be scaled to other exposures. A flat has bias and dark taken off, each frame is
    divided by its median, and the master by its own. One frame is enough for any of them: its
    noise, not its number, says what it is worth.

    Parameters
    ----------
    readers, exposures_s
        Frames and their exposure times. Their light has one shape (n_y, n_x), the master's.
    bias, dark, dark_exposure_s, dark_is_bias_subtracted
        Masters to take off, shape (n_y, n_x), as `calibrate.pedestals` says. Where an exposure is
        not known, the dark is not scaled.
    sections
        Light and overscan of each frame; None: all is light.
    linearity
        Correction of flats.
    gain_e_per_adu, saturation_adu
        Of the camera, if known. Without a gain, clipping assumes the noise measured between the
        frames; without a saturation it is looked for in each flat.
    method
        How they are combined; None takes `combine.robust_method` of their number.
    min_frame
        Fewer frames that can be used make no master.

    Raises
    ------
    CalibrationError
        No frame is left, or frames or masters of different shapes.
    """
    frames = [
        _corrected(
            reader,
            one,
            pedestals(
                None if kind == "bias" else bias,
                dark if kind == "flat" else None,
                dark_is_bias_subtracted=dark_is_bias_subtracted,
                dark_scale=exposure_s / dark_exposure_s if exposure_s and dark_exposure_s else 1.0,
            ),
            linearity if kind == "flat" else None,
        )
        for reader, exposure_s, one in zip(
            readers, exposures_s, sections or [None] * len(readers), strict=True
        )
    ]
    shape = common_shape(frames)
    for name, master in (("bias", bias), ("dark", dark)):
        check_shape(f"master {name}", master, readers[0].name, shape)
    if kind == "flat":
        surveys = survey_flats(frames, saturation_adu=saturation_adu, limits=limits or FlatLimits())
        frames = [
            frame if survey.fault else replace(frame, level_adu=survey.level_adu)
            for frame, survey in zip(frames, surveys, strict=True)
        ]
    else:
        surveys = survey_frames(frames)
    kept = _kept(kind, frames, surveys, min_frame)
    noise = frame_noise(kept)
    level_adu = float(np.median([s.level_adu for s in kept]))
    combined, used = _combine_readable(
        kind,
        frames,
        surveys,
        noise=_expected_noise(kind, noise, level_adu, gain_e_per_adu),
        method=method,
        low_sigma=low_sigma,
        high_sigma=high_sigma,
        memory_byte=memory_byte,
    )
    return _finish(kind, combined, used, level_adu, noise, is_bias_subtracted=bias is not None)


def group_masters(
    frames: pl.DataFrame, *, exposure_tolerance: float = 0.01, temperature_tolerance_k: float = 1.5
) -> pl.DataFrame:
    """Find which frames make a master together.

    Bias frames belong together if camera, night, binning, size, settings and read-out mode are
    the same, and their temperatures are within `temperature_tolerance_k`; darks if their
    exposures too are the same to `exposure_tolerance` or 1 ms; flats if their band is the same,
    whatever their exposure and temperature. A frame without a night belongs to no group.

    Parameters
    ----------
    frames
        Rows of table frame; other types than bias, dark (dark flats are darks) and flat are left
        out. An unknown temperature is a group of its own.

    Returns
    -------
    One row per group: kind, the setting, band, exposure_s and sensor_degc (means), n_frame,
    frame_ids (ascending).
    """
    kind = pl.col("frame_type").replace({"darkflat": "dark"})
    offered = frames.filter(
        pl.col("frame_type").is_in(["bias", "dark", "darkflat", "flat"])
        & pl.col("night").is_not_null()
    ).with_columns(
        kind.alias("kind"),
        pl.when(pl.col("frame_type") == "flat").then("band").alias("band"),
    )
    key = ["kind", *SETTING, "band"]
    by_exposure = pl.when(pl.col("kind") == "dark").then("exposure_s")
    by_temperature = pl.when(pl.col("kind") != "flat").then("sensor_degc")
    return (
        offered.with_columns(
            _cluster(by_exposure, exposure_tolerance, 0.001, over=key).alias("exposure_group")
        )
        .with_columns(
            _cluster(
                by_temperature, 0.0, temperature_tolerance_k, over=[*key, "exposure_group"]
            ).alias("temperature_group")
        )
        .group_by(*key, "exposure_group", "temperature_group")
        .agg(
            pl.col("exposure_s").mean(),
            pl.col("sensor_degc").mean(),
            pl.len().cast(pl.Int32).alias("n_frame"),
            pl.col("frame_id").sort().alias("frame_ids"),
        )
        .drop("exposure_group", "temperature_group")
        .sort("night", "camera_id", "kind", "band", "exposure_s", "sensor_degc", nulls_last=True)
    )


def _cluster(value: pl.Expr, relative: float, absolute: float, *, over: list[str]) -> pl.Expr:
    """Number the clusters of values that lie within a tolerance of their smallest member."""

    def number(values: pl.Series) -> pl.Series:
        ids: dict[float, int] = {}
        first, n = -np.inf, -1
        for v in values.drop_nulls().unique().sort():
            if v > first + max(absolute, relative * abs(v)) * (1 + 1e-9):
                first, n = v, n + 1
            ids[v] = n
        return pl.Series([ids.get(v) for v in values], dtype=pl.Int32)

    return value.map_batches(number, return_dtype=pl.Int32).over(over)


def _corrected(
    reader: RowReader, sections: Sections | None, off: Pedestals, linearity: Linearity | None
) -> CorrectedRows:
    """Prepare a frame; one whose overscan cannot be read is found unreadable by its survey."""
    try:
        return corrected_rows(reader, sections, off, linearity)
    except PixelError:
        return CorrectedRows(reader, sections or whole_frame(reader.shape), off, linearity)


def _expected_noise(
    kind: Kind, noise: float, level_adu: float, gain_e_per_adu: float | None
) -> ExpectedNoise:
    """Say how noisy a pixel must be: as measured, more where there is more light."""
    if kind == "flat":
        # relative to the level, variance = noise^2 x light: that is a gain of 1 / noise^2
        return ExpectedNoise(0.0, 1 / noise**2)
    return ExpectedNoise(noise, gain_e_per_adu if kind == "dark" else None, level_adu)


def _kept(
    kind: Kind, frames: Sequence[CorrectedRows], surveys: Sequence[Survey], min_frame: int
) -> list[Survey]:
    """Return the surveys of the frames that are used, or refuse with all the reasons."""
    kept = [survey for survey in surveys if not survey.fault]
    if len(kept) >= max(min_frame, 1):
        return kept
    named = zip(frames, surveys, strict=True)
    reasons = "; ".join(f"{f.name}: {s.fault}" for f, s in named if s.fault)
    if not kept:
        raise CalibrationError(
            f"none of {len(frames)} {kind} frames can be used: {reasons}. Take new ones."
        )
    raise CalibrationError(
        f"too few: {len(kept)} of {len(frames)} {kind} frames can be used, masters.min_frame asks "
        f"for {min_frame}{': ' if reasons else ''}{reasons}. Take more, or lower it."
    )


def _combine_readable(
    kind: Kind, frames: Sequence[CorrectedRows], surveys: Sequence[Survey], **tuning: Any
) -> tuple[Combined, list[Use]]:
    """Combine what is used; a frame that vanishes meanwhile is left out and the rest goes on."""
    used: list[Use] = [(survey.fault is None, survey.fault) for survey in surveys]
    lost = ""
    while kept := [i for i, use in enumerate(used) if use[0]]:
        try:
            return combine([frames[i] for i in kept], **tuning), used
        except UnreadableFrame as error:
            lost = str(error)
            used[kept[error.index]] = (False, lost)
    raise CalibrationError(f"all {kind} frames were lost while they were combined: {lost}")


def _finish(
    kind: Kind,
    combined: Combined,
    used: list[Use],
    level_adu: float,
    noise: float,
    *,
    is_bias_subtracted: bool,
) -> BuiltMaster:
    n_frame = sum(use[0] for use in used)
    data, variance = combined.mean_adu, combined.variance_adu2
    noise *= variance_factor(combined.method, n_frame) ** 0.5
    if kind == "flat":
        median = np.float32(_median(data))
        data /= median
        variance /= median**2
        data[~(data > 0)] = np.nan
        noise *= level_adu
    else:
        level_adu = _median(data)
    return BuiltMaster(
        data_adu=data,
        variance_adu2=variance,
        n_used=combined.n_used,
        n_frame=n_frame,
        method=combined.method if n_frame > 1 else "single frame",
        level_adu=level_adu,
        noise_adu=noise,
        is_bias_subtracted=kind == "dark" and is_bias_subtracted,
        used=used,
    )


def _median(data: Image) -> float:
    """Median of the pixels that are numbers."""
    is_number = np.isfinite(data)
    return float(np.median(data if is_number.all() else data[is_number]))
