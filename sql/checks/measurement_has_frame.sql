-- Every measurement belongs to a known frame and a known source.
select
    frame_id,
    source_id
from measurement
anti join frame using (frame_id)
union all
select
    frame_id,
    source_id
from measurement
anti join source using (source_id);
