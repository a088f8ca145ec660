-- No two rows of registration share frame_id.
select frame_id
from registration
group by frame_id
having count(*) > 1;
