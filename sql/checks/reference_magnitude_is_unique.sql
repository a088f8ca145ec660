-- No two rows of reference_magnitude share star, band and photometric system.
select
    reference_star_id,
    band,
    photometric_system
from reference_magnitude
group by all
having count(*) > 1;
