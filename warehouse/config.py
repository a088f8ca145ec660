"""The configuration: `starmuster.toml` beside the warehouse, unknown keys refused."""

import difflib
import hashlib
import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigError

FILE_NAME = "starmuster.toml"

Radii = tuple[Annotated[float, Field(gt=0)], ...]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def fingerprint(self) -> str:
        """Return a short hash of all values: what was made with them carries it."""
        return _hashed(self.model_dump(mode="json"))


def _hashed(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Site(_Section):
    """Where a telescope stands, for frames whose headers do not say, or say it wrong."""

    name: str | None = None
    latitude_deg: float = Field(ge=-90, le=90)
    longitude_deg: float = Field(ge=-180, le=360)
    elevation_m: float | None = None


class Camera(_Section):
    """What is known of a camera on its telescope."""

    aperture_m: float | None = Field(default=None, gt=0)
    saturation_adu: float | None = Field(default=None, gt=0)
    linearity_adu: float | None = Field(default=None, gt=0)
    linearity: tuple[tuple[float, float], ...] = ()
    gain_e_per_adu: float | None = Field(default=None, gt=0)
    read_noise_e: float | None = Field(default=None, ge=0)
    scale_arcsec_per_pix: float | None = Field(default=None, gt=0)
    site: Site | None = None


class Masters(_Section):
    """How calibration frames are combined and matched."""

    method: Literal["clipped mean", "median", "mean"] = "clipped mean"
    min_frame: int = Field(default=1, ge=1)
    low_sigma: float = Field(default=5.0, gt=0)
    high_sigma: float = Field(default=5.0, gt=0)
    max_saturated_share: float = Field(default=0.01, gt=0, lt=1)
    min_flat_snr: float = Field(default=20.0, ge=0)
    max_flat_departure: float = Field(default=0.02, gt=0)
    scale_darks: bool = True
    max_dark_stretch: float = Field(default=10.0, ge=1)
    max_dark_kelvin: float = Field(default=5.0, gt=0)
    max_days: float = Field(default=400.0, gt=0)

    def combination(self) -> str:
        """Return a short hash of what changes the pixels of a master; limits of choice do not."""
        chosen = {"scale_darks", "max_dark_stretch", "max_dark_kelvin", "max_days"}
        return _hashed(self.model_dump(mode="json", exclude=chosen))


class Calibration(_Section):
    """What is done to pixels before they are measured, and which of them are distrusted."""

    require: tuple[Literal["bias", "dark", "flat"], ...] = ()
    overscan: bool = True
    min_flat: float = Field(default=0.05, gt=0, lt=1)
    max_nonlinearity: float = Field(default=0.01, gt=0, lt=1)
    hot_sigma: float = Field(default=10.0, gt=0)
    cold_response: float = Field(default=0.5, gt=0, lt=1)
    dead_response: float = Field(default=0.1, gt=0, lt=1)
    cosmic_rays: bool = False
    cosmic_sigma: float = Field(default=4.5, gt=0)


class Detection(_Section):
    """How stars are found."""

    mesh_pix: int = Field(default=64, ge=8)
    threshold_sigma: float = Field(default=5.0, gt=0)
    image: Literal["frames", "best frame", "stack"] = "frames"
    max_source: int = Field(default=50_000, gt=0)
    reference_candidates: int = Field(default=5, ge=2)
    sure_sigma: float = Field(default=8.0, gt=0)
    sure_stack_sigma: float = Field(default=6.0, gt=0)
    expected_sigma: float = Field(default=10.0, gt=0)
    min_flux_adu: float = Field(default=0.0, ge=0)
    max_flux_adu: float | None = Field(default=None, gt=0)


class Registration(_Section):
    """How frames are laid on their field."""

    max_star: int = Field(default=300, ge=10)
    min_star: int = Field(default=6, ge=3)
    solve: bool = True
    solve_timeout_s: float = Field(default=60.0, gt=0)
    index_folder: str | None = None


class Photometry(_Section):
    """What is measured of each star. The word aperture means a radius everywhere."""

    apertures_arcsec: Radii = (4.0, 6.0, 8.0, 10.0)
    apertures_pix: Radii = (3.0, 4.0, 5.0, 6.0, 8.0)
    apertures_fwhm: Radii = (1.0, 1.5, 2.0, 2.5)
    annulus_inner_fwhm: float = Field(default=4.0, gt=0)
    annulus_width_fwhm: float = Field(default=3.0, gt=0)
    annulus_inner_min_pix: float = Field(default=8.0, gt=0)
    annulus_min_area_pix: float = Field(default=300.0, gt=0)
    recentre_signal_to_noise: float | None = Field(default=None, gt=0)
    psf: Literal["none", "gaussian", "moffat", "epsf"] = "none"
    profile_fit: Literal["none", "gaussian", "moffat"] = "none"


class Ensemble(_Section):
    """How comparison stars are chosen, and what is made of them."""

    method: Literal["weights", "sum", "inhomogeneous"] = "weights"
    max_star: int = Field(default=20, ge=1)
    max_fainter_mag: float = 1.5
    max_brighter_mag: float = 2.5
    max_redder_mag: float = Field(default=1.5, gt=0)
    n_trend: int = Field(default=0, ge=0, le=5)
    trend_method: Literal["sysrem", "pca"] = "sysrem"


class ZeroPoints(_Section):
    """How frames are held against reference catalogues."""

    catalogues: tuple[str, ...] = ()
    bands: dict[str, str] = Field(default_factory=dict)
    position_degree: int = Field(default=1, ge=0, le=2)
    max_star: int = Field(default=300, ge=10)
    seasons: tuple[date, ...] = ()


class Quality(_Section):
    """Limits beyond which a frame is rejected: its measurements then are not clean."""

    max_fwhm_ratio: float = Field(default=2.5, gt=1)
    max_ellipticity: float = Field(default=0.7, gt=0, le=1)
    min_transparency: float = Field(default=0.2, ge=0, lt=1)
    max_cloud_mag: float | None = Field(default=None, gt=0)
    max_sky_ratio: float = Field(default=10.0, gt=1)
    min_star: int = Field(default=3, ge=0)
    max_offset_pix: float | None = Field(default=None, gt=0)


class Config(_Section):
    """All settings of a warehouse."""

    camera: dict[str, Camera] = Field(default_factory=dict)
    site: Site | None = None
    keywords: dict[str, Any] = Field(default_factory=dict)
    masters: Masters = Masters()
    calibration: Calibration = Calibration()
    detection: Detection = Detection()
    registration: Registration = Registration()
    photometry: Photometry = Photometry()
    ensemble: Ensemble = Ensemble()
    zero_points: ZeroPoints = ZeroPoints()
    quality: Quality = Quality()


def read_config(path: Path) -> Config:
    """Read `starmuster.toml`.

    Raises
    ------
    ConfigError
        If it is not TOML, a key is unknown (the nearest known one is named) or a value is off.
    """
    try:
        return Config.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}. Mend it; it must be TOML in UTF-8.") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {_describe(error)}.") from error


def _describe(error: ValidationError) -> str:
    parts: list[str] = []
    for item in error.errors():
        steps = [str(step) for step in item["loc"]]
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key {'.'.join(steps)!r}; {_advice(steps)}")
        else:
            parts.append(f"{'.'.join(steps)} = {item['input']!r}: {item['msg']}")
    return "; ".join(parts)


def _advice(steps: list[str]) -> str:
    """Name the nearest key: of the same section, else of any, else list those of the section."""
    *trail, given = steps
    section = _section(trail)
    here = sorted(section.model_fields)
    if near := difflib.get_close_matches(given, here, n=1):
        return f"did you mean {near[0]!r}?"
    full = {key.split(".")[-1]: key for key in _all_keys(Config)}
    if near := difflib.get_close_matches(given, full, n=1, cutoff=0.8):
        return f"did you mean {full[near[0]]!r}?"
    return f"known here: {', '.join(here)}"


def _section(trail: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for step in trail:
        if step in section.model_fields:
            section = _model_of(section.model_fields[step].annotation) or section
    return section


def _all_keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        keys += [f"{name}.{key}" for key in _all_keys(inner)] if inner else [name]
    return keys


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section behind an annotation: itself, an optional one, or one by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_of(part) for part in get_args(annotation))
    return next((model for model in inner if model is not None), None)


TEMPLATE = """\
# Settings of this warehouse. Everything has a default; unknown keys are refused.

# Where the telescope stands, for frames whose headers do not say:
# [site]
# name = "Bonn"
# latitude_deg = 50.7
# longitude_deg = 7.1          # east positive
# elevation_m = 60

# What you know of a camera, by the name in INSTRUME:
# [camera."QHY600M"]
# aperture_m = 0.356           # of the telescope; gives the scintillation noise
# saturation_adu = 65535
# linearity_adu = 60000        # pixels at or above are flagged as non-linear
# linearity = [[1000, 1.0], [50000, 1.01]]  # ADU above the bias, and factor to correct it by
# gain_e_per_adu = 0.77        # else measured from flats and biases
# read_noise_e = 3.5

# [calibration]
# overscan = true              # BIASSEC taken off, TRIMSEC cut out, where the header has them
# hot_sigma = 10.0             # hot: above its surroundings, in noises of one dark
# cosmic_rays = false          # mask cosmic rays (slow)

# [detection]
# image = "frames"             # stars are looked for on some frames of each night and band;
#                              # or on the "best frame"; or on a "stack" of the best and on them
# reference_candidates = 5     # how many frames are looked at

# [registration]
# solve_timeout_s = 60         # of the plate solver, for one frame
# index_folder = "~/astrometry"  # its index files; else where the solver looks for them

# [zero_points]
# catalogues = ["atlas-refcat2"]  # preferred ones first; else the one with most stars
# bands = { clear = "r" }      # band of the catalogue for a filter that it does not have
# position_degree = 1          # of the polynomial over the field: 0, 1 or 2
# seasons = [2024-02-15]       # nights from which the instrument was another: new colour terms

# [quality]                    # frames beyond are rejected: nothing of them is clean
# max_fwhm_ratio = 2.5         # of the median of the night
# min_transparency = 0.2       # of the light of the night's clearest frames

# [photometry]
# apertures_arcsec = [4, 6, 8, 10]
# apertures_fwhm = [1.0, 1.5, 2.0, 2.5]
# psf = "none"                 # "epsf", "moffat" or "gaussian": all stars at once, for crowds
# profile_fit = "none"         # the same, fitted to each bright star by itself
"""
