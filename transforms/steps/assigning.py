"""Frames whose headers do not tell their type or band: a person does, and all else follows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ...errors import CalibrationError, NotFoundError
from ...warehouse.runs import Run
from ...warehouse.store import Warehouse

LIGHT_TABLES = (
    "aperture_flux",
    "calibration",
    "curve_of_growth",
    "defect_use",
    "field_frame",
    "frame_quality",
    "frame_transparency",
    "measurement",
    "point_spread",
    "profile_fit",
    "registration",
    "wcs",
    "wcs_residual",
    "zero_point",
)
FITTED = ("gain_fit", "linearity_point", "ramp_fit", "transfer_point")
OF_NIGHT = ("gain", "ramp", "star scatter")  # steps whose result rests on other frames of the night
OF_ITSELF = ("vantage", "level")  # steps whose result a type or band does not change


def known_frames(warehouse: Warehouse, paths: Sequence[Path]) -> list[int]:
    """Return the frames of files and folders that were ingested.

    Raises
    ------
    NotFoundError
        If nothing of a path was ingested.
    """
    with warehouse.reading() as con:
        seen = con.table("path").project("path, frame_id").pl()
    found: set[int] = set()
    for path in paths:
        name = str(path.expanduser().resolve())
        is_under = pl.col("path").str.starts_with(name.rstrip("/") + "/")
        frames = seen.filter((pl.col("path") == name) | is_under)["frame_id"]
        if frames.is_empty():
            raise NotFoundError(f"{path}: no frame of it is known. Ingest it first.")
        found |= set(frames)
    return sorted(found)


def assign_frames(run: Run, frame_ids: Sequence[int], changes: Mapping[str, Any]) -> int:
    """Store another type or band of frames, and take back what was made of them as they were.

    Masters, gains and measurements that rest on a changed frame go, and are pending again. The
    rows are packages like all others, so a rebuild keeps them.

    Parameters
    ----------
    changes
        frame_type with frame_type_source, band, or both.

    Returns
    -------
    Number of frames that changed.

    Raises
    ------
    CalibrationError
        If a frame is the reference of its field and would be no light any more.
    """
    with run.warehouse.reading() as con:
        stored = con.table("frame").pl().filter(pl.col("frame_id").is_in(list(frame_ids)))
        named = con.sql("from field where reference_frame_id is not null").pl()
    what = [name for name in ("frame_type", "band") if name in changes]
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.lit(changes[name], pl.String)) for name in what
    )
    old = stored.filter(differs)
    if old.is_empty():
        return 0
    _refuse_references(old, named, changes)
    new = old.with_columns(pl.lit(value, pl.String).alias(name) for name, value in changes.items())
    tables, replaces, gone = _consequences(run.warehouse, old, new)
    run.store("assign", {"frame": new, **tables}, replaces=replaces)
    for name in gone:
        (run.warehouse.masters / name).unlink(missing_ok=True)
    return new.height


def _refuse_references(old: pl.DataFrame, fields: pl.DataFrame, changes: Mapping[str, Any]) -> None:
    if changes.get("frame_type", "light") == "light":
        return
    for row in fields.iter_rows(named=True):
        if row["reference_frame_id"] in set(old["frame_id"]):
            raise CalibrationError(
                f"frame {row['reference_frame_id']} is the reference of field "
                f"{row['field_name']!r}: the places of its stars rest on it. Leave it a light."
            )


def _consequences(
    warehouse: Warehouse, old: pl.DataFrame, new: pl.DataFrame
) -> tuple[dict[str, pl.DataFrame], dict[str, list[Any]], list[str]]:
    """Return rows that stay, keys whose rows go, and files of masters that go."""
    changed = old["frame_id"].to_list()
    where = old.select("camera_id", "night").unique()
    cameras = where["camera_id"].unique().to_list()
    with warehouse.reading() as con:
        members = con.table("master_frame").pl()
        masters = con.table("master").project("master_id, file_name").pl()
        product = con.table("product").pl()
        same_night = con.table("frame").project("frame_id, camera_id, night").pl()
        fitted = {name: con.table(name).pl() for name in FITTED}
    same_night = same_night.join(where, on=["camera_id", "night"], nulls_equal=True)
    gone = members.filter(pl.col("frame_id").is_in(changed))["master_id"].unique().to_list()
    companions = members.filter(pl.col("master_id").is_in(gone))["frame_id"].to_list()
    no_light = _ids(new.filter(pl.col("frame_type") != "light"))
    still_light = _ids(
        new.join(old.filter(pl.col("frame_type") == "light"), on="frame_id", how="semi")
    )
    step = pl.col("step")
    goes = (
        (pl.col("frame_id").is_in(changed) & ~step.is_in(OF_ITSELF))
        & ~(pl.col("frame_id").is_in(sorted(set(still_light) - set(no_light))))
        | (pl.col("frame_id").is_in(companions) & (step == "master"))
        | (pl.col("frame_id").is_in(same_night["frame_id"].to_list()) & step.is_in(OF_NIGHT))
    )
    touched = product.filter(goes)["frame_id"].unique().to_list()
    kept = {
        name: rows.filter(pl.col("camera_id").is_in(cameras)).join(
            where, on=["camera_id", "night"], how="anti", nulls_equal=True
        )
        for name, rows in fitted.items()
    }
    tables = {
        "product": product.filter(pl.col("frame_id").is_in(touched) & ~goes),
        **{name: rows for name, rows in kept.items() if rows.height},
    }
    replaces: dict[str, list[Any]] = {
        "product": touched,
        "master": gone,
        "master_frame": gone,
        **dict.fromkeys(FITTED, cameras),
        **dict.fromkeys(LIGHT_TABLES, no_light),
    }
    files = masters.filter(pl.col("master_id").is_in(gone))["file_name"].to_list()
    return tables, replaces, files


def _ids(frames: pl.DataFrame) -> list[int]:
    return frames["frame_id"].to_list()
