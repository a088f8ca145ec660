-- Stars of a field with their brightness, brightest first. One row per source, band and aperture in
-- which it was cleanly measured, one for a source that never was. $field is a number or a name.
-- $aperture_id
with clean as (
    select
        measurement.source_id,
        frame.band,
        aperture_flux.aperture_id,
        count(*) as n_frame,
        median(-2.5 * log10(aperture_flux.flux_adu / frame.exposure_s)) as instrumental_mag
    from measurement
    join aperture_flux using (frame_id, source_id)
    join frame using (frame_id)
    where
        aperture_flux.flux_adu > 0
        and frame.exposure_s > 0
        and is_clean(measurement.flags | aperture_flux.flags)
        and ($aperture_id is null or aperture_flux.aperture_id = $aperture_id::smallint)
    group by measurement.source_id, frame.band, aperture_flux.aperture_id
)

select
    field_star.source_id,
    field_star.field_id,
    field.field_name,
    star.ra_deg,
    star.dec_deg,
    star.position_source,
    field_star.x_pix,
    field_star.y_pix,
    field_star.flags,
    clean.band,
    clean.aperture_id,
    aperture.aperture_name,
    coalesce(clean.n_frame, 0) as n_frame,
    clean.instrumental_mag
from field_star
join field using (field_id)
join star using (source_id)
left join clean using (source_id)
left join aperture using (aperture_id)
where
    $field is null
    or field_star.field_id::varchar = $field::varchar
    or name_key(field.field_name) = name_key($field::varchar)
order by clean.instrumental_mag nulls last, field_star.source_id, clean.aperture_id;
