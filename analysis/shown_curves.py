"""Light curves as people want to see them: binned, or in apparent magnitudes."""

import math

import polars as pl

from ..errors import NotFoundError, UsageError

MAG_PER_LN = 2.5 / math.log(10)


def binned_curve(points: pl.DataFrame, length_min: float) -> pl.DataFrame:
    """Sum the fluxes and average the times of clean points in bins of equal length.

    Parameters
    ----------
    points
        Of a `LightCurve`, of any nights and bands.
    length_min
        Length of a bin in minutes; nights and bands are never mixed.

    Returns
    -------
    One row a bin: mid_jd_utc, mid_bjd_tdb, band, relative_flux, relative_flux_err, airmass,
    n_point. The flux is the sum of the star's over the sum of what the ensemble expects of it, so
    that a frame behind a cloud counts by its light.

    Raises
    ------
    UsageError
        The length is not above 0.
    """
    if not length_min > 0:
        raise UsageError(f"bins of {length_min:g} minutes; expected a length above 0.")
    expected = pl.col("flux_adu") / pl.col("relative_flux")
    clean = points.filter(
        pl.col("is_clean")
        & pl.col("relative_flux").is_finite()
        & (pl.col("relative_flux").abs() > 0)
        & pl.col("mid_jd_utc").is_not_null()
    )
    start = pl.col("mid_jd_utc").min().over("night", "band")
    return (
        clean.with_columns(
            bin=((pl.col("mid_jd_utc") - start) * 1440 / length_min).floor(), expected_adu=expected
        )
        .group_by("night", "band", "bin")
        .agg(
            pl.col("mid_jd_utc", "mid_bjd_tdb").mean(),
            relative_flux=pl.col("flux_adu").sum() / pl.col("expected_adu").sum(),
            relative_flux_err=(pl.col("relative_flux_err") * pl.col("expected_adu"))
            .pow(2)
            .sum()
            .sqrt()
            / pl.col("expected_adu").sum(),
            airmass=pl.col("airmass").mean(),
            n_point=pl.len(),
            n_error=pl.col("relative_flux_err").count(),
        )
        .with_columns(
            relative_flux_err=pl.when(pl.col("n_error") == pl.col("n_point")).then(
                "relative_flux_err"
            )
        )
        .sort("mid_jd_utc", "band")
        .drop("night", "bin", "n_error")
    )


def with_magnitude(points: pl.DataFrame, magnitude: str, known: pl.DataFrame) -> pl.DataFrame:
    """Add apparent_mag and apparent_mag_err: the magnitude given is that of relative flux 1.

    Parameters
    ----------
    points
        With band, relative_flux and relative_flux_err.
    magnitude
        A number, for all bands, or "catalogue".
    known
        Rows of the query `star_magnitudes`: band, photometric_system, mag; the first of a band
        counts.

    Raises
    ------
    UsageError, NotFoundError
        It is neither, or the catalogue has no magnitude in a band.
    """
    if magnitude == "catalogue":
        of_band = known.unique("band", keep="first", maintain_order=True).select("band", "mag")
        missing = sorted(set(points["band"].fill_null("none")) - set(of_band["band"]))
        if missing:
            raise NotFoundError(
                f"no catalogue gives the star's magnitude in {', '.join(missing)}; give a number."
            )
        points = points.join(of_band, on="band", how="left", maintain_order="left")
    else:
        try:
            points = points.with_columns(mag=pl.lit(float(magnitude)))
        except ValueError as error:
            raise UsageError(
                f"--magnitude {magnitude}: expected a number or `catalogue`."
            ) from error
    flux = pl.when(pl.col("relative_flux") > 0).then("relative_flux")
    return points.with_columns(
        apparent_mag=pl.col("mag") - 2.5 * flux.log10(),
        apparent_mag_err=MAG_PER_LN * pl.col("relative_flux_err") / flux,
    ).drop("mag")
