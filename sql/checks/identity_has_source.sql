-- Every name is tied to a known source of the field it names.
select target_key
from identity
anti join source using (source_id, field_id);
