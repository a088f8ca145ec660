-- No two rows of frame_transparency share frame_id, aperture_id.
select
    frame_id,
    aperture_id
from frame_transparency
group by all
having count(*) > 1;
