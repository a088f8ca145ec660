-- Light frames that were calibrated with a master, in order of time. One row per frame. $master_id
select
    frame.frame_id,
    frame.night,
    frame.mid_utc,
    frame.band,
    frame.exposure_s,
    frame.target_name,
    calibration.dark_scale,
    calibration.bias_days,
    calibration.dark_days,
    calibration.dark_kelvin,
    calibration.flat_days,
    calibration.reason,
    min(path.path) as path
from master_use
join calibration using (frame_id)
join frame using (frame_id)
left join path using (frame_id)
where master_use.master_id = $master_id::integer
group by all
order by frame.mid_utc, frame.frame_id;
