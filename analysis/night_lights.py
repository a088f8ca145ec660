"""Tables of the light frames of a night: by field and band, and one by one with their verdicts."""

import polars as pl

from .page import Table, known, table

DECIMALS = {
    "fwhm_pix": 2,
    "ellipticity": 2,
    "sky_adu": 1,
    "transparency": 2,
    "sky_rms_adu": 2,
    "rms_pix": 3,
    "zero_point_mag": 3,
    "offset_pix": 1,
}


def group_table(lights: pl.DataFrame) -> Table | None:
    """Lay out the medians of the measured lights of each field, band and exposure."""
    measured = lights.filter(pl.col("sky_adu").is_not_null())
    rows = measured.group_by("field_name", "band", "exposure_s", maintain_order=True).agg(
        pl.len().alias("n"),
        pl.col("is_rejected").sum(),
        pl.col("sky_adu", "sky_rms_adu", "fwhm_pix", "ellipticity", "rms_pix").median(),
        pl.col("transparency").min(),
        pl.col("n_star").median().cast(pl.Int64),
    )
    sources = measured["gain_source"].drop_nulls().unique(maintain_order=True).to_list()
    return table(
        rows,
        "Medians of the measured lights; of the transparency the least. Scatter is that of a pixel "
        "of the sky; placed tells how well stars lie on those of the field. Gain from: "
        f"{', '.join(sources) or 'nowhere'}.",
        {
            "field_name": "Field",
            "band": "Band",
            "exposure_s": "Exposure (s)",
            "n": "Frames",
            "is_rejected": "Rejected",
            "sky_adu": "Sky (ADU)",
            "sky_rms_adu": "Scatter (ADU)",
            "fwhm_pix": "FWHM (pix)",
            "ellipticity": "Ellipticity",
            "n_star": "Stars",
            "rms_pix": "Placed to (pix)",
            "transparency": "Transparency",
        },
        decimals=DECIMALS,
    )


def frame_table(lights: pl.DataFrame) -> Table | None:
    """Lay out what was measured of each light frame, and whether it is good enough."""
    measured = lights.filter(pl.col("sky_adu").is_not_null())
    if measured.is_empty():
        return None
    rows = measured.select(
        pl.col("mid_utc").dt.strftime("%H:%M:%S"),
        "field_name",
        "band",
        "fwhm_pix",
        "ellipticity",
        "sky_adu",
        "transparency",
        "zero_point_mag",
        "offset_pix",
        "n_star",
        verdict=pl.when("is_rejected").then("verdict").otherwise(pl.lit("good")),
    )
    heads = {
        "mid_utc": "UTC",
        "field_name": "Field",
        "band": "Band",
        "fwhm_pix": "FWHM (pix)",
        "ellipticity": "Ellipticity",
        "sky_adu": "Sky (ADU)",
        "transparency": "Transparency",
        "zero_point_mag": "Zero point (mag)",
        "offset_pix": "Offset (pix)",
        "n_star": "Stars",
        "verdict": "Verdict",
    }
    return table(
        rows,
        "Every measured light frame, with its verdict by the limits of the settings. The offset is "
        "from where the field lies in the median frame.",
        known(rows, heads),
        decimals=DECIMALS,
        is_folded=True,
    )
