-- Light frames that belong to no field yet. One row per frame.
create or replace view pending_field as
select frame.*
from frame
anti join field_frame using (frame_id)
where frame.frame_type = 'light';
