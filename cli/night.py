"""The command `report night`: one page about a night."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import NotFoundError, StarmusterError, UsageError
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.night_report import NightReport, Thumbnail
    from ..warehouse.store import Warehouse

N_MASTER, N_LIGHT = 12, 8  # pictures on the page
LIGHT_PIX = 640


def night(day: str | None = None, /, *, output: Path | None = None) -> int:
    """Write a page about a night: frames, masters, sky, seeing, clouds, errors, failures.

    Parameters
    ----------
    day
        Night as YYYY-MM-DD, the date of its evening; else the latest.
    output
        HTML file to write; else one in the warehouse's folder `reports`.
    """
    from ..analysis.night_report import night_page
    from ..analysis.page import render_page

    warehouse = SESSION.warehouse()
    report = _gather(warehouse, _night(warehouse, day))
    page = output or warehouse.reports / f"night-{report.night}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    laid_out = night_page(report)
    page.write_text(render_page(laid_out), encoding="utf-8")
    if SESSION.as_json:
        SESSION.answer(
            {
                "night": report.night,
                "file": page,
                "n_frame": report.frames.height,
                "warnings": list(laid_out.warnings),
                "masters": plain_rows(report.masters),
                "failures": plain_rows(report.failures),
            }
        )
    SESSION.tell(f"{report.night}: {laid_out.summary}")
    for text in laid_out.warnings:
        SESSION.tell(f"  {text}")
    SESSION.tell(f"wrote {page}")
    return 0


def _night(warehouse: "Warehouse", day: str | None) -> date:
    """Return the night asked for, or the latest; one that is known."""
    with warehouse.reading() as con:
        known = [row[0] for row in con.table("frame").project("night").distinct().fetchall()]
    nights = sorted(found for found in known if found is not None)
    if not nights:
        raise NotFoundError("no night in this warehouse yet: ingest a folder of frames first.")
    if day is None:
        return nights[-1]
    try:
        wanted = date.fromisoformat(day)
    except ValueError as error:
        raise UsageError(f"{day}: a night is written YYYY-MM-DD.") from error
    if wanted not in nights:
        near = min(nights, key=lambda found: abs(found - wanted))
        raise NotFoundError(f"no frames of {wanted}; the nearest night is {near}.")
    return wanted


def _gather(warehouse: "Warehouse", when: date) -> "NightReport":
    import polars as pl

    from ..analysis.night_report import NightReport
    from ..warehouse.store import shipped
    from .night_quality import gather_quality

    with warehouse.reading() as con:
        frames, masters, left_out, failures = (
            shipped(con, name, night=when)
            for name in (
                "night_frames",
                "night_masters",
                "night_left_out",
                "night_failures",
            )
        )
        gains = shipped(con, "cameras", camera=None).filter(pl.col("night") == when)
    return NightReport(
        night=when,
        frames=frames,
        masters=masters,
        left_out=left_out,
        failures=failures,
        gains=gains,
        quality=gather_quality(warehouse, when, frames),
        thumbnails=(*_masters(warehouse, masters), *_lights(warehouse, frames)),
        command=SESSION.command,
        version=__version__,
        generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
    )


def _masters(warehouse: "Warehouse", masters: "pl.DataFrame") -> "list[Thumbnail]":
    from ..transforms.steps.master_files import read_master

    shown: list[Thumbnail] = []
    for row in masters.head(N_MASTER).iter_rows(named=True):
        name = f"{row['kind']} {row['band'] or ''}".strip()
        caption = f"{name} of {row['night']}, {row['n_frame']} combined (no. {row['master_id']})"
        path = warehouse.masters / row["file_name"]
        shown += _thumbnail(caption, lambda: read_master(path, row["checksum"]), is_light=False)  # noqa: B023 (called at once)
    return shown


def _lights(warehouse: "Warehouse", frames: "pl.DataFrame") -> "list[Thumbnail]":
    """Show some lights, spread over the night."""
    import numpy as np
    import polars as pl

    from ..transforms.pixels import read_pixels
    from ..transforms.steps.paths import frame_paths

    lights = frames.filter(pl.col("frame_type") == "light")
    if lights.is_empty():
        return []
    places = np.unique(np.linspace(0, lights.height - 1, N_LIGHT).round().astype(int))
    rows = [lights.row(int(i), named=True) for i in places]
    with warehouse.reading() as con:
        paths = frame_paths(con, [row["frame_id"] for row in rows])
    shown: list[Thumbnail] = []
    for row in rows:
        at = "no time" if row["mid_utc"] is None else f"{row['mid_utc']:%H:%M}"
        caption = f"{row['target_name'] or 'light'} {row['band'] or ''} {at}"
        path = paths[row["frame_id"]]
        shown += _thumbnail(caption, lambda: read_pixels(path, row["hdu_index"]), is_light=True)  # noqa: B023 (called at once)
    return shown


def _thumbnail(caption: str, read: Any, *, is_light: bool) -> "list[Thumbnail]":
    """Make a picture small at once; none where its file cannot be read."""
    from ..analysis.night_report import Thumbnail, has_light
    from ..analysis.thumbnails import block_mean

    try:
        small = block_mean(read(), LIGHT_PIX)
    except StarmusterError as error:
        SESSION.say(f"no picture: {error}")
        return []
    if not has_light(small):
        return []
    return [Thumbnail(caption=caption, data=small, is_light=is_light)]
