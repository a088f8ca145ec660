"""Files of raw frames in, rows of tables out; what cannot be read is quarantined with a reason."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import HeaderError
from .files import RawFile
from .folders import Candidate, printable
from .hdus import find_image
from .headers import FrameHeader, normalise
from .positions import Site
from .quantities import Synonyms, make_synonyms

BATCH_FILE = 500

_TIME = pl.Datetime("us")
FRAME_SCHEMA: dict[str, Any] = {
    "content_hash": pl.String,
    "size_byte": pl.Int64,
    "hdu_index": pl.Int16,
    "n_x_pix": pl.Int32,
    "n_y_pix": pl.Int32,
    "frame_type": pl.String,
    "frame_type_source": pl.String,
    "band": pl.String,
    "band_header": pl.String,
    "exposure_s": pl.Float64,
    "start_utc": _TIME,
    "mid_utc": _TIME,
    "time_source": pl.String,
    "time_err_s": pl.Float64,
    "night": pl.Date,
    "target_name": pl.String,
    "target_key": pl.String,
    "ra_deg": pl.Float64,
    "dec_deg": pl.Float64,
    "scale_arcsec_per_pix": pl.Float64,
    "x_binning": pl.Int16,
    "y_binning": pl.Int16,
    "x_first_pix": pl.Int32,
    "y_first_pix": pl.Int32,
    "gain_setting": pl.Float64,
    "offset_setting": pl.Float64,
    "egain_e_per_adu": pl.Float64,
    "readout_mode": pl.String,
    "sensor_degc": pl.Float64,
    "set_degc": pl.Float64,
    "pier_side": pl.String,
    "program": pl.String,
    "camera_name": pl.String,
    "telescope_name": pl.String,
    "site_name": pl.String,
    "latitude_deg": pl.Float64,
    "longitude_deg": pl.Float64,
    "elevation_m": pl.Float64,
    "site_source": pl.String,
    "header": pl.String,
    "header_issue": pl.List(pl.String),
}
PATH_SCHEMA: dict[str, Any] = {
    "path": pl.String,
    "content_hash": pl.String,
    "size_byte": pl.Int64,
    "mtime_ns": pl.Int64,
    "seen_utc": _TIME,
}
QUARANTINE_SCHEMA: dict[str, Any] = {
    "path": pl.String,
    "size_byte": pl.Int64,
    "mtime_ns": pl.Int64,
    "reason": pl.String,
    "seen_utc": _TIME,
}
_HEADER_COLUMNS = tuple(item.name for item in fields(FrameHeader) if item.name in FRAME_SCHEMA)
# A file the system would not let be read is tried again, although its time does not change.
_TRY_AGAIN_NS = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of some files. Each file is new, skipped (content already held) or failed.

    Whatever a warehouse holds in `path` and `quarantine` for the paths of this batch is replaced
    by these rows: a changed or mended file leaves nothing behind.
    """

    frame: pl.DataFrame
    path: pl.DataFrame
    quarantine: pl.DataFrame
    n_new: int
    n_skipped: int
    n_failed: int

    @property
    def paths(self) -> list[str]:
        """All paths of the batch: their former rows are to be deleted."""
        return [*self.path["path"], *self.quarantine["path"]]


def scan(
    pending: Sequence[Candidate],
    *,
    seen_utc: datetime,
    known_hashes: AbstractSet[str] = frozenset(),
    synonyms: Synonyms | None = None,
    camera_sites: Mapping[str, Site] | None = None,
    default_site: Site | None = None,
    n_file: int = BATCH_FILE,
) -> Iterator[Batch]:
    """Read files and yield their rows in batches.

    Parameters
    ----------
    pending
        Files of a `Listing`.
    seen_utc
        Time noted in the rows.
    known_hashes
        Contents that table `frame` holds: a file with one of them gives a path, and no frame.
    synonyms, camera_sites, default_site
        As for `headers.normalise`.
    n_file
        Files of a batch.

    Yields
    ------
    Rows with the columns of `FRAME_SCHEMA` (the instruments by name, to be numbered by
    `instruments.assign_ids`), `PATH_SCHEMA` and `QUARANTINE_SCHEMA`. One bad file never stops
    the others.
    """
    synonyms = synonyms or make_synonyms()
    hashes = set(known_hashes)
    for start in range(0, len(pending), n_file):
        frames: list[dict[str, Any]] = []
        paths: list[tuple[Any, ...]] = []
        failures: list[tuple[Any, ...]] = []
        for candidate in pending[start : start + n_file]:
            where = (candidate.size_byte, candidate.mtime_ns)
            try:
                row = _read(candidate, hashes, synonyms, camera_sites, default_site)
            except HeaderError as error:
                failures.append((printable(candidate.path), *where, str(error), seen_utc))
                continue
            except OSError as error:
                reason = f"{candidate.path}: cannot be read: {error.strerror or error}."
                where = (candidate.size_byte, _TRY_AGAIN_NS)
                failures.append((printable(candidate.path), *where, reason, seen_utc))
                continue
            paths.append((candidate.path, row["content_hash"], *where, seen_utc))
            if len(row) > 1:
                hashes.add(row["content_hash"])
                frames.append(row)
        yield Batch(
            frame=pl.DataFrame(frames, schema=FRAME_SCHEMA),
            path=pl.DataFrame(paths, schema=PATH_SCHEMA, orient="row"),
            quarantine=pl.DataFrame(failures, schema=QUARANTINE_SCHEMA, orient="row"),
            n_new=len(frames),
            n_skipped=len(paths) - len(frames),
            n_failed=len(failures),
        )


def _read(
    candidate: Candidate,
    hashes: AbstractSet[str],
    synonyms: Synonyms,
    camera_sites: Mapping[str, Site] | None,
    default_site: Site | None,
) -> dict[str, Any]:
    """Return the frame's row, or only its hash if the content is known."""
    path = Path(candidate.path)
    if printable(candidate.path) != candidate.path:
        raise HeaderError(f"{printable(candidate.path)}: the name is not UTF-8. Rename the file.")
    with RawFile(path) as file:
        if (file.size_byte, file.mtime_ns) != (candidate.size_byte, candidate.mtime_ns):
            raise HeaderError(
                f"{path}: changed since it was listed ({candidate.size_byte} bytes then, "
                f"{file.size_byte} now). It is tried again by the next ingest."
            )
        image = find_image(file)
        content_hash = file.content_hash()
    if content_hash in hashes:
        return {"content_hash": content_hash}
    header = normalise(
        image.header,
        path_hint=candidate.path,
        synonyms=synonyms,
        camera_sites=camera_sites,
        default_site=default_site,
    )
    row = {name: getattr(header, name) for name in _HEADER_COLUMNS}
    return row | {
        "content_hash": content_hash,
        "size_byte": candidate.size_byte,
        "hdu_index": image.hdu_index,
        "n_x_pix": image.n_x_pix,
        "n_y_pix": image.n_y_pix,
    }
