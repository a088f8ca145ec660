-- No star is measured twice on a stack.
select
    stack_id,
    source_id
from stack_measurement
group by stack_id, source_id
having count(*) > 1;
