-- A frame has one profile of its stars.
select frame_id
from point_spread
group by frame_id
having count(*) > 1;
