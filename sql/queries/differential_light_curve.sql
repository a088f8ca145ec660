-- Light curve over the stored comparison stars, in order of time. One row per frame, target and
-- aperture. $source_id $aperture_id
select *
from differential_light_curve
where
    ($source_id is null or source_id = $source_id::integer)
    and ($aperture_id is null or aperture_id = $aperture_id::smallint)
order by source_id, aperture_id, mid_utc, frame_id;
