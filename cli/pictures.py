"""Commands that make pictures: stack, colour."""

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ..errors import NotFoundError, UsageError
from .answering import find_field
from .ingesting import open_run
from .session import SESSION, progress

if TYPE_CHECKING:
    import numpy as np
    from astropy.wcs import WCS

    from ..transforms.stack import Rule
    from ..warehouse.store import Warehouse

RULES: "dict[str, Rule]" = {"clipped": "clipped mean", "weighted": "weighted mean"}
UNITS_ARCSEC = {"d": 3600.0, "°": 3600.0, "'": 60.0, "m": 60.0, '"': 1.0, "s": 1.0}


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(stack)
    app.command(colour)


def stack(
    field: str,
    /,
    *,
    band: str,
    night: str | None = None,
    sky: Literal["mesh", "plane"] = "mesh",
    rule: Literal["clipped", "weighted"] = "clipped",
    kernel: Literal["bilinear", "lanczos3"] = "bilinear",
    cuts: Annotated[tuple[float, float] | None, Parameter(negative=())] = None,
    detect: Annotated[bool, Parameter(negative=())] = False,
    measure: Annotated[bool, Parameter(negative=())] = False,
    output: Path | None = None,
    jobs: Annotated[int | None, Parameter(name=["--jobs", "-j"])] = None,
) -> None:
    """Combine the frames of a field in one band into a deep image, as FITS and as a picture.

    Frames are calibrated anew, scaled by the stars they have in common, laid on the pixels of the
    field, and averaged without what only one of them saw.

    Parameters
    ----------
    field
        Number or name of the field.
    band
        Band of the frames.
    night
        Only this night, as YYYY-MM-DD.
    sky
        What is taken off each frame: a mesh, or a plane, which leaves clusters and nebulae whole.
    rule
        Mean without outliers, or of everything.
    kernel
        How frames are resampled.
    cuts
        Light shown white and black in the picture, ADU.
    detect
        Look for stars on it: fainter ones than frames show become stars of the field. New frames
        are measured there, too; `run --complete` measures them on those that were before.
    measure
        Measure the stars of the field on it: view `stack_photometry`.
    output
        FITS file to write; the picture has its name with .png. Else in the folder `stacks`.
    jobs
        Threads; else one a core.
    """
    from ..analysis.canvas import as_png
    from ..analysis.pictures import grey_figure

    warehouse = SESSION.warehouse()
    field_id, field_name = find_field(warehouse, field)
    when = parse_night(night)
    options = {"sky": sky, "rule": RULES[rule], "kernel": kernel}
    row, path = _stack(warehouse, field_id, band, when, options, output=output, jobs=jobs)
    n_found, n_new = _detect(warehouse, row, path) if detect else (None, None)
    n_star = _measure(warehouse, row, path) if measure else None
    picture = path.with_suffix(".png")
    title = f"{field_name}, {band}, {night or 'all nights'}: {row['n_frame']} frames"
    picture.write_bytes(as_png(grey_figure(read_stack(path)[0], cuts=cuts, title=title)))
    with warehouse.reading() as con:
        frames = con.table("stack_frame").filter(f"stack_id = {int(row['stack_id'])}").pl()
    left_out = frames.filter(~frames["is_used"]).select("frame_id", "reason").to_dicts()
    if SESSION.as_json:
        counts = {"n_found": n_found, "n_new": n_new, "n_star": n_star}
        SESSION.answer(row | {"files": [path, picture], "left_out": left_out} | counts)
        return
    for frame in left_out:
        SESSION.say(f"left out frame {frame['frame_id']}: {frame['reason']}")
    for name in ("n_frame", "total_exposure_s", "noise_adu", "noise_correlation", "fwhm_pix"):
        SESSION.tell(f"{name:>20}  {row[name] if row[name] is not None else 'not known'}")
    told = {"stars found": n_found, "of these new": n_new, "stars measured": n_star}
    for name, number in told.items():
        if number is not None:
            SESSION.tell(f"{name:>20}  {number}")
    for file in (path, picture):
        SESSION.tell(f"{'wrote':>20}  {file}")


def colour(
    field: str,
    /,
    *,
    bands: Annotated[tuple[str, str, str], Parameter(negative=())],
    weights: Annotated[tuple[float, float, float] | None, Parameter(negative=())] = None,
    stretch: float | None = None,
    q: Annotated[float, Parameter(name="--q")] = 8.0,
    cutout: str | None = None,
    sky: Literal["mesh", "plane"] = "plane",
    night: str | None = None,
    output: Path | None = None,
    jobs: Annotated[int | None, Parameter(name=["--jobs", "-j"])] = None,
) -> None:
    """Make a colour picture of a field from its stacks in three bands.

    A stack that is missing, or older than what it is made of, is made first.

    Parameters
    ----------
    field
        Number or name of the field.
    bands
        Bands shown red, green and blue.
    weights
        Multiply the three; else the median star is white.
    stretch
        Light at which the picture leaves the linear part, ADU; else 15 sigmas of the sky.
    q
        How soon bright stars are compressed.
    cutout
        "RA DEC SIZE": place as for `light-curve`, side of the square in arcmin, or with its unit:
        90", 5', 0.2d.
    sky
        What is taken off each frame: a plane, or a mesh, which flattens clusters and nebulae.
    night
        Only this night, as YYYY-MM-DD.
    output
        PNG or JPEG file; else one in the folder `stacks`.
    jobs
        Threads; else one a core.
    """
    from ..analysis import pictures

    warehouse = SESSION.warehouse()
    field_id, _ = find_field(warehouse, field)
    place = parse_cutout(cutout) if cutout else None
    when = parse_night(night)
    options = {"sky": sky}
    files = [_stack(warehouse, field_id, band, when, options, jobs=jobs)[1] for band in bands]
    images, wcs = [], None
    for file in files:
        image, wcs = read_stack(file)
        images.append(image)
    if place is not None:
        rows, columns = _cutout(images[0].shape, wcs, place, field)
        images = [image[rows, columns] for image in images]
    n = -(-max(images[0].shape) // pictures.LARGEST_PIX)
    images = [pictures.shrink(image, n) for image in images]
    chosen = weights or pictures.white_balance(images)
    path = output or files[0].with_name(_joined(files[0], bands, is_cutout=place is not None))
    picture = pictures.lupton_picture(images, weights=chosen, stretch=stretch, softening=q)
    content = pictures.encode(picture, path.suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    shown = {band: round(weight, 4) for band, weight in zip(bands, chosen, strict=True)}
    if SESSION.as_json:
        n_y, n_x, _ = picture.shape
        SESSION.answer({"files": [path], "weights": shown, "n_x_pix": n_x, "n_y_pix": n_y})
    SESSION.tell(f"{'weights':>20}  {', '.join(f'{b} {w:g}' for b, w in shown.items())}")
    SESSION.tell(f"{'wrote':>20}  {path}")


def parse_night(text: str | None) -> date | None:
    """Read a night as YYYY-MM-DD.

    Raises
    ------
    UsageError
        If it is not one.
    """
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--night {text}: a date as 2024-03-08 is expected.") from error


def parse_cutout(text: str) -> tuple[float, float, float]:
    """Read "RA DEC SIZE" as degrees, degrees and arcsec.

    Raises
    ------
    UsageError
        If it is not that.
    """
    from ..analysis.stars import parse_position

    *place, size = text.split() or [""]
    position = parse_position(" ".join(place))
    unit = UNITS_ARCSEC.get(size[-1:], 60.0)
    try:
        size_arcsec = float(size.rstrip("".join(UNITS_ARCSEC))) * unit
    except ValueError:
        size_arcsec = 0.0
    if position is None or not 0 < size_arcsec < 90 * 3600:
        raise UsageError(
            f'--cutout "{text}": RA, DEC and SIZE expected, as "250.42 36.46 5" (arcmin) or '
            '"16:41:41.2 +36:27:35 300\\"".'
        )
    return *position, size_arcsec


def _stack(
    warehouse: "Warehouse",
    field_id: int,
    band: str,
    night: date | None,
    options: dict[str, Any],
    *,
    jobs: int | None,
    output: Path | None = None,
) -> tuple[dict[str, Any], Path]:
    """Return row and file of a stack; it is made unless it is there, made of the same."""
    from ..transforms.steps.stack_plan import plan_stack, stored_stack
    from ..transforms.steps.stacks import is_current, make_stack, stack_path

    with warehouse.reading() as con:
        plan = plan_stack(con, field_id, band, night=night, **options)
        row = stored_stack(con, plan)
    is_there = row is not None and (
        output is None or stack_path(warehouse, row) == output.resolve()
    )
    if row is None or not (is_there and is_current(warehouse, row, plan)):
        with open_run(warehouse) as current:
            row = make_stack(
                current,
                plan,
                path=output,
                jobs=jobs or os.cpu_count() or 1,
                progress=progress,
                say=SESSION.say,
            )
    return row, stack_path(warehouse, row)


def _detect(warehouse: "Warehouse", row: dict[str, Any], path: Path) -> tuple[int, int]:
    from ..transforms.steps.stack_search import search_stack

    with open_run(warehouse) as current:
        return search_stack(current, row, path, say=SESSION.say)


def _measure(warehouse: "Warehouse", row: dict[str, Any], path: Path) -> int:
    from ..transforms.steps.stack_photometry import measure_stack

    with open_run(warehouse) as current:
        return measure_stack(current, row, path)


def read_stack(path: Path) -> "tuple[np.ndarray, WCS | None]":
    """Read the light of a stack, and its place on the sky if it has one."""
    from astropy.io import fits

    from ..transforms.astrometry import wcs_from_cards

    with fits.open(path, memmap=False) as hdus:
        primary: Any = hdus[0]
        cards = [(c.keyword, c.value) for c in primary.header.cards if c.keyword != "COMMENT"]
        wcs = wcs_from_cards(cards)
        return primary.data.astype("f4"), wcs if wcs.has_celestial else None


def _cutout(
    shape: tuple[int, int], wcs: "WCS | None", place: tuple[float, float, float], field: str
) -> tuple[slice, slice]:
    from ..analysis.pictures import window
    from ..transforms.astrometry import pixel_positions, scale_arcsec

    if wcs is None:
        raise NotFoundError(
            f"field {field} has no sky solution, so no place on it has RA and Dec. Leave out "
            "--cutout, or solve the field first."
        )
    ra_deg, dec_deg, size_arcsec = place
    x, y = pixel_positions(wcs, ra_deg, dec_deg)
    return window(shape, (float(x), float(y)), size_arcsec / scale_arcsec(wcs))


def _joined(first: Path, bands: tuple[str, str, str], *, is_cutout: bool) -> str:
    """Name a colour picture after the stack of its first band."""
    name = first.stem.replace(f"_{bands[0]}", f"_{'-'.join(bands)}", 1)
    return f"{name}{'_cutout' if is_cutout else ''}.png"
