-- Zero points over the nights and years, in the aperture of that name, else that of two FWHM: the median
-- of the frames and that of clear ones (above the air: clear_airmass 0), extinction of light and of
-- colour and colour term of the night, how many frames had clouds (0.1 mag and more), how deep the frames
-- went. One row per night, camera and band. $aperture
with chosen as (
    select aperture_id
    from aperture
    where ($aperture is null and kind = 'fwhm') or aperture_name = $aperture
    order by abs(radius - 2)
    limit 1
)

select
    frame_depth.night,
    camera.camera_name as camera,
    frame_depth.band,
    count(*) as n_frames,
    count(*) filter (frame_depth.zero_point_method = 'borrowed') as n_borrowed,
    median(frame_depth.zero_point_mag) as zero_point_mag,
    any_value(solution.clear_zero_point_mag) as clear_zero_point_mag,
    any_value(solution.clear_airmass) as clear_airmass,
    any_value(solution.extinction_mag) as extinction_mag,
    any_value(solution.extinction_err_mag) as extinction_err_mag,
    any_value(solution.colour) as colour,
    any_value(solution.colour_term) as colour_term,
    any_value(solution.colour_term_err) as colour_term_err,
    any_value(solution.colour_extinction) as colour_extinction,
    any_value(solution.intrinsic_scatter_mag) as intrinsic_scatter_mag,
    count(*) filter (coalesce(frame_depth.cloud_mag, frame_depth.dimming_mag) >= 0.1) as n_cloudy,
    max(coalesce(frame_depth.cloud_mag, frame_depth.dimming_mag)) as most_cloud_mag,
    median(frame_depth.limiting_mag) as limiting_mag,
    bool_and(frame_depth.is_calibrated) as is_calibrated
from frame_depth
semi join chosen using (aperture_id)
join frame using (frame_id)
join camera using (camera_id)
left join photometric_solution as solution on
    solution.scope = 'night'
    and solution.camera_id = frame.camera_id
    and solution.band = frame_depth.band
    and solution.aperture_id = frame_depth.aperture_id
    and solution.first_night = frame_depth.night
group by frame_depth.night, camera.camera_name, frame_depth.band
order by frame_depth.night, camera.camera_name, frame_depth.band;
