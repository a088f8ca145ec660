-- No two rows of calibration share frame_id.
select frame_id
from calibration
group by frame_id
having count(*) > 1;
