"""The step that gives every light frame a field."""

from ...warehouse.runs import Run
from ..fields import assign_fields


def find_fields(run: Run) -> None:
    """Give every light frame a field."""
    with run.warehouse.reading() as con:
        frames = con.table("pending_field").pl()
        fields = con.table("field").project("*, name_key(field_name) as field_key").pl()
    if frames.is_empty():
        return
    new, members = assign_fields(frames, fields, next_field_id=run.next_id("field"))
    run.store("fields", {"field": new, "field_frame": members})
