-- Level of the master darks of a camera against exposure and temperature, oldest night first.
-- One row per master. $camera
select
    master.master_id,
    master.night,
    master.exposure_s,
    round(master.sensor_degc) as temperature_degc,
    master.gain_setting,
    master.x_binning as binning,
    master.is_bias_subtracted,
    master.level_adu
from master
join camera using (camera_id)
anti join retired_master using (master_id)
where master.kind = 'dark' and master.exposure_s > 0 and camera.camera_name = $camera
order by master.night, temperature_degc, master.exposure_s, master.master_id;
