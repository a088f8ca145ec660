-- No two rows of run share run_id.
select run_id
from run
group by run_id
having count(*) > 1;
