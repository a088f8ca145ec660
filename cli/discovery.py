"""Commands that look for what varies: variables, periods, report candidates."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from .. import __version__
from ..errors import NotFoundError
from .answering import find_field
from .session import SESSION

if TYPE_CHECKING:
    import polars as pl

    from ..warehouse.store import Warehouse

N_SHOWN = 20
MIN_PERIOD_D = 0.05


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(variables)
    app.command(periods)
    app["report"].command(candidates)


def variables(
    field: str,
    /,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
) -> None:
    """List the stars of a field by how much they vary, the most suspicious first.

    Parameters
    ----------
    field
        Number or name of the field.
    night
        Only this night, as YYYY-MM-DD.
    band
        Only this band.
    aperture
        Name or number of the aperture; else the steadiest of the field.
    """
    warehouse = SESSION.warehouse()
    field_id, _ = find_field(warehouse, field)
    number, _ = _aperture(warehouse, field_id, aperture)
    where = {"field": str(field_id), "aperture_id": number, "night": night, "band": band}
    SESSION.rows(_with_names(warehouse, warehouse.query("variability", **where)))


def periods(
    star: str,
    /,
    *,
    band: str | None = None,
    aperture: str | None = None,
    shortest: float = MIN_PERIOD_D,
    longest: float | None = None,
    plot: Path | None = None,
) -> None:
    """Search the curve of a star over all nights for a wave and for a dip that comes again.

    Parameters
    ----------
    star
        Source number, name, or "RA DEC".
    band
        Band; else the one with most frames.
    aperture
        Name or number of the aperture; else the steadiest of the field.
    shortest
        Shortest period, days.
    longest
        Longest period, days: the span of the data at most, its half by default.
    plot
        SVG or PNG file: against time, and folded.
    """
    from ..analysis.candidates import fold_figure, search, star_history
    from ..analysis.star_nights import star_nights
    from ..analysis.stars import find_star
    from .timing import write_figure

    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        found = find_star(con, star)
        counts = star_nights(con, found).group_by("band").sum().sort("n_frames", descending=True)
    number, name = _aperture(warehouse, found.field_id, aperture)
    with warehouse.reading() as con:
        seen_in = band or counts["band"][0]
        history = star_history(con, found.source_id, band=seen_in, aperture_id=number)
    span_d = float(history.points["mid_bjd_tdb"].max() - history.points["mid_bjd_tdb"].min())  # pyright: ignore
    candidate = search(history, min_d=shortest, max_d=longest or max(span_d / 2, 2 * shortest))
    if plot is not None:
        write_figure(fold_figure(candidate), plot)
    document: dict[str, Any] = {
        "source_id": found.source_id,
        "band": seen_in,
        "aperture": name,
        "n_point": history.points.height,
        "n_night": history.points["night"].n_unique(),
        "span_d": span_d,
        "wave": _told(candidate.wave, ("frequency", "powers")),
        "box": _told(candidate.box, ("period", "powers")),
    }
    if SESSION.as_json:
        SESSION.answer(document)
        return
    SESSION.tell(
        f"source {found.source_id}: {document['n_point']} points of {document['n_night']} nights "
        f"in {seen_in or 'no band'}, {name}"
    )
    for kind in ("wave", "box"):
        for key, value in (document[kind] or {"search": "too few points"}).items():
            shown = f"{value:.8g}" if isinstance(value, float) else value
            SESSION.tell(f"{kind:>6} {key:>16}  {shown}")


def candidates(
    field: str,
    /,
    *,
    band: str | None = None,
    aperture: str | None = None,
    count: int = N_SHOWN,
    output: Path | None = None,
) -> None:
    """Write a page of the stars of a field that vary most, with their periods and folded curves.

    Parameters
    ----------
    field
        Number or name of the field.
    band
        Band; else the one with most frames.
    aperture
        Name or number of the aperture; else the steadiest of the field.
    count
        How many stars to show.
    output
        HTML file to write; else one in the warehouse's folder `reports`.
    """
    import polars as pl

    from ..analysis.candidates import candidates_page, search, star_history
    from ..analysis.page import render_page

    warehouse = SESSION.warehouse()
    field_id, field_name = find_field(warehouse, field)
    number, aperture_name = _aperture(warehouse, field_id, aperture)
    where = {"field": str(field_id), "aperture_id": number, "band": band}
    stars = _with_names(warehouse, warehouse.query("variability", **where))
    if stars.is_empty():
        raise NotFoundError(f"field {field_name}: no star has ten clean frames in {aperture_name}.")
    chosen_band = stars.group_by("band").agg(pl.col("n_frame").sum()).sort("n_frame")["band"][-1]
    stars = stars.filter(pl.col("band").eq_missing(pl.lit(chosen_band, pl.String)))
    found = []
    with warehouse.reading() as con:
        for source_id in stars["source_id"].head(count):
            history = star_history(con, source_id, band=chosen_band, aperture_id=number)
            time = history.points["mid_bjd_tdb"]
            span_d = float(time.max() - time.min())  # pyright: ignore
            found.append(
                search(history, min_d=MIN_PERIOD_D, max_d=max(span_d / 2, 2 * MIN_PERIOD_D))
            )
    page = candidates_page(
        field_name,
        stars,
        found,
        aperture_name=aperture_name,
        command=f"starmuster report candidates {field_id}",
        version=__version__,
        generated_utc=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
    )
    path = output or warehouse.reports / f"candidates_{field_id}_{chosen_band or 'no-band'}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(page), encoding="utf-8")
    if SESSION.as_json:
        SESSION.answer({"field": field_name, "n_star": stars.height, "file": str(path)})
    SESSION.tell(f"wrote {path}")


def _aperture(warehouse: "Warehouse", field_id: int, wanted: str | None) -> tuple[int, str]:
    """Number and name of an aperture: as given, else the field's steadiest, else the smallest.

    Raises
    ------
    NotFoundError
        No such aperture.
    """
    from ..analysis.apertures import find_aperture
    from ..warehouse.store import shipped

    with warehouse.reading() as con:
        if wanted is None:
            steady = shipped(con, "steadiest_aperture", field_id=field_id)["aperture_id"].to_list()
            first = con.table("aperture").aggregate("min(aperture_id)").fetchall()[0][0]
            wanted = str(steady[0] if steady else first)
        return find_aperture(con, wanted)


def _with_names(warehouse: "Warehouse", stars: "pl.DataFrame") -> "pl.DataFrame":
    """Add the names of known variable stars."""
    with warehouse.reading() as con:
        known = con.table("known_variable").pl()
    names = known.select("source_id", known_as="star_name").unique("source_id")
    return stars.join(names, on="source_id", how="left", maintain_order="left")


def _told(found: Any, without: tuple[str, ...]) -> dict[str, Any] | None:
    from dataclasses import fields

    if found is None:
        return None
    return {f.name: getattr(found, f.name) for f in fields(found) if f.name not in without}
