-- Instrumental light curve of a star in one aperture. One row per frame, in time order.
-- $source_id, $aperture_id, $night, $band
from light_curve
where
    source_id = $source_id::integer
    and aperture_id = $aperture_id::smallint
    and ($night is null or night = $night::date)
    and ($band is null or band is not distinct from $band::varchar)
order by mid_utc, frame_id;
