-- Magnitudes of all stars on all frames, on the system of a catalogue where the frame has a zero point,
-- else instrumental, and said so. A star without a known colour gets the pivot colour of the colour
-- term, and what that may be off in its error. One row per frame, source and aperture.
-- requires: light_curve
-- requires: star_colour
-- column mag: unit=mag; ucd=phot.mag; calibrated or instrumental, see is_calibrated; null for no positive flux
-- column mag_err: unit=mag; ucd=stat.error;phot.mag; of the star and the zero point together
-- column is_calibrated: whether mag is on the photometric system; false: instrumental
-- column photometric_system: the system mag is on; null: instrumental
-- column catalogue_name: catalogue behind the zero point; null: instrumental
-- column zero_point_method: fit, joint or borrowed; null: instrumental
-- column has_colour: the colour term was applied with the star's own colour
create or replace view calibrated_magnitude as
with placed as (
    select
        light_curve.frame_id,
        light_curve.source_id,
        light_curve.aperture_id,
        light_curve.field_id,
        light_curve.band,
        light_curve.night,
        light_curve.instrumental_mag,
        light_curve.instrumental_mag_err,
        light_curve.flags,
        light_curve.is_clean,
        zero_point.zero_point_mag,
        zero_point.zero_point_err_mag,
        zero_point.colour_term,
        zero_point.colour_spread_mag,
        zero_point.photometric_system,
        zero_point.catalogue_name,
        zero_point.method as zero_point_method,
        star_colour.colour_mag - zero_point.colour_pivot_mag as colour_offset_mag,
        position_term(
            zero_point.position_mag,
            2 * light_curve.x_pix / (frame.n_x_pix - 1) - 1,
            2 * light_curve.y_pix / (frame.n_y_pix - 1) - 1
        ) as position_mag
    from light_curve
    join frame using (frame_id)
    left join zero_point using (frame_id, aperture_id)
    left join star_colour on
        star_colour.source_id = light_curve.source_id
        and star_colour.catalogue_name = zero_point.catalogue_name
        and star_colour.photometric_system = zero_point.photometric_system
        and star_colour.colour = zero_point.colour
)

select
    frame_id,
    source_id,
    aperture_id,
    field_id,
    band,
    night,
    case
        when zero_point_mag is null then instrumental_mag
        else
            instrumental_mag + zero_point_mag + position_mag
            + coalesce(colour_term * colour_offset_mag, 0)
    end as mag,
    case
        when zero_point_mag is null then instrumental_mag_err
        else sqrt(
            pow(instrumental_mag_err, 2) + pow(zero_point_err_mag, 2)
            + case
                when colour_offset_mag is null
                    then pow(coalesce(colour_term * colour_spread_mag, 0), 2)
                else 0
            end
        )
    end as mag_err,
    zero_point_mag is not null as is_calibrated,
    photometric_system,
    catalogue_name,
    zero_point_method,
    colour_offset_mag is not null as has_colour,
    instrumental_mag,
    instrumental_mag_err,
    flags,
    is_clean
from placed;
