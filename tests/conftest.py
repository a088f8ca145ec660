"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real frames; a test that needs it is skipped, loudly, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STARMUSTER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}: set STARMUSTER_DATA to their folder")
    return folder
