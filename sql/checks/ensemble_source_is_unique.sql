-- A star has one mean magnitude in a band and an aperture.
select
    source_id,
    band,
    aperture_id,
from ensemble_source
group by source_id, band, aperture_id
having count(*) > 1;
