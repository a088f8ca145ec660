-- Every residual is that of a frame that was solved or laid on its field.
select distinct frame_id
from wcs_residual
anti join wcs using (frame_id)
anti join registration using (frame_id);
