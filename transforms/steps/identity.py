"""Which source lies at a pixel of a frame: for names that a person ties to a star."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from ...errors import NotFoundError
from ..registration import Registration, apply_registration

FAR_PIX = 10.0


@dataclass(frozen=True, slots=True)
class Tied:
    """A source near a pixel of a frame."""

    source_id: int
    frame_id: int
    separation_pix: float


def nearest_source(
    con: duckdb.DuckDBPyConnection, field_id: int, frame: str, x_pix: float, y_pix: float
) -> Tied:
    """Find the source of a field nearest to a 0-based pixel of one of its frames.

    Parameters
    ----------
    frame
        Path or file name of the frame.

    Raises
    ------
    NotFoundError
        No such registered frame in the field, or no star within 10 pixels.
    """
    frame_id = _frame_id(con, field_id, frame)
    row = (
        con.table("registration")
        .filter(f"frame_id = {frame_id}")
        .project("degree, x_coefficient, y_coefficient, n_star, rms_pix")
        .fetchone()
    )
    if row is None:
        raise NotFoundError(
            f"{frame}: not registered on field {field_id}; see `failure` for the reason, "
            f"and name another frame."
        )
    registration = Registration(row[0], tuple(row[1]), tuple(row[2]), row[3], row[4])
    sources = con.table("field_star").filter(f"field_id = {int(field_id)}")
    stars = sources.project("source_id, x_pix, y_pix").fetchnumpy()
    x, y = apply_registration(registration, stars["x_pix"], stars["y_pix"])
    separation_pix = np.hypot(x - x_pix, y - y_pix)
    nearest = int(np.argmin(separation_pix))
    if separation_pix[nearest] > FAR_PIX:
        raise NotFoundError(
            f"{frame}: no star within {FAR_PIX:g} pixels of {x_pix:g},{y_pix:g}; the nearest, "
            f"source {stars['source_id'][nearest]}, is at {x[nearest]:.1f},{y[nearest]:.1f}."
        )
    return Tied(int(stars["source_id"][nearest]), frame_id, float(separation_pix[nearest]))


def _frame_id(con: duckdb.DuckDBPyConnection, field_id: int, frame: str) -> int:
    seen = con.sql(
        "from path join field_frame using (frame_id) where field_id = $field_id",
        params={"field_id": field_id},
    ).project("frame_id, path")
    wanted = Path(frame)
    absolute = str(wanted.expanduser().resolve())
    same = {
        frame_id
        for frame_id, path in seen.fetchall()
        if path == absolute or (len(wanted.parts) == 1 and Path(path).name == frame)
    }
    if len(same) != 1:
        raise NotFoundError(
            f"{frame}: {len(same)} frames of field {field_id} have this name, one expected. "
            f"Give its whole path; `starmuster sql frames` lists them."
        )
    return int(same.pop())
