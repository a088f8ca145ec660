"""The command `demo`: a synthetic night goes through the commands a user types, and is judged."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NoWarehouseError, StarmusterError, UsageError
from .session import SESSION

if TYPE_CHECKING:
    from ..ingest.synthetic import NightPlan, Truth

MARK = "starmuster-demo.json"  # names the frames that are ours, and may go when a demo is made anew
FRAMES, DRAFT, WAREHOUSE = "frames", ".frames", "warehouse"
MOST_SIGMA = 4.0
JUDGED = {"mid_bjd_tdb": 5, "radius_ratio": 4, "depth": 5, "duration_h": 3}  # digits shown
QUERIES = (
    "from night_summary",
    "from star order by flux_adu desc limit 10",
    "from differential_light_curve where is_clean order by mid_utc limit 10",
)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was injected and what was found of one quantity."""

    quantity: str
    injected: float
    recovered: float | None
    error: float | None

    @property
    def off_sigma(self) -> float | None:
        """How far off it is, in errors of the fit."""
        if self.recovered is None or not self.error:
            return None
        return (self.recovered - self.injected) / self.error

    @property
    def is_good(self) -> bool:
        """Whether it was recovered within its error, generously."""
        return self.off_sigma is not None and abs(self.off_sigma) <= MOST_SIGMA


def run_demo(folder: Path, *, plan: "NightPlan | None" = None) -> int:
    """Make a night in a folder, reduce it, report its transit and compare with the truth.

    Parameters
    ----------
    folder
        Absent, empty, or an earlier demo, which is made anew.
    plan
        Of the night; None takes that of `demo_plan`.

    Returns
    -------
    0 if the transit was recovered within four sigma, else 1.

    Raises
    ------
    UsageError
        If the folder holds anything that is not of an earlier demo.
    """
    start = time.monotonic()
    clear(folder)
    with _for_people() as as_json:
        truth = _make_night(folder, plan)
        document = _reduce(folder, truth)
    found = recoveries(truth, document)
    is_good = document["verdict"] == "transit" and all(item.is_good for item in found)
    seconds = round(time.monotonic() - start, 1)
    if as_json:
        SESSION.answer(_answer(folder, document, found, is_good=is_good, seconds=seconds))
    else:
        _show(folder, document, found, seconds=seconds)
    if not is_good:
        SESSION.say(
            f"the demo failed: verdict {document['verdict']!r}, expected a transit recovered "
            f"within {MOST_SIGMA:g} sigma. Please report it with the table above."
        )
    return 0 if is_good else 1


def clear(folder: Path) -> None:
    """Remove an earlier demo from a folder, and nothing else.

    Raises
    ------
    UsageError
        If the folder holds anything that is not of an earlier demo; nothing was removed.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or not (folder / MARK).is_file():
        raise UsageError(f"{folder}: in use, and not by a demo. Name a new or empty folder.")
    own = json.loads((folder / MARK).read_text(encoding="utf-8"))["files"]
    strangers = _strangers(folder, {*own, MARK}) or _foreign_frames(folder)
    if strangers:
        raise UsageError(
            f"{folder}: holds {len(strangers)} files that no demo made, as {strangers[0]}. "
            f"Name another folder for the demo, or move them."
        )
    for name in (WAREHOUSE, DRAFT, FRAMES):
        shutil.rmtree(folder / name, ignore_errors=True)


def recoveries(truth: "Truth", document: dict[str, Any]) -> list[Recovery]:
    """Set the result of a report beside the truth of its night."""
    injected = injected_truth(truth)
    return [
        Recovery(name, injected[name], document[name], document[f"{name}_err"]) for name in JUDGED
    ]


def injected_truth(truth: "Truth") -> dict[str, float]:
    """Return what was injected into a night, by the names a fit has."""
    planet = truth.plan.planet
    half_d = planet.duration_h / 48
    return {
        "mid_bjd_tdb": truth.mid_bjd_tdb,
        "o_minus_c_min": truth.plan.o_minus_c_min,
        "radius_ratio": planet.radius_ratio,
        "depth": truth.depth,
        "duration_h": planet.duration_h,
        "first_contact_bjd_tdb": truth.mid_bjd_tdb - half_d,
        "fourth_contact_bjd_tdb": truth.mid_bjd_tdb + half_d,
        "a_over_r": planet.a_over_r,
        "impact_parameter": planet.impact_parameter,
    }


def _strangers(folder: Path, own: set[str]) -> list[Path]:
    """Return the files of an earlier demo's folder that it did not make."""
    kept = (folder / WAREHOUSE, folder / DRAFT)
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir())
        and not any(path.is_relative_to(place) for place in kept)
        and str(path.relative_to(folder)) not in own
    )


def _foreign_frames(folder: Path) -> list[Path]:
    """Return the frames from elsewhere that an earlier demo's warehouse was given."""
    from ..warehouse.store import Warehouse

    try:
        warehouse = Warehouse(folder / WAREHOUSE, wait_s=SESSION.wait_s)
    except NoWarehouseError:  # the earlier demo was stopped before it had one
        return []
    with warehouse.reading() as con:
        paths = [Path(row[0]) for row in con.table("path").project("path").fetchall()]
    return sorted(path for path in paths if not path.is_relative_to(folder.resolve()))


@contextmanager
def _for_people() -> Iterator[bool]:
    """Let steps print for people, to standard error where one document is the whole answer."""
    as_json = SESSION.as_json
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            SESSION.as_json = False
            yield as_json
    finally:
        SESSION.as_json, SESSION.has_answered = as_json, False


def _make_night(folder: Path, plan: "NightPlan | None") -> "Truth":
    """Write frames and planets; a stopped demo leaves only what `clear` knows as its own."""
    from ..ingest.synthetic import demo_plan, write_night

    plan = plan or demo_plan()
    SESSION.say(
        f"making a night of {plan.n_light} lights with a transit of {plan.planet.planet_name} "
        f"in {folder}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_mark(folder, [])
    truth = write_night(folder / DRAFT, plan)
    made = [path for path in (folder / DRAFT).rglob("*") if path.is_file()]
    _write_mark(folder, [str(Path(FRAMES) / path.relative_to(folder / DRAFT)) for path in made])
    (folder / DRAFT).rename(folder / FRAMES)
    return truth


def _write_mark(folder: Path, files: list[str]) -> None:
    document = {"about": "made by `starmuster demo`, made anew by it", "files": sorted(files)}
    (folder / MARK).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _reduce(folder: Path, truth: "Truth") -> dict[str, Any]:
    """Take the night through the commands a user types; return the document of the report."""
    from .transit import report_transit

    warehouse, frames = folder / WAREHOUSE, folder / FRAMES
    _type("init", warehouse)
    _type("--warehouse", warehouse, "ingest", frames)
    _type("--warehouse", warehouse, "import", "ephemerides", frames / truth.planets_csv.name)
    planet_name = truth.plan.planet.planet_name
    _echo("--warehouse", warehouse, "report", "transit", planet_name)
    SESSION.folder = warehouse
    return report_transit(
        planet_name,
        night=None,
        band=None,
        aperture=None,
        output=None,
        injected=injected_truth(truth),
    )


def _type(*words: str | Path) -> None:
    """Run a command as if it were typed.

    Raises
    ------
    StarmusterError
        If it fails; it has told why.
    """
    from . import main

    _echo(*words)
    wait_s = SESSION.wait_s
    code = main([*map(str, words), "--wait", f"{wait_s:g}"])
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise StarmusterError(f"demo: `{words[-2]}` ended with exit status {code}; see above.")


def _echo(*words: str | Path) -> None:
    SESSION.command = shlex.join(["starmuster", *map(str, words)])
    SESSION.tell(f"\n$ {SESSION.command}")
    sys.stdout.flush()


def _answer(
    folder: Path,
    document: dict[str, Any],
    found: list[Recovery],
    *,
    is_good: bool,
    seconds: float,
) -> dict[str, Any]:
    return {
        "warehouse": folder / WAREHOUSE,
        "is_recovered": is_good,
        "recovery": [
            {
                "quantity": item.quantity,
                "injected": item.injected,
                "recovered": item.recovered,
                "error": item.error,
                "off_sigma": item.off_sigma,
            }
            for item in found
        ],
        "report": document,
        "seconds": seconds,
    }


def _show(folder: Path, document: dict[str, Any], found: list[Recovery], *, seconds: float) -> None:
    SESSION.tell(f"\n{'':>14}{'injected':>16}{'recovered':>16}{'error':>11}{'off':>13}")
    for item in found:
        digits = JUDGED[item.quantity]
        numbers = "".join(
            f"{'-' if value is None else f'{value:.{digits}f}':>{width}}"
            for value, width in ((item.injected, 16), (item.recovered, 16), (item.error, 11))
        )
        off = "-" if item.off_sigma is None else f"{item.off_sigma:+.1f} sigma"
        SESSION.tell(f"{item.quantity:>14}{numbers}{off:>13}")
    SESSION.tell(f"\n{seconds:.0f} s. Open the report in a browser:")
    for path in document["files"]:
        SESSION.tell(f"  {path}")
    SESSION.tell("\nAsk the warehouse next:")
    for query in QUERIES:
        SESSION.tell(
            f'  starmuster --warehouse {shlex.quote(str(folder / WAREHOUSE))} sql "{query}"'
        )
