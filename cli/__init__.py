"""The command line. Only this folder prints, and only here exit codes are decided."""

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from .. import __version__
from ..errors import (
    ConfigError,
    NotFoundError,
    NoWarehouseError,
    QueryError,
    StarmusterError,
    UsageError,
    VersionError,
)
from . import (
    answering,
    calibrating,
    cameras,
    catalogues,
    charts,
    cmd,
    cmd_report,
    curves,
    discovery,
    exporting,
    foreign,
    housekeeping,
    ingesting,
    joint,
    pictures,
    planet,
    plates,
    timing,
)
from .session import SESSION

USAGE = (ConfigError, NoWarehouseError, NotFoundError, QueryError, UsageError, VersionError)
EPILOGUE = (
    "Exit status: 0 done, 1 something failed (see table `failure`), 2 usage or configuration."
)

app = App(
    name="starmuster",
    help="A photometric data warehouse for small telescopes.",
    help_epilogue=EPILOGUE,
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` tells it
)
app.meta.suppress_keyboard_interrupt = False
app.meta.group_parameters = Group("Options taken before and after every command", sort_key=0)
for module in (
    ingesting,
    catalogues,
    answering,
    cmd,
    cmd_report,
    curves,
    pictures,
    charts,
    plates,
    cameras,
    calibrating,
    housekeeping,
    foreign,
    exporting,
    timing,
    joint,
    planet,
    discovery,
):
    module.register(app)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    warehouse: Annotated[Path | None, Parameter(name=["--warehouse", "-w"])] = None,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    wait: Annotated[float, Parameter(name="--wait")] = 10.0,
) -> int:
    """Run one command.

    Parameters
    ----------
    warehouse
        Folder of the warehouse; else STARMUSTER_WAREHOUSE, else the current folder.
    json
        Print one JSON document; everything else goes to standard error.
    wait
        Seconds to wait for another process that holds the database.
    """
    SESSION.folder, SESSION.as_json, SESSION.wait_s = warehouse, json, wait
    SESSION.has_answered = False
    return app(tokens, exit_on_error=False, print_error=False) or 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    SESSION.command = shlex.join(["starmuster", *arguments])
    SESSION.as_json, SESSION.has_answered = "--json" in arguments, False
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("STARMUSTER_LOG") or "WARNING")
    try:
        return app.meta(arguments, exit_on_error=False, print_error=False) or 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return _told(error)


def _told(error: BaseException) -> int:
    """Tell what ended a command, return the exit status; what nobody foresaw is raised again."""
    code, name, text = 1, type(error).__name__, str(error)
    # DuckDB wraps the interrupt that stops its query.
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        code, name = 130, "KeyboardInterrupt"
        text = "stopped; nothing is lost: run the same command again to go on."
    elif isinstance(error, CycloptsError):
        chain = " ".join(["starmuster", *(error.command_chain or ())])
        code, name, text = 2, "UsageError", f"{error} Try `{chain} --help`."
    elif isinstance(error, USAGE):
        code = 2
    SESSION.answer_error(name, text, code)
    if code == 1 and not isinstance(error, StarmusterError | OSError):
        raise error
    SESSION.say(text if code == 130 else f"error: {text}")
    logging.getLogger(__name__).debug("where it happened", exc_info=error)
    return code
