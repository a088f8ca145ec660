-- No two rows of transit_fit share transit_fit_id.
select transit_fit_id
from transit_fit
group by transit_fit_id
having count(*) > 1;
