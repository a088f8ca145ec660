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
    master_id,
    kind,
    camera_name,
    night,
    band,
    exposure_s,
    sensor_degc,
    n_frame,
    method,
    level_adu,
    noise_adu,
    expected_noise_adu,
    noise_ratio,
    coalesce(usage.n_light, 0) as n_light,
    retired_because,
    file_name,
    checksum
from master_library
left join usage using (master_id)
where night = $night::date or usage.master_id is not null
order by kind, band, exposure_s, master_id;
