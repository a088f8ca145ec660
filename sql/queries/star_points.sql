-- Instrumental light curve of a star. One row per frame and aperture, in time order.
-- $source_id, $aperture_id, $night, $band (null: all)
from light_curve
where
    source_id = $source_id::integer
    and ($aperture_id is null or aperture_id = $aperture_id::smallint)
    and ($night is null or night = $night::date)
    and ($band is null or band is not distinct from $band::varchar)
order by mid_utc, frame_id;
