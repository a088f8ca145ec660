-- Frames of a night in order of time with what was measured of each, the zero point in the aperture of
-- two FWHM, and the verdict. One row per frame. $night
with chosen as (
    select aperture_id
    from aperture
    where kind = 'fwhm'
    order by abs(radius - 2)
    limit 1
),

levelled as (
    select
        zero_point.frame_id,
        zero_point.zero_point_mag,
        zero_point.method
    from zero_point
    semi join chosen using (aperture_id)
),

judged as (
    select *
    from frame_verdict
    where night = $night::date
)

select
    frame.frame_id,
    frame.mid_utc,
    camera.camera_name,
    frame.frame_type,
    frame.frame_type_source,
    frame.band,
    frame.exposure_s,
    frame.target_name,
    frame.hdu_index,
    frame.sensor_degc,
    frame_state.state,
    frame_level.level_adu,
    frame_level.noise_adu,
    frame_quality.sky_adu,
    frame_quality.sky_rms_adu,
    frame_quality.fwhm_pix,
    judged.ellipticity,
    frame_quality.n_star,
    frame_quality.saturation_adu,
    registration.method as registration_method,
    registration.n_star as n_registration_star,
    registration.rms_pix,
    registration.x_shift_pix,
    registration.y_shift_pix,
    field.field_name,
    field.scale_arcsec_per_pix,
    calibration.reason,
    frame_noise.gain_e_per_adu,
    frame_noise.gain_source,
    judged.transparency,
    judged.offset_pix,
    judged.is_rejected,
    array_to_string(judged.reasons, '; ') as verdict,
    levelled.zero_point_mag,
    levelled.method as zero_point_method
from frame
join camera using (camera_id)
left join frame_state using (frame_id)
left join frame_level using (frame_id)
left join frame_quality using (frame_id)
left join registration using (frame_id)
left join field_frame using (frame_id)
left join field on field.field_id = field_frame.field_id
left join calibration using (frame_id)
left join frame_noise using (frame_id)
left join judged using (frame_id)
left join levelled using (frame_id)
where frame.night = $night::date
order by frame.mid_utc, frame.frame_id;
