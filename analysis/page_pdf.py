"""A page as PDF, by typst: the same sections, figures and tables as in its HTML."""

import base64
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ..errors import UsageError
from .page import MISSING, Page, Section, Table

STYLE = """#set page(paper: "a4", margin: (x: 16mm, y: 15mm), numbering: "1")
#set text(font: ("Libertinus Serif", "DejaVu Sans"), size: 9.5pt, lang: "en")
#set par(justify: false)
#set table(stroke: none, inset: (x: 3pt, y: 2.2pt))
#show heading.where(level: 2): set block(above: 1.4em, below: .7em)
#show figure.caption: set text(size: 8pt)
#show figure.caption: set align(left)
#show table: set text(size: 7.5pt)
"""


def render_pdf(page: Page) -> bytes:
    """Return a page as the bytes of a PDF file.

    Raises
    ------
    UsageError
        typst is not installed.
    """
    if find_spec("typst") is None:
        raise UsageError("a PDF needs typst: pip install typst, or write the HTML alone.")
    import typst

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.typ"
        source.write_text(_source(page, Path(folder)), encoding="utf-8")
        return typst.compile(str(source), root=folder, font_paths=[_fonts()])


def _fonts() -> str:
    """Folder of the font that figures are drawn in."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")


def _source(page: Page, folder: Path) -> str:
    parts = [
        STYLE,
        f"#set document(title: {_quoted(page.title)})",
        f'#text(size: 8pt, fill: rgb("#5d636d"), upper({_quoted(page.kicker)}))',
        f"#heading(level: 1, {_quoted(page.title)})",
        _paragraph(page.summary),
    ]
    if page.head:
        cells = ", ".join(f"[*#{_quoted(name)}* \\ #{_quoted(text)}]" for name, text in page.head)
        parts.append(f"#table(columns: (1fr,) * 4, {cells})")
    if page.warnings:
        items = ", ".join(f"[#{_quoted(text)}]" for text in page.warnings)
        parts.append(f'#block(fill: rgb("#fcf6e6"), inset: 8pt, width: 100%, list({items}))')
    for i, section in enumerate(section for section in page.sections if not section.is_empty):
        parts += _section(section, folder, i)
    if page.notes:
        parts.append('#heading(level: 2, "How it was measured")')
        parts += [_paragraph(text) for text in page.notes]
    made = f"{page.command}, {page.generated_utc} UTC. Made by starmuster {page.version}."
    parts.append(f'#text(size: 7.5pt, fill: rgb("#5d636d"), {_quoted(made)})')
    return "\n".join(parts) + "\n"


def _section(section: Section, folder: Path, number: int) -> list[str]:
    parts = [f"#heading(level: 2, {_quoted(section.title)})"]
    if section.text:
        parts.append(_paragraph(section.text))
    for k, plot in enumerate(plot for plot in section.plots if plot is not None):
        name = f"plot-{number}-{k}.svg"
        (folder / name).write_text(str(plot.svg), encoding="utf-8")
        parts.append(_figure(name, plot.caption, plot.alt))
    for k, picture in enumerate(section.pictures):
        name = f"picture-{number}-{k}.png"
        (folder / name).write_bytes(base64.b64decode(picture.url.partition(",")[2]))
        parts.append(_figure(name, picture.caption, picture.alt))
    parts += [_table(table) for table in section.tables if table is not None]
    return parts


def _figure(name: str, caption: str, alt: str) -> str:
    image = f'image("{name}", alt: {_quoted(alt)}, width: 100%, height: 200mm, fit: "contain")'
    if name.endswith(".svg"):
        image = f'image("{name}", alt: {_quoted(alt)})'
    return f"#figure({image}, caption: [#{_quoted(caption)}])"


def _table(table: Table) -> str:
    columns = ", ".join("right" if is_number else "left" for _, is_number in table.heads)
    heads = ", ".join(f"[*#{_quoted(name)}*]" for name, _ in table.heads)
    cells = ", ".join(f"[#{_quoted(text or MISSING)}]" for row in table.rows for text in row)
    return (
        f"#block(sticky: true, {_quoted(table.caption)})\n"
        f"#table(columns: {len(table.heads)}, align: ({columns},), table.hline(), "
        f"table.header({heads}), table.hline(stroke: .4pt), {cells}, table.hline())"
    )


def _paragraph(text: str) -> str:
    return f"#par[#{_quoted(text)}]"


def _quoted(text: str) -> str:
    """Write a text as a string of typst, so that nothing in it is markup."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
