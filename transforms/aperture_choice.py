"""In which aperture the stars of a field are steadiest. Fills the table of the same name."""

import polars as pl

SIGMA_PER_MAD = 1.4826
CUT_SIGMA = 4.0
MOST = 0.8
MIN_STAR, MAX_STAR = 5, 30
BRIGHT_SHARE = 0.25
_SCHEMA = {"aperture_id": pl.Int16, "n_star": pl.Int32, "step_scatter_mag": pl.Float64}


def choose_aperture(
    points: pl.DataFrame, dimming: pl.DataFrame, *, centre_pix: tuple[float, float]
) -> pl.DataFrame:
    """Judge apertures by the scatter of their stars from frame to frame.

    What all stars of a frame lost is taken out first. The scatter of a star is the rms of the
    differences between successive frames, those beyond 4 robust sigma left out, over the square
    root of two: slow change, as of a variable star, hardly counts. Of an aperture it is the median
    over the brightest quarter, five to thirty, of the stars that are there on most frames and in
    most apertures.

    Parameters
    ----------
    points
        frame_id, source_id, aperture_id, mag, x_pix, y_pix; of each star in the order of time.
    dimming
        frame_id, aperture_id, dimming_mag, x_gradient_mag, y_gradient_mag (null: none), as of
        `frame_dimming`.
    centre_pix
        x and y of the centre of the frames.

    Returns
    -------
    aperture_id, n_star, step_scatter_mag; one row per aperture in which stars can be compared.
    """
    stars = star_steps(points, dimming, centre_pix=centre_pix)
    if stars.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    seen = stars.group_by("source_id").agg(
        pl.col("mag").median(), pl.col("n_difference").min(), n_aperture=pl.len()
    )
    whole = seen.filter(
        (pl.col("n_difference") >= MOST * pl.col("n_difference").max())
        & (pl.col("n_aperture") >= MOST * pl.col("n_aperture").max())
    )
    n_star = min(MAX_STAR, max(MIN_STAR, int(BRIGHT_SHARE * whole.height)))
    bright = whole.sort("mag", "source_id").head(n_star)
    return (
        stars.join(bright.select("source_id"), on="source_id", how="semi")
        .group_by("aperture_id")
        .agg(n_star=pl.len(), step_scatter_mag=pl.col("step_scatter_mag").median())
        .sort("aperture_id")
        .cast(_SCHEMA)  # pyright: ignore
    )


def star_steps(
    points: pl.DataFrame, dimming: pl.DataFrame, *, centre_pix: tuple[float, float]
) -> pl.DataFrame:
    """Return mag, n_difference and step_scatter_mag of each star in each aperture.

    The view `aperture_scatter` says the same of stored rows.
    """
    slope = sum(
        pl.col(f"{axis}_gradient_mag").fill_null(0) * (pl.col(f"{axis}_pix") - centre) / 1000
        for axis, centre in zip("xy", centre_pix, strict=True)
    )
    own = pl.col("mag") - pl.col("dimming_mag") - slope
    by = ["source_id", "aperture_id"]
    steps = (
        points.join(dimming, on=["frame_id", "aperture_id"], maintain_order="left")
        .select(*by, "mag", step=own.diff().over(by))
        .with_columns(limit=CUT_SIGMA * SIGMA_PER_MAD * pl.col("step").abs().median().over(by))
    )
    is_near = pl.col("step").abs() <= pl.col("limit")
    return (
        steps.group_by(by)
        .agg(
            pl.col("mag").median(),
            n_difference=pl.col("step").count(),
            step_scatter_mag=((pl.col("step").filter(is_near) ** 2).mean() / 2).sqrt(),
        )
        .filter(pl.col("n_difference") > 0)
        .sort(by)
    )
