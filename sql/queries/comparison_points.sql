-- Light curves of a target's comparison stars. One row per frame and star, in time order.
-- $source_id, $night, $band, $aperture_id
select
    light_curve.frame_id,
    light_curve.source_id,
    light_curve.flux_adu,
    light_curve.flux_err_adu,
    light_curve.sky_adu_per_pix,
    light_curve.x_pix,
    light_curve.y_pix,
    light_curve.fwhm_pix,
    light_curve.peak_adu,
    light_curve.is_clean
from light_curve
semi join (
    from comparison_star
    where
        is_used
        and target_source_id = $source_id::integer
        and night = $night::date
        and band is not distinct from $band::varchar
        and aperture_id = $aperture_id::smallint
) as used using (source_id, night, aperture_id)
where
    light_curve.aperture_id = $aperture_id::smallint
    and light_curve.night = $night::date
    and light_curve.band is not distinct from $band::varchar
order by light_curve.mid_utc, light_curve.frame_id, light_curve.source_id;
