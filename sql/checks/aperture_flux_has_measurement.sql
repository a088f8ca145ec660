-- Every flux belongs to a measured star.
select
    frame_id,
    source_id,
    aperture_id
from aperture_flux
anti join measurement using (frame_id, source_id);
