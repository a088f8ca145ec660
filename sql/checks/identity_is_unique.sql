-- No two rows of identity share target_key.
select target_key
from identity
group by target_key
having count(*) > 1;
