-- The stars measured in a frame are those of its field.
select
    measurement.frame_id,
    measurement.source_id
from measurement
join field_frame using (frame_id)
anti join field_star using (field_id, source_id);
