-- No two rows of vantage share frame_id.
select frame_id
from vantage
group by frame_id
having count(*) > 1;
