-- Every measured frame lies on its field and has a quality row.
select distinct frame_id
from measurement
anti join registration using (frame_id)
union all
select distinct frame_id
from measurement
anti join frame_quality using (frame_id);
