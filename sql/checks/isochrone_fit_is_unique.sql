-- No two rows of isochrone_fit share isochrone_fit_id.
select isochrone_fit_id
from isochrone_fit
group by isochrone_fit_id
having count(*) > 1;
