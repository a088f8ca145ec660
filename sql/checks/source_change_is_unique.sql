-- No two rows of source_change share change_id.
select change_id
from source_change
group by change_id
having count(*) > 1;
