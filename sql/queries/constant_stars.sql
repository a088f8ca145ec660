-- The steadiest stars of a field: scatter of their magnitudes within a night after the median of all
-- stars of a frame is taken out, least first. The scatter is 1.4826 times the median absolute
-- deviation. One row per source, night, band and aperture with at least five clean frames.
-- $field is a number or a name. $night $band $aperture_id
with point as (
    select
        field.field_id,
        field.field_name,
        measurement.source_id,
        measurement.frame_id,
        frame.night,
        frame.band,
        aperture_flux.aperture_id,
        -2.5 * log10(aperture_flux.flux_adu / frame.exposure_s) as mag
    from measurement
    join aperture_flux using (frame_id, source_id)
    join frame using (frame_id)
    join star using (source_id)
    left join field_frame using (frame_id)
    join field on field.field_id = coalesce(field_frame.field_id, star.field_id)
    where
        aperture_flux.flux_adu > 0
        and frame.exposure_s > 0
        and is_clean(measurement.flags | aperture_flux.flags)
        and (
            $field is null
            or field.field_id::varchar = $field::varchar
            or name_key(field.field_name) = name_key($field::varchar)
        )
        and ($night is null or frame.night = $night::date)
        and ($band is null or frame.band = $band)
        and ($aperture_id is null or aperture_flux.aperture_id = $aperture_id::smallint)
),

relative as (
    select
        point.*,
        mag - median(mag) over star_curve as offset_mag
    from point
    window star_curve as (partition by source_id, night, band, aperture_id)
),

steadied as (
    select
        relative.*,
        offset_mag - median(offset_mag) over frame_stars as residual_mag
    from relative
    window frame_stars as (partition by field_id, frame_id, aperture_id)
)

select
    source_id,
    field_id,
    field_name,
    night,
    band,
    aperture_id,
    count(*) as n_frame,
    median(mag) as instrumental_mag,
    1.4826 * mad(residual_mag) as scatter_mag
from steadied
group by source_id, field_id, field_name, night, band, aperture_id
having count(*) >= 5
order by scatter_mag, source_id, aperture_id;
