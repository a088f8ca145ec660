"""Nights into the warehouse: what is new under some paths becomes rows of frames.

Files unchanged in size and time are skipped unread; the others are scanned, hashed and loaded
batch by batch, so that a kill costs the batch at work and nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from ..errors import HeaderError
from ..warehouse.config import Site as SiteConfig
from ..warehouse.runs import Run
from ..warehouse.store import Warehouse
from .folders import Listing, list_folders
from .instruments import Numbered, assign_ids
from .intake import Batch, scan
from .positions import Site, wrapped
from .quantities import make_synonyms

STEP = "catalogue"
_UNCHANGED = "path, size_byte, mtime_ns"


@dataclass(frozen=True, slots=True)
class Counts:
    """Files under the paths: n_seen = n_new + n_skipped + n_failed.

    `ignored` holds (path, reason) of links, devices and folders that were passed over.
    """

    n_seen: int
    n_new: int
    n_skipped: int
    n_failed: int
    ignored: tuple[tuple[str, str], ...] = ()


def catalogue(current: Run, paths: Sequence[Path]) -> Counts:
    """Take the new frames under some paths into the warehouse.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    listing = _list(current.warehouse, paths)
    batches: list[Batch] = []
    for batch, numbered in _read(current.warehouse, listing):
        for path, reason in batch.quarantine.select("path", "reason").iter_rows():
            current.fail(STEP, path, HeaderError(reason))
        nights = numbered.frame["night"].unique().to_list()
        current.store(
            STEP,
            {
                "frame": numbered.frame,
                "path": numbered.path,
                "camera": numbered.camera,
                "site": numbered.site,
                "quarantine": batch.quarantine,
            },
            night=nights[0] if len(nights) == 1 else None,
            # A mended file leaves quarantine, a damaged one loses its path.
            replaces={
                "quarantine": batch.path["path"].to_list(),
                "path": batch.quarantine["path"].to_list(),
            },
        )
        batches.append(batch)
    return _count(listing, batches)


def preview(warehouse: Warehouse, paths: Sequence[Path]) -> tuple[Counts, pl.DataFrame]:
    """Read what `catalogue` would take in, and change nothing.

    Returns
    -------
    The counts, and the new frames with the columns of table `frame`.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    listing = _list(warehouse, paths)
    read = list(_read(warehouse, listing))
    with warehouse.reading() as con:
        nothing = con.table("frame").limit(0).pl()
    frames = pl.concat(
        [nothing, *(numbered.frame.select(nothing.columns) for _, numbered in read)],
        how="vertical_relaxed",
    )
    return _count(listing, [batch for batch, _ in read]), frames


def _list(warehouse: Warehouse, paths: Sequence[Path]) -> Listing:
    with warehouse.reading() as con:
        known = pl.concat(
            [con.table(name).project(_UNCHANGED).pl() for name in ("path", "quarantine")]
        )
    own = (warehouse.masters, warehouse.packages, warehouse.reports)
    return list_folders(paths, known, skip_folders=own)


def _read(warehouse: Warehouse, listing: Listing) -> Iterator[tuple[Batch, Numbered]]:
    """Read the files of a listing, and number their rows after those of the warehouse."""
    if not listing.pending:
        return
    config = warehouse.config
    with warehouse.reading() as con:
        known_frame = con.table("frame").project("frame_id, content_hash").pl()
        known_camera = con.table("camera").pl()
        known_site = con.table("site").pl()
    batches = scan(
        listing.pending,
        seen_utc=datetime.now(UTC).replace(tzinfo=None),
        known_hashes=set(known_frame["content_hash"]),
        synonyms=make_synonyms(config.keywords),
        camera_sites={
            name: _site(camera.site) for name, camera in config.camera.items() if camera.site
        },
        default_site=_site(config.site) if config.site else None,
    )
    for batch in batches:
        numbered = assign_ids(
            batch.frame,
            batch.path,
            known_frame=known_frame,
            known_camera=known_camera,
            known_site=known_site,
        )
        known_frame = pl.concat([known_frame, numbered.frame.select("frame_id", "content_hash")])
        known_camera = _replaced(known_camera, numbered.camera, "camera_id")
        known_site = _replaced(known_site, numbered.site, "site_id")
        yield batch, numbered


def _replaced(known: pl.DataFrame, rows: pl.DataFrame, key: str) -> pl.DataFrame:
    return pl.concat([known.join(rows, on=key, how="anti"), rows.select(known.columns)])


def _site(config: SiteConfig) -> Site:
    return Site(
        latitude_deg=config.latitude_deg,
        longitude_deg=wrapped(config.longitude_deg),
        elevation_m=config.elevation_m,
        site_name=config.name,
    )


def _count(listing: Listing, batches: list[Batch]) -> Counts:
    return Counts(
        n_seen=listing.n_seen,
        n_new=sum(batch.n_new for batch in batches),
        n_skipped=listing.n_unchanged + sum(batch.n_skipped for batch in batches),
        n_failed=sum(batch.n_failed for batch in batches),
        ignored=listing.ignored,
    )
