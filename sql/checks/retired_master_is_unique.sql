-- No two rows of retired_master share master_id.
select master_id
from retired_master
group by master_id
having count(*) > 1;
