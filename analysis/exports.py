"""Points of a light curve as text that other programs read."""

from collections.abc import Mapping

import polars as pl

from .transits import TransitFit

COLUMNS = {
    "bjd_tdb": "d, middle of the exposure at the barycentre, BJD_TDB",
    "jd_utc": "d, middle of the exposure at the telescope, JD_UTC",
    "relative_flux": "target over the comparison stars, median of the night 1",
    "relative_flux_err": "1 sigma, from photons, sky and detector",
    "detrended_flux": "relative flux over the fitted baseline",
    "model": "fitted transit, 1 outside",
    "residual": "detrended_flux less model",
    "airmass": "of the target at mid-exposure",
    "flags": "sum of bits, see table flag; 0 is clean",
    "is_outlier": "true: left out of the fit as an outlier; empty: never offered to it",
}


def points_csv(
    fit: TransitFit, light_curve: pl.DataFrame, *, header: Mapping[str, object] | None = None
) -> str:
    """Write every point of a night, fitted or not, as CSV below comment lines.

    Parameters
    ----------
    fit
        Its points are joined by their times.
    light_curve
        Rows of `differential_light_curve` of one target, night, band and aperture.
    header
        Further comments, such as the target's name: one line each, "# name: value".

    Returns
    -------
    Text with a comment line for each column and its unit, a line of column names, and one line a
    point in time order. An empty cell was not measured or not fitted.
    """
    lines = [f"# {_one_line(k)}: {_one_line(v)}" for k, v in (header or {}).items()]
    lines += [f"# {name}: {meaning}" for name, meaning in COLUMNS.items()]
    return "\n".join(lines) + "\n" + points(fit, light_curve).write_csv()


def points(fit: TransitFit, light_curve: pl.DataFrame) -> pl.DataFrame:
    """Join a light curve with its fit, one row a row of the light curve, columns of `COLUMNS`.

    Times are matched to the millisecond, equal times in the order they stand in.
    """
    fitted = _numbered(
        fit.points.select("bjd_tdb", "detrended_flux", "model", "residual", "is_outlier"), "bjd_tdb"
    ).drop("bjd_tdb")
    rows = _numbered(
        light_curve.sort("mid_bjd_tdb", "mid_jd_utc", maintain_order=True), "mid_bjd_tdb"
    )
    return rows.join(fitted, on=["tick", "nth"], how="left", maintain_order="left").select(
        pl.col("mid_bjd_tdb").round(8).alias("bjd_tdb"),
        pl.col("mid_jd_utc").round(8).alias("jd_utc"),
        pl.col("relative_flux", "relative_flux_err", "detrended_flux", "model", "residual").round(
            7
        ),
        pl.col("airmass").round(5),
        "flags",
        "is_outlier",
    )


def _numbered(rows: pl.DataFrame, time: str) -> pl.DataFrame:
    """Add the time in ticks of 0.9 ms and the place among rows of the same tick."""
    tick = (pl.col(time) * 1e8).round().cast(pl.Int64)
    return rows.with_columns(tick=tick).with_columns(nth=pl.int_range(pl.len()).over("tick"))


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
