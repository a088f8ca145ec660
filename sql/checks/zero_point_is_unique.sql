-- No two rows of zero_point share frame_id, aperture_id.
select
    frame_id,
    aperture_id
from zero_point
group by all
having count(*) > 1;
