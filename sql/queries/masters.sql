-- The library of masters with the number of lights that each calibrated, newest first, and the noise
-- of each over what its frames predict. One row per master.
with usage as (
    select
        master_id,
        count(*) as n_light
    from master_use
    group by master_id
)

select
    master.master_id,
    master.kind,
    camera.camera_name,
    master.night,
    master.band,
    master.exposure_s,
    master.sensor_degc,
    master.gain_setting,
    master.x_binning,
    master.n_frame,
    master.method,
    master.level_adu,
    master.noise_adu,
    master_noise.noise_ratio,
    coalesce(usage.n_light, 0) as n_light,
    retired_master.reason as retired_because,
    imported_master.path as imported_from,
    master.file_name
from master
join camera using (camera_id)
join master_noise using (master_id)
left join usage using (master_id)
left join retired_master using (master_id)
left join imported_master using (master_id)
order by master.night desc, master.kind, master.master_id;
