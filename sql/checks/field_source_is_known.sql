-- The stars of a field are known sources, and lie in known fields.
select
    field_id,
    source_id
from field_source
anti join source using (source_id)
union all
select
    field_id,
    source_id
from field_source
anti join field using (field_id);
