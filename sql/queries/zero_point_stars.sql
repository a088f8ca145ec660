-- Clean stars of frames beside what a catalogue says of them, in all apertures: known variables,
-- ambiguous matches and stars below S/N 10 left out, and those with light of a neighbour in the
-- aperture unless fewer than 20 a frame are without; of many the brightest in each frame. One row per
-- frame, source and aperture. $frame_ids $catalogue_name $photometric_system $band $blue $red $max_star
with wanted as (
    select unnest($frame_ids::integer[]) as frame_id
),

catalogued as (
    select
        reference.source_id,
        any_value(reference.mag) as reference_mag,
        any_value(reference.mag_err) as reference_err_mag,
        any_value(blue.mag - red.mag) as colour_mag
    from reference_photometry as reference
    left join reference_photometry as blue on
        blue.reference_star_id = reference.reference_star_id
        and blue.source_id = reference.source_id
        and blue.photometric_system = reference.photometric_system
        and blue.band = $blue
    left join reference_photometry as red on
        red.reference_star_id = reference.reference_star_id
        and red.source_id = reference.source_id
        and red.photometric_system = reference.photometric_system
        and red.band = $red
    anti join known_variable on known_variable.source_id = reference.source_id
    where
        reference.catalogue_name = $catalogue_name
        and reference.photometric_system = $photometric_system
        and reference.band = $band
        and not reference.is_ambiguous
        and not reference.is_derived
    group by reference.source_id
),

seen as (
    select
        light_curve.aperture_id,
        light_curve.frame_id,
        light_curve.source_id,
        light_curve.instrumental_mag as mag,
        light_curve.instrumental_mag_err as mag_err,
        catalogued.reference_mag,
        catalogued.reference_err_mag,
        catalogued.colour_mag,
        light_curve.x_pix / (0.5 * (frame.n_x_pix - 1)) - 1 as u,
        light_curve.y_pix / (0.5 * (frame.n_y_pix - 1)) - 1 as v,
        light_curve.flags & (select "value" from flag where flag_name = 'blended') <> 0 as is_blended
    from light_curve
    semi join wanted using (frame_id)
    join frame using (frame_id)
    join catalogued using (source_id)
    where
        -- a frame that is rejected for its zero point still has one
        is_clean(light_curve.flags & ~rejected_frame_bit() & ~low_transparency_bit())
        and light_curve.flux_adu > 0
        and light_curve.exposure_s > 0
        and coalesce(light_curve.instrumental_mag_err, 0) < 0.1
),

lonely as (
    select
        aperture_id,
        count(*) filter (not coalesce(is_blended, false)) / count(distinct frame_id) as n_star
    from seen
    group by aperture_id
)

select seen.* exclude (is_blended)
from seen
join lonely using (aperture_id)
where not coalesce(seen.is_blended, false) or lonely.n_star < 20
qualify row_number() over (
    partition by seen.frame_id, seen.aperture_id
    order by seen.mag
) <= $max_star::integer
order by seen.aperture_id, seen.frame_id, seen.source_id;
