-- Every residual is that of a solved frame.
select distinct frame_id
from wcs_residual
anti join wcs using (frame_id);
