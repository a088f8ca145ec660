-- Every path belongs to a known frame.
select path
from path
anti join frame using (frame_id);
