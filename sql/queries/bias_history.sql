-- Level and scatter of the biases of a camera over the nights. One row per night, setting and
-- binning. $camera
select
    frame.night,
    frame.gain_setting,
    frame.offset_setting,
    frame.readout_mode,
    frame.x_binning as binning,
    count(*) as n_frame,
    median(frame_level.level_adu) as level_adu,
    max(frame_level.level_adu) - min(frame_level.level_adu) as range_adu,
    median(frame_level.noise_adu) as noise_adu,
    avg(frame.sensor_degc) as sensor_degc
from frame
join frame_level using (frame_id)
join camera using (camera_id)
where frame.frame_type = 'bias' and camera.camera_name = $camera
group by all
order by frame.night;
