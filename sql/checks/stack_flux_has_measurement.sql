-- Every flux on a stack belongs to a star measured there, and every star to a stack.
select
    stack_id,
    source_id
from stack_flux
anti join stack_measurement using (stack_id, source_id)
union all
select
    stack_id,
    source_id
from stack_measurement
anti join stack using (stack_id);
