-- No two rows of field share field_id.
select field_id
from field
group by field_id
having count(*) > 1;
