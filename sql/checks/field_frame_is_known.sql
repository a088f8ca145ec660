-- Frames are tied to known fields, and fields to known frames.
select frame_id
from field_frame
anti join frame using (frame_id)
union all
select frame_id
from field_frame
anti join field using (field_id)
union all
select reference_frame_id as frame_id
from field
anti join frame on frame.frame_id = field.reference_frame_id
where reference_frame_id is not null;
