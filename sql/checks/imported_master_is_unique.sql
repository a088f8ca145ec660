-- No two rows of imported_master share master_id.
select master_id
from imported_master
group by master_id
having count(*) > 1;
