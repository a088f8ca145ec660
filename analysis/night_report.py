"""The page of a night: its frames, masters, sky, seeing and transparency, and what failed."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .camera_report import counted
from .night_figures import PANELS, night_figure, shift_figure
from .night_lights import frame_table, group_table
from .page import MISSING, Page, Picture, Plot, Section, as_text, picture, plot, table
from .quality_sections import Quality, quality_sections
from .thumbnails import grey_png, sky_png

NOISE_OFF = 0.15  # a master's noise may differ so much from what its frames predict
CLOUDY = 0.8
POOR_FWHM = 1.5  # of the night's median
ONE_FRAME = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """Pixels to be shown small, shape (n_y, n_x), with the line below."""

    caption: str
    data: NDArray[Any]
    is_light: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NightReport:
    """All the page says; rows of the shipped queries named in the comments."""

    night: date
    frames: pl.DataFrame  # night_frames
    masters: pl.DataFrame  # night_masters
    left_out: pl.DataFrame  # night_left_out
    failures: pl.DataFrame  # night_failures
    gains: pl.DataFrame  # cameras, of this night
    thumbnails: tuple[Thumbnail, ...]
    quality: Quality = field(default_factory=Quality)
    command: str
    version: str
    generated_utc: datetime | str


def night_page(report: NightReport) -> Page:
    """Lay out the page of a night."""
    lights = _lights(report)
    return Page(
        kicker="Night report",
        title=report.night.isoformat(),
        summary=_summary(report, lights),
        head=_head(report, lights),
        warnings=warnings(report, lights),
        sections=[
            Section("The night", plots=[_course(lights), _shifts(lights)]),
            Section("Frames", tables=[_frame_table(report.frames)]),
            Section(
                "Masters",
                tables=[_master_table(report.masters), _left_out_table(report.left_out)],
                pictures=[_shown(item) for item in report.thumbnails if not item.is_light],
            ),
            Section("Gain and read noise", tables=[_gain_table(report.gains)]),
            Section("Levels of calibration frames", tables=[_level_table(report.frames)]),
            Section(
                "Lights",
                tables=[group_table(lights), frame_table(lights)],
                pictures=[_shown(item) for item in report.thumbnails if item.is_light],
            ),
            *quality_sections(report.quality),
            Section("What failed", tables=[_failure_table(report.failures)]),
        ],
        command=report.command,
        version=report.version,
        generated_utc=report.generated_utc,
    )


def warnings(report: NightReport, lights: pl.DataFrame) -> list[str]:
    """Say what a keeper of the telescope should look at."""
    found: list[str] = []
    for row in report.masters.iter_rows(named=True):
        name = _master_name(row)
        ratio = row["noise_ratio"]
        if row["retired_because"] is not None:
            found.append(f"{name} is retired: {row['retired_because']}.")
        elif ratio is not None and abs(ratio - 1) > NOISE_OFF:
            found.append(
                f"{name} has {ratio:.2f} times the noise that {counted(row['n_frame'])} and the "
                f"gain predict."
            )
        if row["n_frame"] == ONE_FRAME and row["night"] == report.night:
            found.append(f"{name} rests on one frame.")
    found += [
        f"{reason}: {counted(n)}."
        for reason, n in lights["reason"].drop_nulls().value_counts(sort=True).iter_rows()
        if reason
    ]
    cloudy = lights.filter(pl.col("transparency") < CLOUDY).height
    if cloudy:
        found.append(f"{counted(cloudy)} with less than {CLOUDY:.0%} of the clear light: clouds.")
    sharpness = (
        lights["fwhm_pix"]
        / lights.group_by("band")
        .agg(pl.col("fwhm_pix").median())
        .join(lights.select("band"), on="band", how="right", nulls_equal=True)["fwhm_pix"]
    )
    poor = int((sharpness > POOR_FWHM).sum())
    if poor:
        found.append(f"{counted(poor)} with more than {POOR_FWHM:g} times the night's FWHM.")
    if report.quality.rejected.height:
        n = report.quality.rejected.height
        found.append(f"{counted(n)} rejected by the limits of quality.")
    if report.failures.height:
        n = report.failures.height
        found.append(f"{n} failure{'' if n == 1 else 's'}: listed at the end.")
    dark = lights.filter(pl.col("sky_adu") < 0).height
    if dark:
        found.append(
            f"{counted(dark)} with a sky below naught: the bias is not that of the master."
        )
    unknown = report.frames.filter(pl.col("frame_type").is_null()).height
    if unknown:
        found.append(
            f"{counted(unknown)} of unknown type: `starmuster assign` tells what they are."
        )
    return found


def _lights(report: NightReport) -> pl.DataFrame:
    return report.frames.filter(pl.col("frame_type") == "light").with_columns(
        (pl.col("sky_adu") / pl.when(pl.col("exposure_s") > 0).then("exposure_s")).alias(
            "sky_rate"
        ),
        (pl.col("fwhm_pix") * pl.col("scale_arcsec_per_pix")).alias("fwhm_arcsec"),
    )


def _summary(report: NightReport, lights: pl.DataFrame) -> str:
    n_measured = int((lights["state"] == "measured").sum())
    text = f"{counted(report.frames.height)}, {lights.height} of them lights"
    if lights.height:
        text += f", {n_measured} measured"
    return text + "."


def _head(report: NightReport, lights: pl.DataFrame) -> list[tuple[str, str]]:
    times = report.frames["mid_utc"].drop_nulls()
    fwhm = lights["fwhm_arcsec"].drop_nulls()
    unit = "″"
    if fwhm.is_empty():
        fwhm, unit = lights["fwhm_pix"].drop_nulls(), " pix"
    cameras = report.frames["camera_name"].unique(maintain_order=True).to_list()
    targets = lights["target_name"].drop_nulls().unique(maintain_order=True).to_list()
    return [
        ("Camera", ", ".join(cameras)),
        ("Targets", ", ".join(targets) or MISSING),
        (
            "From, to (UTC)",
            f"{as_text(times.min())} to {str(times.max())[11:19]}" if len(times) else MISSING,
        ),
        ("FWHM, median", f"{fwhm.median():.2f}{unit}" if len(fwhm) else MISSING),
    ]


def _course(lights: pl.DataFrame) -> Plot | None:
    timed = lights.filter(pl.col("mid_utc").is_not_null())
    if not any(timed[name].is_not_null().any() for name in PANELS):
        return None
    has_zero_points = timed["zero_point_mag"].is_not_null().any()
    return plot(
        night_figure(timed),
        name="course",
        alt=f"Quality of {timed.height} light frames against time.",
        caption="What was measured of each light frame. Transparency is the light of the stars "
        "that the frames of a field and band share, over that of the clearest quarter"
        f"{'; the zero point is that of 2 FWHM' if has_zero_points else ''}. "
        "Crosses: rejected frames.",
    )


def _shifts(lights: pl.DataFrame) -> Plot | None:
    placed = lights.filter(pl.col("mid_utc").is_not_null() & pl.col("x_shift_pix").is_not_null())
    if placed.is_empty():
        return None
    return plot(
        shift_figure(placed),
        name="shifts",
        alt=f"Shifts of {placed.height} frames against their field's reference frame.",
        caption="Where the frames lie on their field: shift against its reference frame.",
    )


def _frame_table(frames: pl.DataFrame):
    exposure = pl.col("exposure_s")
    # the exposures of sky and dome flats all differ a little
    by = ("camera_name", "frame_type", "band", "of_one_exposure")
    rows = (
        frames.with_columns(
            pl.when(pl.col("frame_type") != "flat").then(exposure).alias("of_one_exposure")
        )
        .group_by(*by, maintain_order=True)
        .agg(
            pl.len().alias("n"),
            (pl.col("state") == "failed").sum().alias("n_failed"),
            exposure.min().alias("shortest_s"),
            exposure.max().alias("longest_s"),
            pl.col("target_name").drop_nulls().unique(maintain_order=True).str.join(", "),
            pl.col("frame_type_source").unique(maintain_order=True).str.join(", "),
            pl.col("sensor_degc").median(),
        )
        .sort("frame_type", "band", "of_one_exposure", nulls_last=True)
    )
    spans = [_span(*pair) for pair in rows.select("shortest_s", "longest_s").iter_rows()]
    rows = rows.with_columns(pl.Series("exposure", spans, dtype=pl.String))
    return table(
        rows,
        "Frames by type, band and exposure.",
        {
            "frame_type": "Type",
            "band": "Band",
            "exposure": "Exposure (s)",
            "n": "Frames",
            "n_failed": "Failed",
            "target_name": "Target",
            "sensor_degc": "Sensor (°C)",
            "frame_type_source": "Type known from",
        },
    )


def _span(shortest_s: float | None, longest_s: float | None) -> str:
    first, last = as_text(shortest_s), as_text(longest_s)
    return first if first == last else f"{first} to {last}"


def _master_table(masters: pl.DataFrame):
    return table(
        masters,
        "Masters made from this night's frames, or used for its lights. The expected noise follows "
        "from the number of frames, the gain and the read noise.",
        {
            "master_id": "No.",
            "kind": "Kind",
            "band": "Band",
            "night": "Night",
            "exposure_s": "Exposure (s)",
            "n_frame": "Frames",
            "level_adu": "Level (ADU)",
            "noise_adu": "Noise (ADU)",
            "expected_noise_adu": "Expected",
            "noise_ratio": "Ratio",
            "n_light": "Lights",
        },
    )


def _left_out_table(left_out: pl.DataFrame):
    rows = left_out.with_columns(_file_names(left_out["path"]))
    return table(
        rows,
        "Frames that were left out of their master.",
        {"kind": "Kind", "band": "Band", "path": "File", "reason": "Why"},
    )


def _gain_table(gains: pl.DataFrame):
    return table(
        gains,
        "Measured this night.",
        {
            "camera": "Camera",
            "band": "Band",
            "gain_e_per_adu": "Gain (e⁻/ADU)",
            "gain_err_e_per_adu": "±",
            "read_noise_e": "Read noise (e⁻)",
            "n_pairs": "Pairs",
            "verdict": "Verdict",
        },
    )


def _level_table(frames: pl.DataFrame):
    rows = (
        frames.filter(pl.col("level_adu").is_not_null())
        .with_columns(
            pl.when(pl.col("frame_type") != "flat").then("exposure_s").alias("exposure_s")
        )
        .group_by("frame_type", "band", "exposure_s", maintain_order=True)
        .agg(
            pl.len().alias("n"),
            pl.col("level_adu").median(),
            (pl.col("level_adu").max() - pl.col("level_adu").min()).alias("range_adu"),
            pl.col("noise_adu").median(),
        )
        .sort("frame_type", "band", "exposure_s", nulls_last=True)
    )
    return table(
        rows,
        "As read: median level, its range over the frames, and noise against the second neighbour.",
        {
            "frame_type": "Type",
            "band": "Band",
            "exposure_s": "Exposure (s)",
            "n": "Frames",
            "level_adu": "Level (ADU)",
            "range_adu": "Range (ADU)",
            "noise_adu": "Noise (ADU)",
        },
    )


def _failure_table(failures: pl.DataFrame):
    rows = failures.with_columns(_file_names(failures["subject"]).alias("subject"))
    return table(rows, "Failures.", {"step": "Step", "subject": "Of", "message": "Message"})


def _file_names(paths: pl.Series) -> pl.Series:
    names = [None if path is None else PurePosixPath(path).name for path in paths]
    return pl.Series(paths.name, names, dtype=pl.String)


def _shown(item: Thumbnail) -> Picture:
    png = sky_png(item.data) if item.is_light else grey_png(item.data)
    return picture(png, alt=item.caption, caption=item.caption)


def _master_name(row: dict[str, Any]) -> str:
    parts = ("Master", row["kind"], row["master_id"], row["band"], f"of {row['night']}")
    return " ".join(str(part) for part in parts if part is not None)


def has_light(image: NDArray[Any]) -> bool:
    """Say whether an image has any number to show."""
    return bool(np.isfinite(image).any())
