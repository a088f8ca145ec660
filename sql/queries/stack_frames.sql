-- Light frames of a field in one band with all that a stack must know of each; what was not
-- measured is null. One row per frame. $field_id, $band, $night
select
    frame.frame_id,
    frame.content_hash,
    frame.night,
    frame.mid_utc,
    frame.exposure_s,
    frame.n_x_pix,
    frame.n_y_pix,
    registration.method,
    registration.degree,
    registration.x_coefficient,
    registration.y_coefficient,
    registration.n_star as n_registered_star,
    frame_quality.sky_rms_adu,
    frame_quality.fwhm_pix,
    frame_noise.gain_e_per_adu,
    calibration.bias_master_id,
    calibration.dark_master_id,
    calibration.flat_master_id,
    calibration.frame_id is not null as is_calibrated
from field_frame
join frame using (frame_id)
left join registration using (frame_id, field_id)
left join frame_quality using (frame_id)
left join frame_noise using (frame_id)
left join calibration using (frame_id)
where
    field_frame.field_id = $field_id
    and frame.band is not distinct from $band
    and ($night is null or frame.night = $night::date)
order by frame.frame_id;
