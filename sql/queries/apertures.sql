-- Which aperture to take for a star (number of a source), or for a field (number or name) as a whole:
-- scatter from frame to frame, see aperture_scatter, and the share of the light it holds, by the curves
-- of growth; the steadiest first. One row per night, band and aperture. $star $field $night $band
with judged as (
    select
        field_id,
        night,
        band,
        aperture_id,
        1 as n_star,
        step_scatter_mag
    from aperture_scatter
    where source_id = $star::integer
    union all
    select
        field_id,
        night,
        band,
        aperture_id,
        n_star,
        step_scatter_mag
    from field_aperture
    where
        $star is null
        and field_id in (
            select field.field_id
            from field
            where
                $field is null
                or field.field_id::varchar = $field::varchar
                or name_key(field.field_name) = name_key($field::varchar)
        )
),

growth as (
    select
        field_frame.field_id,
        frame.night,
        frame.band,
        curve_of_growth.aperture_id,
        median(curve_of_growth.enclosed_fraction) as enclosed_fraction
    from curve_of_growth
    join frame using (frame_id)
    join field_frame using (frame_id)
    where curve_of_growth.aperture_id is not null
    group by all
)

select
    judged.night,
    judged.band,
    field.field_name as field,
    aperture.aperture_name as aperture,
    judged.n_star,
    judged.step_scatter_mag,
    growth.enclosed_fraction
from judged
join field using (field_id)
join aperture using (aperture_id)
left join growth on
    growth.field_id = judged.field_id
    and growth.night = judged.night
    and growth.band is not distinct from judged.band
    and growth.aperture_id = judged.aperture_id
where
    ($night is null or judged.night = $night::date)
    and ($band is null or judged.band = $band)
order by judged.night, judged.band, field.field_name, judged.step_scatter_mag;
