-- A star is considered once for a target, night, band and aperture.
select
    target_source_id,
    night,
    band,
    aperture_id,
    source_id,
from comparison_star
group by target_source_id, night, band, aperture_id, source_id
having count(*) > 1;
