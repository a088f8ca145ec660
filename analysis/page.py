"""A page of figures, tables and pictures in one HTML file that opens anywhere, offline."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from importlib.resources import files

import jinja2
import polars as pl
from markupsafe import Markup
from matplotlib.figure import Figure

from .canvas import as_svg

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure as SVG, words for those who cannot see it, and its caption."""

    svg: Markup
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture as data URL with a line below it."""

    url: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as text; columns of numbers stand to the right."""

    caption: str
    heads: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]
    is_folded: bool = False
    """Shown when its caption is clicked: a long one."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, left out of it where it is empty."""

    title: str
    text: str = ""
    plots: Sequence[Plot | None] = ()
    tables: Sequence[Table | None] = ()
    pictures: Sequence[Picture] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show but the title."""
        return not (self.text or any(self.plots) or any(self.tables) or self.pictures)


@dataclass(frozen=True, slots=True)
class Page:
    """All a page says; pure data, so that the same input gives the same bytes."""

    kicker: str
    title: str
    summary: str
    head: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    warnings: Sequence[str] = ()
    command: str = ""
    version: str = ""
    generated_utc: datetime | str = ""
    notes: Sequence[str] = field(default=())


def render_page(page: Page) -> str:
    """Return the page as HTML without any external resource; every text in it is escaped."""
    sections = [section for section in page.sections if not section.is_empty]
    html = _template().render(page=page, sections=sections)
    return html.strip().encode("utf-8", "replace").decode("utf-8") + "\n"


def plot(figure: Figure, *, name: str, alt: str, caption: str) -> Plot:
    """Turn a figure into one of a page; `name` is its own among the figures of the page."""
    return Plot(Markup(as_svg(figure, name=name)), alt, caption)


def picture(png: bytes, *, alt: str, caption: str) -> Picture:
    """Put the bytes of a PNG file into a page."""
    return Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", alt, caption)


def table(
    rows: pl.DataFrame,
    caption: str,
    heads: dict[str, str],
    *,
    decimals: Mapping[str, int] | None = None,
    is_folded: bool = False,
) -> Table | None:
    """Turn rows into a table of a page; None without rows.

    Parameters
    ----------
    heads
        Heading by name of the columns that are shown, in order.
    decimals
        Number of decimals by column; else numbers have four digits.
    is_folded
        Whether only the caption shows, until it is clicked.
    """
    if rows.is_empty():
        return None
    shown = rows.select(list(heads))
    places = [(decimals or {}).get(name) for name in heads]
    return Table(
        caption,
        tuple(
            (heads[name], dtype.is_numeric() and dtype != pl.Boolean)
            for name, dtype in shown.schema.items()
        ),
        tuple(
            tuple(as_text(value, place) for value, place in zip(row, places, strict=True))
            for row in shown.iter_rows()
        ),
        is_folded,
    )


def known(rows: pl.DataFrame, heads: dict[str, str]) -> dict[str, str]:
    """Return the heads of columns in which anything is known."""
    return {name: head for name, head in heads.items() if rows[name].is_not_null().any()}


def as_text(value: object, decimals: int | None = None) -> str:
    """Write a value for people: numbers to four digits or some decimals, a dash for not known."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if decimals is not None:
            text = f"{value:.{decimals}f}"
        else:
            text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return text.replace("-", "−")
    if isinstance(value, date):  # or a datetime, to the second
        return str(value)[:19]
    if isinstance(value, list | tuple):
        return ", ".join(as_text(item) for item in value)
    return str(value)


@cache
def _template() -> jinja2.Template:
    """Escape everything but the figures, and refuse names that were never given."""
    source = files(__package__ or "").joinpath("page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)
