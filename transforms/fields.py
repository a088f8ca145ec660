"""Which pointing a light frame belongs to. Fills the tables `field` and `field_frame`."""

import numpy as np
import polars as pl

DEFAULT_RADIUS_DEG = 0.25  # where the scale of a frame is not known

FIELD_SCHEMA = {
    "field_id": pl.Int32,
    "field_name": pl.String,
    "ra_deg": pl.Float64,
    "dec_deg": pl.Float64,
    "reference_frame_id": pl.Int32,
    "is_on_sky": pl.Boolean,
    "scale_arcsec_per_pix": pl.Float64,
    "scale_source": pl.String,
}


def assign_fields(
    frames: pl.DataFrame, fields: pl.DataFrame, *, next_field_id: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give each frame the field it points at; a pointing that is not known becomes a new field.

    A frame with a pointing belongs to the nearest field whose centre lies within half its own
    short side. A frame without one goes by its target's name, and by camera and night if it has
    no name either.

    Parameters
    ----------
    frames
        Columns frame_id, camera_id, night, target_name, target_key, ra_deg, dec_deg,
        scale_arcsec_per_pix, n_x_pix, n_y_pix of table `frame`, in any order.
    fields
        Columns field_id, field_name, field_key, ra_deg, dec_deg of the fields known so far.
    next_field_id
        Number of the first new field.

    Returns
    -------
    Rows of table `field` (new ones only), rows of table `field_frame`.
    """
    known = fields.select("field_id", "field_key", "ra_deg", "dec_deg").to_dicts()
    new: list[dict[str, object]] = []
    members: list[dict[str, object]] = []
    for frame in frames.sort("frame_id").iter_rows(named=True):
        field_id = _find(frame, known)
        if field_id is None:
            field_id = next_field_id + len(new)
            known.append(
                {
                    "field_id": field_id,
                    "field_key": _key(frame),
                    "ra_deg": frame["ra_deg"],
                    "dec_deg": frame["dec_deg"],
                }
            )
            new.append(
                {
                    "field_id": field_id,
                    "field_name": _name(frame),
                    "ra_deg": frame["ra_deg"],
                    "dec_deg": frame["dec_deg"],
                    "is_on_sky": False,
                    "scale_source": "none",
                }
            )
        members.append({"frame_id": frame["frame_id"], "field_id": field_id})
    return (
        pl.DataFrame(new, schema=FIELD_SCHEMA),
        pl.DataFrame(members, schema={"frame_id": pl.Int32, "field_id": pl.Int32}),
    )


def _find(frame: dict, known: list[dict]) -> int | None:
    if frame["ra_deg"] is None or frame["dec_deg"] is None:
        same = [field for field in known if field["field_key"] == _key(frame)]
        return same[0]["field_id"] if same else None
    placed = [field for field in known if field["ra_deg"] is not None]
    if not placed:
        return None
    separation_deg = _separation_deg(
        frame["ra_deg"],
        frame["dec_deg"],
        np.array([field["ra_deg"] for field in placed]),
        np.array([field["dec_deg"] for field in placed]),
    )
    nearest = int(np.argmin(separation_deg))
    return placed[nearest]["field_id"] if separation_deg[nearest] < _radius_deg(frame) else None


def _radius_deg(frame: dict) -> float:
    if not frame["scale_arcsec_per_pix"]:
        return DEFAULT_RADIUS_DEG
    short_side_pix = min(frame["n_x_pix"], frame["n_y_pix"])
    return short_side_pix * frame["scale_arcsec_per_pix"] / 3600 / 2


def _key(frame: dict) -> str:
    return frame["target_key"] or f"camera {frame['camera_id']} on {frame['night']}"


def _name(frame: dict) -> str:
    if frame["target_name"]:
        return str(frame["target_name"]).strip()
    if frame["ra_deg"] is not None and frame["dec_deg"] is not None:
        return f"{frame['ra_deg']:.3f} {frame['dec_deg']:+.3f}"
    return _key(frame)


def _separation_deg(ra_deg: float, dec_deg: float, ra_to_deg, dec_to_deg):
    """Return angular distances by the haversine formula, which holds for small angles."""
    ra, dec, ra_to, dec_to = map(np.radians, (ra_deg, dec_deg, ra_to_deg, dec_to_deg))
    chord = (
        np.sin((dec_to - dec) / 2) ** 2
        + np.cos(dec) * np.cos(dec_to) * np.sin((ra_to - ra) / 2) ** 2
    )
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(chord, 0, 1))))
