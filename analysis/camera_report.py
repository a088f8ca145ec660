"""The page of a camera: what was measured of it, night by night."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from astropy.wcs import WCS
from numpy.typing import NDArray

from .camera_figures import (
    dark_figure,
    distortion_figure,
    doubling_kelvin,
    history_figure,
    linearity_figure,
    transfer_figure,
)
from .page import MISSING, Page, Picture, Plot, Section, as_text, picture, plot, table
from .thumbnails import block_mean, grey_png, ratio_png

LEAST_DISTORTION_ARCSEC = 0.01
NOTES = (
    "Gain: two flats of similar level are compared tile by tile after one was scaled to the other "
    "by their local ratio, a plane in each tile; what is left is photon and read noise. Pairs lit "
    "so differently that a pattern may add more than 5 % to the variance are refused. Read noise "
    "is the clipped standard deviation of bias differences over root two (Janesick 2007).",
    "Saturation is the level from which on the least variance of all pairs stays below half of "
    "what the gain says: full wells do not scatter. Linearity is quoted only where exposures that "
    "were repeated show a lamp steady to 1 %.",
    "The fixed pattern is what two flats share within a tile; dark current is the level of a "
    "master dark over its exposure, its bias taken off, or the slope through several.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatImage:
    """A master flat with its pixels, relative to their median, shape (n_y, n_x)."""

    night: object
    band: str | None
    n_frame: int
    level_adu: float
    data: NDArray[Any]
    pier_side: str | None = None

    @property
    def name(self) -> str:
        """Band and night, and the side of the pier where it is of one."""
        side = "" if self.pier_side is None else f", pier {self.pier_side}"
        return f"{self.band or 'no band'}, {self.night}{side}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A sky solution of a frame of shape (n_y, n_x), and what it rests on."""

    wcs: WCS
    shape: tuple[int, int]
    night: object
    method: str
    n_star: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReport:
    """All the page says; rows of the queries of the same names."""

    camera_name: str
    cameras: pl.DataFrame
    transfer_curve: pl.DataFrame
    ramp_fit: pl.DataFrame
    ramp_levels: pl.DataFrame
    bias_history: pl.DataFrame
    dark_history: pl.DataFrame
    dark_levels: pl.DataFrame
    flats: tuple[FlatImage, ...]
    pier_flats: tuple[FlatImage, ...]
    plate: Plate | None
    command: str
    version: str
    generated_utc: datetime | str


def camera_page(report: CameraReport) -> Page:
    """Lay out the page of a camera."""
    fits = report.cameras
    good = fits.filter(pl.col("gain_e_per_adu").is_not_null())
    refused = fits.filter(pl.col("gain_e_per_adu").is_null())
    return Page(
        kicker="Camera",
        title=report.camera_name,
        summary=_summary(good, report.ramp_fit),
        head=_head(report, good),
        warnings=[
            f"{row['night']} {row['band'] or ''}: no gain, {row['verdict']}".replace(" :", ":")
            for row in refused.iter_rows(named=True)
        ],
        sections=[
            Section(
                "Gain and read noise",
                plots=[_history(good, report.bias_history), _transfer(report)],
                tables=[
                    table(
                        fits,
                        "Every measurement. No gain is given where the frames do not tell it.",
                        {
                            "night": "Night",
                            "band": "Band",
                            "gain_setting": "Setting",
                            "binning": "Binning",
                            "gain_e_per_adu": "Gain (e⁻/ADU)",
                            "gain_err_e_per_adu": "±",
                            "read_noise_e": "Read noise (e⁻)",
                            "n_pairs": "Pairs",
                            "method": "Method",
                        },
                    )
                ],
            ),
            Section(
                "Saturation and linearity",
                plots=[_linearity(report.ramp_levels)],
                tables=[
                    table(
                        report.ramp_fit,
                        "Ramps of exposures.",
                        {
                            "night": "Night",
                            "band": "Band",
                            "n_flat": "Flats",
                            "saturation_adu": "Saturation (ADU)",
                            "full_well_e": "Full well (e⁻)",
                            "pattern": "Fixed pattern",
                            "saturation_verdict": "Variance",
                            "linearity_verdict": "Linearity",
                        },
                    )
                ],
            ),
            _bias_and_dark(report),
            Section(
                "Flats",
                pictures=[*_flat_pictures(report.flats), *_pier_pictures(report.pier_flats)],
                text=_flat_text(report.flats),
            ),
            Section("Distortion", plots=[_distortion(report.plate)]),
        ],
        command=report.command,
        version=report.version,
        generated_utc=report.generated_utc,
        notes=NOTES,
    )


def _summary(good: pl.DataFrame, ramps: pl.DataFrame) -> str:
    if good.is_empty():
        return "No gain could be measured: the reasons are below."
    gain = good["gain_e_per_adu"].to_numpy()
    text = f"Gain {as_text(float(np.median(gain)))} e⁻/ADU"
    if len(gain) > 1:
        text += f" (from {len(gain)} measurements between {gain.min():.3f} and {gain.max():.3f})"
    noise = good["read_noise_e"].drop_nulls()
    if len(noise):
        text += f", read noise {as_text(float(np.median(noise.to_numpy())))} e⁻"
    full = ramps["saturation_adu"].drop_nulls()
    if len(full):
        text += f", wells full at {full[0]:.0f} ADU"
    return text + "."


def _head(report: CameraReport, good: pl.DataFrame) -> list[tuple[str, str]]:
    nights = report.cameras["night"].drop_nulls().to_list()
    biases = report.bias_history["level_adu"].drop_nulls()
    return [
        ("Nights", f"{min(nights)} to {max(nights)}" if nights else MISSING),
        ("Measurements", f"{good.height} of {report.cameras.height} gave a gain"),
        ("Bias level", f"{as_text(biases[-1])} ADU" if len(biases) else MISSING),
        ("Master flats", str(len(report.flats))),
    ]


def _history(good: pl.DataFrame, biases: pl.DataFrame) -> Plot | None:
    if max(good["night"].n_unique(), biases["night"].n_unique()) < 2:
        return None  # the table says as much
    return plot(
        history_figure(good, biases),
        name="history",
        alt="Gain, read noise and bias level against the night.",
        caption="Gain by band, read noise and level of the biases over the nights.",
    )


def _transfer(report: CameraReport) -> Plot | None:
    points = report.transfer_curve
    if points.is_empty():
        return None
    full = report.ramp_fit["saturation_adu"].drop_nulls()
    pedestal_adu = float((points["level_adu"] - points["signal_adu"]).to_numpy()[0])
    full_adu = float(full[0]) - pedestal_adu if len(full) else None
    return plot(
        transfer_figure(points, full_adu=full_adu),
        name="transfer",
        alt=f"Photon transfer curve of {points.height} levels.",
        caption="Variance against signal, every pair of flats in bins of level; lines: the gain. "
        "Points far above it belong to pairs whose lamp shifted, which are not used."
        + (" Dashed: the wells are full." if full_adu else ""),
    )


def _linearity(levels: pl.DataFrame) -> Plot | None:
    if levels.is_empty():
        return None
    return plot(
        linearity_figure(levels),
        name="linearity",
        alt=f"Level against exposure of {levels.height} flats.",
        caption="Level against exposure, and the rate over its median: a linear camera and a "
        "steady lamp give a flat line.",
    )


def _bias_and_dark(report: CameraReport) -> Section:
    darks = report.dark_history
    figure = None
    if report.dark_levels.height > 1:
        doubling = doubling_kelvin(darks)
        figure = plot(
            dark_figure(darks.drop_nulls("temperature_degc"), report.dark_levels),
            name="dark",
            alt="Level of the darks against exposure, and dark current against temperature.",
            caption="Master darks against exposure; dark current of the median pixel against "
            "temperature." + (f" It doubles every {doubling:.1f} K." if doubling else ""),
        )
    return Section(
        "Bias and dark",
        plots=[figure],
        tables=[
            table(
                report.bias_history,
                "Biases. Noise is that of a pixel against its second neighbour in one frame; the "
                "range is that of the frames of a night.",
                {
                    "night": "Night",
                    "binning": "Binning",
                    "n_frame": "Frames",
                    "level_adu": "Level (ADU)",
                    "range_adu": "Range (ADU)",
                    "noise_adu": "Noise (ADU)",
                    "sensor_degc": "Sensor (°C)",
                },
            ),
            table(
                darks,
                "Dark current.",
                {
                    "night": "Night",
                    "temperature_degc": "Sensor (°C)",
                    "n_exposure": "Exposures",
                    "longest_s": "Longest (s)",
                    "dark_adu_rate": "ADU/s",
                    "dark_e_rate": "e⁻/s",
                },
            ),
        ],
    )


def _flat_pictures(flats: tuple[FlatImage, ...]) -> list[Picture]:
    """Show each flat, and its ratio to the one before of the same band, else to the first."""
    shown: list[Picture] = []
    last: dict[str | None, FlatImage] = {}
    for flat in flats:
        caption = f"{flat.name}: {counted(flat.n_frame)} of {flat.level_adu:.0f} ADU"
        shown.append(picture(grey_png(flat.data), alt=f"Master flat {flat.name}", caption=caption))
        other = last.get(flat.band) or next(iter(last.values()), None)
        if other is not None and other.data.shape == flat.data.shape:
            shown.append(_ratio_picture(flat, other))
        last[flat.band] = flat
    return shown


def _pier_pictures(flats: tuple[FlatImage, ...]) -> list[Picture]:
    """Show the ratio of the flats of both sides of the pier, in each band."""
    shown: list[Picture] = []
    first: dict[str | None, FlatImage] = {}
    for flat in flats:
        other = first.setdefault(flat.band, flat)
        if other is not flat and other.data.shape == flat.data.shape:
            shown.append(_ratio_picture(flat, other))
    return shown


def _ratio_picture(flat: FlatImage, other: FlatImage) -> Picture:
    ratio = flat_ratio(flat.data, other.data)
    spread = float(np.nanstd(block_mean(ratio, 64)))
    return picture(
        ratio_png(ratio),
        alt=f"Ratio of the flats {flat.name} and {other.name}",
        caption=f"{flat.name} over {other.name}: rms {spread:.2%} in 64 boxes a side",
    )


def _distortion(plate: Plate | None) -> Plot | None:
    if plate is None:
        return None
    figure, largest = distortion_figure(plate.wcs, plate.shape)
    if largest < LEAST_DISTORTION_ARCSEC:
        return None  # a solution without such terms says nothing of the optics
    stars = "" if plate.n_star is None else f", {plate.n_star} stars"
    return plot(
        figure,
        name="distortion",
        alt="Distortion of the sky solution over the frame.",
        caption=f"Distortion over the frame, {largest:.2f} arcsec at most: what the solution of "
        f"{plate.night} ({plate.method}{stars}) has beyond shift, turn, stretch and shear.",
    )


def flat_ratio(flat: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Divide two flats, scaled to a median of one; nan where either has no light."""
    ratio = np.full(flat.shape, np.nan)
    np.divide(flat, other, out=ratio, where=(flat > 0) & (other > 0))
    finite = ratio[np.isfinite(ratio)]
    return ratio / np.median(finite) if finite.size else ratio


def counted(n_frame: int) -> str:
    """Write a number of frames."""
    return f"{n_frame} frame{'' if n_frame == 1 else 's'}"


def _flat_text(flats: tuple[FlatImage, ...]) -> str:
    if len(flats) < 2:
        return ""
    return (
        "Grey: the master flats, smoothed. Red and blue: ratios, white being 1 and full colour "
        "3 % off; each to the flat before of its band, the first of a band to that of another."
    )
