-- Every match ties a source of its field to a star of its catalogue, and was counted.
select source_id
from reference_match
anti join source using (field_id, source_id)
union all
select source_id
from reference_match
anti join reference_star using (reference_star_id, catalogue_name)
union all
select source_id
from reference_match
anti join reference_field using (field_id, catalogue_name);
