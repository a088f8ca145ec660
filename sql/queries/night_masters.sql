-- Masters that were made from a night's frames or calibrated its lights, each with the noise that its
-- frames predict. One row per master. $night
with usage as (
    select
        master_id,
        count(*) as n_light
    from master_use
    semi join (select frame_id from frame where night = $night::date) as light using (frame_id)
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
    master.n_frame,
    master.method,
    master.level_adu,
    master.noise_adu,
    master_noise.expected_noise_adu,
    master_noise.noise_ratio,
    coalesce(usage.n_light, 0) as n_light,
    retired_master.reason as retired_because,
    master.file_name,
    master.checksum
from master
join camera using (camera_id)
join master_noise using (master_id)
left join usage using (master_id)
left join retired_master using (master_id)
where master.night = $night::date or usage.master_id is not null
order by master.kind, master.band, master.exposure_s, master.master_id;
