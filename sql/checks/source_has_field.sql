-- Every source belongs to a known field, and was found on a known frame.
select source_id
from source
anti join field using (field_id)
union all
select source_id
from source
anti join frame on frame.frame_id = source.first_frame_id;
