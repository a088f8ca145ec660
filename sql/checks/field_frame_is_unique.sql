-- A frame belongs to one field.
select frame_id
from field_frame
group by frame_id
having count(*) > 1;
