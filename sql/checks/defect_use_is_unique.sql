-- No two rows of defect_use share frame_id.
select frame_id
from defect_use
group by frame_id
having count(*) > 1;
