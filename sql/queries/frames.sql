-- Frames in order of time, with their state and quality. One row per frame. $night
with first_path as (
    select
        frame_id,
        min(path) as path
    from path
    group by frame_id
)

select
    frame.frame_id,
    frame.night,
    frame.mid_utc,
    frame.frame_type,
    frame.band,
    frame.exposure_s,
    frame.target_name,
    frame_state.state,
    field.field_name,
    registration.method as registration_method,
    registration.n_star as n_registration_star,
    frame_quality.fwhm_pix,
    frame_quality.sky_adu,
    frame_quality.n_star,
    calibration.reason as calibration,
    first_path.path
from frame
left join frame_state using (frame_id)
left join field_frame using (frame_id)
left join field using (field_id)
left join registration using (frame_id)
left join frame_quality using (frame_id)
left join calibration using (frame_id)
left join first_path using (frame_id)
where $night is null or frame.night = $night::date
order by frame.mid_utc, frame.frame_id;
