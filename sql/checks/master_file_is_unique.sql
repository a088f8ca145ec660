-- No two rows of master_file share master_id.
select master_id
from master_file
group by master_id
having count(*) > 1;
