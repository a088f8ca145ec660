"""What workers are told: a light frame, its masters, its field."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...warehouse.config import Config
from .detectors import Detector


@dataclass(frozen=True, slots=True)
class MasterFile:
    """A master on disk.

    `trim` is the part of a frame it holds, None: all. `corner` is where in it, (y, x), a smaller
    frame begins; None: the frame is no smaller.
    """

    master_id: int
    path: Path
    checksum: str
    trim: str | None = None
    corner: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class FieldFile:
    """A field for workers: its stars are in a Parquet file, the rest is here."""

    field_id: int
    reference_frame_id: int
    stars: Path
    n_x_pix: int
    n_y_pix: int
    cards: str | None
    scale_arcsec_per_pix: float | None
    star_revision: int = 0


@dataclass(frozen=True, slots=True)
class LightTask:
    """Everything a worker must know of a light frame."""

    frame_id: int
    path: Path
    hdu_index: int
    shape: tuple[int, int]
    header: str
    scale_arcsec_per_pix: float | None
    ra_deg: float | None
    dec_deg: float | None
    calibration: dict[str, Any]
    bias: MasterFile | None
    dark: MasterFile | None
    flat: MasterFile | None
    dark_is_bias_subtracted: bool
    config: Config
    recipe: str
    defects: MasterFile | None = None
    detector: Detector = dataclasses.field(default_factory=Detector)
    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    night: Any = None
    field: FieldFile | None = None
    apertures: tuple[tuple[int, str, float], ...] = ()
    parts: Path | None = None

    @property
    def key(self) -> str:
        """Hash of all that decides the rows: a part under this name need not be made again."""
        text = f"{self.frame_id}/{self.recipe}/{self.field}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]
