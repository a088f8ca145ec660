-- No two rows of stack share stack_id, nor field, band, night and sky.
select stack_id
from stack
group by stack_id
having count(*) > 1
union all
select min(stack_id) as stack_id
from stack
group by field_id, band, night, sky
having count(*) > 1;
