-- No two rows of stack_frame share stack_id and frame_id.
select
    stack_id,
    frame_id
from stack_frame
group by stack_id, frame_id
having count(*) > 1;
