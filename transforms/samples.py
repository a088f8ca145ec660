"""What some rows tell of a whole frame: level, noise, how the light falls, and what is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PixelError
from .calibrate import Pedestals
from .linearity import Linearity, linearised
from .overscan import Sections, overscan_level, strip_of, whole_frame
from .pixels import Image, RowReader
from .saturation import estimate_saturation_adu

SAMPLE_BLOCK = 16  # blocks of rows, evenly spaced, that stand for a frame
SAMPLE_PIX = 500_000
DIGITISATION_ADU = 12**-0.5


@dataclass(frozen=True, slots=True)
class FlatLimits:
    """What a flat must be like to be used."""

    max_saturated_fraction: float = 0.01
    min_signal_to_noise: float = 20.0
    max_gradient: float = 0.02


@dataclass(frozen=True, slots=True)
class CorrectedRows:
    """Rows of a frame's light: overscan and pedestals off, linearised, divided by a level.

    A reader like any other, of the shape of the trimmed frame.
    """

    reader: RowReader
    sections: Sections
    pedestals: Pedestals
    linearity: Linearity | None = None
    level_adu: float = 1.0
    column_level: Image | None = None

    @property
    def name(self) -> str:
        """Name of the frame behind it."""
        return self.reader.name

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the frame's light."""
        return self.sections.light.shape

    def rows(self, start: int, stop: int) -> Image:
        """Return rows start <= y < stop of the light, corrected."""
        return self.correct(self.whole_rows(start, stop), slice(start, stop))

    def whole_rows(self, start: int, stop: int) -> Image:
        """Return rows of the light as read, overscan beside them included."""
        first = self.sections.light.first_y
        return self.reader.rows(first + start, first + stop)

    def light(self, whole: Image) -> Image:
        """Cut the light out of whole rows."""
        return whole[:, self.sections.light.slices[1]]

    def correct(self, whole: Image, where: slice | NDArray[np.intp]) -> Image:
        """Correct whole rows that were read before."""
        values = self.light(whole)
        if (level := self._overscan(whole)) is not None:
            values = values - level
        for pedestal, factor in self.pedestals.before:
            values = values - np.float32(factor) * pedestal[where]
        values = linearised(values, self.linearity)
        for pedestal, factor in self.pedestals.after:
            values = values - np.float32(factor) * pedestal[where]
        return values / np.float32(self.level_adu) if self.level_adu != 1 else values

    def _overscan(self, whole: Image) -> Image | None:
        overscan = self.sections.overscan
        if overscan is None or not self.sections.is_by_row:
            return self.column_level
        return overscan_level(whole[:, overscan.slices[1]], is_by_row=True)


def corrected_rows(
    reader: RowReader,
    sections: Sections | None,
    off: Pedestals,
    linearity: Linearity | None = None,
) -> CorrectedRows:
    """Prepare a frame for correction; an overscan above or below the light is read at once.

    Raises
    ------
    PixelError
        That overscan cannot be read.
    """
    sections = sections or whole_frame(reader.shape)
    column_level = None
    if sections.overscan is not None and not sections.is_by_row:
        strip = strip_of(sections)
        whole = reader.rows(strip.first_y, strip.last_y)
        column_level = overscan_level(whole[:, strip.slices[1]], is_by_row=False)
    return CorrectedRows(reader, sections, off, linearity, column_level=column_level)


@dataclass(frozen=True, slots=True)
class Sample:
    """Evenly spaced rows of a frame, as read and above the pedestal."""

    raw_adu: Image
    net_adu: Image
    level_adu: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What the sample of a frame tells; a frame with a fault is not used.

    `noise` is that of one pixel, in ADU or of a flat relative to its level: from the difference
    with the frame before, so that what the two share, bias, pattern and dust, drops out; of a
    first frame `local_noise`. `relief` are the medians of a coarse grid of boxes over the level,
    nan where a box has no numbers.
    """

    level_adu: float = np.nan
    noise: float = np.nan
    is_noise_of_difference: bool = False
    relief: NDArray[np.float64] | None = None
    fault: str | None = None


def survey_frames(frames: Sequence[CorrectedRows]) -> list[Survey]:
    """Survey bias or dark frames; one that cannot be read has that as its fault.

    Holds two samples of half a million pixels at a time, whatever the number of frames.
    """
    return _survey(frames, is_flat=False, saturation_adu=None, limits=FlatLimits())


def survey_flats(
    frames: Sequence[CorrectedRows], *, saturation_adu: float | None, limits: FlatLimits
) -> list[Survey]:
    """Survey flats: saturated, faint and differently lit ones have a fault."""
    surveys = _survey(frames, is_flat=True, saturation_adu=saturation_adu, limits=limits)
    return _compare_reliefs(surveys, limits.max_gradient)


def _survey(
    frames: Sequence[CorrectedRows],
    *,
    is_flat: bool,
    saturation_adu: float | None,
    limits: FlatLimits,
) -> list[Survey]:
    surveys: list[Survey] = []
    previous = None
    for frame in frames:
        try:
            sample = _sample(frame)
        except PixelError as error:
            surveys.append(Survey(fault=str(error)))
            continue
        fault = _flat_fault(sample, saturation_adu, limits) if is_flat else _fault(sample)
        if fault:
            surveys.append(Survey(sample.level_adu, fault=fault))
            continue
        surveys.append(
            Survey(
                level_adu=sample.level_adu,
                noise=_noise(sample, previous, is_relative=is_flat),
                is_noise_of_difference=previous is not None,
                relief=_relief(sample) if is_flat else None,
            )
        )
        previous = sample
    return surveys


def frame_noise(surveys: Sequence[Survey]) -> float:
    """Return the median noise of the frames: from differences, where there are any."""
    paired = [s.noise for s in surveys if s.is_noise_of_difference]
    return float(np.median(paired or [s.noise for s in surveys]))


def local_noise(image: Image) -> float:
    """Scatter of a pixel against its second neighbour, over root two; nan without numbers.

    Photon and read noise and the pixels' own differences, but no gradient; the second neighbour
    has the same colour on a Bayer sensor.
    """
    return clipped_scatter(image[:, 2:] - image[:, :-2]) / 2**0.5


def clipped_scatter(values: NDArray[Any]) -> float:
    """Standard deviation without outliers (4 sigma): a MAD of integers would be too coarse.

    What normal noise loses to clipping, 0.05 %, is given back. nan with less than two numbers.
    """
    kept = values[np.isfinite(values)].astype(np.float64)
    for _ in range(5):
        if kept.size < 2:
            return float("nan")
        inside = kept[np.abs(kept - kept.mean()) <= 4 * kept.std(ddof=1)]
        if inside.size == kept.size:
            break
        kept = inside
    return float(kept.std(ddof=1)) * 1.000535


def _sample(frame: CorrectedRows) -> Sample:
    n_y, n_x = frame.shape
    n_block = min(SAMPLE_BLOCK, n_y)
    height = max(1, min(n_y // n_block, SAMPLE_PIX // (n_block * n_x)))
    starts = np.linspace(0, n_y - height, n_block).astype(int)
    whole = np.concatenate([frame.whole_rows(int(y), int(y) + height) for y in starts])
    net = frame.correct(whole, (starts[:, None] + np.arange(height)).ravel())
    finite = net[np.isfinite(net)]
    return Sample(
        frame.light(whole), net, float(np.median(finite)) if finite.size else float("nan")
    )


def _noise(sample: Sample, previous: Sample | None, *, is_relative: bool) -> float:
    scale = sample.level_adu if is_relative else 1.0
    least = DIGITISATION_ADU / scale
    if previous is None:
        return max(local_noise(sample.net_adu) / scale, least)
    before = previous.net_adu / (previous.level_adu if is_relative else 1.0)
    return max(clipped_scatter(sample.net_adu / scale - before) / 2**0.5, least)


def _relief(sample: Sample) -> NDArray[np.float64]:
    boxes = [
        box[np.isfinite(box)]
        for block in np.array_split(sample.net_adu, SAMPLE_BLOCK)
        for box in np.array_split(block, SAMPLE_BLOCK, axis=1)
    ]
    medians = [float(np.median(box)) if box.size else np.nan for box in boxes]
    return np.array(medians) / sample.level_adu


def _fault(sample: Sample) -> str | None:
    return None if np.isfinite(sample.level_adu) else "empty: none of its pixels is a number"


def _flat_fault(sample: Sample, saturation_adu: float | None, limits: FlatLimits) -> str | None:
    """Say what is wrong with a flat by itself."""
    top_adu = saturation_adu or estimate_saturation_adu(sample.raw_adu)
    if top_adu is not None:
        fraction = float(np.mean(sample.raw_adu >= top_adu))
        if fraction > limits.max_saturated_fraction:
            return f"saturated: {fraction:.1%} of its pixels are at {top_adu:.0f} ADU or above"
    if not np.isfinite(sample.level_adu):
        return _fault(sample)
    noise_adu = max(local_noise(sample.raw_adu), DIGITISATION_ADU)
    if sample.level_adu <= limits.min_signal_to_noise * noise_adu:
        return (
            f"too faint: {sample.level_adu:.0f} ADU above the bias with a noise of "
            f"{noise_adu:.1f} ADU, expected {limits.min_signal_to_noise:.0f} times the noise"
        )
    return None


def _compare_reliefs(surveys: list[Survey], max_gradient: float) -> list[Survey]:
    """Find fault with flats that are lit differently from most."""
    reliefs = [s.relief for s in surveys if s.relief is not None]
    if len(reliefs) < 3:  # of two that differ nobody knows which is wrong
        return surveys
    typical = np.median(reliefs, axis=0)
    judged: list[Survey] = []
    for survey in surveys:
        departure = 0.0
        if survey.relief is not None:
            departure = float(np.nanstd(survey.relief / typical))
        fault = (
            f"lit differently: departs by {departure:.1%} from the median of the flats, at most "
            f"{max_gradient:.1%} is allowed"
        )
        judged.append(replace(survey, fault=fault) if departure > max_gradient else survey)
    return judged
