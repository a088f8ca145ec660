-- Every name is tied to a known source of the field it names.
select target_key
from identity
anti join field_star using (source_id, field_id);
