-- No two rows of field_source share field and source.
select
    field_id,
    source_id
from field_source
group by field_id, source_id
having count(*) > 1;
