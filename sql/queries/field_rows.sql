-- Fluxes of all stars of a field in one band and aperture, for an ensemble of the whole field: the
-- least that is needed, so that a night of thousands of stars takes a moment. One row per frame and
-- source. $field_id, $aperture_id, $band (null: the one with most frames), $night (null: all)
with field_band as (
    select frame.band
    from field_frame
    join frame using (frame_id)
    where
        field_frame.field_id = $field_id::integer
        and ($night is null or frame.night = $night::date)
        and ($band is null or frame.band is not distinct from $band::varchar)
    group by frame.band
    order by count(*) desc, frame.band
    limit 1
),

chosen as materialized (
    select
        frame.frame_id,
        frame.band,
        jd_utc(frame.mid_utc) as mid_bjd,
        frame.exposure_s,
        frame_noise.gain_e_per_adu,
        frame_quality.sky_adu as frame_sky_adu,
        frame_quality.sky_rms_adu as frame_rms_adu,
        frame_quality.elongation,
        coalesce(frame_quality.flags, 0) as frame_flags
    from field_frame
    join frame using (frame_id)
    join frame_quality using (frame_id)
    join frame_noise using (frame_id)
    join field_band on field_band.band is not distinct from frame.band
    where
        field_frame.field_id = $field_id::integer
        and ($night is null or frame.night = $night::date)
        and frame.exposure_s > 0
)

select
    chosen.frame_id,
    measurement.source_id,
    chosen.band,
    chosen.mid_bjd,
    aperture_flux.flux_adu / chosen.exposure_s as flux_adu,
    flux_err_adu(
        aperture_flux.flux_adu, chosen.gain_e_per_adu, aperture_flux.n_pix, measurement.n_sky_pix,
        pixel_noise_adu(
            measurement.sky_adu_per_pix, measurement.sky_rms_adu, chosen.frame_sky_adu,
            chosen.frame_rms_adu, chosen.gain_e_per_adu
        ),
        null, null, null,
        profile_err_adu := profile_err_adu(
            point_spread.profile_err, aperture_flux.flux_adu, aperture_flux.neighbour_adu
        ),
        neighbour_err_adu := neighbour_err_adu(
            aperture_flux.neighbour_slope_adu, chosen.elongation
        )
    ) / chosen.exposure_s as flux_err_adu,
    is_clean(measurement.flags | aperture_flux.flags | chosen.frame_flags) as is_clean,
    measurement.x_pix,
    measurement.y_pix
from chosen
join measurement using (frame_id)
join aperture_flux using (frame_id, source_id)
left join point_spread using (frame_id)
where aperture_flux.aperture_id = $aperture_id::smallint;
