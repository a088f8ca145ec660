-- No star is measured twice on a stack in one aperture.
select
    stack_id,
    source_id,
    aperture_id
from stack_flux
group by stack_id, source_id, aperture_id
having count(*) > 1;
