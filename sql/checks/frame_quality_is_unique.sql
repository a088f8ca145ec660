-- No two rows of frame_quality share frame_id.
select frame_id
from frame_quality
group by frame_id
having count(*) > 1;
