-- No two rows of aperture share aperture_id.
select aperture_id
from aperture
group by aperture_id
having count(*) > 1;
