"""The transit report as a PDF of vector graphics, by typst."""

import json
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl

from .report import ReportPage
from .report_figures import Figure

N_FRAME_ROW = 2000  # more files make a book, not a report; all stand in the page and in SQL


def render_pdf(page: ReportPage) -> bytes:
    """Return the report as the bytes of a PDF file; no text of it is read as markup."""
    import typst

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = [_figure(folder, i, figure) for i, figure in enumerate(page.figures)]
        content = _content(page) | {"figures": figures}
        (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")
        source = files(__package__ or "").joinpath("transit_report.typ").read_text("utf-8")
        (folder / "report.typ").write_text(source, encoding="utf-8")
        fonts = str(
            Path(mpl.get_data_path()) / "fonts" / "ttf"
        )  # those the figures are laid out for
        return typst.compile(str(folder / "report.typ"), root=name, font_paths=[fonts])


def _figure(folder: Path, i: int, figure: Figure) -> dict[str, Any]:
    name = f"figure{i}.svg"
    (folder / name).write_text(str(figure.wide), encoding="utf-8")
    return {"file": name, "caption": figure.caption, "width": 100 if figure.narrow else 75}


def _content(page: ReportPage) -> dict[str, Any]:
    report = page.report
    return {
        "title": f"{report.target_name}, {report.night}",
        "verdict": report.fit.verdict.capitalize(),
        "sentence": page.sentence,
        "head": [list(pair) for pair in page.head],
        "keys": [list(each) for each in page.key_numbers],
        "warnings": list(page.warnings),
        "note": page.note,
        "tables": _tables(page),
        "methods": list(page.methods),
        "references": [f"{each.text}, doi:{each.doi}" for each in page.references],
        "provenance": [["Command", report.command], ["Made", f"{report.generated_utc} UTC"]],
    }


def _tables(page: ReportPage) -> list[dict[str, Any]]:
    results = [
        [f"{line.label} {line.unit}".strip(), line.found, line.expected]
        for line in page.transit_lines
    ]
    quality = [[line.label, line.found] for line in page.quality_lines]
    stars = [[row[0], row[1], row[5], row[6], row[7]] for row in page.used]
    frames = [list(row[:3]) for row in page.frames[:N_FRAME_ROW]]
    sheets = [
        _table("Results", "Errors are 1 σ.", ("Quantity", "This night", "Ephemeris"), results),
        _table("The light curve and the fit", "", ("Quantity", "Value"), quality),
        _table("Parameters", "", ("Parameter", "Value", "Unit", "Prior"), page.parameter_lines),
        _table(
            "Comparison stars",
            "",
            ("Star", "Source", "Weight", "Scatter (%)", "Chosen because"),
            stars,
            widths=(1, 1, 1, 1, 4),
        ),
        _table(
            "Frames",
            "File, middle of the exposure, and xxh3-128 of its bytes.",
            ("File", "Content", "Mid-exposure (UTC)"),
            frames,
            widths=(3, 3, 2),
            size=6.0,
        ),
    ]
    return [sheet for sheet in sheets if sheet["rows"]]


def _table(
    title: str,
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    widths: Sequence[float] | None = None,
    size: float = 7.8,
) -> dict[str, Any]:
    return {
        "title": title,
        "caption": caption,
        "heads": list(heads),
        "rows": [list(row) for row in rows],
        "widths": list(widths or [2, *[1] * (len(heads) - 1)]),
        "size": size,
    }
