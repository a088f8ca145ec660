-- Flats of the ramps of a camera: exposure and level above the bias of their night, or of the
-- nearest that has one. One row per frame. $camera
select
    frame.frame_id,
    frame.night,
    frame.band,
    frame.exposure_s,
    frame.mid_utc,
    frame_level.level_adu,
    frame_level.level_adu
    - arg_min(bias_level.bias_adu, abs(bias_level.night - frame.night)) as signal_adu
from frame
join frame_level using (frame_id)
join (select frame_id from product where step = 'ramp') as ramp using (frame_id)
join camera using (camera_id)
join bias_level using (camera_id)
where camera.camera_name = $camera
group by
    frame.frame_id, frame.night, frame.band, frame.exposure_s, frame.mid_utc, frame_level.level_adu
order by frame.night, frame.exposure_s, frame.mid_utc;
