-- A star's light curve with all that files for others need. One row per frame and aperture, in time
-- order. $source_id
select *
from exported_light_curve
where source_id = $source_id::integer
order by mid_utc, frame_id, aperture_id;
