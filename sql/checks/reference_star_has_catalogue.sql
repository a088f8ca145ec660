-- Every reference star comes from an import, under the name of its catalogue, and every magnitude
-- and every variable belongs to a star.
select reference_star_id
from reference_star
anti join reference_catalogue using (catalogue_id, catalogue_name)
union all
select reference_star_id
from reference_magnitude
anti join reference_star using (reference_star_id)
union all
select reference_star_id
from variable_star
anti join reference_star using (reference_star_id);
