-- Frames at which a step failed; `run --retry` tries them again. One row per frame.
select distinct frame_id
from product
where state = 'failed'
order by frame_id;
