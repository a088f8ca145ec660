-- No two rows of master share master_id.
select master_id
from master
group by master_id
having count(*) > 1;
