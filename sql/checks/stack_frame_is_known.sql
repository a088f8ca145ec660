-- Frames of stacks exist, stacks exist, and each has as many used frames as it says.
select stack_id
from stack_frame
anti join frame using (frame_id)
union all
select stack_id
from stack_frame
anti join stack using (stack_id)
union all
select stack_id
from stack
left join stack_frame using (stack_id)
group by stack_id, n_frame
having count(*) filter (stack_frame.is_used) <> n_frame;
