"""Commands that answer from stored rows: fields, stars, light-curve, identify, report."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ..errors import LockedError, NotFoundError, UsageError
from .night import night
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    import polars as pl

    from ..warehouse.store import Warehouse

FIELD_COLUMNS = (
    "field",
    "name",
    "bands",
    "n_frames",
    "n_registered",
    "n_on_sky",
    "n_source",
    "median_residual_pix",
    "median_residual_arcsec",
)
STAR_COLUMNS = (
    "source_id",
    "field_id",
    "field_name",
    "ra_deg",
    "dec_deg",
    "position_source",
    "x_pix",
    "y_pix",
    "flags",
)
POINT_COLUMNS = (
    "mid_jd_utc",
    "mid_bjd_tdb",
    "band",
    "relative_flux",
    "relative_flux_err",
    "airmass",
    "flags",
)


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(fields)
    app.command(stars)
    app.command(light_curve, name="light-curve")
    app.command(identify)
    report = App(name="report", help="Write a report as one HTML file that opens offline.")
    report.command(transit)
    report.command(night)
    app.command(report)


def fields() -> None:
    """List the fields with their frames and stars."""
    with SESSION.warehouse().reading() as con:
        rows = con.table("field_summary").pl()
    SESSION.rows(rows.rename({"field_id": "field", "field_name": "name"}).select(FIELD_COLUMNS))


def stars(field: str, /, *, aperture: str | None = None) -> None:
    """List the stars of a field, brightest first, with their median magnitude in each band.

    Parameters
    ----------
    field
        Number or name of the field.
    aperture
        Name or number of the aperture of the magnitudes; else the one with most stars. The query
        `sql stars` lists all.
    """
    warehouse = SESSION.warehouse()
    field_id, _ = find_field(warehouse, field)
    rows = warehouse.query("stars", field=field_id)
    bands, listed = _by_star(_in_aperture(rows, aperture))
    if SESSION.as_json:
        SESSION.answer(
            [
                {name: value for name, value in row.items() if name not in bands}
                | {"median_mag": {name: row[name] for name in bands if row[name] is not None}}
                for row in plain_rows(listed)
            ]
        )
        return
    SESSION.table(listed)


def light_curve(
    star: str,
    /,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
    ensemble: Literal["weights", "sum", "inhomogeneous"] | None = None,
    bin_min: Annotated[float | None, Parameter(name="--bin")] = None,
    magnitude: str | None = None,
) -> None:
    """Show the differential light curve of a star, over all its nights and bands.

    Parameters
    ----------
    star
        Source number, name, or "RA DEC" in degrees or as "16:00:44.0 +43:08:42": then the
        nearest star within 5 arcsec.
    night
        Only this night, as YYYY-MM-DD.
    band
        Only this band.
    aperture
        Name or number of an aperture; else the one with the least scatter.
    ensemble
        weights, sum or inhomogeneous; else that of the settings.
    bin_min
        Length in minutes of the bins to show: fluxes are summed, times averaged.
    magnitude
        Set to apparent magnitudes: that of the star outside transits, or "catalogue" for the one
        of its reference catalogue in the band.
    """
    import polars as pl

    from ..analysis.light_curves import light_curve as make_curve
    from ..analysis.shown_curves import binned_curve, with_magnitude
    from ..analysis.star_nights import chosen_nights, star_nights
    from ..analysis.stars import find_star
    from ..errors import AnalysisError

    warehouse = SESSION.warehouse()
    options = warehouse.config.ensemble
    if ensemble is not None:
        options = options.model_copy(update={"method": ensemble})
    with warehouse.reading() as con:
        found = find_star(con, star)
        nights = chosen_nights(star_nights(con, found), star, night, band)
        curves, errors = [], []
        for when, seen_in, _ in nights.iter_rows():
            try:
                curves.append(
                    make_curve(
                        con,
                        found,
                        night=when,
                        band=seen_in,
                        aperture=aperture,
                        options=options,
                    )
                )
            except AnalysisError as error:
                errors.append((f"{when} {seen_in}: {error}", error))
    for told, _ in errors if curves else errors[:-1]:
        SESSION.say(told)
    if not curves:
        raise errors[-1][1]
    store_comparison(warehouse, [curve.comparison for curve in curves])
    for curve in curves:
        n_used = curve.comparison["is_used"].sum()
        SESSION.say(
            f"{curve.night} {curve.band}: source {found.source_id}, {curve.aperture_name}, "
            f"{n_used} comparison stars, scatter {100 * curve.scatter:.2f} %"
        )
    points = pl.concat([curve.points for curve in curves])
    shown = points.select(POINT_COLUMNS)
    if bin_min is not None:
        shown = binned_curve(points, bin_min)
    if magnitude is not None:
        known = warehouse.query("star_magnitudes", source_id=found.source_id)
        shown = with_magnitude(shown, magnitude, known)
    SESSION.rows(shown)


def identify(name: str, /, *, field: str, xy: str, frame: str) -> None:
    """Tie a name to the star at a pixel of a frame, for all nights; it counts before positions.

    Parameters
    ----------
    name
        Name of the target or planet.
    field
        Number or name of the field.
    xy
        0-based pixels in that frame, as X,Y.
    frame
        Path or file name of the frame.
    """
    import polars as pl

    from ..transforms.steps.identity import nearest_source
    from .ingesting import open_run

    warehouse = SESSION.warehouse()
    field_id, field_name = find_field(warehouse, field)
    x_pix, y_pix = _pixels(xy)
    with warehouse.reading() as con:
        found = nearest_source(con, field_id, frame, x_pix, y_pix)
        key = con.sql("values (name_key($name))", params={"name": name}).fetchone()
    row = {
        "target_key": key[0] if key else name,
        "target_name": name,
        "field_id": field_id,
        "source_id": found.source_id,
        "frame_id": found.frame_id,
        "x_pix": x_pix,
        "y_pix": y_pix,
        "tied_utc": datetime.now(UTC).replace(tzinfo=None),
    }
    with open_run(warehouse) as current:
        current.store("identify", {"identity": pl.DataFrame([row])})
    if SESSION.as_json:
        SESSION.answer(row | {"separation_pix": found.separation_pix})
    SESSION.tell(
        f"{name} is source {found.source_id} of field {field_id} ({field_name}), "
        f"{found.separation_pix:.2f} pixels from {x_pix:g},{y_pix:g}"
    )


def transit(
    planet: str,
    /,
    *,
    night: str | None = None,
    band: str | None = None,
    aperture: str | None = None,
    samples: int = 0,
    sampler: Literal["emcee", "dynesty"] = "emcee",
    gp: Annotated[bool, Parameter(negative=())] = False,
    detrend: Literal["sysrem", "pca"] | None = None,
    pdf: bool = True,
    anew: Annotated[bool, Parameter(negative=())] = False,
    output: Path | None = None,
) -> None:
    """Fit a transit from stored photometry and write its report: HTML, PDF, JSON and points.

    Nothing is fitted or written again while the rows, the ephemeris and the settings stay.

    Parameters
    ----------
    planet
        Name of a planet whose ephemeris was imported.
    night
        Night as YYYY-MM-DD; else the latest that covers a predicted transit.
    band
        Band; else the one with most frames.
    aperture
        Name or number of an aperture; else the one with the least scatter outside the transit.
    samples
        Samples of the posterior to draw, as 20000; 0 leaves it at least squares.
    sampler
        emcee, or dynesty, which also gives the evidence of the transit over a flat line.
    gp
        Sample with a Gaussian process for the noise, instead of widening errors (extra `gp`).
    detrend
        Offer trends that the stars of the field share to the baseline: as many as the settings
        say, else two.
    pdf
        Write a PDF beside the page.
    anew
        Write the report again though nothing it rests on has changed.
    output
        HTML file to write; else one in the warehouse's folder `reports`.
    """
    from .transit import Wanted, report_transit

    if samples < 0:
        raise UsageError(f"--samples {samples}: expected 0 or more.")
    if gp and (not samples or sampler != "emcee"):
        raise UsageError("--gp: give --samples, too, and leave the sampler at emcee.")
    wanted = Wanted(samples, sampler, gp, pdf, anew, detrend)
    report_transit(planet, night=night, band=band, aperture=aperture, output=output, wanted=wanted)


def find_field(warehouse: "Warehouse", text: str) -> tuple[int, str]:
    """Return number and name of a field given by either.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    known = warehouse.query("field_named", field_name=text)
    if known.is_empty():
        with warehouse.reading() as con:
            names = [str(row[0]) for row in con.table("field").project("field_name").fetchall()]
        raise NotFoundError(f"no field {text!r}; there are: {', '.join(names) or 'none'}.")
    return known["field_id"][0], known["field_name"][0]


def store_comparison(warehouse: "Warehouse", chosen: "list[pl.DataFrame]") -> None:
    """Store the comparison stars of light curves, unless they are stored just so."""
    import polars as pl

    from ..warehouse.packages import conform
    from .ingesting import open_run

    rows = conform("comparison_star", pl.concat(chosen))
    with warehouse.reading() as con:
        stored = con.table("comparison_star").pl()
    if rows.join(stored, on=rows.columns, how="anti", nulls_equal=True).is_empty():
        return
    try:
        with open_run(warehouse) as current:
            current.store("comparison", {"comparison_star": rows})
    except LockedError as error:
        SESSION.say(f"the comparison stars were not stored: {error}")


def _by_star(rows: "pl.DataFrame") -> "tuple[list[str], pl.DataFrame]":
    """Make one row a star of one a star and band; return the names of the bands, and the rows."""
    import polars as pl

    stars = rows.group_by(STAR_COLUMNS, maintain_order=True).agg(
        pl.col("aperture_id", "aperture_name").drop_nulls().first(), pl.col("n_frame").sum()
    )
    seen = rows.filter(pl.col("aperture_id").is_not_null())
    seen = seen.with_columns(pl.col("band").fill_null("no band"))
    bands = sorted(set(seen["band"]))
    if not bands:
        return [], stars
    mags = seen.pivot("band", index="source_id", values="instrumental_mag")
    return bands, stars.join(
        mags.select("source_id", *bands), on="source_id", how="left", maintain_order="left"
    )


def _in_aperture(rows: "pl.DataFrame", aperture: str | None) -> "pl.DataFrame":
    """Keep the rows in one aperture, and those of stars that were never measured."""
    import polars as pl

    measured = rows.filter(pl.col("aperture_id").is_not_null())
    counts = measured.group_by("aperture_id", "aperture_name").len()
    known = counts.sort("len", "aperture_id", descending=[True, False])
    if aperture is not None:
        known = known.filter(
            (pl.col("aperture_name") == aperture)
            | (pl.col("aperture_id").cast(pl.String) == aperture)
        )
        if known.is_empty():
            names = ", ".join(sorted(counts["aperture_name"]))
            raise NotFoundError(f"no star was measured in aperture {aperture!r}; in: {names}.")
    chosen = known["aperture_id"][:1]
    return rows.filter(
        pl.col("aperture_id").is_null() | pl.col("aperture_id").is_in(chosen.implode())
    )


def _pixels(text: str) -> tuple[float, float]:
    try:
        x_pix, y_pix = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--xy {text}: two numbers expected, as 423,286.") from error
    return x_pix, y_pix
