-- An aperture is judged once for a field, night and band.
select
    field_id,
    night,
    band,
    aperture_id
from aperture_choice
group by all
having count(*) > 1;
