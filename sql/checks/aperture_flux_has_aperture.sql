-- Every flux was measured in a known aperture.
select distinct aperture_id
from aperture_flux
anti join aperture using (aperture_id);
