-- No two rows of defect_map share master_id.
select master_id
from defect_map
group by master_id
having count(*) > 1;
