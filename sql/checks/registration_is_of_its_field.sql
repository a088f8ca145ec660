-- A frame is registered on the field it belongs to.
select frame_id
from registration
anti join field_frame using (frame_id, field_id);
