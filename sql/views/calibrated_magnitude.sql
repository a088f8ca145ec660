-- Magnitudes of all stars on all frames, on the system of a catalogue where the frame has a zero point,
-- else instrumental, and said so. A star without a known colour gets the pivot colour of the colour
-- term, and what that may be off in its error. One row per frame, source and aperture.
-- requires: light_curve
-- requires: star_colour
-- column flux_adu: unit=adu; ucd=phot.flux; as measured; negative ones, too
-- column flux_err_adu: unit=adu; ucd=stat.error;phot.flux; null without a gain
-- column natural_level_mag: unit=mag; zero point and position term: added to the instrumental magnitude it is natural
-- column colour_mag: unit=mag; colour term of the star's own colour: added to the natural magnitude it is standard
-- column level_err_mag: unit=mag; error of both, and of a colour that is not known
-- column colour_term: magnitudes per magnitude of colour, of the zero point
-- column colour_pivot_mag: unit=mag; colour at which the colour term is naught
-- column term_colour: colour of the colour term, as g-i
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
        light_curve.exposure_s,
        light_curve.flux_adu,
        light_curve.flux_err_adu,
        light_curve.instrumental_mag,
        light_curve.instrumental_mag_err,
        light_curve.flags,
        light_curve.is_clean,
        zero_point.zero_point_mag
        + position_term(
            zero_point.position_mag,
            2 * light_curve.x_pix / (frame.n_x_pix - 1) - 1,
            2 * light_curve.y_pix / (frame.n_y_pix - 1) - 1
        ) as natural_level_mag,
        standard_mag(
            0, star_colour.colour_mag, zero_point.colour_term, zero_point.colour_pivot_mag
        ) as colour_mag,
        sqrt(
            pow(zero_point.zero_point_err_mag, 2)
            + case
                when star_colour.colour_mag is null
                    then pow(coalesce(zero_point.colour_term * zero_point.colour_spread_mag, 0), 2)
                else 0
            end
        ) as level_err_mag,
        star_colour.colour_mag is not null and zero_point.colour_pivot_mag is not null
        as has_colour,
        zero_point.colour_term,
        zero_point.colour_pivot_mag,
        zero_point.colour as term_colour,
        zero_point.photometric_system,
        zero_point.catalogue_name,
        zero_point.method as zero_point_method
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
    exposure_s,
    flux_adu,
    flux_err_adu,
    natural_level_mag,
    colour_mag,
    level_err_mag,
    colour_term,
    colour_pivot_mag,
    term_colour,
    case
        when natural_level_mag is null then instrumental_mag
        else instrumental_mag + natural_level_mag + colour_mag
    end as mag,
    case
        when natural_level_mag is null then instrumental_mag_err
        else sqrt(pow(instrumental_mag_err, 2) + pow(level_err_mag, 2))
    end as mag_err,
    natural_level_mag is not null as is_calibrated,
    photometric_system,
    catalogue_name,
    zero_point_method,
    has_colour,
    instrumental_mag,
    instrumental_mag_err,
    flags,
    is_clean
from placed;
