"""The part of a night's page that judges it: errors, sizes of stars, the sky, rejected frames."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

import polars as pl

from .page import Plot, Section, known, plot, table
from .quality_figures import SkyView, scatter_figure, size_figure, sky_figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Rows of the shipped queries named in the comments, and pictures of some frames."""

    star_errors: pl.DataFrame = field(default_factory=pl.DataFrame)  # star_errors
    error_terms: pl.DataFrame = field(default_factory=pl.DataFrame)  # error_terms
    rejected: pl.DataFrame = field(default_factory=pl.DataFrame)  # rejected_frames
    depth: pl.DataFrame = field(default_factory=pl.DataFrame)  # zero_points, of this night
    stars: tuple[tuple[str, pl.DataFrame], ...] = ()  # caption, frame_stars
    skies: tuple[SkyView, ...] = ()


def quality_sections(quality: Quality) -> list[Section]:
    """Lay out what is known of the quality of a night; empty sections do not show."""
    return [
        Section("Rejected frames", tables=[_rejected_table(quality.rejected)]),
        Section("Zero points and depth", tables=[_depth_table(quality.depth)]),
        Section("Errors", plots=_scatter_plots(quality)),
        Section(
            "Stars and sky of single frames",
            plots=[*_size_plots(quality), *_sky_plots(quality)],
        ),
    ]


def _rejected_table(rejected: pl.DataFrame):
    if rejected.is_empty():
        return None
    names = [None if path is None else PurePosixPath(path).name for path in rejected["path"]]
    return table(
        rejected.with_columns(pl.Series("path", names, dtype=pl.String)),
        "Frames beyond the limits of the settings; nothing of them is clean.",
        {"mid_utc": "UTC", "band": "Band", "field": "Field", "path": "File", "reasons": "Why"},
    )


def _depth_table(depth: pl.DataFrame):
    if depth.is_empty():
        return None
    heads = {
        "band": "Band",
        "n_frames": "Frames",
        "zero_point_mag": "Zero point",
        "clear_zero_point_mag": "Clear sky",
        "clear_airmass": "at airmass",
        "extinction_mag": "Extinction",
        "extinction_err_mag": "±",
        "colour_term": "Colour term",
        "colour_extinction": "Extinction of colour",
        "intrinsic_scatter_mag": "Scatter of stars",
        "n_cloudy": "Cloudy",
        "most_cloud_mag": "Most (mag)",
        "limiting_mag": "Limit (mag)",
    }
    colours = depth["colour"].drop_nulls().unique(maintain_order=True).to_list()
    terms = f" Colour terms are in {', '.join(colours)}." if colours else ""
    note = "" if depth["is_calibrated"].all() else " Instrumental where no zero point is given."
    return table(
        depth,
        "In an aperture of 2 FWHM. Zero points in magnitudes, above the air at airmass 0; limiting "
        f"magnitudes are for S/N 5. Cloudy: 0.1 mag and more, and the most.{terms}{note}",
        known(depth, heads),
        decimals=dict.fromkeys(heads, 3) | {"clear_airmass": 2},
    )


def _scatter_plots(quality: Quality) -> list[Plot | None]:
    found: list[Plot | None] = []
    for number, terms in enumerate(quality.error_terms.iter_rows(named=True)):
        stars = quality.star_errors.filter(
            (pl.col("field_id") == terms["field_id"]) & pl.col("band").eq_missing(terms["band"])
        )
        if stars.is_empty():
            continue
        name = f"{terms['field_name']} {terms['band'] or ''}".strip()
        floor = stars["noise_floor_mag"].drop_nulls()
        stated = f" Noise floor {floor[0]:.4f} mag." if len(floor) else ""
        source = {"star scatter": " The gain comes from this scatter: no independent test."}
        found.append(
            plot(
                scatter_figure(stars, terms),
                name=f"scatter{number}",
                alt=f"Scatter of {stars.height} stars of {name} against magnitude, with the model.",
                caption=f"{name}, {terms['aperture_name']}: scatter of each star from frame to "
                "frame, medians of it and of the quoted error in bins, and the terms of the error "
                "model, but for the light of neighbours, for the median frame, were it as clear as "
                f"the clearest quarter.{stated}" + source.get(terms["gain_source"], ""),
            )
        )
    return found


def _size_plots(quality: Quality) -> list[Plot | None]:
    return [
        plot(
            size_figure(stars),
            name=f"sizes{number}",
            alt=f"FWHM of the stars of {caption} against magnitude and over the field.",
            caption=f"{caption}: FWHM against magnitude, and over the field (clean stars).",
        )
        for number, (caption, stars) in enumerate(quality.stars)
        if stars["fwhm_pix"].is_not_null().any()
    ]


def _sky_plots(quality: Quality) -> list[Plot | None]:
    return [
        plot(
            sky_figure(view),
            name=f"sky{number}",
            alt=f"Background model of {view.caption}, and the frame without it, smoothed.",
            caption=f"{view.caption}: model of the background; the calibrated frame less it, "
            f"smoothed, with the {len(view.x_pix)} detections.",
        )
        for number, view in enumerate(quality.skies)
    ]
