-- No two rows of frame_level share frame_id.
select frame_id
from frame_level
group by frame_id
having count(*) > 1;
