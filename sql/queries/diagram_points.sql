-- Measurements behind a diagram, for the light curves of its stars; instrumental ones levelled, as
-- there. One row per source, frame and band.
-- $field_id $aperture_id $bands $n_most
select
    light_curve.source_id,
    light_curve.band,
    light_curve.mid_jd_utc,
    case
        when calibrated_magnitude.is_calibrated then calibrated_magnitude.mag
        else calibrated_magnitude.mag - coalesce(frame_transparency.dimming_mag, 0)
    end as mag,
    calibrated_magnitude.mag_err,
    calibrated_magnitude.is_clean
from calibrated_magnitude
join light_curve using (frame_id, source_id, aperture_id)
left join frame_transparency using (frame_id, aperture_id)
where
    calibrated_magnitude.field_id = $field_id::integer
    and calibrated_magnitude.aperture_id = $aperture_id::smallint
    and list_contains($bands::varchar[], calibrated_magnitude.band)
    and calibrated_magnitude.mag is not null
order by light_curve.source_id, light_curve.mid_jd_utc
limit coalesce($n_most::integer, 0);
