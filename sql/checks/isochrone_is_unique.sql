-- No two rows of isochrone share grid_id, age_gyr, eep.
select
    grid_id,
    age_gyr,
    eep
from isochrone
group by grid_id, age_gyr, eep
having count(*) > 1;
