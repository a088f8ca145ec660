-- No two rows of isochrone_grid share grid_id.
select grid_id
from isochrone_grid
group by grid_id
having count(*) > 1;
