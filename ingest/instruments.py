"""Frames, cameras and sites get their numbers: pure functions from rows to rows."""

from dataclasses import dataclass

import polars as pl

UNKNOWN_CAMERA = "unknown camera"
_SITE_DECIMALS = 3  # 0.001 deg: 110 m

CAMERA_SCHEMA = {
    "camera_id": pl.Int32,
    "camera_name": pl.String,
    "telescope_name": pl.String,
    "aperture_m": pl.Float64,
    "saturation_adu": pl.Float64,
    "gain_e_per_adu": pl.Float64,
    "read_noise_e": pl.Float64,
    "scale_arcsec_per_pix": pl.Float64,
    "linearity_adu": pl.Float64,
}
SITE_SCHEMA = {
    "site_id": pl.Int32,
    "site_name": pl.String,
    "latitude_deg": pl.Float64,
    "longitude_deg": pl.Float64,
    "elevation_m": pl.Float64,
    "source": pl.String,
}
_INSTRUMENT_COLUMNS = (
    "camera_name",
    "telescope_name",
    "site_name",
    "latitude_deg",
    "longitude_deg",
    "elevation_m",
    "site_source",
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """Rows in the columns of their tables.

    `camera` and `site` hold new rows and rows that became more complete (a telescope's name, an
    elevation): a loader replaces them by their number.
    """

    frame: pl.DataFrame
    path: pl.DataFrame
    camera: pl.DataFrame
    site: pl.DataFrame


def assign_ids(
    frame: pl.DataFrame,
    path: pl.DataFrame,
    *,
    known_frame: pl.DataFrame,
    known_camera: pl.DataFrame,
    known_site: pl.DataFrame,
) -> Numbered:
    """Number new frames, cameras and sites, continuing those known.

    Parameters
    ----------
    frame
        New frames as `nights.scan` gives them.
    path
        Paths seen, with `content_hash`.
    known_frame
        Columns frame_id, content_hash of table `frame`.
    known_camera, known_site
        Tables `camera` and `site`.

    Returns
    -------
    Rows to load. Frames of a content already known are left out; their paths are kept.
    """
    frame = frame.unique("content_hash", keep="first", maintain_order=True).join(
        known_frame.select("content_hash"), on="content_hash", how="anti", maintain_order="left"
    )
    first_id = _next_id(known_frame, "frame_id")
    frame = frame.with_row_index("frame_id", offset=first_id).with_columns(
        pl.col("frame_id").cast(pl.Int32), pl.col("camera_name").fill_null(UNKNOWN_CAMERA)
    )
    cameras = _number_cameras(frame, _with_schema(known_camera, CAMERA_SCHEMA))
    sites = _number_sites(frame, _with_schema(known_site, SITE_SCHEMA))
    frame = _join_site(_join_camera(frame, cameras), sites).drop(_INSTRUMENT_COLUMNS)
    frame = frame.select(
        pl.exclude("header", "header_issue"), pl.col("header"), pl.col("header_issue")
    )
    numbers = pl.concat(
        [
            known_frame.select("content_hash", pl.col("frame_id").cast(pl.Int32)),
            frame.select("content_hash", "frame_id"),
        ]
    )
    paths = path.join(numbers, on="content_hash", how="inner", maintain_order="left").select(
        "path", "frame_id", "size_byte", "mtime_ns", "seen_utc"
    )
    return Numbered(
        frame=frame,
        path=paths,
        camera=_changed(cameras, _with_schema(known_camera, CAMERA_SCHEMA)),
        site=_changed(sites, _with_schema(known_site, SITE_SCHEMA)),
    )


def _next_id(known: pl.DataFrame, column: str) -> int:
    return 1 if known.is_empty() else int(known[column].cast(pl.Int64).max() or 0) + 1  # pyright: ignore


def _with_schema(rows: pl.DataFrame, schema: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def _changed(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    return rows.join(known, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")


def _number_cameras(frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return all cameras: the known ones, completed, and the new ones.

    Calibration frames often lack the telescope's name: a named camera with one telescope in all
    is one camera, whichever of its frames came first.
    """
    cameras = known
    # Pairs with a telescope first: a nameless one then finds the telescope it belongs to.
    pairs = (
        frame.select("camera_name", "telescope_name")
        .unique(maintain_order=True)
        .sort("telescope_name", nulls_last=True, maintain_order=True)
    )
    for camera, telescope in pairs.rows():
        is_same_camera = pl.col("camera_name") == camera
        held = cameras.filter(is_same_camera)
        if camera == UNKNOWN_CAMERA:
            held = held.filter(pl.col("telescope_name").eq_missing(pl.lit(telescope)))
            is_held = not held.is_empty()
        elif telescope is None:
            is_held = held["telescope_name"].null_count() > 0 or len(held) == 1
        else:
            is_held = telescope in held["telescope_name"].to_list()
            if not is_held and len(held) == 1 and held["telescope_name"][0] is None:
                cameras = cameras.with_columns(
                    pl.when(is_same_camera)
                    .then(pl.lit(telescope))
                    .otherwise("telescope_name")
                    .alias("telescope_name")
                )
                is_held = True
        if not is_held:
            row = {"camera_id": _next_id(cameras, "camera_id"), "camera_name": camera}
            new = pl.DataFrame([row | {"telescope_name": telescope}])
            cameras = pl.concat([cameras, _with_schema(new, CAMERA_SCHEMA)])
    return cameras


def _join_camera(frame: pl.DataFrame, cameras: pl.DataFrame) -> pl.DataFrame:
    exact = cameras.select("camera_id", "camera_name", "telescope_name")
    alone = cameras.filter(
        pl.len().over("camera_name") == 1, pl.col("camera_name") != UNKNOWN_CAMERA
    ).select("camera_name", pl.col("camera_id").alias("only_camera_id"))
    return (
        frame.join(
            exact,
            on=["camera_name", "telescope_name"],
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        .join(alone, on="camera_name", how="left", maintain_order="left")
        .with_columns(pl.coalesce("camera_id", "only_camera_id").alias("camera_id"))
        .drop("only_camera_id")
    )


def _site_key() -> list[pl.Expr]:
    return [
        pl.col("latitude_deg").round(_SITE_DECIMALS).alias("latitude_key"),
        pl.col("longitude_deg").round(_SITE_DECIMALS).alias("longitude_key"),
    ]


def _number_sites(frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return all sites: one for each position to 0.001 degree, name and elevation filled."""
    keys = ["latitude_key", "longitude_key"]
    seen = frame.filter(
        pl.col("latitude_deg").is_not_null(), pl.col("longitude_deg").is_not_null()
    ).select(
        pl.lit(None, dtype=pl.Int32).alias("site_id"),
        "site_name",
        "latitude_deg",
        "longitude_deg",
        "elevation_m",
        pl.col("site_source").alias("source"),
    )
    sites = (
        pl.concat([known, seen])
        .with_columns(_site_key())
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("site_id").first(),
            pl.col("site_name").drop_nulls().first(),
            pl.col("latitude_deg", "longitude_deg").first(),
            pl.col("elevation_m").drop_nulls().first(),
            pl.col("source").first(),
        )
        .drop(keys)
    )
    is_new = pl.col("site_id").is_null()
    number = is_new.cum_sum().cast(pl.Int32) + (_next_id(known, "site_id") - 1)
    return sites.with_columns(pl.when(is_new).then(number).otherwise("site_id").alias("site_id"))


def _join_site(frame: pl.DataFrame, sites: pl.DataFrame) -> pl.DataFrame:
    keys = ["latitude_key", "longitude_key"]
    numbers = sites.with_columns(_site_key()).select("site_id", *keys)
    return (
        frame.with_columns(_site_key())
        .join(numbers, on=keys, how="left", maintain_order="left")
        .drop(keys)
    )
