-- A step has one state for a frame.
select
    frame_id,
    step,
from product
group by frame_id, step
having count(*) > 1;
