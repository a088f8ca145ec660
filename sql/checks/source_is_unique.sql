-- No two rows of source share source_id.
select source_id
from source
group by source_id
having count(*) > 1;
