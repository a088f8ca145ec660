"""All sets of real frames in one warehouse: what is counted, refused, checked and found again."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

# Runs a command and lists on standard error which files below a folder were opened.
WATCHED = """
import json, sys
folder, opened = sys.argv.pop(1), set()
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(folder):
        opened.add(str(arguments[0]))
sys.addaudithook(note)
from starmuster.cli import main
status = main(sys.argv[1:])
print(json.dumps(sorted(opened)), file=sys.stderr)
sys.exit(status)
"""


def fits_files(folder: Path) -> Iterator[Path]:
    """Files that say by name or first bytes that they are FITS."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            is_fits = file.read(9) == b"SIMPLE  ="
        if is_fits or re.search(r"\.(fits?|fts)(\.(fz|gz|Z))?$", path.name, re.IGNORECASE):
            yield path


def test_files_are_counted_as_new_known_or_failed_and_nothing_else(reduced, real_data):
    assert reduced.first["frames_seen"] == reduced.first["frames_new"] == 142
    assert reduced.first["frames_failed"] == reduced.first["frames_not_measured"] == 0
    counts = reduced.second
    assert counts["frames_skipped"] == 142
    parts = ("frames_new", "frames_skipped", "frames_failed")
    assert counts["frames_seen"] == sum(counts[name] for name in parts)
    assert counts["frames_seen"] == sum(
        1 for name in reduced.sets for _ in fits_files(real_data / name)
    )
    assert counts["frames_failed"] == reduced.sql("from quarantine").height


@pytest.mark.parametrize("name", ["damaged", "odd_fits"])
def test_every_bad_or_odd_file_is_catalogued_or_quarantined_with_a_reason(reduced, real_data, name):
    known = set(reduced.sql("from path")["path"])
    refused = dict(reduced.sql("select path, reason from quarantine").iter_rows())
    assert not known & set(refused)
    for path in map(str, fits_files(real_data / name)):
        assert path in known or len(refused[path]) > len(path) + 20
    truncated = [reason for reason in refused.values() if "truncated" in reason]
    assert len(truncated) == 4


def test_frames_of_no_field_fail_with_a_reason_and_hold_up_nothing_else(reduced):
    states = reduced.sql("select state, count(*) as n from frame_state group by state")
    assert set(states["state"]) <= {
        "measured",
        "failed",
        "in a master",
        "calibration",
        "unknown type",
    }
    failed = reduced.sql(
        "select frame_id, message from failure join frame_state using (frame_id) "
        "where state = 'failed'"
    )
    n_failed = dict(states.iter_rows())["failed"]
    assert failed["frame_id"].n_unique() == n_failed == reduced.second["frames_not_measured"]
    assert failed["message"].str.len_chars().min() > 40


def test_what_is_stored_passes_every_check(reduced):
    found = reduced.command("check")
    assert len(found) > 40
    assert not any(found.values())


def test_a_second_run_adds_no_row_and_opens_no_frame(reduced, real_data):
    before = reduced.row_counts()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, real_data, "--json", "ingest"]
        + [real_data / name for name in reduced.sets]
        + ["--warehouse", reduced.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # what has no name of FITS must be looked at each time, a few bytes of it
    opened = json.loads(done.stderr.splitlines()[-1])
    assert not set(opened) & set(reduced.sql("from path")["path"])
    assert not set(opened) & set(reduced.sql("from quarantine")["path"])
    counts = json.loads(done.stdout)
    assert counts["frames_skipped"] == counts["frames_seen"] == reduced.second["frames_seen"]
    assert reduced.row_counts() == before


def test_every_field_of_stars_is_found_once(reduced, solver):
    fields = {row["name"]: row for row in reduced.command("fields")}
    assert (fields["HATP-32"]["n_frames"], fields["LPSEB35"]["n_frames"]) == (142, 60)
    assert fields["M13"]["n_frames"] == 12
    for name in ("HATP-32", "LPSEB35", "M13"):
        assert fields[name]["n_registered"] == fields[name]["n_on_sky"] == fields[name]["n_frames"]
