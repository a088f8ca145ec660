-- No two rows of planet share planet_id.
select planet_id
from planet
group by planet_id
having count(*) > 1;
