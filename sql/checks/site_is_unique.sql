-- No two rows of site share site_id.
select site_id
from site
group by site_id
having count(*) > 1;
