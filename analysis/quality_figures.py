"""Figures of quality: scatter against magnitude, sizes of stars, the sky of a frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .camera_figures import COLOURS
from .canvas import DATA, WIDE_IN, figure_style, floats, legend_below

Array = NDArray[Any]
MAG_PER_RELATIVE = 2.5 / np.log(10)
MANY_STARS = 1000  # whose marks would hide the frame, or each other
BIN_STARS, MAX_BIN = 5, 12  # of the query `error_audit`


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyView:
    """The sky of one frame, block by block, and its stars."""

    caption: str
    background_adu: Array
    """Model of the background, shape (n_y, n_x)."""
    smoothed_adu: Array
    """Image less background, smoothed, shape (n_y, n_x)."""
    noise_adu: float
    block_pix: int
    x_pix: Array
    y_pix: Array
    """Detections, in pixels of the frame."""


def error_curves(terms: dict[str, Any], mag: Array) -> dict[str, Array]:
    """Return the terms of the error model for instrumental magnitudes, and their sum.

    Parameters
    ----------
    terms
        A row of query `error_terms`.
    mag
        Instrumental magnitudes, shape (n,).

    Returns
    -------
    Magnitudes by name of the term; terms that are not known are left out.
    """
    flux = 10 ** (-0.4 * mag) * terms["exposure_s"]
    n_pix, n_sky = terms["n_pix"], max(terms["n_sky_pix"] or 1, 1)
    found: dict[str, Array] = {}
    if terms["gain_e_per_adu"]:
        found["photons"] = 1 / np.sqrt(flux * terms["gain_e_per_adu"])
    sky_adu = np.sqrt(n_pix * (1 + 1.19 * n_pix / n_sky)) * terms["pixel_noise_adu"]
    found["sky and read-out"] = sky_adu / flux
    if terms["flat_noise"] and terms["fwhm_pix"]:
        n_equal = 2.27 * terms["fwhm_pix"] ** 2
        found["flat"] = np.full_like(flux, terms["flat_noise"] / np.sqrt(n_equal))
    if terms["scintillation"]:
        found["scintillation"] = np.full_like(flux, terms["scintillation"])
    if terms["profile_err"]:
        found["profile"] = np.full_like(flux, terms["profile_err"])
    found["all terms"] = np.sqrt(sum(term**2 for term in found.values()))
    return {name: MAG_PER_RELATIVE * term for name, term in found.items()}


def scatter_figure(stars: pl.DataFrame, terms: dict[str, Any]) -> Figure:
    """Draw the scatter of stars against their magnitude, with the terms of the error model.

    Parameters
    ----------
    stars
        Rows of query `star_errors`, of one field, night and band.
    terms
        The row of query `error_terms` of the same.
    """
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 3.6), layout="constrained")
        axes = figure.subplots()
        is_crowd = stars.height > MANY_STARS
        for is_constant, label, colour, marker in (
            (False, "other stars", "0.6", "x"),
            (True, "constant stars", DATA, "o"),
        ):
            rows = stars.filter(pl.col("is_constant") == is_constant)
            if rows.height:
                x, y = floats(rows["level_mag"]), floats(rows["scatter_mag"])
                axes.plot(
                    x, y, marker, ms=1.8 if is_crowd else 2.5, mew=0.5, color=colour, label=label
                )
        _draw_model(axes, stars, terms)
        bins = _medians(stars.filter("is_constant"))
        if bins.height:
            x, scatter = floats(bins["level_mag"]), floats(bins["scatter_mag"])
            hollow = {"ms": 4, "mfc": "white", "mec": COLOURS[0], "mew": 1.2}
            axes.plot(x, scatter, "D", label="their median", **hollow)
            quoted = floats(bins["quoted_err_mag"])
            axes.plot(x, quoted, "+", ms=8, mew=1.2, color="black", label="quoted error")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        low = max(float(stars["scatter_mag"].quantile(0.01) or 1e-3), 1e-3)  # pyright: ignore
        axes.set_ylim(low / 2, 2)
        axes.set_xlabel("Instrumental magnitude")
        axes.set_ylabel("Scatter (mag)")
        legend_below(figure, axes, WIDE_IN)
    return figure


def _medians(stars: pl.DataFrame) -> pl.DataFrame:
    """Return the medians of the audit: of bins of equal numbers of stars, five or more."""
    names = ("level_mag", "scatter_mag", "quoted_err_mag")
    n_bin = min(MAX_BIN, stars.height // BIN_STARS)
    if not n_bin:
        return stars.select(names).clear()
    place = pl.int_range(pl.len()) * n_bin // pl.len()
    ordered = stars.sort("level_mag").with_columns(bin=place)
    return ordered.group_by("bin").agg(pl.col(names).median()).sort("bin")


def _draw_model(axes: Axes, stars: pl.DataFrame, terms: dict[str, Any]) -> None:
    mag = np.linspace(float(stars["level_mag"].min()), float(stars["level_mag"].max()), 100)  # pyright: ignore
    curves = error_curves(terms, mag)
    total = curves.pop("all terms")
    for colour, (name, curve) in zip(COLOURS[2:], curves.items(), strict=False):
        axes.plot(mag, curve, ls="--", lw=0.9, color=colour, label=name)
    axes.plot(mag, total, color="black", lw=1.2, label="all terms")
    floor = stars["noise_floor_mag"].drop_nulls()
    if len(floor) and floor[0] > 0:
        with_floor = np.hypot(total, floor[0])
        axes.plot(
            mag, with_floor, color="black", lw=1.2, ls=":", label=f"with floor {floor[0]:.4f}"
        )


def size_figure(stars: pl.DataFrame) -> Figure:
    """Draw the sizes of stars of one frame: against magnitude, and over the field.

    Parameters
    ----------
    stars
        instrumental_mag, fwhm_pix, x_pix, y_pix, is_clean; rows of query `frame_stars`.
    """
    known = stars.filter(pl.col("fwhm_pix").is_not_null())
    clean = known.filter("is_clean")
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for rows, colour, label in (
            (known.filter(~pl.col("is_clean")), "0.6", "flagged"),
            (clean, COLOURS[0], "clean"),
        ):
            if rows.height:
                x, y = floats(rows["instrumental_mag"]), floats(rows["fwhm_pix"])
                size = 1.4 if known.height > MANY_STARS else 2.5
                left.plot(x, y, "o", ms=size, color=colour, label=label)
        if known.height:
            top = float(np.nanquantile(floats(known["fwhm_pix"]), 0.98))
            left.set_ylim(0, 1.5 * top)
        left.set_xlabel("Instrumental magnitude")
        left.set_ylabel("FWHM (pix)")
        left.legend(loc="best", fontsize="small")
        bright = clean.sort("instrumental_mag").head(400)
        if bright.height:
            values = floats(bright["fwhm_pix"])
            low, high = np.nanquantile(values, [0.05, 0.95])
            points = right.scatter(
                floats(bright["x_pix"]),
                floats(bright["y_pix"]),
                c=values,
                s=14 if bright.height < MANY_STARS // 10 else 7,
                vmin=low,
                vmax=high,
                cmap="viridis",
            )
            figure.colorbar(points, ax=right, label="FWHM (pix)")
        right.set_aspect("equal")
        right.set_xlabel("x (pix)")
        right.set_ylabel("y (pix)")
    return figure


def sky_figure(view: SkyView) -> Figure:
    """Draw the background model of a frame, and the rest, smoothed, with what was detected."""
    n_y, n_x = view.background_adu.shape
    extent = (-0.5, n_x * view.block_pix - 0.5, -0.5, n_y * view.block_pix - 0.5)
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        shown = left.imshow(view.background_adu, origin="lower", extent=extent, cmap="viridis")
        figure.colorbar(shown, ax=left, label="Background (ADU)", shrink=0.8)
        limit = 5 * view.noise_adu
        # of a crowded frame most pixels are far above the noise
        high = max(2 * limit, float(np.quantile(view.smoothed_adu, 0.99)))
        right.imshow(
            view.smoothed_adu,
            origin="lower",
            extent=extent,
            cmap="gray",
            vmin=-limit / 2,
            vmax=high,
        )
        size = {"ms": 5, "mew": 0.5} if len(view.x_pix) < MANY_STARS else {"ms": 2.5, "mew": 0.3}
        right.plot(view.x_pix, view.y_pix, "o", mfc="none", mec=COLOURS[1], **size)
        right.set_xlim(extent[:2])
        right.set_ylim(extent[2:])
        for axes in (left, right):
            axes.set_xlabel("x (pix)")
        left.set_ylabel("y (pix)")
    return figure
