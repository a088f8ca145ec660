-- A star is measured once in a frame.
select
    frame_id,
    source_id,
from measurement
group by frame_id, source_id
having count(*) > 1;
