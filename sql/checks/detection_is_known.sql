-- A detection is of a known search, and the star it is lies in its field.
select search_id
from detection
anti join search using (search_id, field_id)
union all
select search_id
from detection
anti join field_star using (field_id, source_id)
where source_id is not null;
