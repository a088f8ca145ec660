-- Fields whose detections are not placed on the sky by the solution of the field as it is now: it came
-- after they were found, or was replaced by a better one. One row per field.
-- requires: field_reference
create or replace view pending_sky as
select distinct field_reference.field_id
from field_reference
join search using (field_id)
where
    field_reference.sky_hash is not null
    and search.sky_hash is distinct from field_reference.sky_hash;
