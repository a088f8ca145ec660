-- Clean, bright fluxes of stars that are common to the frames of a field in one band, in the widest
-- aperture that follows the seeing, else in the widest: the brightest 500 stars of each frame. One
-- row per frame and source. $field_id, $band, $night
with visit as (
    select frame.frame_id
    from field_frame
    join frame using (frame_id)
    where
        field_frame.field_id = $field_id
        and frame.band is not distinct from $band
        and ($night is null or frame.night = $night::date)
),

chosen as (
    select aperture.aperture_id
    from aperture
    where aperture.aperture_id in (
        select aperture_flux.aperture_id
        from aperture_flux
        semi join visit using (frame_id)
    )
    order by aperture.kind = 'fwhm' desc, aperture.radius desc
    limit 1
)

select
    frame_id,
    source_id,
    aperture_flux.flux_adu
from aperture_flux
semi join visit using (frame_id)
semi join chosen using (aperture_id)
join measurement using (frame_id, source_id)
where
    is_clean(measurement.flags | aperture_flux.flags)
    and aperture_flux.flux_adu > 20 * sqrt(aperture_flux.n_pix) * measurement.sky_rms_adu
qualify row_number() over (partition by frame_id order by aperture_flux.flux_adu desc) <= 500
order by frame_id, source_id;
