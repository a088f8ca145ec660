"""One call of solve-field: stars in, cards and pairs of stars out, killed when its time is up."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from astropy.io import fits
from numpy.typing import NDArray

from ..errors import RegistrationError
from .index_files import INSTALL, IndexFile

REMARKS = ("COMMENT", "HISTORY", "")
OUTPUTS = ("--new-fits", "--rdls", "--match", "--solved", "--index-xyls")


class UnsolvedError(RegistrationError):
    """The program ran to its end, and the stars fit nowhere."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the program found: cards of a WCS, and the table of pairs (None: not written)."""

    cards: list[list]
    pairs: NDArray | None


def call_solver(
    program: str,
    stars: pl.DataFrame,
    options: Sequence[str],
    *,
    files: Sequence[IndexFile],
    folder: Path,
    timeout_s: float,
) -> Answer:
    """Run the program once on the positions of stars.

    Parameters
    ----------
    stars
        x_pix, y_pix (0-based), flux_adu.
    options
        Of the program: size, hints, orders.
    files
        Index files it may use.
    folder
        An existing folder for whatever it writes.

    Raises
    ------
    UnsolvedError
        It found nothing.
    RegistrationError
        Out of time, killed, or an answer that cannot be read.
    """
    _write_stars(stars, folder / "stars.xyls")
    config = folder / "engine.cfg"
    config.write_text("".join(f"index {file.path}\n" for file in files))
    command = [
        *(program, *options, "--config", str(config), "--cpulimit", f"{max(1, round(timeout_s))}"),
        *("--x-column", "X", "--y-column", "Y", "--sort-column", "FLUX", "--crpix-center"),
        *("--no-plots", "--overwrite", "--dir", str(folder), "--temp-dir", str(folder)),
        *("--corr", str(folder / "stars.corr")),
    ]
    for unwanted in OUTPUTS:
        command += [unwanted, "none"]
    log, status = _run([*command, str(folder / "stars.xyls")], folder, timeout_s)
    if not (folder / "stars.wcs").is_file():
        raise _refusal(log, status, stars.height, timeout_s, options)
    return Answer(_read_cards(folder / "stars.wcs"), _read_pairs(folder / "stars.corr"))


def _write_stars(stars: pl.DataFrame, path: Path) -> None:
    """Write the table of positions the program reads; FITS pixels begin at 1."""
    columns = [
        fits.Column(name="X", format="D", array=stars["x_pix"].to_numpy() + 1),
        fits.Column(name="Y", format="D", array=stars["y_pix"].to_numpy() + 1),
        fits.Column(name="FLUX", format="D", array=stars["flux_adu"].to_numpy()),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)


def _run(command: list[str], folder: Path, timeout_s: float) -> tuple[str, int]:
    """Run the program as a process group of its own; return what it printed, and its status."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=timeout_s)[0], process.returncode
    except subprocess.TimeoutExpired as error:
        waited_s = round(timeout_s) or round(timeout_s, 1)
        raise RegistrationError(
            f"solve-field: no solution within {waited_s} s, stopped. Give a scale and a position "
            "hint, or more time."
        ) from error
    finally:
        # also on Ctrl-C: the program leaves children behind
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _refusal(
    log: str, status: int, n_star: int, timeout_s: float, options: Sequence[str]
) -> RegistrationError:
    if status < 0:
        return RegistrationError(
            f"solve-field was killed by signal {-status} ({signal.Signals(-status).name}). "
            "Is there enough memory?"
        )
    if "You must list at least one index" in log or "No index files" in log.title():
        return RegistrationError(f"solve-field found no index files. {INSTALL}")
    if "did not solve" in log.lower():
        hints = "with hints" if "--ra" in options or "--scale-low" in options else "without hints"
        return UnsolvedError(
            f"solve-field: {n_star} stars match no part of the sky ({hints}). Clouds, trailed "
            "stars, or too few stars of the index files in this field of view?"
        )
    last = " | ".join(log.strip().splitlines()[-3:])
    return RegistrationError(
        f"solve-field gave no solution for {n_star} stars within {timeout_s:.3g} s "
        f"(status {status}): {last}"
    )


def _read_cards(path: Path) -> list[list]:
    try:
        header = fits.getheader(path)
    except OSError as error:
        raise RegistrationError(f"solve-field: its solution cannot be read ({error}).") from error
    return [[card.keyword, card.value] for card in header.cards if card.keyword not in REMARKS]


def _read_pairs(path: Path) -> NDArray | None:
    """Read the stars the solution rests on, beside those of the index."""
    if not path.is_file():
        return None
    try:
        return np.asarray(fits.getdata(path, 1))
    except (OSError, IndexError):
        return None  # the solution stands without them
