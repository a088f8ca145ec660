-- The stars measured in a frame are those of its field.
select
    measurement.frame_id,
    measurement.source_id
from measurement
join source using (source_id)
join field_frame using (frame_id)
where source.field_id <> field_frame.field_id;
