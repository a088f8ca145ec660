"""Stars that vary: which they are, with what period, and a page that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from ..errors import AnalysisError, NotFoundError
from ..warehouse.store import shipped
from .canvas import BINNED, DATA, GREY, MARK, MODEL, WIDE_IN, figure_style, floats, tidy
from .page import Page, Plot, Section, plot, table
from .periods import Box, Wave, find_box, find_wave, phase_of

Array = NDArray[np.float64]

SHORTEST_BOX_D = 0.35

COLUMNS = {
    "source_id": "Star",
    "instrumental_mag": "Magnitude",
    "n_frame": "Frames",
    "coverage": "Coverage",
    "scatter_mag": "Scatter",
    "excess": "Excess",
    "iqr_mag": "IQR",
    "von_neumann_eta": "η",
    "stetson_j": "J",
    "chi2_reduced": "χ²/ν",
    "known_as": "Known as",
}


CAPTION = (
    "The most suspicious first. Scatter and interquartile range in mag; η of von Neumann is 2 for "
    "white noise, J of Stetson 0."
)


@dataclass(frozen=True, slots=True)
class History:
    """A star's curve over all nights in one band and aperture: rows of query `star_history`."""

    source_id: int
    band: str | None
    aperture_id: int
    points: pl.DataFrame

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """Time in days, magnitude and its error; errors are the scatter where some lack."""
        time, mag, err = (floats(self.points[n]) for n in ("mid_bjd_tdb", "mag", "mag_err"))
        if not (np.isfinite(err).all() and (err > 0).all()):
            err = np.full_like(mag, max(float(np.std(mag)), 1e-6))
        return time, mag, err


@dataclass(frozen=True, slots=True)
class Candidate:
    """A star with its curve and what was found in it; None where a search had too few points."""

    history: History
    wave: Wave | None
    box: Box | None


def star_history(
    con: duckdb.DuckDBPyConnection,
    source_id: int,
    *,
    band: str | None,
    aperture_id: int,
) -> History:
    """Read a star's curve over all nights.

    Raises
    ------
    NotFoundError
        No clean point, or no three neighbours to hold it against.
    """
    points = shipped(con, "star_history", source_id=source_id, band=band, aperture_id=aperture_id)
    if points.is_empty():
        raise NotFoundError(
            f"source {source_id}: no clean magnitude in {band or 'no band'} with three stars of "
            f"its field beside it; see its flags in `measurement`."
        )
    return History(source_id, band, aperture_id, points)


def search(history: History, *, min_d: float, max_d: float) -> Candidate:
    """Search a curve for a wave and for a box; a search that cannot be made gives None.

    Boxes come again after 8.4 hours at the earliest where the data reach so far: twice the longest
    duration that is tried.
    """
    time, mag, err = history.arrays
    box_d = max(min_d, SHORTEST_BOX_D) if max_d > 2 * SHORTEST_BOX_D else min_d
    try:
        wave = find_wave(time, mag, err, min_d=min_d, max_d=max_d)
        box = find_box(time, mag, err, min_d=box_d, max_d=max_d)
    except AnalysisError:
        return Candidate(history, None, None)
    return Candidate(history, wave, box)


def fold_figure(candidate: Candidate) -> Figure:
    """Draw a curve against time, and folded with the period of its wave and of its box."""
    time, mag, _ = candidate.history.arrays
    low, high = np.quantile(mag, [0.005, 0.995])
    margin = 0.15 * (high - low) + 1e-3
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 2.4), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        zero = int(time.min())
        panels[0].plot(time - zero, mag, "o", ms=2, mew=0, color=BINNED)
        panels[0].set_xlabel(f"BJD (TDB) − {zero}")
        panels[0].set_ylabel("Magnitude")
        folds = [("Wave", candidate.wave), ("Box", candidate.box)]
        for axes, (name, found) in zip(panels[1:], folds, strict=True):
            axes.set_xlabel(f"{name}: no search")
            if found is not None:
                middle = getattr(found, "mid_bjd_tdb", float(time[0]))
                phase = phase_of(time, found.period_d, middle)
                axes.plot(phase, mag, "o", ms=2, mew=0, color=DATA)
                axes.set_xlabel(f"{name}: phase, period {found.period_d:.5f} d")
        if candidate.box is not None:
            half = candidate.box.duration_h / 48 / candidate.box.period_d
            panels[2].axvspan(-half, half, color=MARK, alpha=0.15, lw=0)
        panels[0].set_ylim(high + margin, low - margin)
        for axes in panels:
            tidy(axes)
    return figure


def scatter_figure(stars: pl.DataFrame, chosen: Sequence[int]) -> Figure:
    """Draw the scatter of all stars against brightness, the expected curve, and the candidates."""
    ordered = stars.sort("instrumental_mag")
    marked = ordered.filter(pl.col("source_id").is_in(list(chosen)))
    with figure_style():
        figure = Figure(figsize=(WIDE_IN, 3.2), layout="constrained")
        axes = figure.subplots()
        mag = floats(ordered["instrumental_mag"])
        axes.semilogy(mag, floats(ordered["scatter_mag"]), "o", ms=2.5, mew=0, color=DATA)
        axes.semilogy(mag, floats(ordered["expected_scatter_mag"]), color=MODEL, lw=1.1)
        style = {"ms": 7, "mfc": "none", "mec": MARK, "mew": 1.1}
        axes.semilogy(
            floats(marked["instrumental_mag"]), floats(marked["scatter_mag"]), "o", **style
        )
        for row in marked.iter_rows(named=True):
            place = (row["instrumental_mag"], row["scatter_mag"])
            axes.annotate(
                str(row["source_id"]),
                place,
                (5, 3),
                textcoords="offset points",
                fontsize=7,
                color=GREY,
            )
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("Instrumental magnitude")
        axes.set_ylabel("Scatter (mag)")
    return figure


def candidates_page(
    field_name: str,
    stars: pl.DataFrame,
    candidates: Sequence[Candidate],
    *,
    aperture_name: str,
    command: str,
    version: str,
    generated_utc: datetime | str,
) -> Page:
    """Lay out the page of the most suspicious stars of a field.

    Parameters
    ----------
    stars
        Rows of query `variability` in one band and aperture, with known_as: the name of a known
        variable star, null where it is none.
    """
    chosen = [candidate.history.source_id for candidate in candidates]
    rows = stars.filter(pl.col("source_id").is_in(chosen)).sort("is_doubtful", "rank_sum")
    doubtful = stars["is_doubtful"].sum()
    band = candidates[0].history.band if candidates else None
    overview = plot(
        scatter_figure(stars, chosen),
        name="scatter",
        alt="Scatter of all stars against their brightness",
        caption=f"{stars.height} stars; the line is the median of the 25 nearest in brightness.",
    )
    return Page(
        kicker="Candidates for variable stars",
        title=field_name,
        summary=f"The {len(chosen)} of {stars.height} stars that vary most, by four indices, in "
        f"frames where their flags speak for them. {doubtful} stars with such frames for less than "
        "90 % of their nights come last: the edge of a field, a drift, saturation.",
        head=[("Band", band or "none"), ("Aperture", aperture_name), ("Stars", str(stars.height))],
        sections=[
            Section("Scatter", plots=[overview]),
            Section("Indices", tables=[table(rows, CAPTION, COLUMNS)]),
            Section("Curves", plots=[_fold(candidate) for candidate in candidates]),
        ],
        command=command,
        version=version,
        generated_utc=generated_utc,
    )


def _fold(candidate: Candidate) -> Plot:
    number = candidate.history.source_id
    said = [f"Star {number}."]
    if candidate.wave is not None:
        wave = candidate.wave
        said.append(
            f"Wave of {wave.period_d:.5f} ± {wave.period_err_d:.2g} d, amplitude "
            f"{wave.amplitude_mag:.3f} mag, false-alarm probability {wave.false_alarm:.1g}."
        )
    if candidate.box is not None:
        box = candidate.box
        said.append(
            f"Box of {box.period_d:.5f} d, {box.duration_h:.1f} h long, {100 * box.depth:.2f} % "
            f"deep, signal to noise {box.signal_to_noise:.1f}, seen {box.n_dip} times."
        )
    return plot(
        fold_figure(candidate),
        name=f"star{number}",
        alt=f"Light curve of star {number} against time and folded",
        caption=" ".join(said),
    )
