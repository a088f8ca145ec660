-- Masters that the lights of a planned ingest (`new_frame`) would get, and how far off they are.
-- One row per night, band, exposure and choice.
select
    frame.night,
    frame.band,
    frame.exposure_s,
    count(*) as n_lights,
    bias.night as bias_night,
    dark.night as dark_night,
    dark.exposure_s as dark_exposure_s,
    choice.dark_scale,
    round(avg(choice.dark_kelvin), 1) as dark_kelvin,
    flat.night as flat_night,
    choice.reason as missing_or_off
from frame
semi join new_frame using (frame_id)
join calibration_choice as choice using (frame_id)
left join master as bias on bias.master_id = choice.bias_master_id
left join master as dark on dark.master_id = choice.dark_master_id
left join master as flat on flat.master_id = choice.flat_master_id
where frame.frame_type = 'light'
group by
    frame.night, frame.band, frame.exposure_s, bias.night, dark.night, dark.exposure_s,
    choice.dark_scale, flat.night, choice.reason
order by frame.night, frame.band, frame.exposure_s;
