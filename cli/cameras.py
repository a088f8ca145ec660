"""Commands about cameras and their calibration: masters, camera, assign."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ..errors import NotFoundError, UsageError
from .camera_page import page_name, write_page
from .session import SESSION, plain_rows

if TYPE_CHECKING:
    from ..warehouse.store import Warehouse

Kind = Literal["bias", "dark", "flat"]
FrameType = Literal["light", "bias", "dark", "flat", "darkflat"]
MASTER_COLUMNS = (
    "night",
    "band",
    "exposure_s",
    "sensor_degc",
    "x_binning",
    "y_binning",
    "x_first_pix",
    "y_first_pix",
    "gain_setting",
    "offset_setting",
    "readout_mode",
)


def register(app: App) -> None:
    """Add the commands of this module."""
    app.command(masters)
    app.command(camera)
    app.command(assign)


def masters(
    master: int | None = None,
    /,
    *,
    retire: int | None = None,
    because: str | None = None,
    restore: int | None = None,
    imports: Annotated[Path | None, Parameter(name="--import")] = None,
    kind: Kind | None = None,
    night: str | None = None,
    band: str | None = None,
    exposure: float | None = None,
    temperature: float | None = None,
    frames: int | None = None,
    of_camera: Annotated[str | None, Parameter(name="--camera")] = None,
    bias_subtracted: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """List the library of masters; take a bad one out of use, or bring one in.

    Parameters
    ----------
    master
        Number of a master: list the light frames that were calibrated with it.
    retire
        Number of a master that is to be used no more; what was made with it becomes pending.
    because
        Why it is retired, in your words.
    restore
        Number of a retired master that is to be used again.
    imports
        FITS file of a master made elsewhere; it is copied into the warehouse.
    kind
        What it is.
    night
        Its night, as YYYY-MM-DD; else that of its header.
    band
        Band of a flat; else that of its header.
    exposure
        Exposure of its frames in seconds; else that of its header.
    temperature
        Temperature of the sensor in degrees Celsius; else that of its header.
    frames
        Number of frames it was made from; else NCOMBINE of its header, else 1.
    of_camera
        Camera of an imported master; else that of its header.
    bias_subtracted
        The bias was taken off this dark already.
    """
    chosen = [value is not None for value in (retire, restore, imports)]
    if sum(chosen) > 1:
        raise UsageError("masters: give one of --retire, --restore and --import.")
    warehouse = SESSION.warehouse()
    if retire is not None:
        _retire(warehouse, retire, because)
    elif restore is not None:
        _restore(warehouse, restore)
    elif imports is not None:
        if kind is None:
            raise UsageError(f"{imports}: say what it is, with --kind bias, dark or flat.")
        given = {
            "night": None if night is None else _day(night),
            "band": band,
            "exposure_s": exposure,
            "sensor_degc": temperature,
            "n_frame": frames,
            "camera": of_camera,
        }
        _import(warehouse, imports, kind, given, bias_subtracted=bias_subtracted)
    elif master is not None:
        SESSION.rows(warehouse.query("lights_of_master", master_id=master))
    else:
        SESSION.rows(warehouse.query("masters"))


def camera(name: str | None = None, /, *, output: Path | None = None) -> None:
    """Show gain, read noise and saturation as measured, and write a page about each camera.

    Parameters
    ----------
    name
        Only this camera.
    output
        HTML file to write, of one camera; else one each in the warehouse's folder `reports`.
    """
    import polars as pl

    warehouse = SESSION.warehouse()
    rows = warehouse.query("cameras", camera=name)
    if rows.is_empty() and name is not None:
        with warehouse.reading() as con:
            known = [str(row[0]) for row in con.table("camera").project("camera_name").fetchall()]
        if name not in known:
            raise NotFoundError(f"no camera {name!r}; there are: {', '.join(known) or 'none'}.")
    if SESSION.as_json:
        SESSION.answer(plain_rows(rows))
        return
    SESSION.table(rows.drop("linearity", "full_well_e"), title="gain and read noise")
    names = rows["camera"].unique(maintain_order=True).to_list()
    if output is not None and len(names) > 1:
        raise UsageError(f"--output takes one page; name one of {', '.join(names)}.")
    for known in names:
        page = output or warehouse.reports / page_name(known)
        write_page(warehouse, known, rows.filter(pl.col("camera") == known), page)
        SESSION.tell(f"wrote {page}")


def assign(
    *paths: Path,
    frame_type: Annotated[FrameType | None, Parameter(name="--type")] = None,
    band: str | None = None,
) -> None:
    """Say of what type, or in which band, frames are whose headers do not tell.

    What was made of them as they were is taken back and made anew by the next `run`.

    Parameters
    ----------
    paths
        Files that were ingested, or folders of them.
    frame_type
        What they are.
    band
        Their filter; "none" for none.
    """
    from ..ingest.quantities import band_key, make_synonyms
    from ..transforms.steps.assigning import assign_frames, known_frames
    from .ingesting import open_run

    if not paths or (frame_type is None and band is None):
        raise UsageError("assign: give --type or --band, and the files or folders it is for.")
    warehouse = SESSION.warehouse()
    changes: dict[str, Any] = {}
    if frame_type is not None:
        changes |= {"frame_type": frame_type, "frame_type_source": "assigned"}
    if band is not None:
        aliases = make_synonyms(warehouse.config.keywords).bands
        name = aliases.get(band_key(band), band.strip())
        changes["band"] = None if band.casefold() == "none" else name
    found = known_frames(warehouse, paths)
    with open_run(warehouse) as current:
        n_changed = assign_frames(current, found, changes)
    if SESSION.as_json:
        SESSION.answer({"frames": len(found), "changed": n_changed, **changes})
    SESSION.tell(f"{n_changed} of {len(found)} frames changed; `starmuster run` makes what follows")


def _retire(warehouse: "Warehouse", master_id: int, because: str | None) -> None:
    from ..transforms.steps.library import retire_master
    from .ingesting import open_run

    if not because:
        raise UsageError(f'--retire {master_id}: say why, with --because "...".')
    with open_run(warehouse) as current:
        name, n_light = retire_master(current, master_id, because)
    if SESSION.as_json:
        SESSION.answer({"master_id": master_id, "retired": True, "n_light": n_light})
    SESSION.tell(
        f"retired {name}: {n_light} light frames that used it are pending; `starmuster run` goes on"
    )


def _restore(warehouse: "Warehouse", master_id: int) -> None:
    from ..transforms.steps.library import restore_master
    from .ingesting import open_run

    with open_run(warehouse) as current:
        name = restore_master(current, master_id)
    if SESSION.as_json:
        SESSION.answer({"master_id": master_id, "retired": False})
    SESSION.tell(f"{name} is in use again; `starmuster run` goes on")


def _import(
    warehouse: "Warehouse",
    path: Path,
    kind: Kind,
    given: dict[str, Any],
    *,
    bias_subtracted: bool,
) -> None:
    from ..transforms.steps.library import import_master
    from .ingesting import open_run

    if not path.is_file():
        raise UsageError(f"{path}: no such file.")
    header = _master_header(warehouse, path.resolve(), kind, given)
    with open_run(warehouse) as current:
        row = import_master(
            current, path.resolve(), kind, header, is_bias_subtracted=bias_subtracted
        )
    if SESSION.as_json:
        SESSION.answer(row)
    SESSION.tell(
        f"{kind} {row['master_id']} from {path}: {row['n_frame']} frames, "
        f"{row['level_adu']:.1f} ADU; `starmuster run` uses it where it is the best"
    )


def _master_header(
    warehouse: "Warehouse", path: Path, kind: Kind, given: dict[str, Any]
) -> dict[str, Any]:
    """Return columns of table `master` from what was given, else from the header of the file."""
    from ..ingest.files import RawFile
    from ..ingest.hdus import find_image
    from ..ingest.headers import normalise
    from ..ingest.quantities import make_synonyms

    with RawFile(path) as file:
        image = find_image(file)
    synonyms = make_synonyms(warehouse.config.keywords)
    header = normalise(image.header, path_hint=str(path), synonyms=synonyms)
    card = image.header.get("NCOMBINE")
    n_combined = str(card.value) if card is not None else ""
    camera_name = given.pop("camera")
    row = {name: getattr(header, name) for name in MASTER_COLUMNS} | {
        "hdu_index": image.hdu_index,
        "n_frame": max(1, int(n_combined)) if n_combined.isdigit() else 1,
    }
    row |= {name: value for name, value in given.items() if value is not None}
    if row["night"] is None:
        raise UsageError(f"{path}: its header gives no date. Say it with --night YYYY-MM-DD.")
    if kind == "dark" and row["exposure_s"] is None:
        raise UsageError(f"{path}: its header gives no exposure. Say it with --exposure SECONDS.")
    return row | {"camera_id": _camera_id(warehouse, camera_name or header.camera_name, path)}


def _camera_id(warehouse: "Warehouse", name: str | None, path: Path) -> int:
    """Return the camera of that name; where there is but one and no name, that one."""
    with warehouse.reading() as con:
        known = con.table("camera").order("camera_id").project("camera_id, camera_name").fetchall()
    found = [number for number, known_name in known if name is None or known_name == name]
    if len(found) != 1:
        names = ", ".join(dict.fromkeys(str(row[1]) for row in known)) or "none"
        raise UsageError(
            f"{path}: camera {name or 'not named'}, {len(found)} of that name in the warehouse; "
            f"there are: {names}. Name one with --camera."
        )
    return found[0]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text}: a night is written YYYY-MM-DD.") from error
