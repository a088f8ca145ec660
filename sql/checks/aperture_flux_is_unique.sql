-- A star has one flux in a frame and aperture.
select
    frame_id,
    source_id,
    aperture_id,
from aperture_flux
group by frame_id, source_id, aperture_id
having count(*) > 1;
