-- No two rows of isochrone_band share grid_id, place.
select
    grid_id,
    place
from isochrone_band
group by grid_id, place
having count(*) > 1;
