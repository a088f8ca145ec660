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
    master_id,
    kind,
    camera_name,
    night,
    band,
    exposure_s,
    sensor_degc,
    gain_setting,
    x_binning,
    n_frame,
    method,
    level_adu,
    noise_adu,
    noise_ratio,
    coalesce(usage.n_light, 0) as n_light,
    retired_because,
    imported_from,
    file_name
from master_library
left join usage using (master_id)
order by night desc, kind, master_id;
