-- A star has one fitted profile in a frame.
select
    frame_id,
    source_id,
from profile_fit
group by frame_id, source_id
having count(*) > 1;
