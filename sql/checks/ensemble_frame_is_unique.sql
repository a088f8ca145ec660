-- A frame has one zero point of an ensemble in an aperture.
select
    frame_id,
    aperture_id,
from ensemble_frame
group by frame_id, aperture_id
having count(*) > 1;
