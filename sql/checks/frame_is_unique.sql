-- No two rows of frame share frame_id.
select frame_id
from frame
group by frame_id
having count(*) > 1;
