"""Whether a report still stands as it was written."""

import json
from pathlib import Path
from typing import Any


def written(page: Path, mark: str) -> dict[str, Any] | None:
    """Return the document of the report that is there, if it rests on the same and is whole."""
    try:
        document = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if document.pop("mark", None) != mark:
        return None
    return document if all(Path(path).is_file() for path in document["files"]) else None
