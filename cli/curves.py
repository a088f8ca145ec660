"""Commands about light curves: of all stars of a field, comparison stars by hand, minima."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from ..errors import AnalysisError, NotFoundError, UsageError
from .session import SESSION

if TYPE_CHECKING:
    pass

SUMMARY_COLUMNS = ("source_id", "n_frame", "scatter", "step_scatter", "err", "is_comparison")
MINIMUM_COLUMNS = (
    "night",
    "band",
    "verdict",
    "kwee_bjd_tdb",
    "kwee_err_d",
    "polynomial_bjd_tdb",
    "polynomial_err_d",
    "difference_sigma",
    "depth",
)


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(light_curves, name="light-curves")
    app.command(minimum)
    comparison = App(name="comparison", help="Choose comparison stars of a target by hand.")
    comparison.command(pin)
    comparison.command(ban)
    comparison.command(free)
    comparison.command(choices, name="list")
    app.command(comparison)


def light_curves(
    field: str,
    /,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str = "2 fwhm",
    ensemble: Literal["weights", "sum", "inhomogeneous"] = "weights",
    output: Path | None = None,
) -> None:
    """Make the differential light curves of all stars of a field at once.

    Shows one row a star, the most constant first. With the inhomogeneous ensemble the zero points
    of the frames and the mean magnitudes are stored: see view `ensemble_light_curve`.

    Parameters
    ----------
    field
        Number or name of the field.
    night
        Only this night, as YYYY-MM-DD; else all nights on one level.
    band
        Band; else the one with most frames.
    aperture
        Name or number of the aperture.
    ensemble
        weights, sum or inhomogeneous.
    output
        Parquet file for the points of all stars: frame_id, source_id, relative_flux and its error.
    """
    from ..analysis.apertures import find_aperture
    from ..analysis.field_curves import curve_rows, field_curves, solution_rows, star_summary
    from ..analysis.star_tables import ordered_frames, tabulate
    from .answering import find_field
    from .ingesting import open_run

    warehouse = SESSION.warehouse()
    field_id, _ = find_field(warehouse, field)
    with warehouse.reading() as con:
        aperture_id, _ = find_aperture(con, aperture)
    where = {"field_id": field_id, "aperture_id": aperture_id, "night": night}
    rows = warehouse.query("field_rows", **where, band=band)
    if rows.is_empty():
        raise NotFoundError(
            f"{field}: no flux in {aperture} on {night or 'any night'} in {band or 'any band'}; "
            "see `starmuster status`."
        )
    table = tabulate(rows, ordered_frames(rows))
    curves = field_curves(table, ensemble, max_star=warehouse.config.ensemble.max_star)
    if ensemble == "inhomogeneous":
        frames, sources = solution_rows(
            table, curves, field_id=field_id, band=rows["band"][0], aperture_id=aperture_id
        )
        with open_run(warehouse) as current:
            current.store("ensemble", {"ensemble_frame": frames, "ensemble_source": sources})
    if output is not None:
        curve_rows(table, curves).write_parquet(output)
        SESSION.say(f"wrote {output}")
    SESSION.rows(star_summary(curves).select(SUMMARY_COLUMNS))


def pin(target: str, /, *stars: int, note: str | None = None) -> None:
    """Always use these stars as comparison for a target.

    Parameters
    ----------
    target
        Source number, name or position, as for `light-curve`.
    stars
        Source numbers of comparison stars.
    note
        Why; kept with the choice.
    """
    _choose(target, stars, "pin", note)


def ban(target: str, /, *stars: int, note: str | None = None) -> None:
    """Never use these stars as comparison for a target.

    Parameters
    ----------
    target
        Source number, name or position, as for `light-curve`.
    stars
        Source numbers of comparison stars.
    note
        Why; kept with the choice, and the reason that tables and reports give.
    """
    _choose(target, stars, "ban", note)


def free(target: str, /, *stars: int) -> None:
    """Judge these stars again by what is measured.

    Parameters
    ----------
    target
        Source number, name or position, as for `light-curve`.
    stars
        Source numbers of comparison stars.
    """
    _choose(target, stars, "free", None)


def choices(target: str | None = None, /) -> None:
    """List the comparison stars chosen by hand.

    Parameters
    ----------
    target
        Only of this target.
    """
    from ..analysis.stars import find_star

    warehouse = SESSION.warehouse()
    source_id = None
    if target is not None:
        with warehouse.reading() as con:
            source_id = find_star(con, target).source_id
    SESSION.rows(warehouse.query("comparison_choices", source_id=source_id))


def _choose(target: str, stars: tuple[int, ...], choice: str, note: str | None) -> None:
    import polars as pl

    from ..analysis.stars import find_star
    from .ingesting import open_run

    if not stars:
        raise UsageError("no comparison star given; name their source numbers.")
    warehouse = SESSION.warehouse()
    with warehouse.reading() as con:
        found = find_star(con, target)
        known = set(con.table("source").project("source_id").pl()["source_id"])
    if found.source_id in stars:
        raise UsageError(f"source {found.source_id} is the target itself.")
    if missing := sorted(set(stars) - known):
        raise NotFoundError(f"no source {', '.join(map(str, missing))}; see `starmuster stars`.")
    rows = pl.DataFrame(
        {
            "target_source_id": found.source_id,
            "source_id": list(dict.fromkeys(stars)),
            "choice": choice,
            "note": note,
            "chosen_utc": datetime.now(UTC).replace(tzinfo=None),
        }
    )
    with open_run(warehouse) as current:
        current.store("comparison", {"comparison_choice": rows})
    SESSION.rows(warehouse.query("comparison_choices", source_id=found.source_id))


def minimum(
    star: str,
    /,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
) -> None:
    """Time the minimum of an eclipse or another dip, without a model, by two methods.

    Kwee and van Woerden's reflection and the extremum of a polynomial; where they differ by more
    than 3 sigma of their errors the verdict says so. The times are stored in `minimum_fit`.

    Parameters
    ----------
    star
        Source number, name or position, as for `light-curve`.
    night
        Only this night, as YYYY-MM-DD.
    band
        Only this band.
    aperture
        Name or number of an aperture; else the one with the least scatter.
    """
    import polars as pl

    from ..analysis.light_curves import light_curve
    from ..analysis.minima import minimum_row, time_of_minimum
    from ..analysis.star_nights import chosen_nights, star_nights
    from ..analysis.stars import find_star
    from .ingesting import open_run

    warehouse = SESSION.warehouse()
    options = warehouse.config.ensemble
    found_rows = []
    with warehouse.reading() as con:
        found = find_star(con, star)
        nights = chosen_nights(star_nights(con, found), star, night, band)
        for when, seen_in, _ in nights.iter_rows():
            try:
                curve = light_curve(
                    con, found, night=when, band=seen_in, aperture=aperture, options=options
                )
            except AnalysisError as error:
                SESSION.say(f"{when} {seen_in}: {error}")
                continue
            clean = curve.points.filter("is_clean").drop_nulls(["relative_flux", "mid_bjd_tdb"])
            time_d, flux = (clean[name].to_numpy() for name in ("mid_bjd_tdb", "relative_flux"))
            timed = time_of_minimum(time_d, flux)
            SESSION.say(f"{when} {seen_in}: {timed.verdict}: {timed.reason}")
            found_rows.append(minimum_row(timed, curve))
    if not found_rows:
        raise AnalysisError(f"{star}: no light curve on these nights; see the messages above.")
    rows = pl.concat(found_rows)
    now = pl.lit(datetime.now(UTC).replace(tzinfo=None)).alias("fitted_utc")
    with open_run(warehouse) as current:
        current.store("minimum", {"minimum_fit": rows.with_columns(now)})
    SESSION.rows(rows.select(MINIMUM_COLUMNS))
