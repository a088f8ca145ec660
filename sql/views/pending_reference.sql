-- Light frames of fields that have no reference frame yet. One row per frame.
create or replace view pending_reference as
select
    field_frame.field_id,
    frame.*
from field
join field_frame using (field_id)
join frame using (frame_id)
where field.reference_frame_id is null;
